package main

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gocv.io/x/gocv"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/track"
	"gridpost/detection/worker/vision"

	firmwareconfig "gridpost/firmware-config"
)

const (
	sceneW, sceneH = 320, 240
	sceneSeconds   = 60
	sceneMargin    = 100 // pixels of the photograph around the frame, for a camera that moves
)

// photographs are of Debian's package opencv-doc, with the frames a second in which they are seen.
var photographs = map[string]int{"building.jpg": 10, "home.jpg": 5}

// stage shows a photograph as a camera sees it, with its noise.
type stage struct {
	photo  gocv.Mat    // 32F, larger than a frame by sceneMargin on each side
	at     image.Point // of the frame's corner
	noise  []gocv.Mat
	random *rand.Rand
	frame  gocv.Mat // 32F
	gray   gocv.Mat // 8U
}

func newStage(t *testing.T, photo string) *stage {
	t.Helper()
	path := "/usr/share/doc/opencv-doc/examples/data/" + photo
	full := gocv.IMRead(path, gocv.IMReadGrayScale)
	if full.Empty() {
		t.Fatalf("the photograph %s of Debian's package opencv-doc is missing, which make test installs", path)
	}
	s := &stage{photo: gocv.NewMat(), random: rand.New(rand.NewPCG(1, 2)), frame: gocv.NewMat(), gray: gocv.NewMat(), at: image.Pt(sceneMargin, sceneMargin)}
	gocv.Resize(full, &full, image.Pt(sceneW+2*sceneMargin, sceneH+2*sceneMargin), 0, 0, gocv.InterpolationArea)
	full.ConvertTo(&s.photo, gocv.MatTypeCV32F)
	_ = full.Close() // it only frees memory
	gocv.SetRNGSeed(1)
	rng := gocv.TheRNG()
	for range 7 {
		n := gocv.NewMatWithSize(sceneH, sceneW, gocv.MatTypeCV32F)
		rng.Fill(&n, gocv.RNGDistNormal, 0, 2.5, false)
		s.noise = append(s.noise, n)
	}
	t.Cleanup(func() {
		for _, m := range append([]gocv.Mat{s.photo, s.frame, s.gray}, s.noise...) {
			_ = m.Close() // it only frees memory
		}
	})
	return s
}

// shoot takes the frame i without its effects.
func (s *stage) shoot() {
	part := s.photo.Region(image.Rectangle{Min: s.at, Max: s.at.Add(image.Pt(sceneW, sceneH))})
	part.CopyTo(&s.frame)
	_ = part.Close() // it only frees memory
}

// develop adds noise and returns the pixels.
func (s *stage) develop(t *testing.T) []byte {
	gocv.Add(s.frame, s.noise[s.random.IntN(len(s.noise))], &s.frame)
	s.frame.ConvertTo(&s.gray, gocv.MatTypeCV8U)
	pixels, err := s.gray.DataPtrUint8()
	if err != nil {
		t.Fatal(err)
	}
	return append([]byte(nil), pixels...)
}

// illuminate multiplies the frame by a factor that changes slowly from place to place; x and y are 0..1.
func (s *stage) illuminate(factor func(x, y float64) float64) {
	const cols, rows = 48, 36
	small := gocv.NewMatWithSize(rows, cols, gocv.MatTypeCV32F)
	defer small.Close()
	for y := range rows {
		for x := range cols {
			small.SetFloatAt(y, x, float32(factor((float64(x)+0.5)/cols, (float64(y)+0.5)/rows)))
		}
	}
	gocv.Resize(small, &small, image.Pt(sceneW, sceneH), 0, 0, gocv.InterpolationLinear)
	gocv.Multiply(s.frame, small, &s.frame)
}

func level(v int) color.RGBA { return color.RGBA{R: uint8(v), G: uint8(v), B: uint8(v)} } // v is 0..255

// soft draws a blurred disc.
func (s *stage) soft(at image.Point, radius, v int) {
	box := image.Rect(at.X-2*radius, at.Y-2*radius, at.X+2*radius, at.Y+2*radius).Intersect(image.Rect(0, 0, sceneW, sceneH))
	if box.Empty() {
		return
	}
	gocv.Circle(&s.frame, at, radius, level(v), -1)
	part := s.frame.Region(box)
	defer part.Close()
	gocv.GaussianBlur(part, &part, image.Pt(0, 0), float64(radius)/2.5, 0, gocv.BorderReplicate)
}

func (s *stage) streaks(n, length, width, v int) {
	for range n {
		p := image.Pt(s.random.IntN(sceneW), s.random.IntN(sceneH))
		gocv.Line(&s.frame, p, p.Add(image.Pt(length/5, length)), level(v), width)
	}
}

// nuisance is something that moves, or seems to, and is nobody.
type nuisance struct {
	name   string
	most   int // incidents, on each scene: what a motion detector cannot know
	effect func(s *stage, i int, t float64)
	before func(s *stage, t float64) // moves the camera
}

func nuisances() []nuisance {
	flakes := make([][3]float64, 120)
	return []nuisance{
		{name: "shade", effect: func(s *stage, _ int, t float64) {
			x := math.Mod(t/20, 1)*2 - 0.5
			s.illuminate(func(px, _ float64) float64 { return 1 - 0.45*math.Exp(-(px-x)*(px-x)/0.06) })
		}},
		{name: "flicker", effect: func(s *stage, _ int, t float64) {
			s.illuminate(func(_, y float64) float64 { return 1 + 0.1*math.Sin(2*math.Pi*(1.7*y+3.1*t)) })
		}},
		{name: "infrared", effect: func(s *stage, _ int, t float64) {
			if t > 20 && t < 40 {
				gocv.Pow(s.frame, 0.6, &s.frame)
				s.frame.MultiplyFloat(6)
			}
		}},
		{name: "rain", effect: func(s *stage, _ int, _ float64) { s.streaks(40, 16, 1, 210) }},
		{name: "heavy rain", effect: func(s *stage, _ int, _ float64) { s.streaks(180, 24, 1, 220) }},
		{name: "snow", effect: func(s *stage, i int, _ float64) {
			for k := range flakes {
				f := &flakes[k]
				if i == 0 || f[1] > sceneH {
					*f = [3]float64{float64(s.random.IntN(sceneW)), float64(s.random.IntN(sceneH)) * float64(1-min(i, 1)), 1 + 2*s.random.Float64()}
				}
				f[0], f[1] = f[0]+2*s.random.NormFloat64(), f[1]+5*f[2]
				gocv.Circle(&s.frame, image.Pt(int(f[0]), int(f[1])), int(f[2]), level(235), -1)
			}
		}},
		{name: "shake", before: func(s *stage, t float64) {
			s.at = image.Pt(sceneMargin+int(math.Round(3*math.Sin(9*t)+s.random.NormFloat64())), sceneMargin+int(math.Round(2*math.Sin(7*t))))
		}, effect: func(*stage, int, float64) {}},
		{name: "swaying tree", effect: func(s *stage, _ int, t float64) {
			leaves := rand.New(rand.NewPCG(5, 5))
			gust := 2 + 4*math.Abs(math.Sin(t/7))
			for range 150 {
				x, y, phase := 200+leaves.NormFloat64()*25, 80+leaves.NormFloat64()*30, leaves.Float64()*2
				gocv.Circle(&s.frame, image.Pt(int(x+gust*math.Sin(2*math.Pi*0.6*t+phase)), int(y+gust/3*math.Cos(2*math.Pi*0.6*t+phase))), 4, level(40+leaves.IntN(90)), -1)
			}
		}},
		{name: "insect", effect: func(s *stage, _ int, t float64) {
			if f := math.Mod(t, 6) / 0.6; f < 1 && t > 5 {
				s.soft(image.Pt(int(f*sceneW), int(sceneH*(0.5+0.3*math.Sin(5*f+t)))), 14, 230)
			}
		}},
		{name: "spider", most: 3, effect: func(s *stage, _ int, t float64) {
			if t > 8 {
				s.soft(image.Pt(160+int(14*math.Sin(t/2)), 130+int(10*math.Sin(t*1.1))), 26, 240)
			}
		}},
		{name: "headlights", most: 6, effect: func(s *stage, _ int, t float64) {
			x := math.Mod(t, 10)/2.5 - 0.2
			s.illuminate(func(px, py float64) float64 {
				d := (px-x)*(px-x)/0.02 + (py-0.65)*(py-0.65)/0.01
				return 0.2 + 1.3*math.Exp(-d)
			})
		}},
		{name: "exposure", effect: func(s *stage, _ int, t float64) {
			f := 1 + 0.3*math.Sin(t/2)
			if math.Mod(t, 15) < 5 {
				f *= 0.7
			}
			s.frame.MultiplyFloat(float32(f))
		}},
		{name: "pan", before: func(s *stage, t float64) {
			x := min(max(t-20, 0), 3)*25 - min(max(t-40, 0), 3)*25
			s.at = image.Pt(sceneMargin+int(x), sceneMargin)
		}, effect: func(*stage, int, float64) {}},
		{name: "on-screen clock", effect: func(s *stage, _ int, t float64) {
			gocv.PutText(&s.frame, fmt.Sprintf("2026-12-01 12:00:%02d", int(t)), image.Pt(120, 228), gocv.FontHersheySimplex, 0.5, level(255), 1)
		}},
		{name: "water", effect: func(s *stage, _ int, t float64) {
			s.illuminate(func(x, y float64) float64 {
				if y < 0.6 {
					return 1
				}
				return 1 + 0.2*math.Sin(40*x+4*t)*math.Sin(60*y-3*t) + 0.1*math.Sin(90*x-7*t)
			})
		}},
	}
}

// TestNuisancesOpenNothing holds that what is nobody opens no incident in a minute, on either photograph.
func TestNuisancesOpenNothing(t *testing.T) {
	vision.DisableThreads()
	for photo, rate := range photographs {
		for _, n := range nuisances() {
			t.Run(strings.TrimSuffix(photo, ".jpg")+"/"+n.name, func(t *testing.T) {
				opened := n.play(t, newStage(t, photo), rate)
				if len(opened) > 0 {
					t.Logf("%d incidents: %v", len(opened), opened)
				}
				if len(opened) > n.most {
					t.Errorf("%d incidents, want %d at most", len(opened), n.most)
				}
			})
		}
	}
}

// play returns what opened, with its times.
func (n nuisance) play(t *testing.T, s *stage, rate int) []string {
	m, err := vision.NewMotion(sceneW, sceneH, float64(rate))
	if err != nil {
		t.Fatal(err)
	}
	defer m.Close()
	tracker, engine := track.New(track.Options{}), nuisanceRules(t)
	var opened []string
	for i := range sceneSeconds * rate {
		at := float64(i) / float64(rate)
		if n.before != nil {
			n.before(s, at)
		}
		s.shoot()
		n.effect(s, i, at)
		boxes, err := m.Detect(s.develop(t))
		if err != nil {
			t.Fatal(err)
		}
		f := detection.Frame{Session: 1, PTS: time.Duration(i) * time.Second / time.Duration(rate)}
		f.Time = time.Unix(0, 0).Add(f.PTS)
		for _, b := range boxes {
			f.Detections = append(f.Detections, detection.Detection{Class: detection.Motion, Score: 1, Box: toFractions(b, sceneW, sceneH)})
		}
		for _, inc := range engine.Frame(f, tracker.Update(f)) {
			if inc.State == detection.Open && inc.Version == 1 {
				opened = append(opened, fmt.Sprintf("%s at %.1f s", inc.Rule, at))
			}
		}
	}
	return opened
}

// nuisanceRules returns an engine with a zone and a line, as a person would draw them.
func nuisanceRules(t *testing.T) *rules.Engine {
	t.Helper()
	const text = `edge: test
cameras:
  - name: gate
    url: rtsp://10.0.0.11/main
    rules:
      - {name: yard, kind: zone, polygon: [[0.1, 0.2], [0.9, 0.2], [0.9, 1], [0.1, 1]], min_size: 0.01, for: 1s, clear: 3s, severity: moderate}
      - {name: gate, kind: line, line: [[0.1, 0.6], [0.9, 0.6]], min_size: 0.01, direction: any, severity: minor}
`
	doc, err := firmwareconfig.Parse("nuisance.yml", []byte(text), func(string) (string, bool) { return "", false })
	if err != nil {
		t.Fatal(err)
	}
	id := 0
	engine, err := rules.NewEngine("gate", doc.Cameras[0].Rules, func() string { id++; return fmt.Sprint(id) })
	if err != nil {
		t.Fatal(err)
	}
	return engine
}
