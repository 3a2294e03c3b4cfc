package rtsp

import "time"

// Bounds of a timestamp that continues the ones before.
const (
	maxStep    = 10 * time.Second // forwards, from frame to frame
	maxReorder = time.Second      // backwards, from the latest frame
	maxRepeats = 8                // frames in a row with one timestamp
)

// A clock that runs so much slower or faster than this machine's counts in other units than it should.
const (
	rateWindow = 10 * time.Second // of arrival, after which the two are compared
	rateGap    = 2 * time.Second  // without a frame: what follows may be late, and says nothing about the rate
	maxRate    = 3
	maxWrong   = 2 // windows in a row
)

// videoClockRate is the RTP clock of all video, in Hz.
const videoClockRate = 90000

// clock converts the RTP timestamps of a track (RFC 3550, section 5.1) into times since the first one. Where the camera's
// clock jumps, runs backwards or stands still, it continues by the time that passed on this machine.
type clock struct {
	rate           int // Hz
	started        bool
	timestamp      uint32        // of the last frame
	pts            time.Duration // of the last frame
	latest         time.Duration // largest so far
	arrived        time.Time     // of the last frame
	repeats        int
	timestampJumps uint64

	windowArrived time.Time     // of the first frame of the window
	windowPTS     time.Duration // of that frame
	wrong         int           // windows in a row with a wrong rate
	local         bool          // the camera's clock is of no use: times are those of arrival
}

// presentationTime returns the time of the frame with this timestamp, which arrived at now.
func (c *clock) presentationTime(timestamp uint32, now time.Time) time.Duration {
	if !c.started {
		c.started, c.timestamp, c.arrived = true, timestamp, now
		c.windowArrived = now
		return 0
	}
	step := time.Duration(int32(timestamp-c.timestamp)) * time.Second / time.Duration(c.rate)
	pts := c.pts + step
	c.repeats++
	if step != 0 {
		c.repeats = 0
	}
	jump := step > maxStep || pts < c.latest-maxReorder || c.repeats > maxRepeats
	if jump || c.local {
		passed := min(max(now.Sub(c.arrived), time.Millisecond), maxStep)
		pts = c.latest + passed
	}
	if jump && !c.local {
		c.timestampJumps++
	}
	gap := now.Sub(c.arrived) > rateGap
	c.timestamp, c.pts, c.arrived = timestamp, pts, now
	c.latest = max(c.latest, pts)
	c.checkRate(gap)
	return pts
}

// checkRate gives the camera's clock up if it runs at quite another rate than this machine's. It is called with each
// frame; gap says that there was none for a while.
func (c *clock) checkRate(gap bool) {
	passed, run := c.arrived.Sub(c.windowArrived), c.latest-c.windowPTS // from the first frame of the window to the last
	switch {
	case c.local:
		return
	case gap:
		c.wrong = 0
	case passed < rateWindow:
		return
	case run*maxRate >= passed && run <= passed*maxRate:
		c.wrong = 0
	default:
		if c.wrong++; c.wrong == maxWrong {
			c.local = true
			c.timestampJumps++
		}
	}
	c.windowArrived, c.windowPTS = c.arrived, c.latest
}
