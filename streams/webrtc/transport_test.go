package webrtc

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
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
				for _, f := range marshalled(t, p).transport {
					a.add(f, extend)
				}
			}
		}
		now = now.Add(transportEvery)
		for _, p := range report.due(now) {
			for _, f := range marshalled(t, p).transport {
				a.add(f, extend)
			}
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

// marshalled returns the feedback that packets are, as it comes over the network.
func marshalled(t testing.TB, packets ...rtcp.Packet) feedback {
	t.Helper()
	compound, err := rtcp.Marshal(packets)
	if err != nil {
		t.Fatal(err)
	}
	f, err := readCompound(compound)
	if err != nil {
		t.Fatal(err)
	}
	return f
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
		read, err := readCompound(raw)
		if list, errPion := rtcp.Unmarshal(raw); errPion == nil {
			if err != nil {
				t.Fatal(err)
			}
			compareTransport(t, read.transport, list)
		}
		const first = 1 << 16
		next := uint64(first) + uint64(packets)
		var a arrivals
		for _, cc := range read.transport {
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

// compareTransport compares feedback with what pion decodes from the same bytes.
func compareTransport(t *testing.T, got []transportFeedback, list []rtcp.Packet) {
	t.Helper()
	type arrival struct {
		i     int
		delta time.Duration
	}
	n := 0
	for _, p := range list {
		f, ok := p.(*rtcp.TransportLayerCC)
		if !ok {
			continue
		}
		if n == len(got) {
			t.Fatalf("%d feedbacks, pion has more", n)
		}
		var want, have []arrival
		i, deltas := 0, f.RecvDeltas
		status := func(symbol uint16) {
			if i < int(f.PacketStatusCount) && (symbol == rtcp.TypeTCCPacketReceivedSmallDelta || symbol == rtcp.TypeTCCPacketReceivedLargeDelta) {
				want = append(want, arrival{i, time.Duration(deltas[0].Delta) * time.Microsecond})
				deltas = deltas[1:]
			}
			i++
		}
		for _, chunk := range f.PacketChunks {
			switch c := chunk.(type) {
			case *rtcp.RunLengthChunk:
				for range min(int(c.RunLength), int(f.PacketStatusCount)-i) {
					status(c.PacketStatusSymbol)
				}
			case *rtcp.StatusVectorChunk:
				for _, symbol := range c.SymbolList {
					status(symbol)
				}
			}
		}
		g := got[n]
		g.each(func(i int, delta time.Duration) bool {
			have = append(have, arrival{i, delta})
			return true
		})
		if g.base != f.BaseSequenceNumber || g.count != int(f.PacketStatusCount) || g.reference != f.ReferenceTime || !slices.Equal(have, want) {
			t.Fatalf("%d from %d at %d: %v; pion has %d from %d at %d: %v", g.count, g.base, g.reference, have,
				f.PacketStatusCount, f.BaseSequenceNumber, f.ReferenceTime, want)
		}
		n++
	}
	if n != len(got) {
		t.Fatalf("%d feedbacks, pion has %d", len(got), n)
	}
}

// TestTransportIsReadAsPionDoes: random feedback with runs and vectors, small and large deltas, among other packets.
func TestTransportIsReadAsPionDoes(t *testing.T) {
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 3)) // repeatable
		recorder := twcc.NewRecorder(1)
		at, number := int64(0), uint16(r.Uint32())
		for range 1 + r.IntN(300) {
			at += int64(r.IntN([]int{100, 5000, 200_000}[r.IntN(3)]))
			if number++; r.IntN(4) == 0 {
				number += uint16(r.IntN(40))
			}
			recorder.Record(2, number-uint16(r.IntN(3)), at)
		}
		packets := []rtcp.Packet{&rtcp.ReceiverReport{SSRC: 1, Reports: []rtcp.ReceptionReport{{SSRC: 2, FractionLost: 9}}}}
		packets = append(packets, recorder.BuildFeedbackPacket()...)
		packets = append(packets, &rtcp.PictureLossIndication{SenderSSRC: 1, MediaSSRC: 2})
		compound, err := rtcp.Marshal(packets)
		if err != nil {
			t.Fatal(err)
		}
		list, err := rtcp.Unmarshal(compound)
		if err != nil {
			t.Fatal(err)
		}
		f, err := readCompound(compound)
		if err != nil || !f.keyframe || len(f.reports) != 1 || f.reports[0].FractionLost != 9 {
			t.Fatalf("seed %d: %+v, %v", seed, f, err)
		}
		compareTransport(t, f.transport, list)
	}
}
