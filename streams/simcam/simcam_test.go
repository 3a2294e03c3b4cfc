package simcam

import (
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// video makes two seconds of a moving test frame, 25 frames a second, with a keyframe each
// half second and, if bframes, frames that are sent out of order.
func video(t *testing.T, bframes bool) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "video.ts")
	b := "0"
	if bframes {
		b = "2"
	}
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error",
		"-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25", "-t", "2",
		"-c:v", "libx264", "-preset", "ultrafast", "-g", "12", "-bf", b, "-f", "mpegts", path).CombinedOutput()
	if err != nil {
		t.Fatalf("making a video (Debian package ffmpeg; make test installs it): %v\n%s", err, out)
	}
	return path
}

func TestLoadGivesFramesInOrder(t *testing.T) {
	for _, bframes := range []bool{false, true} {
		frames, err := Load(video(t, bframes))
		if err != nil {
			t.Fatal(err)
		}
		if len(frames) != 50 {
			t.Errorf("bframes %v: %d frames, want 50", bframes, len(frames))
		}
		if !frames[0].Keyframe || frames[0].DTS != 0 {
			t.Errorf("bframes %v: the first frame is at %v, key %v", bframes, frames[0].DTS, frames[0].Keyframe)
		}
		seen := make(map[time.Duration]bool)
		reordered := false
		for i, p := range frames {
			if i > 0 && p.DTS <= frames[i-1].DTS {
				t.Errorf("bframes %v: frame %d is decoded at %v, the one before at %v", bframes, i, p.DTS, frames[i-1].DTS)
			}
			if p.PTS < p.DTS || seen[p.PTS] {
				t.Errorf("bframes %v: frame %d is shown at %v, decoded at %v", bframes, i, p.PTS, p.DTS)
			}
			seen[p.PTS] = true
			reordered = reordered || i > 0 && p.PTS < frames[i-1].PTS
		}
		if reordered != bframes {
			t.Errorf("bframes %v: frames out of order: %v", bframes, reordered)
		}
	}
}
