package vision

import (
	"errors"
	"fmt"
	"image"
	"image/color"

	"gocv.io/x/gocv"
)

// Quality is the quality of the JPEGs, 0..100: details stay sharp, and 1280x720 takes about 200 kB.
const Quality = 85

// Mark is a box to draw, in pixels, with a short ASCII label.
type Mark struct {
	Box   image.Rectangle
	Label string
}

// JPEG draws marks on a frame of w x h pixels, blue, green, red, and encodes it. It
// changes bgr.
func JPEG(bgr []byte, w, h int, marks []Mark) ([]byte, error) {
	if w <= 0 || h <= 0 || len(bgr) != 3*w*h {
		return nil, fmt.Errorf("encoding a frame of %dx%d: %d bytes do not fit", w, h, len(bgr))
	}
	img, err := gocv.NewMatFromBytes(h, w, gocv.MatTypeCV8UC3, bgr)
	if err != nil {
		return nil, fmt.Errorf("encoding a frame: %w", err)
	}
	defer img.Close()
	for _, m := range marks {
		draw(&img, m)
	}
	buf, err := gocv.IMEncodeWithParams(gocv.JPEGFileExt, img, []int{gocv.IMWriteJpegQuality, Quality})
	if err != nil {
		return nil, fmt.Errorf("encoding a frame: %w", err)
	}
	defer buf.Close()
	if buf.Len() == 0 {
		return nil, errors.New("encoding a frame: OpenCV returned no data")
	}
	return append([]byte(nil), buf.GetBytes()...), nil
}

// draw draws one box and its label, which stays inside the frame.
func draw(img *gocv.Mat, m Mark) {
	const (
		font  = gocv.FontHersheySimplex
		scale = 0.5
		pad   = 3
	)
	box := m.Box.Canon().Intersect(image.Rect(0, 0, img.Cols(), img.Rows()))
	if box.Empty() {
		return
	}
	red, white := color.RGBA{R: 230, G: 40, B: 30, A: 255}, color.RGBA{R: 255, G: 255, B: 255, A: 255}
	gocv.Rectangle(img, box, red, 2)
	label := printableASCII(m.Label)
	if label == "" {
		return
	}
	size := gocv.GetTextSize(label, font, scale, 1)
	x := max(0, min(box.Min.X, img.Cols()-size.X-2*pad))
	y := box.Min.Y - size.Y - 2*pad // above the box, or inside it where there is no room
	if y < 0 {
		y = box.Min.Y
	}
	gocv.Rectangle(img, image.Rect(x, y, x+size.X+2*pad, y+size.Y+2*pad), red, -1)
	gocv.PutTextWithParams(img, label, image.Pt(x+pad, y+pad+size.Y), font, scale, white, 1, gocv.LineAA, false)
}

// printableASCII removes the characters that OpenCV's fonts do not have, and truncates.
func printableASCII(s string) string {
	const most = 60
	out := make([]byte, 0, most)
	for i := 0; i < len(s) && len(out) < most; i++ {
		if s[i] >= ' ' && s[i] < 0x7f {
			out = append(out, s[i])
		}
	}
	return string(out)
}
