package webrtc

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// slowReader is a viewer whose process reads its socket only every readEvery. Packets that its buffer has
// no room for are lost.
type slowReader struct {
	lost, packets, bytes int

	mu      sync.Mutex
	waiting int
}

const (
	// defaultBuffer is how many packets of a video fit into a socket's default buffer on Linux:
	// net.core.rmem_default is 212,992 bytes, and the kernel counts 2,304 for each such packet.
	defaultBuffer = 212_992 / 2304
	readEvery     = 20 * time.Millisecond
)

func (r *slowReader) WriteRTP(_ *rtp.Header, payload []byte) (int, error) {
	r.packets++
	r.bytes += len(payload)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.waiting++; r.waiting > defaultBuffer {
		r.waiting--
		r.lost++
	}
	return len(payload), nil
}

// read empties the buffer.
func (r *slowReader) read() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = 0
}

func (r *slowReader) Write([]byte) (int, error) { return 0, errors.New("unused") }

// TestDefaultSocketBuffers: a viewer that is scheduled only now and then loses no packet of a cached GOP, of
// keyframes, or of what follows, whatever the camera sends; and it catches up with the present.
func TestDefaultSocketBuffers(t *testing.T) {
	r := rand.New(rand.NewPCG(8, 1))
	for range 30 {
		ts := testStream{gop: 10 + r.IntN(290), frame: 500 + r.IntN(25_000)}
		ts.keyframe = ts.frame * (1 + r.IntN(10))
		cached := r.IntN(ts.gop)
		if ts.keyframe > 150_000 {
			continue // no camera of 8 Mbit/s sends these
		}
		name := fmt.Sprintf("keyframe %d, frame %d, GOP %d, cached %d", ts.keyframe, ts.frame, ts.gop, cached)
		synctest.Test(t, func(t *testing.T) {
			v := &slowReader{}
			behind := ts.view(t, v, cached, time.Duration(ts.gop)*frameTime+2*time.Second)
			if v.lost > 0 {
				t.Errorf("%s: %d of %d packets lost", name, v.lost, v.packets)
			}
			if behind > 2*maxSegment {
				t.Errorf("%s: %d packets behind the present", name, behind)
			}
		})
	}
}

// view sends the stream to a viewer for d, after cached frames, and returns by how many packets the viewer is
// behind.
func (ts *testStream) view(t *testing.T, v *slowReader, cached int, d time.Duration) uint64 {
	t.Helper()
	ts.feed = testFeed()
	w := accessUnitWriter{feed: ts.feed}
	for range cached + 1 {
		ts.write(&w)
	}
	s := newSender(ts.feed, func(uint32) {})
	s.delayed = s.plain.Clone()
	s.write, s.writeRTCP = v, discardRTCP
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error)
	go func() { ended <- s.run(ctx) }()
	frame := time.NewTicker(frameTime)
	defer frame.Stop()
	read := time.NewTicker(readEvery)
	defer read.Stop()
	for end := time.After(d); ; {
		select {
		case <-frame.C:
			ts.write(&w)
			continue
		case <-read.C:
			v.read()
			continue
		case <-end:
		}
		break
	}
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	g, _ := ts.feed.current()
	return g.next - s.cursor
}

// TestPaceFollowsTheStream: a cached GOP leaves at a small multiple of the stream's bitrate.
func TestPaceFollowsTheStream(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ts := testStream{keyframe: 30_000, frame: 9_500, gop: 250} // 2 Mbit/s
		v := &slowReader{}
		ts.view(t, v, 200, time.Second)
		if rate := 8 * float64(v.bytes); rate < 2*ts.bitrate() || rate > (burstFactor+1)*ts.bitrate() {
			t.Errorf("%.0f kbit/s left in the first second of a stream of %.0f kbit/s", rate/1000, ts.bitrate()/1000)
		}
	})
}

// TestPaceBacksOff when a viewer reports losses, never below what the stream needs, and recovers.
func TestPaceBacksOff(t *testing.T) {
	m := &sourceMeter{}
	for n := range 100 {
		m.frame(1, time.Duration(n)*frameTime, n%50 == 0, 10_000)
	}
	p := newPacer(m)
	now := time.Unix(0, 0)
	rate := func() float64 {
		p.sent(1000, now)
		defer func() { p.next = time.Time{} }()
		return 8000 / p.wait(now).Seconds()
	}
	near := func(a, b float64) bool { return a > 0.99*b && a < 1.01*b }
	if got := rate(); !near(got, burstFactor*m.bitrate()) {
		t.Errorf("%.0f bit/s without losses, the stream has %.0f", got, m.bitrate())
	}
	last := rate()
	for range 20 {
		p.onReport(rtcp.ReceptionReport{FractionLost: 40})
		if got := rate(); got > last {
			t.Errorf("%.0f bit/s after a loss, %.0f before", got, last)
		} else {
			last = got
		}
	}
	if !near(last, leastPace*m.bitrate()) {
		t.Errorf("%.0f bit/s at last, the stream has %.0f", last, m.bitrate())
	}
	for range 20 {
		p.onReport(rtcp.ReceptionReport{})
	}
	if got := rate(); !near(got, burstFactor*m.bitrate()) {
		t.Errorf("%.0f bit/s after the losses, the stream has %.0f", got, m.bitrate())
	}
}
