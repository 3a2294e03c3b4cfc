package uplink

import "time"

// pace chooses how many bytes travel in one request, so that a request takes about a target time
// at the rate of the line. It belongs to one goroutine.
//
// Nothing is known of the line at first, so it begins small and doubles; a thin line is never
// taken for longer than a few targets.
type pace struct {
	size, least, most int // bytes
	target            time.Duration
}

// done notes that a request of sent bytes was answered after took.
func (p *pace) done(sent int, took time.Duration) {
	switch {
	case took > 2*p.target:
		p.size = max(p.size/2, p.least)
	case took < p.target/2 && sent > p.size/2: // a small request says nothing about larger ones
		p.size = min(2*p.size, p.most)
	}
}

// failed notes that a request of sent bytes broke off or was not answered in time.
func (p *pace) failed(sent int) {
	p.size = max(min(p.size, sent)/2, p.least)
}
