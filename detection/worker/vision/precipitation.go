package vision

import (
	"image"

	"gocv.io/x/gocv"
)

const (
	wetParts   = 30   // average number of passing parts from which on it rains
	dryParts   = 5.0  // and below which it does not rain any more
	wetSeconds = 1.0  // over which the average is taken
	heavyArea  = 0.04 // of the frame that differs, from which on the rain is heavy
)

// precipitation notices rain and snow, whose streaks are somewhere else in each frame, and filters them: while it
// rains, only those pixels differ that do so in two of three frames, or in all three if the rain is heavy. It belongs
// to one Motion.
type precipitation struct {
	rate    float64
	passing float64 // average number of parts that differ and did not in the last frame
	area    float64 // average part of the frame that differs, before it is filtered
	wet     bool

	masks        [3]gocv.Mat // of the last frames, before they were filtered
	n            int         // frames so far; the mask of frame i is masks[i%3]
	both, either gocv.Mat
	open         gocv.Mat // structuring element
}

func newPrecipitation(w, h int, rate float64) *precipitation {
	r := &precipitation{rate: rate, both: gocv.NewMat(), either: gocv.NewMat()}
	r.open = gocv.GetStructuringElement(gocv.MorphRect, image.Pt(2, 2))
	for i := range r.masks {
		r.masks[i] = gocv.NewMatWithSize(h, w, gocv.MatTypeCV8U)
	}
	return r
}

func (r *precipitation) close() {
	for _, m := range []*gocv.Mat{&r.masks[0], &r.masks[1], &r.masks[2], &r.both, &r.either, &r.open} {
		_ = m.Close() // it only frees memory and always returns nil
	}
}

// restart forgets the last frames.
func (r *precipitation) restart() { r.n = 0 }

// heavy reports whether the streaks cover so much that some lie over each other in frame after frame.
func (r *precipitation) heavy() bool { return r.wet && r.area >= heavyArea }

// filter clears the pixels of mask that are those of streaks, if it rains.
func (r *precipitation) filter(mask *gocv.Mat) {
	newest, one, two := &r.masks[r.n%3], &r.masks[(r.n+2)%3], &r.masks[(r.n+1)%3]
	mask.CopyTo(newest)
	r.n++
	if !r.wet || r.n < 3 {
		return
	}
	gocv.BitwiseAnd(*one, *two, &r.both)
	if r.heavy() {
		gocv.BitwiseAnd(*newest, r.both, mask)
		return
	}
	gocv.BitwiseOr(*one, *two, &r.either)
	gocv.BitwiseAnd(*newest, r.either, mask)
	gocv.BitwiseOr(*mask, r.both, mask)
}

// count counts the parts of the mask that was filtered last, before it was. An object covers much of what it covered
// in the frame before, a streak does not.
func (r *precipitation) count() {
	const (
		least = 0.002 // of the frame: less that differs is no rain
		most  = 0.5   // of what differs: if more differed in the last frame, too, it is no rain
	)
	passing, area := 0.0, 0.0
	if r.n >= 2 {
		newest, last := r.masks[(r.n+2)%3], r.masks[(r.n+1)%3]
		differ := float64(gocv.CountNonZero(newest))
		if area = differ / float64(newest.Total()); area >= least {
			gocv.BitwiseAnd(newest, last, &r.both)
			if same := float64(gocv.CountNonZero(r.both)) / differ; same < most {
				gocv.MorphologyEx(newest, &r.either, gocv.MorphOpen, r.open)
				passing = float64(min(gocv.ConnectedComponents(r.either, &r.both)-1, maxComponents)) * (1 - same)
			}
		}
	}
	weight := min(1/(wetSeconds*r.rate), 1)
	r.passing += (passing - r.passing) * weight
	r.area += (area - r.area) * weight
	r.wet = r.passing >= wetParts || r.wet && r.passing > dryParts
}
