package rtsp

import "time"

// Bounds of what counts as a time stamp that runs on.
const (
	maxStep    = 10 * time.Second // forwards, from picture to picture
	maxReorder = time.Second      // backwards, from the latest picture
	maxRepeats = 8                // pictures in a row with one time stamp
)

// clock turns RTP time stamps of 90 kHz (RFC 3550, section 5.1) into times since the first one. It goes on smoothly
// where the camera's clock jumps, runs backwards or stands still: by the time that passed here.
type clock struct {
	started        bool
	timestamp      uint32        // of the last picture
	pts            time.Duration // of the last picture
	latest         time.Duration // largest so far
	arrived        time.Time     // of the last picture
	repeats        int
	timestampJumps uint64
}

// time returns the presentation time of the picture with stamp, which arrived at now.
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
