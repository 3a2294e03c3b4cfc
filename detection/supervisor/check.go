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
	mostDetections = 256     // in one picture
	mostClass      = 64      // bytes of a class's name
	mostPixels     = 1 << 15 // of a picture's side
)

// check refuses a result that no sound worker gives, and moves boxes into the picture.
func check(r *wire.Result) error {
	if r.Width < 0 || r.Height < 0 || r.Width > mostPixels || r.Height > mostPixels {
		return fmt.Errorf("a picture of %dx%d: %w", r.Width, r.Height, wire.ErrMalformed)
	}
	if len(r.Frame.Detections) > mostDetections {
		return fmt.Errorf("%d detections in a picture: %w", len(r.Frame.Detections), wire.ErrMalformed)
	}
	for i := range r.Frame.Detections {
		d := &r.Frame.Detections[i]
		if d.Class == "" || len(d.Class) > mostClass || !utf8.ValidString(d.Class) || printable(d.Class) != d.Class {
			return fmt.Errorf("a class that is no name: %w", wire.ErrMalformed)
		}
		d.Score = min(max(d.Score, 0), 1)
		clamp(&d.Box)
	}
	r.Frame.Detections = slices.DeleteFunc(r.Frame.Detections, func(d detection.Detection) bool { return d.Box.Area() <= 0 })
	r.Error = printable(r.Error)
	return nil
}

func clamp(b *detection.Box) {
	x0, y0 := min(max(b.X, 0), 1), min(max(b.Y, 0), 1)
	x1, y1 := min(max(b.X+b.W, 0), 1), min(max(b.Y+b.H, 0), 1)
	*b = detection.Box{X: x0, Y: y0, W: max(x1-x0, 0), H: max(y1-y0, 0)}
}

// isClosed reports whether err only says that the other side is gone.
func isClosed(err error) bool {
	return errors.Is(err, net.ErrClosed) || errors.Is(err, os.ErrClosed) ||
		errors.Is(err, syscall.EPIPE) || errors.Is(err, syscall.ECONNRESET)
}
