package webrtc

import (
	"slices"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
)

// nowhere counts what a sender writes.
type recorder struct {
	headers  []rtp.Header
	fail     error
	discard  bool
	payloads int
}

func (n *recorder) WriteRTP(h *rtp.Header, p []byte) (int, error) {
	n.payloads += len(p)
	if !n.discard {
		n.headers = append(n.headers, h.Clone())
	}
	return len(p), n.fail
}

func (n *recorder) Write([]byte) (int, error) { return 0, n.fail }

var _ webrtc.TrackLocalWriter = (*recorder)(nil)

func discardRTCP([]rtcp.Packet) error { return nil }

func newTestSender(f *Feed) (*sender, *recorder) {
	n := &recorder{}
	s := newSender(f, func(uint32) {})
	s.write = n
	s.delayed = s.plain.Clone()
	return s, n
}

func testFeed() *Feed {
	f := NewFeed()
	f.setCodec(codec{name: streams.H264})
	return f
}

// drainSender steps until nothing is left.
func drainSender(t *testing.T, s *sender) {
	t.Helper()
	batch := make([]*packet, maxSegment)
	for {
		n, err := s.step(batch)
		if err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
}

func fillFeed(w *feedWriter, from, frames, gop, packets int) {
	for n := from; n < from+frames; n++ {
		for i := range packets {
			payload := []byte{0x41, 1, 2}
			if n%gop == 0 && i == 0 {
				payload = []byte{0x67, 1, 2}
			}
			w.write(payload, uint32(n*3600), i == packets-1)
		}
	}
}

// TestSlowViewer stops reading until it has fallen far behind: it goes on at the newest key
// frame, without a gap in its sequence numbers.
func TestSlowViewer(t *testing.T) {
	for _, frames := range []int{400, 4000} { // far behind in the ring, and fallen out of it
		f := testFeed()
		w := f.writer()
		fillFeed(w, 0, 10, 50, 10)
		s, n := newTestSender(f)
		drainSender(t, s)
		fillFeed(w, 10, frames, 50, 10)
		drainSender(t, s)
		if s.dropped.Load() == 0 {
			t.Error("nothing was dropped")
		}
		if got, want := s.packets.Load()+s.dropped.Load(), uint64(10*(10+frames)); got != want {
			t.Errorf("%d packets sent or dropped, want %d", got, want)
		}
		for i := 1; i < len(n.headers); i++ {
			a, b := n.headers[i-1], n.headers[i]
			if b.SequenceNumber != a.SequenceNumber+1 || int32(b.Timestamp-a.Timestamp) < 0 || a.Marker != (b.Timestamp != a.Timestamp) {
				t.Fatalf("packet %d: %v after %v", i, b, a)
			}
		}
	}
}

func TestLossUpstreamWaitsForKey(t *testing.T) {
	f := testFeed()
	w := f.writer()
	fillFeed(w, 0, 10, 50, 2)
	w.lost(3)
	fillFeed(w, 11, 10, 50, 2)
	if got := f.Stats(); got.Packets != 20 || got.Lost != 3 {
		t.Errorf("stats %+v", got)
	}
	fillFeed(w, 50, 1, 50, 2)
	g, ok := f.current()
	if !ok || g.first != 11 || g.newest != 11 {
		t.Errorf("GOP %+v", g)
	}
}

func TestResendHasTheSameBytes(t *testing.T) {
	f := testFeed()
	w := f.writer()
	fillFeed(w, 0, 60, 50, 3)
	s, n := newTestSender(f)
	drainSender(t, s)
	sent := slices.Clone(n.headers)
	for i := range sent {
		s.handleFeedback(feedback{sequences: []uint16{sent[i].SequenceNumber}}, time.Now())
		drainSender(t, s)
		if h := n.headers[len(n.headers)-1]; h.Timestamp != sent[i].Timestamp || h.SequenceNumber != sent[i].SequenceNumber || h.Marker != sent[i].Marker {
			t.Fatalf("sent again as %v, first as %v", h, sent[i])
		}
	}
	count := len(n.headers)
	s.handleFeedback(feedback{sequences: []uint16{sent[0].SequenceNumber - 1, sent[len(sent)-1].SequenceNumber + 1}}, time.Now())
	drainSender(t, s)
	if len(n.headers) != count {
		t.Error("what was never sent was sent again")
	}
	s.handleFeedback(feedback{sequences: make([]uint16, 5000)}, time.Now())
	if len(s.nacked) > maxNACKed {
		t.Error(len(s.nacked), "packets wait to be sent again")
	}
}

func TestSendingDoesNotAllocate(t *testing.T) {
	f := testFeed()
	w := f.writer()
	fillFeed(w, 0, 5, 1<<30, 10)
	s, n := newTestSender(f)
	n.discard = true
	drainSender(t, s)
	batch := make([]*packet, maxSegment)
	for range 10 {
		fillFeed(w, 5, 1, 1<<30, 10)
		if a := testing.AllocsPerRun(1, func() {
			if _, err := s.step(batch); err != nil {
				t.Error(err)
			}
		}); a > 0 {
			t.Fatalf("%.0f allocations a frame", a)
		}
	}
}

func BenchmarkFeed(b *testing.B) {
	f := testFeed()
	w := f.writer()
	fillFeed(w, 0, 5, 1<<30, 10)
	s, n := newTestSender(f)
	n.discard = true
	batch := make([]*packet, maxSegment)
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		fillFeed(w, i, 1, 1<<30, 20)
		if _, err := s.step(batch); err != nil {
			b.Fatal(err)
		}
	}
}
