package webrtc

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// TestArrivals: random losses, reordering and retransmissions, as a receiver reports them and a sender reads them.
func TestArrivals(t *testing.T) {
	for seed := range uint64(50) {
		r := rand.New(rand.NewPCG(seed, 9))
		report := newTransportReport(3)
		var a arrivals
		first := uint64(1<<16 + r.IntN(1<<16))
		sent := first // number of the packet to come
		extend := func(short uint16) uint64 { return sent - 1 - uint64(uint16(sent-1)-short) }
		now := time.Unix(1000, 0)
		arrived := map[uint64]bool{}
		var highestAt time.Time
		highest, base := uint64(0), uint64(0)
		arrive := func(sequence uint64) {
			var h rtp.Header
			if err := h.SetExtension(3, []byte{byte(sequence >> 8), byte(sequence)}); err != nil {
				t.Fatal(err)
			}
			report.packet(&h, now)
			if base == 0 {
				base = sequence
			}
			if sequence >= base {
				arrived[sequence] = true
			}
			if sequence > highest {
				highest, highestAt = sequence, now
			}
		}
		var firstAt time.Time
		for range 3000 {
			now = now.Add(time.Duration(r.IntN(4000)) * time.Microsecond)
			sent++
			if r.IntN(20) > 0 {
				if firstAt.IsZero() {
					firstAt = now
				}
				arrive(sent - 1)
			}
			if old := sent - 1 - uint64(r.IntN(50)); r.IntN(40) == 0 && old > first { // sent again
				arrive(old)
			}
			for _, p := range report.due(now) {
				f, ok := p.(*rtcp.TransportLayerCC)
				if !ok {
					t.Fatalf("%T", p)
				}
				a.add(f, extend)
			}
		}
		now = now.Add(transportEvery)
		for _, p := range report.due(now) {
			a.add(p.(*rtcp.TransportLayerCC), extend)
		}
		if a.highest != highest || a.base != base || a.received != uint64(len(arrived)) || uint64(a.lost()) != highest-base+1-uint64(len(arrived)) {
			t.Fatalf("seed %d: %d to %d, %d arrived; want %d to %d, %d", seed, a.base, a.highest, a.received, base, highest, len(arrived))
		}
		want := highestAt.Sub(firstAt)
		if d := a.highestAt - want; d < -transportTick-time.Millisecond || d > transportTick+time.Millisecond {
			t.Errorf("seed %d: the newest packet arrived after %v, want %v", seed, a.highestAt, want)
		}
	}
}

// TestReferenceTime: the 24 bits of a feedback's reference time begin again after twelve days.
func TestReferenceTime(t *testing.T) {
	var a arrivals
	for i, reference := range []uint32{1<<24 - 2, 1<<24 - 1, 0, 3} {
		if got, want := a.referenceTime(reference), time.Duration([]int{0, 1, 2, 5}[i])*transportTick; got != want {
			t.Errorf("reference %d: %v, want %v", reference, got, want)
		}
	}
}

// FuzzTransportFeedback: no feedback, whatever it says, makes the counts contradict each other.
func FuzzTransportFeedback(f *testing.F) {
	report := newTransportReport(3)
	var h rtp.Header
	if err := h.SetExtension(3, []byte{1, 2}); err != nil {
		f.Fatal(err)
	}
	report.packet(&h, time.Unix(0, 0))
	seed, err := rtcp.Marshal(report.due(time.Unix(1, 0)))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(seed, uint16(300))
	f.Fuzz(func(t *testing.T, raw []byte, packets uint16) {
		list, err := rtcp.Unmarshal(raw)
		if err != nil {
			return
		}
		const first = 1 << 16
		next := uint64(first) + uint64(packets)
		var a arrivals
		for _, cc := range feedbackOf(list).transport {
			a.add(cc, func(short uint16) uint64 { return next - 1 - uint64(uint16(next-1)-short) })
			if a.base == 0 {
				continue
			}
			if a.highest >= next || a.received == 0 || a.received > a.highest-a.base+1 {
				t.Fatalf("%d to %d of %d, %d arrived", a.base, a.highest, next, a.received)
			}
		}
	})
}
