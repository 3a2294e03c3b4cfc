package footage

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"gridpost/streams"
	"gridpost/streams/simcam"
)

func TestMadeRecordingSuitsSimcam(t *testing.T) {
	if _, err := os.Stat(Pedestrians); err != nil {
		t.Fatalf("%v: Debian's package opencv-doc is missing; `make test` installs it", err)
	}
	dir := t.TempDir()
	made := 0
	format := Format{Width: 320, Height: 180, Rate: 25, Bitrate: 300, Seconds: 9}
	path, err := Cached(t.Context(), Pedestrians, dir, format, func() { made++ })
	if err != nil {
		t.Fatal(err)
	}
	again, err := Cached(t.Context(), Pedestrians, dir, format, func() { made++ })
	if err != nil {
		t.Fatal(err)
	}
	if again != path || made != 1 {
		t.Errorf("the second time gave %s, the first %s; made %d times", again, path, made)
	}

	frames, err := simcam.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	var keys []time.Duration
	bytes := 0
	for i, p := range frames {
		if p.Codec != streams.H264 {
			t.Fatalf("frame %d is %s", i, p.Codec)
		}
		if p.PTS != p.DTS {
			t.Fatalf("frame %d is shown at %v but sent at %v: there are B-frames", i, p.PTS, p.DTS)
		}
		if p.Keyframe {
			keys = append(keys, p.PTS)
		}
		bytes += p.Size()
	}
	if len(frames) < 220 || len(frames) > 226 {
		t.Errorf("%d frames in 9 s at 25 a second", len(frames))
	}
	for i, at := range keys {
		if want := time.Duration(i) * 2 * time.Second; at != want {
			t.Errorf("keyframe %d is at %v, want %v", i, at, want)
		}
	}
	if kbit := bytes * 8 / 1000 / 9; kbit < 240 || kbit > 360 {
		t.Errorf("%d kbit/s, want about 300", kbit)
	}
}

func TestVideoThatIsNoneLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	video := filepath.Join(dir, "text.avi")
	if err := os.WriteFile(video, []byte("no video"), 0o600); err != nil {
		t.Fatal(err)
	}
	if path, err := Cached(t.Context(), video, filepath.Join(dir, "kept"), Format{}, nil); err == nil {
		t.Errorf("text was made into %s", path)
	}
	left, err := os.ReadDir(filepath.Join(dir, "kept"))
	if err != nil {
		t.Fatal(err)
	}
	if len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}
