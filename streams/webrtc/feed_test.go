package webrtc

import (
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// TestFeedBounds writes random streams, with pauses and losses: the ring never exceeds its bounds, it always has the
// current GOP as far as the bounds allow, the last feedHistory of packets, and each packet at its index.
func TestFeedBounds(t *testing.T) {
	r := rand.New(rand.NewPCG(10, 3))
	for range 20 {
		gop, size, packets := 1+r.IntN(400), 1+r.IntN(1180), 1+r.IntN(60)
		synctest.Test(t, func(t *testing.T) {
			f := testFeed()
			w := f.writer()
			var arrivals []time.Time // by index, from 1
			for n := range 800 {
				if r.IntN(100) == 0 {
					time.Sleep(time.Duration(r.IntN(15)) * time.Second)
				}
				if r.IntN(200) == 0 {
					w.lost(1)
				}
				for i := range packets {
					payload := make([]byte, 3+size)
					payload[0] = 0x41
					if n%gop == 0 && i == 0 {
						payload[0] = 0x67
					}
					before := f.next
					w.write(payload, uint32(n*3600), i == packets-1)
					if f.next > before {
						arrivals = append(arrivals, time.Now())
					}
				}
				checkBounds(t, f, arrivals)
				time.Sleep(frameTime)
			}
		})
	}
}

func checkBounds(t *testing.T, f *Feed, arrivals []time.Time) {
	t.Helper()
	if len(arrivals) == 0 {
		return
	}
	bytes := 0
	for i := f.oldest; i < f.next; i++ {
		p := f.at(i)
		bytes += len(p.payload)
		if got, want := f.created.Add(p.arrived), arrivals[i-1]; !got.Equal(want) {
			t.Fatalf("packet %d arrived at %v, want %v", i, got, want)
		}
	}
	last := arrivals[len(arrivals)-1]
	age := func(index uint64) time.Duration { return last.Sub(arrivals[index-1]) }
	if bytes != f.bytes || bytes > feedBytes || f.next-f.oldest > feedPackets || age(f.oldest) > feedTime {
		t.Fatalf("%d bytes (counted as %d) in %d packets of %v", bytes, f.bytes, f.next-f.oldest, age(f.oldest))
	}
	if f.oldest < f.gopStart && f.bytes > f.history {
		t.Fatalf("%d bytes with packets before the current GOP", f.bytes)
	}
	most := f.history
	if f.oldest-1 >= f.gopStart {
		most = feedBytes
	}
	full := f.next-f.oldest == feedPackets || f.bytes > most-1500
	if before := f.oldest - 1; before > 0 && !full && age(before) <= feedTime {
		t.Fatalf("a packet was dropped after %v with %d bytes left", age(before), f.bytes)
	}
	if _, ok := f.read(f.oldest-1, make([]*packet, 1)); ok {
		t.Fatal("a packet that was dropped was read")
	}
	if g, ok := f.current(); ok && (g.index < f.oldest || !f.at(g.index).keyframe) {
		t.Fatalf("GOP %+v, the oldest packet is %d", g, f.oldest)
	}
}

// TestFeedMemory: what a feed keeps follows the stream's bitrate and GOP, and is bounded at any bitrate.
func TestFeedMemory(t *testing.T) {
	for _, test := range []struct {
		stream *testStream
		most   int // bytes
	}{
		{&testStream{keyframe: 150_000, frame: 17_000, gop: 50}, 1_700_000},  // 4 Mbit/s, 2 s
		{&testStream{keyframe: 20_000, frame: 2_000, gop: 50}, 1_000_000},    // 500 kbit/s, 2 s
		{&testStream{keyframe: 150_000, frame: 19_500, gop: 250}, 6_000_000}, // 4 Mbit/s, 10 s
		{&testStream{keyframe: 400_000, frame: 95_000, gop: 250}, feedBytes}, // 20 Mbit/s, 10 s
	} {
		synctest.Test(t, func(t *testing.T) {
			ts := test.stream
			ts.feed = testFeed()
			w := accessUnitWriter{feed: ts.feed}
			most := 0
			for range 1000 {
				ts.write(&w)
				most = max(most, ts.feed.bytes)
				time.Sleep(frameTime)
			}
			if most > test.most {
				t.Errorf("%.0f kbit/s in GOPs of %d: %d bytes", ts.bitrate()/1000, ts.gop, most)
			}
		})
	}
}
