package vision

import (
	"image"
	"math"
	"math/rand/v2"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	testW, testH = 320, 240
	testRate     = 10
)

// scene draws gray frames: ground with edges, and a camera's noise.
type scene struct {
	noise    []float64 // read from a random offset
	random   *rand.Rand
	across   []float64
	exposure float64         // factor on all pixels
	shift    int             // pixels to the right by which the camera looks
	object   image.Rectangle // an object of one brightness
	paint    float64         // its brightness
	shadow   image.Rectangle // a shadow with soft edges
}

func newScene() *scene {
	s := &scene{random: rand.New(rand.NewPCG(1, 2)), exposure: 1} // no secret
	for range 2 * testW * testH {
		s.noise = append(s.noise, 2*s.random.NormFloat64())
	}
	return s
}

func (s *scene) ground(x, y int) float64 {
	if s.across == nil {
		for i := range testW + 16 {
			s.across = append(s.across, 110+20*math.Sin(float64(i)/40))
		}
	}
	v := s.across[x] + float64(y%50)/5
	if (x+y)%120 < 6 { // painted lines
		v += 70
	}
	return v
}

func (s *scene) frame() []byte {
	out := make([]byte, testW*testH)
	noise := s.noise[s.random.IntN(testW*testH):]
	for y := range testH {
		for x := range testW {
			v := s.ground(x+s.shift, y)
			v *= 1 - 0.35*s.depth(x, y)
			if (image.Point{X: x, Y: y}).In(s.object) {
				v = s.paint
			}
			v = v*s.exposure + noise[y*testW+x]
			out[y*testW+x] = byte(min(max(v, 0), 255))
		}
	}
	return out
}

// depth is the depth of the shadow on a pixel, 0..1.
func (s *scene) depth(x, y int) float64 {
	if s.shadow.Empty() {
		return 0
	}
	const soft = 25.0 // pixels from light to shadow
	in := min(x-s.shadow.Min.X, s.shadow.Max.X-x, y-s.shadow.Min.Y, s.shadow.Max.Y-y)
	return min(max(float64(in)/soft, 0), 1)
}

func newMotion(t testing.TB) *Motion {
	t.Helper()
	DisableThreads()
	m, err := NewMotion(testW, testH, testRate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// watch analyses n frames; step, which may be nil, changes the scene before each.
func watch(t testing.TB, m *Motion, s *scene, n int, step func(i int)) (boxes [][]image.Rectangle) {
	t.Helper()
	for i := range n {
		if step != nil {
			step(i)
		}
		found, err := m.Detect(s.frame())
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, found)
	}
	return boxes
}

// nothing fails the test for every box.
func nothing(t *testing.T, boxes [][]image.Rectangle) {
	t.Helper()
	for i, found := range boxes {
		if len(found) > 0 {
			t.Errorf("frame %d: %v, want nothing", i, found)
		}
	}
}

func TestStillSceneHasNoMotion(t *testing.T) {
	nothing(t, watch(t, newMotion(t), newScene(), 100, nil))
}

func TestObjectIsDetectedWhole(t *testing.T) {
	m, s := newMotion(t), newScene()
	nothing(t, watch(t, m, s, 50, nil))
	for _, paint := range []float64{20, 60, 230} {
		s.paint = paint
		missed := 0
		at := func(i int) { s.object = image.Rect(20+5*i, 100, 20+5*i+24, 100+50) }
		for i, found := range watch(t, m, s, 40, at) {
			at(i)
			if len(found) == 0 {
				missed++
				continue
			}
			if len(found) > 1 {
				t.Errorf("paint %v, frame %d: %v, want one", paint, i, found)
				continue
			}
			grown, shrunk := s.object.Inset(-8), s.object.Inset(8)
			if !found[0].In(grown) || !shrunk.In(found[0]) {
				t.Errorf("paint %v, frame %d: %v, want %v", paint, i, found[0], s.object)
			}
		}
		if missed > 2 {
			t.Errorf("paint %v: missed in %d of 40 frames", paint, missed)
		}
		s.object = image.Rectangle{}
		watch(t, m, s, 20, nil)
	}
}

func TestTwoObjectsAreTwo(t *testing.T) {
	m, s := newMotion(t), newScene()
	watch(t, m, s, 50, nil)
	s.paint = 230
	two := 0
	for range 20 {
		s.object = s.object.Add(image.Pt(3, 0))
		if s.object.Empty() {
			s.object = image.Rect(20, 60, 44, 110)
		}
		gray := s.frame()
		for y := 140; y < 190; y++ { // another one below
			for x := s.object.Min.X + 40; x < s.object.Min.X+64; x++ {
				gray[y*testW+x] = 20
			}
		}
		found, err := m.Detect(gray)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 2 {
			two++
		}
	}
	if two < 18 {
		t.Errorf("two objects were separated in %d of 20 frames", two)
	}
}

func TestChangesOfLightAreNoMotion(t *testing.T) {
	for name, step := range map[string]func(s *scene) func(i int){
		"fade":     func(s *scene) func(int) { return func(i int) { s.exposure = 1 - 0.4*float64(min(i, 30))/30 } },
		"exposure": func(s *scene) func(int) { return func(i int) { s.exposure = 1 + 0.25*math.Sin(float64(i)/3) } },
		"step":     func(s *scene) func(int) { return func(int) { s.exposure = 0.6 } },
		"shade": func(s *scene) func(int) {
			return func(i int) { s.shadow = image.Rect(-200+4*i, 40, 4*i, 220) }
		},
		"sway": func(s *scene) func(int) { return func(i int) { s.shift = i % 3 } },
	} {
		t.Run(name, func(t *testing.T) {
			m, s := newMotion(t), newScene()
			watch(t, m, s, 50, nil)
			nothing(t, watch(t, m, s, 60, step(s)))
		})
	}
}

func TestNewSceneIsLearned(t *testing.T) {
	m, s := newMotion(t), newScene()
	watch(t, m, s, 50, nil)
	other := func() []byte { // another texture, as when the lens is covered
		out := s.frame()
		for i := range out {
			out[i] = byte(40 + (i/testW%32)*2)
		}
		return out
	}
	for i := range 60 {
		found, err := m.Detect(other())
		if err != nil {
			t.Fatal(err)
		}
		if i > 3*testRate && len(found) > 0 {
			t.Errorf("frame %d: %v, want nothing", i, found)
		}
	}
}

func TestWrongSizeIsAnError(t *testing.T) {
	if _, err := newMotion(t).Detect(make([]byte, 10)); err == nil {
		t.Error("ten bytes were accepted as a frame")
	}
}

func TestSizeKeepsTheAspectRatio(t *testing.T) {
	for _, in := range [][2]int{{1920, 1080}, {768, 576}, {640, 360}, {3840, 2160}, {320, 240}, {1080, 1920}, {2, 2}, {0, 0}, {30000, 2}} {
		w, h := Size(in[0], in[1])
		if w < 16 || h < 16 || w*h > analysisPixels+2*analysisPixels/10 && in[1] > 16 {
			t.Errorf("%v is analysed as %dx%d", in, w, h)
		}
		if in[0] > 100 && in[1] > 100 {
			if off := float64(w)/float64(h)/(float64(in[0])/float64(in[1])) - 1; math.Abs(off) > 0.02 {
				t.Errorf("%v is analysed as %dx%d: another shape", in, w, h)
			}
		}
	}
}

func BenchmarkMotion(b *testing.B) {
	for name, moving := range map[string]bool{"quiet": false, "busy": true} {
		b.Run(name, func(b *testing.B) {
			m, s := newMotion(b), newScene()
			s.paint = 230
			var frames [][]byte
			for i := range 50 {
				if moving {
					s.object = image.Rect(5*i, 60, 5*i+60, 180)
				}
				frames = append(frames, s.frame())
			}
			gray := make([]byte, testW*testH)
			for i := 0; b.Loop(); i++ {
				copy(gray, frames[i%len(frames)])
				if _, err := m.Detect(gray); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
