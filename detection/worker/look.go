package main

import (
	"fmt"
	"image"
	"math"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
	"gridpost/detection/worker/vision"
)

// looker finds things in the pictures whose turn it is. It belongs to one goroutine.
type looker struct {
	rate float64 // pictures a second at most

	scaler decode.Scaler
	motion *vision.Motion
	w, h   int // of the pictures that motion was made for

	next    time.Duration // before which nothing is looked at
	started bool
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
	return &looker{rate: rate}, nil
}

func (l *looker) close() {
	l.scaler.Close()
	if l.motion != nil {
		l.motion.Close()
	}
}

// name says in words what detects.
func (l *looker) name() string { return "motion (" + vision.Version() + ")" }

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
	}
	if pts < l.next {
		return false
	}
	l.next += interval
	if l.next <= pts {
		l.next = pts + interval
	}
	return true
}

// at looks at p.
func (l *looker) at(p *decode.Picture, pts time.Duration) ([]detection.Detection, error) {
	pw, ph := p.Size()
	w, h := vision.Size(pw, ph)
	if l.motion == nil || w != l.w || h != l.h {
		if l.motion != nil {
			l.motion.Close()
		}
		var err error
		if l.motion, err = vision.NewMotion(w, h, l.rate); err != nil {
			return nil, err
		}
		l.w, l.h = w, h
	}
	gray, err := l.scaler.Gray(p, w, h)
	if err != nil {
		return nil, err
	}
	boxes, err := l.motion.Find(gray)
	if err != nil {
		return nil, err
	}
	found := make([]detection.Detection, len(boxes))
	for i, b := range boxes {
		found[i] = detection.Detection{Class: detection.Motion, Score: 1, Box: fraction(b, w, h)}
	}
	return found, nil
}

// fraction returns r of a picture of w x h pixels in fractions of it.
func fraction(r image.Rectangle, w, h int) detection.Box {
	fw, fh := float64(w), float64(h)
	return detection.Box{
		X: float64(r.Min.X) / fw, Y: float64(r.Min.Y) / fh,
		W: float64(r.Dx()) / fw, H: float64(r.Dy()) / fh,
	}
}
