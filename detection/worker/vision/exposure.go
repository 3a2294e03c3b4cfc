package vision

import "math"

// exposure estimates by what factor a whole frame is brighter or darker than the reference: the
// camera's exposure, the sun and lamps change every pixel by about one factor, objects only those
// that they cover.
type exposure struct {
	w, h      int
	reference []float32 // brightness of every sampled pixel at the first exposure
	n         int       // frames seen
	gain      float64   // of the last frame
	slowGain  float64   // moving average of the gain
}

const (
	sampleStep    = 4  // every fourth pixel in x and y is sampled
	minBrightness = 16 // darker pixels do not show a factor
)

func newExposure(w, h int) *exposure {
	return &exposure{w: w, h: h, reference: make([]float32, (w/sampleStep)*(h/sampleStep)), gain: 1, slowGain: 1}
}

// normalise scales gray to the reference exposure, in place. With each frame the reference moves
// towards the frame by the fraction pace, and towards the new exposure much more slowly, so that
// dusk becomes the reference after some minutes.
func (l *exposure) normalise(gray []byte, pace float64) {
	if l.n > 0 {
		if gain, ok := l.estimate(gray); ok {
			l.gain = gain
			l.slowGain += (gain - l.slowGain) * pace
		}
	}
	if math.Abs(l.gain-1) > 0.004 { // a smaller change alters no pixel
		var table [256]byte
		for i := range table {
			table[i] = byte(min(float64(i)/l.gain+0.5, 255))
		}
		for i, v := range gray {
			gray[i] = table[v]
		}
	}
	l.learn(gray, pace)
}

// uncertainty is how far the gain is from that of the last half minute, 0..1. The normalised frame is
// wrong by a part of this, because a camera's tone curve is not a factor.
func (l *exposure) uncertainty() float64 { return min(math.Abs(l.gain/l.slowGain-1), 1) }

// estimate returns the median factor of all sampled pixels, which objects on less than half of the
// frame do not change.
func (l *exposure) estimate(gray []byte) (float64, bool) {
	const (
		steps = 256 // histogram bins per factor of one
		most  = 4   // largest factor
	)
	var count [most*steps + 1]int
	total := 0
	l.each(gray, func(i int, v byte) {
		u := l.reference[i]
		if u < minBrightness || u > 250 || v == 0 || v == 255 {
			return
		}
		count[min(int(float32(v)/u*steps), most*steps)]++
		total++
	})
	if total < len(l.reference)/8 {
		return 1, false // too dark
	}
	sum := 0
	for bin, n := range count {
		sum += n
		if 2*sum >= total {
			// Interpolate within the bin.
			return (float64(bin+1) - (float64(sum)-float64(total)/2)/float64(n)) / steps, true
		}
	}
	return 1, false
}

func (l *exposure) learn(gray []byte, pace float64) {
	l.n++
	pace = max(pace, 1/float64(l.n))
	// Move towards the present exposure ten times as slowly.
	drift := float32(1 + (l.gain-1)*pace/10)
	l.each(gray, func(i int, v byte) {
		step := float32(v) - l.reference[i]
		if l.n > 1 && (step > 30 || step < -30) {
			step /= 4 // probably an object
		}
		l.reference[i] = (l.reference[i] + step*float32(pace)) * drift
	})
}

func (l *exposure) each(gray []byte, f func(i int, v byte)) {
	cols, i := l.w/sampleStep, 0
	for y := 0; y < l.h/sampleStep; y++ {
		row := gray[(y*sampleStep+sampleStep/2)*l.w+sampleStep/2:]
		for x := range cols {
			f(i, row[x*sampleStep])
			i++
		}
	}
}
