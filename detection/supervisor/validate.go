package supervisor

import (
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"syscall"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/detection/wire"
)

const (
	maxDetections = 256     // in one frame
	maxClassName  = 64      // bytes of a class name
	maxSide       = 1 << 15 // pixels of the width and of the height
)

// validate returns an error for a result that no valid worker sends, and clips boxes to the frame.
func validate(r *wire.Result) error {
	if r.Width < 0 || r.Height < 0 || r.Width > maxSide || r.Height > maxSide {
		return fmt.Errorf("a frame of %dx%d: %w", r.Width, r.Height, wire.ErrMalformed)
	}
	if len(r.Frame.Detections) > maxDetections {
		return fmt.Errorf("%d detections in a frame: %w", len(r.Frame.Detections), wire.ErrMalformed)
	}
	for i := range r.Frame.Detections {
		d := &r.Frame.Detections[i]
		if d.Class == "" || len(d.Class) > maxClassName || !utf8.ValidString(d.Class) || sanitise(d.Class) != d.Class {
			return fmt.Errorf("an invalid class name: %w", wire.ErrMalformed)
		}
		d.Score = min(max(d.Score, 0), 1)
		clamp(&d.Box)
	}
	r.Frame.Detections = slices.DeleteFunc(r.Frame.Detections, func(d detection.Detection) bool { return d.Box.Area() <= 0 })
	if len(r.Frame.Moving) > maxDetections {
		return fmt.Errorf("%d moving boxes in a frame: %w", len(r.Frame.Moving), wire.ErrMalformed)
	}
	for i := range r.Frame.Moving {
		clamp(&r.Frame.Moving[i])
	}
	r.Frame.Moving = slices.DeleteFunc(r.Frame.Moving, func(b detection.Box) bool { return b.Area() <= 0 })
	r.Error = sanitise(r.Error)
	if r.Sample != nil {
		if err := r.Sample.Check(); err != nil {
			return fmt.Errorf("%w: %w", err, wire.ErrMalformed)
		}
	}
	return nil
}

func clamp(b *detection.Box) {
	x0, y0 := min(max(b.X, 0), 1), min(max(b.Y, 0), 1)
	x1, y1 := min(max(b.X+b.W, 0), 1), min(max(b.Y+b.H, 0), 1)
	*b = detection.Box{X: x0, Y: y0, W: max(x1-x0, 0), H: max(y1-y0, 0)}
}

// isClosed reports whether err means that the peer closed the connection.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
