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

// scene paints gray pictures of a place: ground with edges in it, and a camera's noise.
type scene struct {
	noise  []float64 // to be read from anywhere
	random *rand.Rand
	across []float64
	light  float64         // factor on everything
	shift  int             // pixels to the right by which the camera looks
	thing  image.Rectangle // something flat
	paint  float64         // its brightness
	shade  image.Rectangle // something dark but for nothing in it, with soft edges
}

func newScene() *scene {
	s := &scene{random: rand.New(rand.NewPCG(1, 2)), light: 1} // no secret
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

func (s *scene) picture() []byte {
	out := make([]byte, testW*testH)
	noise := s.noise[s.random.IntN(testW*testH):]
	for y := range testH {
		for x := range testW {
			v := s.ground(x+s.shift, y)
			v *= 1 - 0.35*s.depth(x, y)
			if (image.Point{X: x, Y: y}).In(s.thing) {
				v = s.paint
			}
			v = v*s.light + noise[y*testW+x]
			out[y*testW+x] = byte(min(max(v, 0), 255))
		}
	}
	return out
}

// depth is how much of the shade falls on a pixel, 0..1.
func (s *scene) depth(x, y int) float64 {
	if s.shade.Empty() {
		return 0
	}
	const soft = 25.0 // pixels from light to shade
	in := min(x-s.shade.Min.X, s.shade.Max.X-x, y-s.shade.Min.Y, s.shade.Max.Y-y)
	return min(max(float64(in)/soft, 0), 1)
}

func newMotion(t testing.TB) *Motion {
	t.Helper()
	Settle()
	m, err := NewMotion(testW, testH, testRate)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.Close)
	return m
}

// watch looks at n pictures, changed before each by step, which may be nil.
func watch(t testing.TB, m *Motion, s *scene, n int, step func(i int)) (boxes [][]image.Rectangle) {
	t.Helper()
	for i := range n {
		if step != nil {
			step(i)
		}
		found, err := m.Find(s.picture())
		if err != nil {
			t.Fatal(err)
		}
		boxes = append(boxes, found)
	}
	return boxes
}

// nothing fails for every box.
func nothing(t *testing.T, boxes [][]image.Rectangle) {
	t.Helper()
	for i, found := range boxes {
		if len(found) > 0 {
			t.Errorf("picture %d: %v, want nothing", i, found)
		}
	}
}

func TestQuietPlaceGivesNothing(t *testing.T) {
	nothing(t, watch(t, newMotion(t), newScene(), 100, nil))
}

func TestThingIsFoundWhole(t *testing.T) {
	m, s := newMotion(t), newScene()
	nothing(t, watch(t, m, s, 50, nil))
	for _, paint := range []float64{20, 60, 230} {
		s.paint = paint
		missed := 0
		at := func(i int) { s.thing = image.Rect(20+5*i, 100, 20+5*i+24, 100+50) }
		for i, found := range watch(t, m, s, 40, at) {
			at(i)
			if len(found) == 0 {
				missed++
				continue
			}
			if len(found) > 1 {
				t.Errorf("paint %v, picture %d: %v, want one", paint, i, found)
				continue
			}
			grown, shrunk := s.thing.Inset(-8), s.thing.Inset(8)
			if !found[0].In(grown) || !shrunk.In(found[0]) {
				t.Errorf("paint %v, picture %d: %v, want %v", paint, i, found[0], s.thing)
			}
		}
		if missed > 2 {
			t.Errorf("paint %v: missed in %d of 40 pictures", paint, missed)
		}
		s.thing = image.Rectangle{}
		watch(t, m, s, 20, nil)
	}
}

func TestTwoThingsAreTwo(t *testing.T) {
	m, s := newMotion(t), newScene()
	watch(t, m, s, 50, nil)
	s.paint = 230
	two := 0
	for range 20 {
		s.thing = s.thing.Add(image.Pt(3, 0))
		if s.thing.Empty() {
			s.thing = image.Rect(20, 60, 44, 110)
		}
		gray := s.picture()
		for y := 140; y < 190; y++ { // another one below
			for x := s.thing.Min.X + 40; x < s.thing.Min.X+64; x++ {
				gray[y*testW+x] = 20
			}
		}
		found, err := m.Find(gray)
		if err != nil {
			t.Fatal(err)
		}
		if len(found) == 2 {
			two++
		}
	}
	if two < 18 {
		t.Errorf("two things were told apart in %d of 20 pictures", two)
	}
}

func TestChangesOfLightGiveNothing(t *testing.T) {
	for name, step := range map[string]func(s *scene) func(i int){
		"fade":     func(s *scene) func(int) { return func(i int) { s.light = 1 - 0.4*float64(min(i, 30))/30 } },
		"exposure": func(s *scene) func(int) { return func(i int) { s.light = 1 + 0.25*math.Sin(float64(i)/3) } },
		"step":     func(s *scene) func(int) { return func(int) { s.light = 0.6 } },
		"shade": func(s *scene) func(int) {
			return func(i int) { s.shade = image.Rect(-200+4*i, 40, 4*i, 220) }
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

func TestAnotherSceneIsLearned(t *testing.T) {
	m, s := newMotion(t), newScene()
	watch(t, m, s, 50, nil)
	other := func() []byte { // the lens is covered: something with another texture
		out := s.picture()
		for i := range out {
			out[i] = byte(40 + (i/testW%32)*2)
		}
		return out
	}
	for i := range 60 {
		found, err := m.Find(other())
		if err != nil {
			t.Fatal(err)
		}
		if i > 3*testRate && len(found) > 0 {
			t.Errorf("picture %d: %v, want nothing", i, found)
		}
	}
}

func TestWrongSizeIsAnError(t *testing.T) {
	if _, err := newMotion(t).Find(make([]byte, 10)); err == nil {
		t.Error("ten bytes were taken for a picture")
	}
}

func TestSizeKeepsTheShape(t *testing.T) {
	for _, in := range [][2]int{{1920, 1080}, {768, 576}, {640, 360}, {3840, 2160}, {320, 240}, {1080, 1920}, {2, 2}, {0, 0}, {30000, 2}} {
		w, h := Size(in[0], in[1])
		if w < 16 || h < 16 || w*h > lookArea+2*lookArea/10 && in[1] > 16 {
			t.Errorf("%v is looked at as %dx%d", in, w, h)
		}
		if in[0] > 100 && in[1] > 100 {
			if off := float64(w)/float64(h)/(float64(in[0])/float64(in[1])) - 1; math.Abs(off) > 0.02 {
				t.Errorf("%v is looked at as %dx%d: another shape", in, w, h)
			}
		}
	}
}

func BenchmarkMotion(b *testing.B) {
	for name, moving := range map[string]bool{"quiet": false, "busy": true} {
		b.Run(name, func(b *testing.B) {
			m, s := newMotion(b), newScene()
			s.paint = 230
			var pictures [][]byte
			for i := range 50 {
				if moving {
					s.thing = image.Rect(5*i, 60, 5*i+60, 180)
				}
				pictures = append(pictures, s.picture())
			}
			gray := make([]byte, testW*testH)
			for i := 0; b.Loop(); i++ {
				copy(gray, pictures[i%len(pictures)])
				if _, err := m.Find(gray); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
