package streams

import (
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

// TestAudioNeverDisturbsVideo publishes video with and without audio between its frames: whatever the readers do,
// readers of video receive the same, and the ring holds the same GOPs.
func TestAudioNeverDisturbsVideo(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		plain, mixed := New(Options{RingDuration: time.Second}), New(Options{RingDuration: time.Second})
		gop, queue := 1+random.IntN(12), 1+random.IntN(20)
		readers := [2]*Reader{plain.Subscribe(ReaderOptions{Queue: queue}), mixed.Subscribe(ReaderOptions{Queue: queue})}
		session := uint32(1)
		for n := range 100 {
			if random.IntN(30) == 0 {
				session++
			}
			at := time.Unix(1e9, 0).Add(time.Duration(n) * 40 * time.Millisecond)
			for range random.IntN(4) {
				mixed.Publish(&AccessUnit{Track: 1, Codec: PCMA, Session: session, Arrived: at, Data: make([]byte, 160)})
			}
			u := &AccessUnit{
				Codec: H264, Session: session, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: at,
				Keyframe: n%gop == 0, NALUs: [][]byte{{1, 2, 3}},
			}
			plain.Publish(u)
			mixed.Publish(u)
			if random.IntN(3) == 0 {
				a, b := drain(t, readers[0]), drain(t, readers[1])
				wantSame(t, b, a)
			}
		}
		wantSame(t, drain(t, readers[1]), drain(t, readers[0]))
		backfilled := [2]*Reader{plain.Subscribe(ReaderOptions{Backfill: true}), mixed.Subscribe(ReaderOptions{Backfill: true})}
		wantSame(t, drain(t, backfilled[1]), drain(t, backfilled[0]))
		a, b := plain.Stats(), mixed.Stats()
		if a.AccessUnits != b.AccessUnits || a.Keyframes != b.Keyframes || a.Dropped != b.Dropped || !a.Last.Equal(b.Last) {
			t.Fatalf("stats of the video: %+v, with audio %+v", a, b)
		}
	}
}

func wantSame(t *testing.T, got, want []int) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Fatalf("access units %v, want %v", got, want)
	}
}

func TestReaderOfAudio(t *testing.T) {
	s := New(Options{})
	r := s.Subscribe(ReaderOptions{Queue: 4, Audio: true})
	defer r.Close()
	audio := func(n int) *AccessUnit {
		return &AccessUnit{Track: 1, Codec: Opus, Session: 1, PTS: time.Duration(n), Data: []byte{1}}
	}
	frame := func(n int, key bool) *AccessUnit {
		return &AccessUnit{Codec: H264, Session: 1, PTS: time.Duration(n), Keyframe: key, NALUs: [][]byte{{1}}}
	}
	next := func() []int {
		var got []int
		for len(r.queue) > 0 {
			u, err := r.Next(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got = append(got, int(u.PTS))
		}
		return got
	}
	s.Publish(audio(1)) // a reader begins with a keyframe
	s.Publish(frame(2, true))
	s.Publish(audio(3))
	s.Publish(frame(4, false))
	s.Publish(audio(5))
	s.Publish(audio(6)) // no room: it is lost alone
	if got := next(); len(got) != 4 || got[0] != 2 || got[3] != 5 {
		t.Errorf("got %v, want 2 3 4 5", got)
	}
	s.Publish(frame(7, false))
	s.Publish(audio(8))
	if got := next(); len(got) != 2 {
		t.Errorf("got %v, want 7 8: lost audio costs no frames", got)
	}
	if st := s.Stats(); st.Dropped != 1 || st.AudioUnits != 5 || st.AccessUnits != 3 {
		t.Errorf("stats %+v", st)
	}
}

// TestLeadingFramesAreOnlyForThoseWhoHaveTheGOPBefore: a decoder that starts at a keyframe cannot decode them.
func TestLeadingFramesAreOnlyForThoseWhoHaveTheGOPBefore(t *testing.T) {
	s := New(Options{})
	publish := func(n int, key, leading bool) {
		s.Publish(&AccessUnit{
			Codec: H265, Session: 1, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: time.Unix(int64(n), 0),
			Keyframe: key, Leading: leading, NALUs: [][]byte{{1}},
		})
	}
	early := s.Subscribe(ReaderOptions{})
	defer early.Close()
	publish(0, true, false)
	publish(1, false, false)
	publish(4, true, false)
	late := s.Subscribe(ReaderOptions{Backfill: true})
	defer late.Close()
	publish(2, false, true)
	later := s.Subscribe(ReaderOptions{Backfill: true})
	defer later.Close()
	publish(3, false, true)
	publish(5, false, false)
	publish(8, true, false)
	publish(7, false, true)
	wantSame(t, drain(t, early), []int{0, 1, 4, 2, 3, 5, 8, 7})
	wantSame(t, drain(t, late), []int{4, 5, 8, 7})
	wantSame(t, drain(t, later), []int{4, 5, 8, 7})
}

func TestDescriptionIsACopy(t *testing.T) {
	s := New(Options{})
	d := Description{Session: 2, Tracks: []Track{{Codec: H264, Width: 640}, {Codec: Opus, ClockRate: 48000, Channels: 2}}}
	s.Describe(d)
	d.Tracks[0].Width = 1
	got := s.Description()
	got.Tracks[1].Channels = 7
	audio, i, ok := s.Description().Audio()
	if s.Description().Video().Width != 640 || !ok || i != 1 || audio.Channels != 2 {
		t.Errorf("description %+v", s.Description())
	}
	if _, _, ok := (Description{}).Audio(); ok || (Description{}).Video() != (Track{}) {
		t.Error("an empty description has tracks")
	}
}
