package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// tampered makes a minute of the footage of pedestrians, as a camera would send it: with its noise, at 10 frames in a
// second and a keyframe every two. filter is applied to it; what it does lasts from the 25th to the 45th second.
func tampered(t *testing.T, filter string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "clip.mp4")
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", pedestrians, "-vf", "fps=10,scale=384:288,noise=alls=3:allf=t,format=yuv420p,"+filter,
		"-t", "60", "-c:v", "libx264", "-preset", "ultrafast", "-g", "20", "-threads", "1", path).CombinedOutput()
	if err != nil {
		t.Fatalf("making a clip needs Debian's ffmpeg and opencv-doc, which make test installs: %v\n%s", err, out)
	}
	return path
}

// TestCameraHealth takes each problem from encoded frames to an incident, through the worker.
func TestCameraHealth(t *testing.T) {
	const enable = ":enable='between(t,25,45)'"
	doc := document(t, 5, "name: view, kind: health, for: 5s, clear: 5s, severity: minor")
	for name, c := range map[string]struct{ filter, problem string }{
		"dark":    {"lutyuv=y='16+val*0.05'" + enable, "dark"},
		"covered": {"drawbox=x=0:y=0:w=iw:h=ih:color=gray@0.98:t=fill" + enable, "covered"},
		"blurred": {"gblur=sigma=4" + enable, "blurred"},
		"moved":   {"crop=w=320:h=256:x='if(between(t,25,45),50,0)':y=10", "moved"},
		"frozen":  {"split[a][b];[a]trim=end=25,tpad=stop_mode=clone:stop_duration=20[c];[b]trim=start=25,setpts=PTS-STARTPTS[d];[c][d]concat", "frozen"},
		"dusk":    {"eq=eval=frame:brightness='-0.3*sin(t/20)':contrast='1-0.4*sin(t/20)'", ""},
		"lorry":   {"drawbox=x='-370+90*(t-25)':y=15:w=360:h=300:color=white:t=fill" + enable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			var out bytes.Buffer
			if err := Run(t.Context(), Options{Document: doc, Camera: "gate", Video: tampered(t, c.filter), Out: &out, Worker: worker(t)}); err != nil {
				t.Fatal(err)
			}
			var got []string
			var at []float64
			for text := range strings.Lines(out.String()) {
				var l line
				if err := json.Unmarshal([]byte(text), &l); err != nil {
					t.Fatal(err)
				}
				got, at = append(got, l.Event+" "+l.Class), append(at, l.T)
			}
			if c.problem == "" {
				if len(got) > 0 {
					t.Errorf("%v at %v", got, at)
				}
				return
			}
			if want := fmt.Sprintf("[opened %s closed %[1]s]", c.problem); fmt.Sprint(got) != want || at[0] < 30 || at[0] > 44 || at[1] < 50 || at[1] > 58 {
				t.Errorf("%v at %v, want %s", got, at, want)
			}
		})
	}
}
