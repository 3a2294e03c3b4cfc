// Package vision finds what moves in gray pictures, draws boxes and codes JPEG, with OpenCV.
//
// It belongs to the worker's process: an OpenCV exception ends its process. It must not
// import decode or onnx; pixels come as plain bytes.
package vision

import (
	"image"

	"gocv.io/x/gocv"
)

// Motion finds moving things in the pictures of a fixed camera. It belongs to one goroutine.
type Motion struct {
	w, h int
	rate float64

	mog    gocv.BackgroundSubtractorMOG2
	blur   gocv.Mat
	mask   gocv.Mat
	labels gocv.Mat
	stats  gocv.Mat
	cent   gocv.Mat
	open   gocv.Mat
	closeK gocv.Mat
	n      int
	Debug  func(mask gocv.Mat)
}

// NewMotion returns a Motion.
func NewMotion(w, h int, rate float64) *Motion {
	return &Motion{
		w: w, h: h, rate: rate,
		mog:    gocv.NewBackgroundSubtractorMOG2WithParams(int(50*rate), 20, false),
		blur:   gocv.NewMat(),
		mask:   gocv.NewMat(),
		labels: gocv.NewMat(), stats: gocv.NewMat(), cent: gocv.NewMat(),
		open:   gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(3, 3)),
		closeK: gocv.GetStructuringElement(gocv.MorphEllipse, image.Pt(9, 9)),
	}
}

// Find returns boxes in pixels.
func (m *Motion) Find(gray []byte) ([]image.Rectangle, error) {
	src, err := gocv.NewMatFromBytes(m.h, m.w, gocv.MatTypeCV8U, gray)
	if err != nil {
		return nil, err
	}
	defer src.Close()
	gocv.GaussianBlur(src, &m.blur, image.Pt(5, 5), 0, 0, gocv.BorderReplicate)
	m.mog.Apply(m.blur, &m.mask)
	m.n++
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphOpen, m.open)
	gocv.MorphologyEx(m.mask, &m.mask, gocv.MorphClose, m.closeK)
	if m.Debug != nil {
		m.Debug(m.mask)
	}
	if m.n < int(m.rate) {
		return nil, nil
	}
	n := gocv.ConnectedComponentsWithStats(m.mask, &m.labels, &m.stats, &m.cent)
	var out []image.Rectangle
	for i := 1; i < n; i++ {
		if m.stats.GetIntAt(i, 4) < int32(m.w*m.h/1000) {
			continue
		}
		x, y := int(m.stats.GetIntAt(i, 0)), int(m.stats.GetIntAt(i, 1))
		out = append(out, image.Rect(x, y, x+int(m.stats.GetIntAt(i, 2)), y+int(m.stats.GetIntAt(i, 3))))
	}
	return out, nil
}

// Size returns the size at which a picture of w x h is looked at.
func Size(w, h int) (int, int) {
	const area = 384 * 288
	for k := 1.0; ; k *= 0.98 {
		if float64(w)*float64(h)*k*k <= area {
			return int(float64(w)*k) &^ 1, int(float64(h)*k) &^ 1
		}
	}
}

// Close frees.
func (m *Motion) Close() {
	_ = m.mog.Close()
	for _, x := range []*gocv.Mat{&m.blur, &m.mask, &m.labels, &m.stats, &m.cent, &m.open, &m.closeK} {
		_ = x.Close()
	}
}
