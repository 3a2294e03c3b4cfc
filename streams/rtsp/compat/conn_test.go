package compat

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"testing"
	"time"
)

// script is a camera's end of a connection that was recorded: what it sends, in chunks.
type script struct {
	chunks [][]byte
	sent   bytes.Buffer // what it has received
}

// split cuts data into chunks whose sizes come from cuts, and repeat.
func split(data []byte, cuts []byte) *script {
	s := &script{}
	for i := 0; len(data) > 0; i++ {
		n := len(data)
		if len(cuts) > 0 {
			n = min(n, int(cuts[i%len(cuts)])+1)
		}
		s.chunks, data = append(s.chunks, data[:n]), data[n:]
	}
	return s
}

func (s *script) Read(p []byte) (int, error) {
	if len(s.chunks) == 0 {
		return 0, io.EOF
	}
	n := copy(p, s.chunks[0])
	if s.chunks[0] = s.chunks[0][n:]; len(s.chunks[0]) == 0 {
		s.chunks = s.chunks[1:]
	}
	return n, nil
}

func (s *script) Write(p []byte) (int, error)      { return s.sent.Write(p) }
func (*script) Close() error                       { return nil }
func (*script) LocalAddr() net.Addr                { return &net.TCPAddr{} }
func (*script) RemoteAddr() net.Addr               { return &net.UnixAddr{Name: "/nowhere", Net: "unix"} }
func (*script) SetDeadline(time.Time) error        { return nil }
func (*script) SetReadDeadline(time.Time) error    { return nil }
func (*script) SetWriteDeadline(t time.Time) error { return nil }

// replay sends the requests of a client, lets the camera's bytes arrive in chunks, and returns what the library reads, the
// remarks and the error at the end.
func replay(t testing.TB, camera *script, methods ...string) (out []byte, remarks []Remark, err error) {
	t.Helper()
	u, err := url.Parse("rtsp://u:p@camera/main")
	if err != nil {
		t.Fatal(err)
	}
	session := NewCamera(Options{URL: u}).NewSession()
	conn := newConn(camera, session, false)
	defer conn.Close() //nolint:errcheck // the script's Close returns nil
	for i, method := range methods {
		extra := ""
		if method == "SETUP" {
			extra = "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
		}
		if _, err := fmt.Fprintf(conn, "%s rtsp://camera/main RTSP/1.0\r\nCSeq: %d\r\n%s\r\n", method, i+1, extra); err != nil {
			t.Fatal(err)
		}
	}
	var b bytes.Buffer
	buf := make([]byte, 700)
	for {
		n, err := conn.Read(buf)
		b.Write(buf[:n])
		if err != nil {
			return b.Bytes(), session.Remarks(), err
		}
	}
}

func frame(channel byte, size int) string {
	return string([]byte{'$', channel, byte(size >> 8), byte(size)}) + strings.Repeat("x", size)
}

// conversations are the seeds of FuzzSplit.
var conversations = []string{
	"RTSP/1.0 200 OK\r\nCSeq: 1\r\nPublic: OPTIONS\r\n\r\nRTSP/1.0 200 OK\r\nCSeq: 2\r\nSession: 1;timeout=60\r\nTransport: RTP/AVP/TCP;interleaved=0-1\r\n\r\n" +
		"RTSP/1.0 200 OK\r\nCSeq: 3\r\n\r\n" + frame(0, 10) + frame(1, 1000) + "garbage" + frame(0, 0) + frame(9, 3),
	"RTSP/1.0 401 Unauthorized\nCSeq: 1\nWWW-Authenticate: Digest realm=a, nonce=b\n\nRTSP/1.1 200\nCSeq: 4\n\n\n\nOPTIONS * RTSP/1.0\nCSeq: 9\n\n",
	"RTSP/1.0 200 OK\rContent-Length: 10\r\rRTSP/1.0 200 OK\rTransport: x\r\r\x00$$$" + frame(0, 5) + "RTSP/1.0 454\r\n\r\n",
	"RTSP/1.0 501 No\r\nContent-Length: 5\r\n\r\nhelloRTSP/1.0 200 OK\r\nTransport: RTP/AVP;interleaved=8-9\r\n\r\nRTSP/1.0 200 OK\r\n\r\n" + frame(8, 4) + frame(0, 4),
	"HTTP/1.1 200 OK\r\n\r\n", "\x15\x03\x01", "RTSP", "$", "TEARDOWN * RTSP/1.0\r\n\r\n", "RTSP/1.0 100 Continue\r\n\r\nRTSP/1.0 abc\r\n\r\n",
}

// FuzzSplit holds that it does not matter how the network cuts what a camera sends, and that nothing but messages and
// whole frames comes out.
func FuzzSplit(f *testing.F) {
	for _, c := range conversations {
		f.Add([]byte(c), []byte{0})
		f.Add([]byte(c), []byte{3, 0, 7})
	}
	f.Fuzz(func(t *testing.T, data, cuts []byte) {
		methods := []string{"OPTIONS", "SETUP", "PLAY", "OPTIONS"}
		whole, remarks, err := replay(t, split(data, nil), methods...)
		parts, remarksParts, errParts := replay(t, split(data, cuts), methods...)
		if !bytes.Equal(whole, parts) || fmt.Sprint(remarks) != fmt.Sprint(remarksParts) || err.Error() != errParts.Error() {
			t.Errorf("whole:  %q %v %v\nin parts: %q %v %v", whole, remarks, err, parts, remarksParts, errParts)
		}
		wellFormed(t, whole)
	})
}

// wellFormed checks that b is a sequence of responses and frames, the last of which may be cut off.
func wellFormed(t *testing.T, b []byte) {
	t.Helper()
	for len(b) > 0 {
		if b[0] == '$' {
			if len(b) < 4 {
				t.Fatalf("a frame without a head: %q", b)
			}
			b = b[min(len(b), 4+int(b[2])<<8+int(b[3])):]
			continue
		}
		head, rest, ok := bytes.Cut(b, []byte("\r\n\r\n"))
		if !ok || !bytes.HasPrefix(head, []byte("RTSP/1.0 ")) {
			t.Fatalf("no response: %q", b)
		}
		for _, line := range strings.Split(string(head), "\r\n")[1:] {
			if !strings.Contains(line, ": ") || len(line) > maxValue+100 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("header line %q", line)
			}
		}
		b = rest
	}
}

// TestInterleavedFramesAreNotCopied: what the layer costs per frame is bounded.
func TestInterleavedFramesAreNotCopied(t *testing.T) {
	const frames = 2000
	data := "RTSP/1.0 200 OK\r\nCSeq: 1\r\n\r\n" + strings.Repeat(frame(0, 1400), frames)
	allocs := testing.AllocsPerRun(3, func() {
		out, _, err := replay(t, split([]byte(data), nil), "PLAY")
		if !errors.Is(err, io.EOF) || len(out) < frames*1404 {
			t.Fatalf("%d bytes, %v", len(out), err)
		}
	})
	if allocs > frames/4 {
		t.Errorf("%.0f allocations for %d frames", allocs, frames)
	}
}
