package vision

import (
	"bytes"
	"image"
	"image/jpeg"
	"strings"
	"testing"
)

func TestMarksAreDrawnInsideTheFrame(t *testing.T) {
	const w, h = 200, 100
	for name, box := range map[string]image.Rectangle{
		"middle":       image.Rect(50, 40, 120, 80),
		"at the top":   image.Rect(0, 0, 60, 60),
		"at the right": image.Rect(190, 50, 200, 100),
		"beyond":       image.Rect(-50, -50, 500, 500),
		"upside down":  image.Rect(120, 80, 50, 40),
		"outside":      image.Rect(300, 300, 400, 400),
		"empty":        {},
	} {
		data, err := JPEG(make([]byte, 3*w*h), w, h, []Mark{{Box: box, Label: "person \x00 Ä " + strings.Repeat("x", 1000)}})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		img, err := jpeg.Decode(bytes.NewReader(data))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		red := 0
		for y := range h {
			for x := range w {
				if r, g, _, _ := img.At(x, y).RGBA(); r > 0x8000 && g < 0x6000 {
					red++
				}
			}
		}
		if shown := box.Canon().Overlaps(image.Rect(0, 0, w, h)); shown != (red > 20) {
			t.Errorf("%s: %d red pixels", name, red)
		}
	}
}

func TestWrongNumberOfPixelsIsAnError(t *testing.T) {
	for _, c := range []struct{ n, w, h int }{{0, 0, 0}, {12, 3, 2}, {3, -1, -1}} {
		if _, err := JPEG(make([]byte, c.n), c.w, c.h, nil); err == nil {
			t.Errorf("%d bytes were accepted for %dx%d", c.n, c.w, c.h)
		}
	}
}
