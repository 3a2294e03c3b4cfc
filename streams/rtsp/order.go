package rtsp

import (
	"slices"
	"time"
)

// maxDepth bounds the reordering of frames: the decoded picture buffer of H.264 and H.265 holds 16.
const maxDepth = 16

// frameOrder finds decoding times of frames that arrive in decoding order with presentation times only, as RTP
// carries them, and notices B-frames.
type frameOrder struct {
	depth  int             // frames that may be sent before one that is shown before them
	recent []time.Duration // PTS of the last frames, rising; at most maxDepth
	last   time.Duration   // DTS of the last frame
	any    bool            // there was one
}

// startBefore is how much the DTS of the first frames of a stream with B-frames differ.
const startBefore = time.Millisecond

// next returns the DTS of the next frame: it rises from frame to frame and is at most pts. reordered is true if
// the frame is shown before one that was sent earlier. Where the source did not announce B-frames, the DTS goes
// back once, at the first of them.
func (o *frameOrder) next(pts time.Duration) (dts time.Duration, reordered bool) {
	i, _ := slices.BinarySearch(o.recent, pts)
	later := len(o.recent) - i
	o.recent = slices.Insert(o.recent, i, pts)
	if len(o.recent) > maxDepth {
		o.recent = slices.Delete(o.recent, 0, 1)
	}
	o.depth = min(max(o.depth, later), maxDepth-1)
	// The frame that is decoded now gives its time to the one that is shown depth frames earlier.
	if n := len(o.recent); n > o.depth {
		dts = o.recent[n-1-o.depth]
	} else {
		dts = o.recent[0] - time.Duration(o.depth+1-n)*startBefore
	}
	dts = min(dts, pts)
	if o.any && dts <= o.last {
		dts = min(o.last+time.Microsecond, pts)
	}
	o.last, o.any = dts, true
	return dts, later > 0
}
