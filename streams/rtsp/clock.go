package rtsp

import "time"

// Bounds of a timestamp that continues the ones before.
const (
	maxStep    = 10 * time.Second // forwards, from frame to frame
	maxReorder = time.Second      // backwards, from the latest frame
	maxRepeats = 8                // frames in a row with one timestamp
)

// clock converts RTP timestamps of 90 kHz (RFC 3550, section 5.1) into times since the first one. Where the camera's
// clock jumps, runs backwards or stands still, it continues by the time that passed on this machine.
type clock struct {
	started        bool
	timestamp      uint32        // of the last frame
	pts            time.Duration // of the last frame
	latest         time.Duration // largest so far
	arrived        time.Time     // of the last frame
	repeats        int
	timestampJumps uint64
}

// presentationTime returns the time of the frame with this timestamp, which arrived at now.
func (c *clock) presentationTime(timestamp uint32, now time.Time) time.Duration {
	if !c.started {
		c.started, c.timestamp, c.arrived = true, timestamp, now
		return 0
	}
	step := time.Duration(int32(timestamp-c.timestamp)) * time.Second / 90000
	pts := c.pts + step
	c.repeats++
	if step != 0 {
		c.repeats = 0
	}
	if step > maxStep || pts < c.latest-maxReorder || c.repeats > maxRepeats {
		passed := min(max(now.Sub(c.arrived), time.Millisecond), maxStep)
		pts = c.latest + passed
		c.timestampJumps++
	}
	c.timestamp, c.pts, c.arrived = timestamp, pts, now
	c.latest = max(c.latest, pts)
	return pts
}
