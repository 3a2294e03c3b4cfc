package rtsp

import (
	"bufio"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a camera whose every byte a test decides. It answers OPTIONS, DESCRIBE, SETUP and PLAY as
// cameras do, one connection after another; what it does then is play.
type fakeCamera struct {
	t       *testing.T
	sdp     string
	session string                                // of the Session header
	keep    func(line string)                     // hears of each request after PLAY; not answered
	play    func(c *fakeConn)                     // after PLAY; the connection closes when it returns
	before  func(c *fakeConn, method string) bool // instead of the usual answer, if it returns true
	listen  net.Listener
}

type fakeConn struct {
	*net.TCPConn
	f    *fakeCamera
	text *textproto.Reader
	udp  bool
	seq  uint16
	done chan struct{} // closed when the test ends
}

// These describe frames of 320x240.
const (
	fakeSPS = "6742c00dd90141fb011000000300100000030320f142a480"
	fakePPS = "68cb83cb20"
)

func fakeSet(s string) []byte {
	b, err := hex.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

func videoSDP() string {
	sets := base64.StdEncoding.EncodeToString(fakeSet(fakeSPS)) + "," + base64.StdEncoding.EncodeToString(fakeSet(fakePPS))
	return "m=video 0 RTP/AVP 96\r\na=rtpmap:96 H264/90000\r\na=fmtp:96 packetization-mode=1;sprop-parameter-sets=" + sets +
		"\r\na=control:video\r\n"
}

// start serves until the test ends and returns the camera's address.
func (f *fakeCamera) start(t *testing.T) string {
	t.Helper()
	f.t = t
	if f.sdp == "" {
		f.sdp = videoSDP()
	}
	if f.session == "" {
		f.session = "42"
	}
	if f.keep == nil {
		f.keep = func(string) {}
	}
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f.listen = listen
	done := make(chan struct{})
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			conn, err := listen.Accept()
			if err != nil {
				return
			}
			c := &fakeConn{TCPConn: conn.(*net.TCPConn), f: f, text: textproto.NewReader(bufio.NewReader(conn)), done: done}
			serving.Go(c.serve)
		}
	})
	t.Cleanup(func() {
		close(done)
		_ = listen.Close()
		serving.Wait()
	})
	return "rtsp://" + listen.Addr().String() + "/main"
}

// serve answers requests up to PLAY.
func (c *fakeConn) serve() {
	closed := make(chan struct{})
	go func() {
		select {
		case <-c.done:
		case <-closed:
		}
		_ = c.Close()
	}()
	defer close(closed)
	for {
		line, err := c.text.ReadLine()
		if err != nil {
			return
		}
		header, err := c.text.ReadMIMEHeader()
		if err != nil {
			return
		}
		method, _, _ := strings.Cut(line, " ")
		if c.f.before != nil && c.f.before(c, method) {
			return
		}
		extra, body := "", ""
		switch method {
		case "OPTIONS":
			extra = "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n"
		case "DESCRIBE":
			body = "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=x\r\nt=0 0\r\n" + c.f.sdp
			extra = "Content-Type: application/sdp\r\n"
		case "SETUP":
			extra = c.setup(header.Get("Transport"))
		case "PLAY":
			extra = "Session: " + c.f.session + "\r\n"
		}
		c.printf("RTSP/1.0 200 OK\r\nCSeq: %s\r\n%sContent-Length: %d\r\n\r\n%s", header.Get("CSeq"), extra, len(body), body)
		if method == "PLAY" {
			go func() { // keepalives
				for {
					line, err := c.text.ReadLine()
					if err != nil {
						return
					}
					if strings.HasSuffix(line, "RTSP/1.0") {
						c.f.keep(line)
					}
				}
			}()
			c.f.play(c)
			return
		}
	}
}

func (c *fakeConn) setup(transport string) string {
	reply := "RTP/AVP/TCP;unicast;interleaved=0-1"
	if !strings.Contains(transport, "TCP") {
		c.udp = true
		reply = transport + ";server_port=9000-9001" // and nobody sends from there
	}
	return "Transport: " + reply + "\r\nSession: " + c.f.session + "\r\n"
}

func (c *fakeConn) printf(format string, args ...any) {
	_, _ = fmt.Fprintf(c, format, args...) // the other side may hang up at any time
}

// nalu sends one NALU as one packet and reports whether the other side still takes it.
func (c *fakeConn) nalu(nalu []byte, timestamp uint32, last bool) bool {
	c.seq++
	packet := make([]byte, 4+12, 4+12+len(nalu))
	packet[0] = '$'
	binary.BigEndian.PutUint16(packet[2:], uint16(12+len(nalu)))
	packet[4] = 0x80
	packet[5] = 96
	if last {
		packet[5] |= 0x80
	}
	binary.BigEndian.PutUint16(packet[6:], c.seq)
	binary.BigEndian.PutUint32(packet[8:], timestamp)
	binary.BigEndian.PutUint32(packet[12:], 7)
	_, err := c.Write(append(packet, nalu...))
	return err == nil
}

// frame sends one frame and waits a little. Every fifth is a keyframe.
func (c *fakeConn) sendFrame(n int, timestamp uint32) bool {
	nalu := []byte{0x41, byte(n), 2, 3}
	if n%5 == 0 {
		nalu[0] = 0x65
	}
	return c.nalu(nalu, timestamp, true) && c.pause(10*time.Millisecond)
}

// pause waits, and reports false when the test ends.
func (c *fakeConn) pause(d time.Duration) bool {
	select {
	case <-time.After(d):
		return true
	case <-c.done:
		return false
	}
}

// frames sends frames until the other side hangs up.
func (c *fakeConn) sendFrames() {
	for n := 0; c.sendFrame(n, uint32(n)*3600); n++ {
	}
}

// silence waits for the end of the test or of the connection, without reading: the keepalives' reader does.
func (c *fakeConn) silence() {
	for c.pause(20*time.Millisecond) && c.nalu(nil, 0, false) {
		continue
	}
}

var _ io.Writer = (*fakeConn)(nil)
