package vision

import "math"

// light estimates how much brighter or darker than usual a whole picture is: exposure, sun
// and lamps change every pixel by about one factor, things only those that they cover.
type light struct {
	w, h  int
	usual []float32 // brightness of every sampled pixel, in the light of the beginning
	n     int       // pictures seen
	gain  float64   // of the last picture
	late  float64   // the gain, following slowly
}

const (
	lightStep = 4  // one pixel in so many, each way, is sampled
	lightDark = 16 // darker pixels say nothing about a factor
)

func newLight(w, h int) *light {
	return &light{w: w, h: h, usual: make([]float32, (w/lightStep)*(h/lightStep)), gain: 1, late: 1}
}

// even brings gray to the usual light, in place. The usual follows what is seen by the part
// pace of the way at each picture, and the light itself much more slowly: dusk is a new usual after
// some minutes.
func (l *light) even(gray []byte, pace float64) {
	if l.n > 0 {
		if gain, ok := l.estimate(gray); ok {
			l.gain = gain
			l.late += (gain - l.late) * pace
		}
	}
	if math.Abs(l.gain-1) > 0.004 { // below, no pixel would change
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

// doubt is how far the light is from what it was in the last half minute, 0..1: a camera's tone
// curve is no factor, so the evened picture is wrong by some of this.
func (l *light) doubt() float64 { return min(math.Abs(l.gain/l.late-1), 1) }

// estimate returns the middle of the factors of all sampled pixels: what covers less than half
// of the picture does not move it.
func (l *light) estimate(gray []byte) (float64, bool) {
	const (
		steps = 256 // of a factor of one
		most  = 4   // factor
	)
	var count [most*steps + 1]int
	total := 0
	l.each(gray, func(i int, v byte) {
		u := l.usual[i]
		if u < lightDark || u > 250 || v == 0 || v == 255 {
			return
		}
		count[min(int(float32(v)/u*steps), most*steps)]++
		total++
	})
	if total < len(l.usual)/8 {
		return 1, false // too dark to say
	}
	sum := 0
	for bin, n := range count {
		sum += n
		if 2*sum >= total {
			// Within the step, as if its pixels were spread evenly.
			return (float64(bin+1) - (float64(sum)-float64(total)/2)/float64(n)) / steps, true
		}
	}
	return 1, false
}

func (l *light) learn(gray []byte, pace float64) {
	l.n++
	pace = max(pace, 1/float64(l.n))
	// Towards the light as it is, in some ten times the pace's time.
	drift := float32(1 + (l.gain-1)*pace/10)
	l.each(gray, func(i int, v byte) {
		step := float32(v) - l.usual[i]
		if l.n > 1 && (step > 30 || step < -30) {
			step /= 4 // a thing, likely
		}
		l.usual[i] = (l.usual[i] + step*float32(pace)) * drift
	})
}

func (l *light) each(gray []byte, f func(i int, v byte)) {
	cols, i := l.w/lightStep, 0
	for y := 0; y < l.h/lightStep; y++ {
		row := gray[(y*lightStep+lightStep/2)*l.w+lightStep/2:]
		for x := range cols {
			f(i, row[x*lightStep])
			i++
		}
	}
}
