package main

import (
	"fmt"
	"image"
	"math"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
	"gridpost/detection/worker/onnx"
	"gridpost/detection/worker/vision"
)

const (
	// awake is for how long after motion a model looks at every picture whose turn it is.
	awake = 3 * time.Second

	// asleep is how often it looks when nothing moves: what stands still is still there.
	asleep = 500 * time.Millisecond
)

// looker finds things in the pictures whose turn it is. It belongs to one goroutine.
type looker struct {
	rate float64 // pictures a second at most

	scaler decode.Scaler
	motion *vision.Motion
	w, h   int // of the pictures that motion was made for

	model  *onnx.Model // nil: motion is all there is
	colour decode.Scaler

	next    time.Duration // before which nothing is looked at
	started bool
	until   time.Duration // when the model falls asleep
	looked  time.Duration // when it looked last
}

func newLooker(cfg wire.Config) (*looker, error) {
	rate := cfg.Rate
	if rate == 0 {
		rate = defaultRate
	}
	if math.IsNaN(rate) || rate < 0.1 || rate > 60 {
		return nil, fmt.Errorf("a rate of %v pictures a second is not within 0.1 and 60", rate)
	}
	vision.Settle()
	l := &looker{rate: rate}
	if cfg.Model != "" {
		model, err := onnx.Open(cfg.Model, cfg.Labels)
		if err != nil {
			return nil, err
		}
		l.model = model
	}
	return l, nil
}

func (l *looker) close() error {
	l.scaler.Close()
	l.colour.Close()
	if l.motion != nil {
		l.motion.Close()
	}
	if l.model != nil {
		return l.model.Close()
	}
	return nil
}

// name says in words what detects.
func (l *looker) name() string {
	if l.model != nil {
		return l.model.Name()
	}
	return "motion (" + vision.Version() + ")"
}

// restart forgets the clock of the last session. What the background looks like stays: the
// camera has not moved, and a short loss need not cost seconds of learning.
func (l *looker) restart() { l.started = false }

// due reports whether the picture of pts is one to look at. The rate is kept by the clock of
// the pictures, so the same stream gives the same choice.
func (l *looker) due(pts time.Duration) bool {
	interval := time.Duration(float64(time.Second) / l.rate)
	const jump = 5 * time.Second // backwards: the camera's clock was set
	if !l.started || pts < l.next-jump {
		l.started, l.next = true, pts
		l.until, l.looked = pts+awake, pts-asleep
	}
	const rounding = 2 * time.Millisecond // of cameras' clocks; the next turn makes up for it
	if pts < l.next-rounding {
		return false
	}
	l.next += interval
	if l.next <= pts {
		l.next = pts + interval
	}
	return true
}

// at looks at p. It reports false when there was no need to.
func (l *looker) at(p *decode.Picture, pts time.Duration) ([]detection.Detection, bool, error) {
	boxes, err := l.moving(p)
	if err != nil {
		return nil, false, err
	}
	if l.model == nil {
		found := make([]detection.Detection, len(boxes))
		for i, b := range boxes {
			found[i] = detection.Detection{Class: detection.Motion, Score: 1, Box: fraction(b, l.w, l.h)}
		}
		return found, true, nil
	}
	if len(boxes) > 0 {
		l.until = pts + awake
	}
	if pts >= l.until && pts < l.looked+asleep {
		return nil, false, nil
	}
	l.looked = pts
	found, err := l.things(p)
	return found, err == nil, err
}

// moving returns the boxes of what moves, in the pixels of l.w x l.h.
func (l *looker) moving(p *decode.Picture) ([]image.Rectangle, error) {
	w, h := vision.Size(p.Size())
	if l.motion == nil || w != l.w || h != l.h {
		motion, err := vision.NewMotion(w, h, l.rate)
		if err != nil {
			return nil, err
		}
		if l.motion != nil {
			l.motion.Close()
		}
		l.motion, l.w, l.h = motion, w, h
	}
	gray, err := l.scaler.Gray(p, w, h)
	if err != nil {
		return nil, err
	}
	return l.motion.Find(gray)
}

// things returns what the model finds.
func (l *looker) things(p *decode.Picture) ([]detection.Detection, error) {
	w, h := l.model.Fit(p.Size())
	bgr, err := l.colour.BGR(p, w, h)
	if err != nil {
		return nil, err
	}
	found, err := l.model.Find(bgr, w, h)
	if err != nil {
		return nil, err
	}
	out := make([]detection.Detection, len(found))
	for i, f := range found {
		out[i] = detection.Detection{
			Class: l.model.Class(f.Class), Score: f.Score,
			Box: detection.Box{X: f.X, Y: f.Y, W: f.W, H: f.H},
		}
	}
	return out, nil
}

// fraction returns r of a picture of w x h pixels in fractions of it.
func fraction(r image.Rectangle, w, h int) detection.Box {
	fw, fh := float64(w), float64(h)
	return detection.Box{
		X: float64(r.Min.X) / fw, Y: float64(r.Min.Y) / fh,
		W: float64(r.Dx()) / fw, H: float64(r.Dy()) / fh,
	}
}
