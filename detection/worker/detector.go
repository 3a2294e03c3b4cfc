package main

import (
	"fmt"
	"image"
	"math"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/detection/wire"
	"gridpost/detection/worker/decode"
	"gridpost/detection/worker/onnx"
	"gridpost/detection/worker/vision"
)

const (
	// motionHold is for how long after motion the model is run on every analysed frame.
	motionHold = 3 * time.Second

	// idleInterval is how often the model is run when nothing moves, so that still objects are
	// detected, too.
	idleInterval = 500 * time.Millisecond
)

// detector selects the frames to analyse and analyses them. It belongs to one goroutine.
type detector struct {
	rate float64 // frames analysed per second, at most

	scaler decode.Scaler
	health health.Sampler
	sample *health.Sample // of the last frame that was analysed; nil: none was due
	motion *vision.Motion
	w, h   int // of the frames that motion was made for

	model  *onnx.Model // nil: motion detection only
	colour decode.Scaler

	next     time.Duration // PTS before which no frame is analysed
	started  bool
	until    time.Duration // PTS at which motionHold ends
	analysed time.Duration // PTS of the last run of the model
}

// newDetector returns a detector. source is nil for motion detection only.
func newDetector(cfg wire.Config, source *onnx.Source) (*detector, error) {
	rate := cfg.Rate
	if rate == 0 {
		rate = defaultRate
	}
	if math.IsNaN(rate) || rate < 0.1 || rate > 60 {
		return nil, fmt.Errorf("a rate of %v frames per second is not between 0.1 and 60", rate)
	}
	vision.DisableThreads()
	d := &detector{rate: rate}
	if source != nil {
		model, err := source.Open()
		if err != nil {
			return nil, err
		}
		d.model = model
	}
	return d, nil
}

func (d *detector) close() error {
	d.scaler.Close()
	d.colour.Close()
	if d.motion != nil {
		d.motion.Close()
	}
	if d.model != nil {
		return d.model.Close()
	}
	return nil
}

// name describes the detector, for people.
func (d *detector) name() string {
	if d.model != nil {
		return d.model.Name()
	}
	return "motion (" + vision.Version() + ")"
}

// resetClock forgets the clock of the last session. It keeps the background model: the camera has not
// moved, and a short interruption need not cost seconds of learning.
func (d *detector) resetClock() {
	d.started = false
	d.health.Reset()
}

// due reports whether the frame of pts is to be analysed. It decides by the clock of the stream, so
// that the same stream always gives the same selection.
func (d *detector) due(pts time.Duration) bool {
	interval := time.Duration(float64(time.Second) / d.rate)
	const jump = 5 * time.Second // backwards: the camera's clock was set
	if !d.started || pts < d.next-jump {
		d.started, d.next = true, pts
		d.until, d.analysed = pts+motionHold, pts-idleInterval
	}
	const rounding = 2 * time.Millisecond // of cameras' clocks; the next interval compensates for it
	if pts < d.next-rounding {
		return false
	}
	d.next += interval
	if d.next <= pts {
		d.next = pts + interval
	}
	return true
}

// analysis is what was detected in a frame; see detection.Frame.
type analysis struct {
	detections []detection.Detection
	modelled   bool
	moving     []detection.Box
}

// detect analyses p. It reports false if the model was not due.
func (d *detector) detect(p *decode.Frame, pts time.Duration) (analysis, bool, error) {
	pixels, err := d.motionBoxes(p, pts)
	if err != nil {
		return analysis{}, false, err
	}
	if len(pixels) > 0 {
		d.until = pts + motionHold
	}
	boxes := make([]detection.Box, len(pixels))
	for i, b := range pixels {
		boxes[i] = toFractions(b, d.w, d.h)
	}
	if d.model == nil {
		found := make([]detection.Detection, len(boxes))
		for i, b := range boxes {
			found[i] = detection.Detection{Class: detection.Motion, Score: 1, Box: b}
		}
		return analysis{detections: found}, true, nil
	}
	if pts >= d.until && pts < d.analysed+idleInterval {
		return analysis{}, false, nil
	}
	d.analysed = pts
	found, err := d.detectObjects(p)
	return analysis{detections: found, modelled: true, moving: boxes}, err == nil, err
}

// moving reports whether something moves in the frame of pts, or moved a short time before. It may be
// called after detect.
func (d *detector) moving(pts time.Duration) bool { return pts < d.until }

// motionBoxes returns the boxes of moving objects, in pixels of d.w x d.h.
func (d *detector) motionBoxes(p *decode.Frame, pts time.Duration) ([]image.Rectangle, error) {
	d.sample = nil
	w, h := vision.Size(p.Size())
	if d.motion == nil || w != d.w || h != d.h {
		motion, err := vision.NewMotion(w, h, d.rate)
		if err != nil {
			return nil, err
		}
		if d.motion != nil {
			d.motion.Close()
		}
		d.motion, d.w, d.h = motion, w, h
	}
	gray, err := d.scaler.Gray(p, w, h)
	if err != nil {
		return nil, err
	}
	if d.health.Due(pts, p.Intra(), true) {
		d.sample = d.health.Sample(gray, w, h, pts, p.Intra())
	}
	return d.motion.Detect(gray)
}

// takeSample returns the sample of the frame that was passed to detect last, or makes one of a frame that was not, if it is
// due; nil: it is not.
func (d *detector) takeSample(p *decode.Frame, pts time.Duration) (*health.Sample, error) {
	if s := d.sample; s != nil {
		d.sample = nil
		return s, nil
	}
	if !d.health.Due(pts, p.Intra(), false) {
		return nil, nil
	}
	w, h := vision.Size(p.Size())
	gray, err := d.scaler.Gray(p, w, h)
	if err != nil {
		return nil, err
	}
	return d.health.Sample(gray, w, h, pts, p.Intra()), nil
}

// detectObjects returns the objects that the model detects.
func (d *detector) detectObjects(p *decode.Frame) ([]detection.Detection, error) {
	w, h := d.model.Fit(p.Size())
	bgr, err := d.colour.BGR(p, w, h)
	if err != nil {
		return nil, err
	}
	found, err := d.model.Detect(bgr, w, h)
	if err != nil {
		return nil, err
	}
	return detections(d.model, found), nil
}

// toFractions converts r from pixels to fractions of a frame of w x h pixels.
func toFractions(r image.Rectangle, w, h int) detection.Box {
	fw, fh := float64(w), float64(h)
	return detection.Box{
		X: float64(r.Min.X) / fw, Y: float64(r.Min.Y) / fh,
		W: float64(r.Dx()) / fw, H: float64(r.Dy()) / fh,
	}
}
