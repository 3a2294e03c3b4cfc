package uplink

import (
	"testing"
	"time"

	"gridpost/hub/api"
)

// TestShare: pictures are sent at once; clips keep to their share of the line.
func TestShare(t *testing.T) {
	picture, clip := api.Evidence{ContentType: "image/jpeg"}, api.Evidence{ContentType: api.ClipType}
	const took = 100 * time.Millisecond
	for _, c := range []struct {
		name  string
		meta  api.Evidence
		share Share
		most  int
		wait  time.Duration // after a piece of 12,500 bytes, which is 100,000 bits
	}{
		{"no bound", clip, Share{}, mostPiece, 0},
		{"a picture", picture, Share{Rate: 1e6, Video: true}, mostPiece, 0},
		{"a bound", clip, Share{Rate: 500e3}, 18750, 200*time.Millisecond - took},
		{"a bound, with live video", clip, Share{Rate: 800e3, Video: true}, leastPiece, time.Second - took},
		{"live video", clip, Share{Video: true}, mostPiece, 7 * took},
	} {
		up := &uploader{u: &Uplink{o: Options{Share: func() Share { return c.share }}}}
		most, wait := up.share(c.meta)
		if got := wait(12_500, took); most != c.most || got != c.wait {
			t.Errorf("%s: pieces of %d bytes and %v, expected %d and %v", c.name, most, got, c.most, c.wait)
		}
	}
}
