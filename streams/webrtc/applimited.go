package webrtc

import "time"

// A sender is limited by its application when the camera, not the budget, decides how much is sent. Then the rate
// at which packets arrive is the camera's and says nothing about what the line could carry
// (draft-cheng-iccrg-delivery-rate-estimation, and RFC 7661 for TCP); a budget below it would only
// leave out frames. That packets arrive late can have other causes: processes that wait for a processor, or others
// that fill the line.
//
// A line that carries less than the camera sends shows in two other ways, besides losses: the round trip grows from
// report to report, and at the latest the bytes in flight reach the window and stay there. Otherwise the budget
// falls to what carries the stream with room to spare, so that bursts wait, and no further.
const (
	appLimitedShare = 0.8                    // of the budget; what sends less is limited by its application
	blockedFor      = 300 * time.Millisecond // the bytes in flight have to stay near the window; a pause of a process ends earlier

	riseReports = 4                    // in a row, reportFrame apart at least, show that a queue grows
	riseStep    = 5 * time.Millisecond // by which the round trip grows at least between two of them
	riseLeast   = 3 * reportFrame      // and in all: a report that waits for the end of a frame is late by reportFrame
)

// appLimited reports whether the camera, not the budget or the window, has limited what was sent lately.
func (c *congestion) appLimited(now time.Time) bool {
	switch {
	case c.budget < c.enough/2:
		return false // the camera sends more
	case !c.blocked.IsZero() && now.Sub(c.blocked) >= blockedFor:
		return false
	case len(c.points) < 2:
		return true
	}
	first, last := c.points[0], c.points[len(c.points)-1]
	return 8*float64(last.total-first.total) < appLimitedShare*c.budget*last.at.Sub(first.at).Seconds()
}

// rise is a time in which the round trip grew from report to report, and every report but the first was late.
type rise struct {
	from, to   time.Time
	first      time.Duration // round trip
	last       time.Duration
	begin, end float64 // bytes that had arrived at from and to
	reports    int     // with the first one
}

// add takes a report that arrived at now, when so many bytes had arrived. Those that come at once were held back
// together, and say one thing.
func (r *rise) add(rtt time.Duration, bytes float64, now time.Time) {
	switch {
	case r.reports > 0 && rtt >= r.last && now.Sub(r.to) < reportFrame:
	case r.reports > 0 && rtt >= r.last+riseStep:
		r.to, r.last, r.end = now, rtt, bytes
		r.reports++
	default:
		*r = rise{from: now, to: now, first: rtt, last: rtt, begin: bytes, end: bytes, reports: 1}
	}
}

// steady reports whether a queue grows.
func (r *rise) steady() bool { return r.reports >= riseReports && r.last-r.first >= riseLeast }

// delivered returns the rate in bit/s at which packets arrived meanwhile: that of the line.
func (r *rise) delivered() float64 { return 8 * (r.end - r.begin) / r.to.Sub(r.from).Seconds() }
