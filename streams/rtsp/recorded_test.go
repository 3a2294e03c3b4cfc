package rtsp

import (
	"context"
	"testing"
	"time"

	"gridpost/streams"
	"gridpost/streams/rtsp/rtsptest"
)

// TestRealEncoders receives what ffmpeg's encoders and packetizers make.
func TestRealEncoders(t *testing.T) {
	source := []string{"-f", "lavfi", "-i", "testsrc=size=320x240:rate=25:duration=2", "-pix_fmt", "yuv420p"}
	for _, test := range []struct {
		name    string
		args    []string
		codec   streams.Codec
		bframes bool
		leading bool   // frames that depend on the GOP before
		notLive string // what the state says of live video
	}{
		{"H.264", []string{"-c:v", "libx264", "-preset", "ultrafast", "-g", "25", "-bf", "0"}, streams.H264, false, false, ""},
		{"H.264 with B-frames", []string{"-c:v", "libx264", "-preset", "veryfast", "-g", "25", "-bf", "2", "-b_strategy", "0"}, streams.H264, true, false, "B-frames"},
		{"H.264 with open GOPs", []string{"-c:v", "libx264", "-preset", "veryfast", "-x264-params", "bframes=2:b-adapt=0:keyint=11:min-keyint=11:open-gop=1"}, streams.H264, true, true, "B-frames"},
		{"H.265", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=0:keyint=25:log-level=none"}, streams.H265, false, false, ""},
		{"H.265 with open GOPs", []string{"-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "bframes=2:b-adapt=0:keyint=11:min-keyint=11:open-gop=1:log-level=none"}, streams.H265, true, true, "B-frames"},
		{"motion JPEG", []string{"-c:v", "mjpeg", "-huffman", "default", "-q:v", "8"}, streams.JPEG, false, false, "motion JPEG"},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			recording := rtsptest.Record(t, 2*time.Second, append(append([]string{}, source...), test.args...)...)
			_, address := rtsptest.StartOne(t, recording.Camera())
			w := watch(t, Options{URL: parsed(t, address)})
			w.expect(true, test.notLive)
			units := make([]*streams.AccessUnit, 0, 70)
			for range cap(units) {
				units = append(units, w.nextFrame())
			}
			leading := 0
			for i, u := range units {
				if u.DTS > u.PTS || i > 0 && u.DTS <= units[i-1].DTS || u.Codec != test.codec {
					t.Fatalf("frame %d: PTS %v, DTS %v after %v", i, u.PTS, u.DTS, units[max(0, i-1)].DTS)
				}
				if u.Leading {
					leading++
				}
			}
			v := w.stream.Description().Video()
			if v.BFrames != test.bframes || v.Width != 320 || v.Height != 240 {
				t.Errorf("%+v", v)
			}
			if stats := w.source.Stats(); stats.TimestampJumps != 0 || stats.DecodeErrors != 0 || stats.LostPackets != 0 {
				t.Errorf("%+v", stats)
			}
			if leading > 0 != test.leading {
				t.Errorf("%d of %d frames are leading", leading, len(units))
			}
		})
	}
}

// nextFrame returns the next access unit of video of any codec.
func (w *testSource) nextFrame() *streams.AccessUnit {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), waitLimit)
	defer cancel()
	u, err := w.reader.Next(ctx)
	if err != nil {
		w.t.Fatalf("%v; log:\n%s", err, w.log)
	}
	return u
}
