package webrtc

import (
	"bytes"
	"context"
	"errors"
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/streams"
)

// randomUnit returns an access unit of slices of random sizes: some share a packet, some fill several.
func randomUnit(random *rand.Rand, codec streams.Codec, n int, keyframe bool) *streams.AccessUnit {
	u := &streams.AccessUnit{Codec: codec, Session: 1, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: keyframe}
	header := []byte{0x41}
	if codec == streams.H265 {
		header = []byte{2, 1}
	}
	if keyframe && codec == streams.H264 {
		u.NALUs, header = [][]byte{{0x67, 0x64, 0, 0x28, 0xac}, {0x68, 0xee, 0x3c, 0x80}}, []byte{0x65}
	} else if keyframe {
		u.NALUs, header = [][]byte{{0x40, 1, 12, 1}, {0x42, 1, 1, 1}, {0x44, 1, 193, 115}}, []byte{0x26, 1}
	}
	for range 1 + random.IntN(4) {
		nalu := append(bytes.Clone(header), make([]byte, 1+random.IntN(4000))...)
		for i := len(header); i < len(nalu); i++ {
			nalu[i] = byte(random.Uint32())
		}
		u.NALUs = append(u.NALUs, nalu)
	}
	return u
}

// TestFrameReader: frames come out of a feed as they went in, with their times.
func TestFrameReader(t *testing.T) {
	for _, name := range []streams.Codec{streams.H264, streams.H265} {
		random := rand.New(rand.NewPCG(3, 4))
		f := NewFeed()
		f.setCodec(codec{name: name})
		w := accessUnitWriter{feed: f}
		r := f.Frames()
		for n := range 200 {
			u := randomUnit(random, name, n, n%25 == 0)
			if err := w.write(u); err != nil {
				t.Fatal(err)
			}
			got, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if got.Keyframe != u.Keyframe || got.Time != uint64(n)*3600 || len(got.NALUs) != len(u.NALUs) {
				t.Fatalf("%s frame %d: keyframe %t at %d with %d NALUs, want %d", name, n, got.Keyframe, got.Time, len(got.NALUs), len(u.NALUs))
			}
			for i := range u.NALUs {
				if !bytes.Equal(got.NALUs[i], u.NALUs[i]) {
					t.Fatalf("%s frame %d: NALU %d differs", name, n, i)
				}
			}
		}
		r.Close()
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(ErrLost)
		if _, err := r.Next(ctx); !errors.Is(err, ErrLost) {
			t.Error(err)
		}
	}
}

// TestFrameReaderAfterLosses: whatever packets are lost, what follows a loss is a keyframe, and no frame that depends on
// others lacks a part.
func TestFrameReaderAfterLosses(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	f := NewFeed()
	f.setCodec(codec{name: streams.H264})
	w := f.writer()
	r := f.Frames()
	defer r.Close()
	sent := map[string]bool{}
	frames, keyframes := 0, 0
	check := func(until int) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // what is in the feed is read, and nothing is waited for
		for {
			for r.fill() || len(r.packets) > 0 {
				for _, p := range r.packets {
					r.add(p)
				}
				r.packets = nil
			}
			if len(r.ready) == 0 {
				return
			}
			got, err := r.Next(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if frames++; got.Keyframe {
				keyframes++
			} else if !sent[string(bytes.Join(got.NALUs, nil))] {
				t.Fatalf("a frame before %d is not what was sent", until)
			}
		}
	}
	for n := range 400 {
		u := randomUnit(random, streams.H264, n, n%10 == 0)
		sent[string(bytes.Join(u.NALUs, nil))] = true
		payloads := packetize(u)
		for i, p := range payloads {
			if random.IntN(60) == 0 {
				w.lost(1)
				continue
			}
			w.write(p, ticks(u.PTS), i == len(payloads)-1)
		}
		check(n)
	}
	if frames < 50 || keyframes < 10 {
		t.Errorf("%d frames, %d keyframes came out", frames, keyframes)
	}
}

// TestFrameReaderThatIsSlow continues with the newest keyframe.
func TestFrameReaderThatIsSlow(t *testing.T) {
	random := rand.New(rand.NewPCG(7, 8))
	f := NewFeed()
	f.setCodec(codec{name: streams.H264})
	w := accessUnitWriter{feed: f}
	r := f.Frames()
	defer r.Close()
	write := func(from, to int) {
		for n := from; n < to; n++ {
			if err := w.write(randomUnit(random, streams.H264, n, n%25 == 0)); err != nil {
				t.Fatal(err)
			}
		}
	}
	write(0, 1)
	if got, err := r.Next(t.Context()); err != nil || !got.Keyframe || got.Time != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	write(1, 210) // the newest keyframe is 200
	got, err := r.Next(t.Context())
	if err != nil || !got.Keyframe || got.Time != 200*3600 || r.Dropped() == 0 {
		t.Errorf("continues at %d (keyframe %t, %d dropped), %v; want 200", got.Time/3600, got.Keyframe, r.Dropped(), err)
	}
}

func FuzzAssembly(f *testing.F) {
	f.Add(true, []byte{0x78, 0, 1, 5, 0, 2, 6, 7}, []byte{0x7c, 0x85, 1})
	f.Add(false, []byte{0x60, 1, 0, 3, 1, 2, 3}, []byte{0x62, 1, 0x93, 1})
	f.Fuzz(func(t *testing.T, h264 bool, first, second []byte) {
		name := streams.H265
		if h264 {
			name = streams.H264
		}
		var a assembly
		a.add(name, first)
		a.add(name, second)
		for _, n := range a.nalus {
			if len(n) == 0 {
				t.Error("an empty NALU")
			}
		}
	})
}
