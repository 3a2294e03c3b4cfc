package rtsptest

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// Recording is what ffmpeg sends by RTSP: descriptions and packets as a real encoder and packetizer make them. The first
// track is the video.
type Recording struct {
	SDP string

	// Sent counts the frames of video that Play has sent.
	Sent atomic.Int64

	packets  []recorded
	duration time.Duration // of one round
	rates    map[int]int   // RTP clock of each track, in Hz
}

type recorded struct {
	track  int
	at     time.Duration
	packet []byte
}

const markerBit = 0x80 // of the second byte of an RTP packet (RFC 3550, section 5.1)

// maxRecording bounds a recording in bytes.
const maxRecording = 64 << 20

// Record runs ffmpeg with the arguments that make the tracks, the video first, and returns what it sends. duration is the
// length of the video: one frame longer than the difference between the first and the last timestamp.
func Record(t testing.TB, duration time.Duration, args ...string) *Recording {
	t.Helper()
	listen, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listen.Close() }() // the recording is over
	args = append([]string{"-nostdin", "-loglevel", "error"}, args...)
	args = append(args, "-f", "rtsp", "-rtsp_transport", "tcp", "rtsp://"+listen.Addr().String()+"/record")
	cmd := exec.CommandContext(t.Context(), "ffmpeg", args...)
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	if err := cmd.Start(); err != nil {
		t.Fatalf("recording (Debian package ffmpeg; make test installs it): %v", err)
	}
	ended := make(chan error, 1)
	go func() {
		err := cmd.Wait()
		_ = listen.Close() // ends an Accept that waits in vain
		ended <- err
	}()
	r := &Recording{duration: duration, rates: map[int]int{}}
	err = r.accept(listen)
	if failed := <-ended; failed != nil {
		t.Fatalf("ffmpeg %s: %v\n%s", strings.Join(args, " "), failed, complaints.String())
	}
	if err != nil || len(r.packets) == 0 {
		t.Fatalf("recording %d packets: %v", len(r.packets), err)
	}
	r.order()
	return r
}

// accept plays the server of one RTSP session in which the client sends (RFC 2326, section 10).
func (r *Recording) accept(listen net.Listener) error {
	conn, err := listen.Accept()
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close() }() // the client has said all
	in := bufio.NewReaderSize(conn, 1<<16)
	size := 0
	for {
		first, err := in.Peek(1)
		if err != nil {
			return ignoreEnd(err)
		}
		if first[0] == '$' {
			n, err := r.frame(in)
			if err != nil {
				return ignoreEnd(err)
			}
			if size += n; size > maxRecording {
				return errors.New("the recording is too large")
			}
			continue
		}
		request, err := readRequest(in)
		if err != nil {
			return ignoreEnd(err)
		}
		if request.Method == "ANNOUNCE" {
			r.SDP = request.Body
		}
		if _, err := conn.Write(answerPublisher(request).Bytes()); err != nil {
			return err
		}
		if request.Method == "TEARDOWN" {
			return nil
		}
	}
}

func ignoreEnd(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, net.ErrClosed) {
		return nil
	}
	return err
}

func answerPublisher(r Request) *Answer {
	a := &Answer{Status: "RTSP/1.0 200 OK", Header: []string{"CSeq: " + r.Header.Get("CSeq"), "Session: 7"}}
	if transport := r.Header.Get("Transport"); transport != "" {
		a.Set("Transport", transport)
	}
	return a
}

// frame reads an interleaved frame and returns its size; RTCP is passed over.
func (r *Recording) frame(in *bufio.Reader) (size int, err error) {
	var head [4]byte
	if _, err := io.ReadFull(in, head[:]); err != nil {
		return 0, err
	}
	packet := make([]byte, binary.BigEndian.Uint16(head[2:]))
	if _, err := io.ReadFull(in, packet); err != nil {
		return 0, err
	}
	if head[1]%2 == 0 && len(packet) >= 12 {
		r.packets = append(r.packets, recorded{track: int(head[1] / 2), packet: packet})
	}
	return len(packet), nil
}

// order gives each packet its time, and sorts the tracks into each other.
func (r *Recording) order() {
	track := -1
	for line := range strings.Lines(r.SDP) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "m=") {
			track++
			r.rates[track] = 8000 // of G.711, whose a=rtpmap may be left out (RFC 3551, table 4)
			if strings.HasPrefix(line, "m=video") {
				r.rates[track] = 90000
			}
		}
		if _, encoding, ok := strings.Cut(line, " "); ok && strings.HasPrefix(line, "a=rtpmap:") {
			if rate, err := strconv.Atoi(strings.Split(encoding, "/")[1]); err == nil {
				r.rates[track] = rate
			}
		}
	}
	first := map[int]uint32{}
	latest := map[int]time.Duration{}
	for i := range r.packets {
		p := &r.packets[i]
		stamp := binary.BigEndian.Uint32(p.packet[4:])
		if _, ok := first[p.track]; !ok {
			first[p.track] = stamp
		}
		at := time.Duration(int32(stamp-first[p.track])) * time.Second / time.Duration(r.rates[p.track])
		latest[p.track] = max(latest[p.track], at) // B-frames are sent when it is their turn
		p.at = latest[p.track]
	}
	slices.SortStableFunc(r.packets, func(a, b recorded) int { return int(a.at - b.at) })
}

// Camera returns a camera that plays the recording over and over, from its beginning for each session.
func (r *Recording) Camera() *Camera {
	c := &Camera{SDP: r.SDP, Play: r.play}
	for i := range len(r.rates) {
		c.Tracks = append(c.Tracks, Track{Control: fmt.Sprintf("streamid=%d", i)})
	}
	return c
}

func (r *Recording) play(c *Conn) {
	began := time.Now()
	tracks := map[int]int{} // index among those that were set up, by track
	for i := range c.setupCount() {
		c.mu.Lock()
		tracks[c.setups[i].track] = i
		c.mu.Unlock()
	}
	var sequence [8]uint16
	for round := 0; ; round++ {
		offset := time.Duration(round) * r.duration
		for _, p := range r.packets {
			i, ok := tracks[p.track]
			if !ok || i >= len(sequence) {
				continue
			}
			if wait := time.Until(began.Add(offset + p.at)); wait > 0 && !c.Pause(wait) {
				return
			}
			packet := slices.Clone(p.packet)
			sequence[i]++
			binary.BigEndian.PutUint16(packet[2:], sequence[i])
			ticks := uint32(offset * time.Duration(r.rates[p.track]) / time.Second)
			binary.BigEndian.PutUint32(packet[4:], binary.BigEndian.Uint32(packet[4:])+ticks)
			if !c.SendPacket(i, packet) {
				return
			}
			if p.track == 0 && packet[1]&markerBit != 0 {
				r.Sent.Add(1)
			}
		}
	}
}
