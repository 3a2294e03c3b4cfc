package onnx

import (
	"fmt"
	"slices"
)

// maxSide bounds the width and height of a model's input in pixels.
const maxSide = 2048

// padding is what the part of the input holds that the frame does not cover.
type padding int

const (
	paddingZero padding = iota // black, before normalisation
	paddingMean                // zero, after normalisation
	paddingGray                // 114, before normalisation: YOLO's models were trained with it
)

// preparation is how a frame becomes a model's input.
type preparation struct {
	red       bool       // red first; else blue first
	mean      [3]float32 // subtracted from 0..255, in the order of the channels
	deviation [3]float32 // divides the rest
	padding   padding
	stretch   bool // to the whole input; else the aspect ratio is kept and the frame stands at the top left
	size      bool // a second input has the size of the input in pixels
}

// image is a model's image input.
type image struct {
	w, h int
	nhwc bool // channels last
	u8   bool // of bytes, which are not normalised

	tables [3][256]float32
	pads   [3]float32
	p      preparation
}

// readImage returns the sizes of the image input from its declaration.
func readImage(t Tensor) (image, error) {
	var m image
	s := t.Shape
	if t.Type != Float && t.Type != Uint8 || len(s) != 4 || s[0] != 1 {
		return m, fmt.Errorf("its input %s is not supported; expected 1 x 3 x height x width of float32, or 1 x height x width x 3", t)
	}
	h, w := s[2], s[3]
	switch {
	case s[1] == 3:
	case s[3] == 3:
		m.nhwc, h, w = true, s[1], s[2]
	default:
		return m, fmt.Errorf("its input %s is not supported; expected 1 x 3 x height x width of float32, or 1 x height x width x 3", t)
	}
	if h < 32 || w < 32 || w > maxSide || h > maxSide {
		return m, fmt.Errorf("its input %s is not supported; expected a fixed width and height of 32 to %d pixels", t, maxSide)
	}
	m.u8 = t.Type == Uint8
	m.w, m.h = int(w), int(h)
	return m, nil
}

// configure sets how frames are filled in.
func (m *image) configure(p preparation) {
	m.p = p
	for c := range 3 {
		for v := range m.tables[c] {
			m.tables[c][v] = (float32(v) - p.mean[c]) / p.deviation[c]
		}
		switch p.padding {
		case paddingZero:
			m.pads[c] = m.tables[c][0]
		case paddingMean:
			m.pads[c] = 0
		case paddingGray:
			m.pads[c] = m.tables[c][114]
		}
	}
}

// fit returns the size to which a frame of w x h pixels must be scaled.
func (m *image) fit(w, h int) (int, int) {
	if m.p.stretch {
		return m.w, m.h
	}
	k := min(float64(m.w)/float64(w), float64(m.h)/float64(h))
	return min(max(1, int(float64(w)*k+0.5)), m.w), min(max(1, int(float64(h)*k+0.5)), m.h)
}

// fill writes a frame of w x h pixels (blue, green, red) to the top left of an input of floats.
func (m *image) fill(dst []float32, bgr []byte, w, h int) {
	if m.nhwc {
		m.fillLast(dst, bgr, w, h)
		return
	}
	for c := range 3 {
		src := 2 - c
		if !m.p.red {
			src = c
		}
		table, pad := &m.tables[c], m.pads[c]
		plane := dst[c*m.w*m.h : (c+1)*m.w*m.h]
		for y := range h {
			row := plane[y*m.w : (y+1)*m.w]
			line := bgr[y*w*3+src : (y+1)*w*3]
			for x := range w {
				row[x] = table[line[3*x]]
			}
			for x := w; x < m.w; x++ {
				row[x] = pad
			}
		}
		rest := plane[h*m.w:]
		for i := range rest {
			rest[i] = pad
		}
	}
}

// fillLast is fill for channels last.
func (m *image) fillLast(dst []float32, bgr []byte, w, h int) {
	for i := range dst {
		dst[i] = m.pads[i%3]
	}
	for y := range h {
		for x := range w {
			p := bgr[(y*w+x)*3 : (y*w+x)*3+3]
			q := dst[(y*m.w+x)*3 : (y*m.w+x)*3+3]
			for c := range 3 {
				src := 2 - c
				if !m.p.red {
					src = c
				}
				q[c] = m.tables[c][p[src]]
			}
		}
	}
}

// fillBytes is fill for an input of bytes, which are neither normalised nor padded with anything but
// black.
func (m *image) fillBytes(dst, bgr []byte, w, h int) {
	clear(dst)
	for y := range h {
		for x := range w {
			p := bgr[(y*w+x)*3 : (y*w+x)*3+3]
			for c := range 3 {
				v := p[c]
				if m.p.red {
					v = p[2-c]
				}
				if m.nhwc {
					dst[(y*m.w+x)*3+c] = v
				} else {
					dst[c*m.w*m.h+y*m.w+x] = v
				}
			}
		}
	}
}

// fixBatch returns tensors in which a batch of any size is a batch of one. Tensors of fewer than rank
// dimensions are left as they are: their first one counts something else.
func fixBatch(all []Tensor, rank int) []Tensor {
	out := slices.Clone(all)
	for i, t := range out {
		if len(t.Shape) >= rank && t.Shape[0] == -1 {
			out[i].Shape = slices.Clone(t.Shape)
			out[i].Shape[0] = 1
		}
	}
	return out
}
