package health_test

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/rules"
	"gridpost/detection/rules/param"
)

// The frames of the tests are one in a second of pedestrians filmed from above, which come with Debian's package
// opencv-doc, with the noise of a camera, at a quarter of the pixels that a worker analyses: the tests run with the
// race detector.
const (
	pedestrians = "/usr/share/doc/opencv-doc/examples/data/vtest.avi"
	frameW      = 192
	frameH      = 144
	normal      = 30 // frames before anything happens
	length      = 60 // frames for which it lasts
	after       = 50 // frames afterwards
)

var footage = sync.OnceValues(func() ([][]byte, error) {
	out, err := exec.Command("ffmpeg", "-v", "error", "-i", pedestrians, "-vf", fmt.Sprintf("fps=1,scale=%d:%d:flags=area", frameW, frameH), "-f", "rawvideo", "-pix_fmt", "gray", "-").Output()
	if err != nil {
		return nil, fmt.Errorf("decoding the footage: %w", err)
	}
	var all [][]byte
	for len(out) >= frameW*frameH {
		all = append(all, out[:frameW*frameH])
		out = out[frameW*frameH:]
	}
	return all, nil
})

// effect changes a frame; n counts frames from the beginning of what happens, and is negative before it.
type effect func(frame []byte, n int) []byte

func nothing(frame []byte, _ int) []byte { return frame }

// always is an effect on the brightness of each pixel.
func always(pixel func(frame func(x, y int) float64, x, y, n int) float64) effect {
	return func(frame []byte, n int) []byte {
		at := func(x, y int) float64 { return float64(frame[y*frameW+x]) }
		out := make([]byte, len(frame))
		for y := range frameH {
			for x := range frameW {
				out[y*frameW+x] = byte(min(max(pixel(at, x, y, n)+0.5, 0), 255))
			}
		}
		return out
	}
}

// during is an effect on the brightness of each pixel that is there for a time only.
func during(pixel func(frame func(x, y int) float64, x, y, n int) float64) effect {
	return only(always(pixel))
}

// only limits an effect to the time in which something happens.
func only(e effect) effect {
	return func(frame []byte, n int) []byte {
		if n < 0 || n >= length {
			return frame
		}
		return e(frame, n)
	}
}

// scene makes frames of the footage, seen through an effect.
type scene struct {
	footage [][]byte
	random  *rand.Rand
	noise   []float64
}

func newScene(t testing.TB) *scene {
	t.Helper()
	all, err := footage()
	if err != nil || len(all) < 70 {
		t.Fatalf("%d frames of %s (it needs Debian's ffmpeg and opencv-doc, which make test installs): %v", len(all), pedestrians, err)
	}
	s := &scene{footage: all, random: rand.New(rand.NewPCG(1, 2))} // no secret
	for range 4 * frameW * frameH {
		s.noise = append(s.noise, s.random.NormFloat64())
	}
	return s
}

func (s *scene) frame(i int, e effect) []byte {
	// Forth and back, so that people do not jump.
	k := i % (2*len(s.footage) - 2)
	if k >= len(s.footage) {
		k = 2*len(s.footage) - 2 - k
	}
	noise := s.noise[s.random.IntN(3*frameW*frameH):]
	out := append([]byte(nil), e(s.footage[k], i-normal)...)
	for i, v := range out {
		out[i] = byte(min(max(float64(v)+noise[i]+0.5, 0), 255))
	}
	return out
}

// watch returns what a rule opens and closes, as "opened moved", when an effect is there for a time.
func watch(t *testing.T, terms string, frames int, frame func(i int) []byte) (got []string, at []int) {
	t.Helper()
	e := engine(t, terms)
	var sampler health.Sampler
	for i := range frames {
		pts := time.Duration(i) * time.Second
		sample := &health.Sample{}
		if gray := frame(i); gray != nil {
			sample = sampler.Sample(gray, frameW, frameH, pts, true)
		}
		if err := sample.Check(); err != nil {
			t.Fatal(err)
		}
		for _, inc := range e.Sample(time.Unix(0, 0).Add(pts), sample) {
			word := "opened "
			if inc.State == detection.Closed {
				word = "closed "
			}
			got, at = append(got, word+inc.Class), append(at, i-normal)
		}
	}
	return got, at
}

// list is a value of a document.
type list []string

func (l list) Text() (string, bool) { return l[0], true }
func (l list) Items(_ int, each func(param.Value)) bool {
	for _, s := range l {
		each(list{s})
	}
	return true
}
func (l list) Fail(expected, found string) { panic(expected + ", found " + found) }

// engine returns an engine with a health rule. terms are its keys and values: "for=10s relearn=1m".
func engine(t *testing.T, terms string) *rules.Engine {
	t.Helper()
	kind, ok := rules.Standard().Find(detection.Health)
	if !ok {
		t.Fatal("there is no such kind of rule")
	}
	made := kind.Terms()
	for _, word := range strings.Fields(terms) {
		key, value, _ := strings.Cut(word, "=")
		for _, p := range made.Params() {
			if p.Key == key && !p.Read(list(strings.Split(value, ","))) {
				t.Fatalf("%s cannot be %s", key, value)
			}
		}
	}
	n := 0
	e, err := rules.NewEngine("gate", []rules.Spec{{Name: "view", Kind: detection.Health, Severity: detection.Minor, Terms: made}}, func() string {
		n++
		return fmt.Sprint(n)
	})
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func moved(dx, dy int) effect {
	return during(func(frame func(x, y int) float64, x, y, _ int) float64 {
		// What comes into view is taken from the far side.
		return frame((x+dx+frameW)%frameW, (y+dy+frameH)%frameH)
	})
}

// blurred takes means over squares, twice along and twice across.
func blurred(radius int) effect {
	return only(func(frame []byte, _ int) []byte {
		for pass := range 4 {
			dx, dy := 1-pass%2, pass%2
			out := make([]byte, len(frame))
			for y := range frameH {
				for x := range frameW {
					sum := 0
					for d := -radius; d <= radius; d++ {
						sum += int(frame[min(max(y+d*dy, 0), frameH-1)*frameW+min(max(x+d*dx, 0), frameW-1)])
					}
					out[y*frameW+x] = byte(sum / (2*radius + 1))
				}
			}
			frame = out
		}
		return frame
	})
}

func light(of func(v float64, x, y, n int) float64) effect {
	return during(func(frame func(x, y int) float64, x, y, n int) float64 { return of(frame(x, y), x, y, n) })
}

// TestEachProblemOpensOneIncident within its time, and closes it.
func TestEachProblemOpensOneIncident(t *testing.T) {
	for name, test := range map[string]struct {
		e       effect
		problem health.Problem
	}{
		"lens cap": {light(func(_ float64, _, _, _ int) float64 { return 4 }), health.Dark},
		"no light": {light(func(v float64, _, _, _ int) float64 { return v * 0.08 }), health.Dark},
		"hand":     {light(func(_ float64, x, y, _ int) float64 { return 90 - float64(x+y)/8 }), health.Covered},
		"cloth": {light(func(v float64, x, y, _ int) float64 {
			return 90 + 40*math.Sin(float64(x)/30)*math.Cos(float64(y)/22) + 0.04*v
		}), health.Covered},
		"paint over most": {light(func(v float64, x, _, _ int) float64 {
			if x > frameW/10 {
				return 170
			}
			return v
		}), health.Covered},
		"out of focus":     {blurred(1), health.Blurred},
		"far out of focus": {blurred(2), health.Blurred},
		"pushed aside":     {moved(20, 0), health.Moved},
		"pushed up":        {moved(6, -18), health.Moved},
		"turned away":      {moved(70, 30), health.Moved},
		"fallen on its side": {during(func(frame func(x, y int) float64, x, y, _ int) float64 {
			return frame(y*frameW/frameH, x*frameH/frameW)
		}), health.Moved},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			got, at := watch(t, "for=20s clear=5s", normal+length+after, func(i int) []byte { return s.frame(i, test.e) })
			if want := fmt.Sprintf("[opened %s closed %[1]s]", test.problem); fmt.Sprint(got) != want {
				t.Fatalf("%v at %v, want %s", got, at, want)
			}
			// It takes three seconds until most of the last five samples show it, and to tell a view from what passes 20.
			if at[0] < 20 || at[0] > 45 || at[1] < length+5 || at[1] > length+40 {
				t.Errorf("%v at %v", got, at)
			}
		})
	}
}

// TestWhatIsNoProblem opens nothing.
func TestWhatIsNoProblem(t *testing.T) {
	for name, e := range map[string]effect{
		"nothing": nothing,
		"day and night": always(func(frame func(x, y int) float64, x, y, n int) float64 {
			return frame(x, y) * (0.63 + 0.37*math.Cos(2*math.Pi*float64(max(n, 0))/150))
		}),
		"infrared": light(func(v float64, x, y, _ int) float64 {
			d := math.Hypot(float64(x)/frameW-0.5, float64(y)/frameH-0.5)
			return (50 + 150*math.Pow(v/255, 0.6)) * math.Exp(-3*d*d)
		}),
		"leaves that are bright in infrared": light(func(v float64, _, _, _ int) float64 { return 210 - 0.7*v }),
		"exposure":                           light(func(v float64, _, _, n int) float64 { return v * (1 + 0.6*math.Sin(float64(n)/4)) }),
		"lightning": light(func(v float64, _, _, n int) float64 {
			if n%7 == 0 {
				return 3 * v
			}
			return v * 0.5
		}),
		"a hard shadow": light(func(v float64, x, y, n int) float64 {
			if x+y > 40+3*n {
				return v * 0.4
			}
			return v
		}),
		"fog": light(func(v float64, _, _, n int) float64 {
			k := 1 - 0.8*math.Sin(math.Pi*float64(n)/length)
			return 170*(1-k) + v*k
		}),
		"rain": during(func(frame func(x, y int) float64, x, y, n int) float64 {
			v := frame(x, y)
			// Streaks that are elsewhere in each frame.
			if column := (x + y/5 + 7919*n) * 2654435761 >> 7; column%23 == 0 && (y+column)%47 < 18 {
				return v*0.5 + 100
			}
			return v
		}),
		"headlights": light(func(v float64, x, y, n int) float64 {
			v *= 0.3
			for _, lamp := range []int{0, 18} {
				d := math.Hypot(float64(x-3*(n%60)-lamp), float64(y-80)) / 16
				v += 230 * math.Exp(-d*d)
			}
			return v
		}),
		"a lorry that passes": during(func(frame func(x, y int) float64, x, y, n int) float64 {
			// For some seconds it covers nearly all of the view.
			if right := 20 * n; x < right && x > right-300 && y > 15 {
				return 60 + 90*float64(((x-right+1000)/12+y/20)%2)
			}
			return frame(x, y)
		}),
		"lorries one after another": during(func(frame func(x, y int) float64, x, y, n int) float64 {
			if x > 20 && y > 25 {
				return 60 + 60*float64(((x+31*n)/14+(y+17*n)/21)%3)
			}
			return frame(x, y)
		}),
		"wind that shakes the mast": during(func(frame func(x, y int) float64, x, y, n int) float64 {
			return frame(min(max(x+n%5-2, 0), frameW-1), min(max(y+n%3-1, 0), frameH-1))
		}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			got, at := watch(t, "for=20s clear=5s", normal+length+after, func(i int) []byte { return s.frame(i, e) })
			if len(got) > 0 {
				t.Errorf("%v at %v", got, at)
			}
		})
	}
}

// TestFrozen repeats one frame, with and without a clock in it.
func TestFrozen(t *testing.T) {
	for name, clock := range map[string]bool{"whole": false, "with a clock": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			var held []byte
			got, at := watch(t, "for=20s clear=5s", normal+length+after, func(i int) []byte {
				frame := s.frame(i, nothing)
				if n := i - normal; n >= 0 && n < length {
					if held == nil {
						held = frame
					}
					frame = append([]byte(nil), held...)
				}
				if clock {
					for y := 4; y < 10; y++ {
						for x := 10; x < 40; x++ {
							frame[y*frameW+x] = byte(40 + 160*((x*y+i*i)%2))
						}
					}
				}
				return frame
			})
			if fmt.Sprint(got) != "[opened frozen closed frozen]" || at[0] < 20 || at[0] > 30 || at[1] > length+10 {
				t.Errorf("%v at %v", got, at)
			}
		})
	}
}

// TestNoPicture has access units of which none can be decoded.
func TestNoPicture(t *testing.T) {
	s := newScene(t)
	got, at := watch(t, "for=20s clear=5s", normal+length+after, func(i int) []byte {
		if n := i - normal; n >= 0 && n < length {
			return nil
		}
		return s.frame(i, nothing)
	})
	if fmt.Sprint(got) != "[opened no_picture closed no_picture]" || at[0] != 20 || at[1] != length+5 {
		t.Errorf("%v at %v", got, at)
	}
}

// TestNewViewIsLearned after the time for that, and at once if a person says so.
func TestNewViewIsLearned(t *testing.T) {
	s := newScene(t)
	aside := always(func(frame func(x, y int) float64, x, y, n int) float64 {
		if n < 0 {
			return frame(x, y)
		}
		return frame((x+30)%frameW, (y+10)%frameH)
	})
	got, at := watch(t, "for=20s clear=5s relearn=1m", 3*normal+after, func(i int) []byte { return s.frame(i, aside) })
	if fmt.Sprint(got) != "[opened moved closed moved]" || at[1] < 60 || at[1] > 75 {
		t.Errorf("%v at %v", got, at)
	}
}
