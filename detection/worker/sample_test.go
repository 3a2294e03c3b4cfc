package main

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"
	"time"

	"gridpost/detection/health"
	"gridpost/detection/wire"
	"gridpost/streams"
)

// TestUndecodableFramesAreReported: access units of which none can be decoded give samples that show nothing, and the
// first ones that can be decoded give samples that show them.
func TestUndecodableFramesAreReported(t *testing.T) {
	w := newWorker(nil)
	var err error
	if w.detector, err = newDetector(wire.Config{}, nil); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := w.close(); err != nil {
			t.Error(err)
		}
	}()
	img := image.NewGray(image.Rect(0, 0, 320, 240))
	for i := range img.Pix {
		img.Pix[i] = byte(i * i >> 9)
	}
	var good bytes.Buffer
	if err := jpeg.Encode(&good, img, nil); err != nil {
		t.Fatal(err)
	}
	pts := time.Duration(0)
	samples := func(n int, data []byte) (all []*health.Sample) {
		for range n {
			pts += 100 * time.Millisecond
			r, err := w.accessUnit(&wire.AccessUnit{Codec: streams.JPEG, Session: 1, PTS: pts, Keyframe: true, Data: data})
			if err != nil {
				t.Fatal(err)
			}
			if r.Sample != nil {
				all = append(all, r.Sample)
			}
		}
		return all
	}
	for _, c := range []struct {
		data        []byte
		decoded     bool
		least, most int
	}{
		{good.Bytes(), true, 8, 12}, // in ten seconds
		{[]byte{0xff, 0xd8, 0xff, 0xd9}, false, 3, 5},
		{good.Bytes(), true, 8, 12},
	} {
		got := samples(100, c.data)
		if len(got) < c.least || len(got) > c.most {
			t.Errorf("%d samples", len(got))
		}
		for _, s := range got {
			if s.Decoded() != c.decoded || s.Check() != nil {
				t.Errorf("a sample of %dx%d, %v", s.Width, s.Height, s.Check())
			}
		}
	}
}
