package webrtc

import (
	"errors"
	"testing"
	"time"

	"gridpost/streams"
)

// TestBFramesEndAPublication: a viewer would see a fraction of the frames, and request keyframes without end.
func TestBFramesEndAPublication(t *testing.T) {
	for _, test := range []struct {
		name    string
		bframes bool
		want    error
	}{{"B-frames", true, ErrBFrames}, {"a clock that steps back", false, nil}} {
		stream := streams.New(streams.Options{})
		stream.Describe(streams.Description{Session: 1, Tracks: []streams.Track{{Codec: streams.H264, ClockRate: clockRate, BFrames: test.bframes}}})
		feed := NewFeed()
		feed.setCodec(codec{name: streams.H264})
		w := accessUnitWriter{feed: feed, stream: stream}
		var err error
		for _, n := range []int{0, 3, 1} { // the P frame is sent before the B-frames that are shown before it
			if err != nil {
				t.Fatalf("%s: frames in order: %v", test.name, err)
			}
			err = w.write(&streams.AccessUnit{
				Codec: streams.H264, Session: 1, PTS: time.Duration(n) * frameTime, Keyframe: n == 0, NALUs: [][]byte{{0x65, 1, 2}},
			})
		}
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

func TestPublishOfMotionJPEG(t *testing.T) {
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	s := streams.New(streams.Options{})
	s.Publish(&streams.AccessUnit{Codec: streams.JPEG, Session: 1, Keyframe: true, Arrived: time.Now(), Data: []byte{0xff, 0xd8}})
	err = engine.Publish(t.Context(), PublishOptions{URL: "http://127.0.0.1:1", Stream: s})
	var refused CodecError
	if !errors.As(err, &refused) || refused.Codec != streams.JPEG || !errors.Is(err, ErrCodec) {
		t.Errorf("publishing motion JPEG: %v", err)
	}
}

// TestCameraThatChangesItsCodecs: the publication ends, so that another one is negotiated.
func TestCameraThatChangesItsCodecs(t *testing.T) {
	video, audio := streams.Track{Codec: streams.H264, ClockRate: clockRate}, streams.Track{Codec: streams.PCMA, ClockRate: 8000, Channels: 1}
	opus := streams.Track{Codec: streams.Opus, ClockRate: 48000, Channels: 2}
	aac := streams.Track{Codec: "AAC", ClockRate: 16000, Channels: 1}
	for _, test := range []struct {
		name   string
		codec  streams.Codec
		tracks []streams.Track
		want   error
	}{
		{"the same", streams.H264, []streams.Track{video, audio}, nil},
		{"another video", streams.H265, []streams.Track{{Codec: streams.H265, ClockRate: clockRate}, audio}, errSourceChanged},
		{"no audio", streams.H264, []streams.Track{video}, errSourceChanged},
		{"another audio", streams.H264, []streams.Track{video, opus}, errSourceChanged},
		{"audio that cannot be sent", streams.H264, []streams.Track{video, aac}, errSourceChanged},
	} {
		stream := streams.New(streams.Options{})
		feed := NewFeed()
		feed.setCodec(codec{name: streams.H264})
		feed.audio = newAudioFeed(codec{name: streams.PCMA})
		w := accessUnitWriter{feed: feed, audio: audioUnitWriter{feed: feed.audio}, stream: stream}
		stream.Describe(streams.Description{Session: 1, Tracks: []streams.Track{video, audio}})
		if err := w.write(&streams.AccessUnit{Codec: streams.H264, Session: 1, Keyframe: true, NALUs: [][]byte{{0x65, 1, 2}}}); err != nil {
			t.Fatal(err)
		}
		stream.Describe(streams.Description{Session: 2, Tracks: test.tracks})
		err := w.write(&streams.AccessUnit{Codec: test.codec, Session: 2, Keyframe: true, NALUs: [][]byte{{0x65, 1, 2}}})
		if !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", test.name, err, test.want)
		}
	}
}

// TestPublisherWithBFrames: the hub notices B-frames that an edge of an older version or another publisher sends.
func TestPublisherWithBFrames(t *testing.T) {
	for _, test := range []struct {
		name  string
		order func(n int) int // which frame by its time is sent as the nth
		want  bool
	}{
		{"in order", func(n int) int { return n }, false},
		{"two B-frames", func(n int) int { return n/3*3 + []int{2, 0, 1}[n%3] }, true},
		{"a clock that steps back once", func(n int) int { return n - n/40*10 }, false},
	} {
		feed := NewFeed()
		feed.setCodec(codec{name: streams.H264})
		w := feed.writer()
		for n := range 100 {
			w.write([]byte{0x65, 1, 2}, uint32(test.order(n))*3600, true)
			if w.reordered() {
				break
			}
		}
		if w.reordered() != test.want {
			t.Errorf("%s: reordered %v after %d frames", test.name, w.reordered(), feed.newestFrame)
		}
	}
}
