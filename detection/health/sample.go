// Package health judges whether a camera shows what it should: it compares small samples of its frames
// with what it has learned of the camera's view.
//
// A Sampler, in the worker, turns a frame into a Sample: a thumbnail, how much fine detail there is in
// each part of it, and what has changed since the sample before. A Monitor, on the edge, decides by
// samples alone which problems the camera has. Both are pure Go. Samples come about once a second of
// stream time, so that their cost does not depend on the frame rate.
//
// The package must import nothing of Gridpost but detection.
package health

import (
	"errors"
	"math"
)

const (
	// cell is the width and height, in pixels of a thumbnail, of the parts that are judged by themselves.
	cell = 5

	thumbnailPixels = 80 * 45 // of a thumbnail, about
	maxSide         = 200     // pixels of a thumbnail's longer side
	maxCells        = 200
)

// Sample describes one frame. Its zero value says that access units came and no frame could be decoded.
type Sample struct {
	// Width and Height are those of Gray in pixels, multiples of 5; 0: nothing could be decoded since the
	// sample before.
	Width  int `json:"width,omitempty"`
	Height int `json:"height,omitempty"`

	// Gray is the frame's brightness, each pixel the mean of an area, row by row. It has the frame's aspect
	// ratio.
	Gray []byte `json:"gray,omitempty"`

	// Fine is the mean squared difference between neighbouring pixels of the analysed frame, times 16, for
	// each cell of 5x5 pixels of Gray, row by row.
	Fine []uint16 `json:"fine,omitempty"`

	// Intra says that the frame was encoded without reference to others, and so shows the camera's noise
	// anew.
	Intra bool `json:"intra,omitempty"`

	// Changed is how many of the frame's pixels, 255 at most, differ from the last sample with the same
	// Intra, for each cell: at all if Intra is set, else by more than artefacts of encoding do. It is
	// empty if there was no such sample.
	Changed []byte `json:"changed,omitempty"`
}

// Decoded reports whether the sample shows a frame.
func (s *Sample) Decoded() bool { return s.Width > 0 }

// Check returns what makes a sample unusable. Nothing else is assumed of a worker that is hostile.
func (s *Sample) Check() error {
	if s.Width == 0 && s.Height == 0 && len(s.Gray) == 0 && len(s.Fine) == 0 && len(s.Changed) == 0 {
		return nil
	}
	cells := s.cells()
	switch {
	case s.Width < 2*cell || s.Height < 2*cell || s.Width > maxSide || s.Height > maxSide || s.Width%cell != 0 || s.Height%cell != 0:
		return errors.New("a sample of an invalid size")
	case cells > maxCells || len(s.Gray) != s.Width*s.Height || len(s.Fine) != cells:
		return errors.New("a sample whose parts do not fit its size")
	case len(s.Changed) != 0 && len(s.Changed) != cells:
		return errors.New("a sample whose changes do not fit its size")
	}
	return nil
}

func (s *Sample) cells() int { return (s.Width / cell) * (s.Height / cell) }

// Size returns the size of the thumbnail of a frame of w x h pixels.
func Size(w, h int) (int, int) {
	if w <= 0 || h <= 0 {
		return 2 * cell, 2 * cell
	}
	k := math.Sqrt(thumbnailPixels / (float64(w) * float64(h)))
	side := func(n int) int {
		const longest = 3 * maxSide / 4 / cell
		return cell * min(max(int(math.Round(float64(n)*k/cell)), 2), longest)
	}
	return side(w), side(h)
}
