package webrtc

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// captureTimeURI names the header extension with the time when a frame was captured
// (http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time), by the clock of the sender
// reports. A browser that supports it knows the age of the frame that it shows.
const captureTimeURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

// withExtension returns a copy of h that refers to at, which may change: 8 bytes, an NTP time.
func withExtension(h rtp.Header, id int, at []byte) (rtp.Header, error) {
	c := h.Clone()
	if err := c.SetExtension(uint8(id), at); err != nil {
		return rtp.Header{}, fmt.Errorf("setting the capture time: %w", err)
	}
	return c, nil
}

// sourceClock estimates when, by this machine's clock, a publisher had a frame, although the publisher's
// clock may be wrong. It compares the arrival of each frame and report here with its time there. The
// least difference is the offset of the clocks plus the least network delay; what exceeds it for a frame
// is the time that the frame waited. So the age of a frame includes queues on the line, and only the
// least network delay itself is missing.
type sourceClock struct {
	rate uint32 // of the track's RTP clock, in Hz; 0: that of video

	mu              sync.Mutex
	known           bool
	reportTime      time.Time // the last report's time, by the publisher's clock
	reportTimestamp uint32    // its timestamp
	reportNTP       uint32    // the middle 32 bits of its NTP time
	reportArrival   time.Time // here

	minOffset  time.Duration // arrival here minus time there
	observedAt time.Time     // when minOffset was last updated; zero: it is unknown
}

const (
	// clockDrift is how fast two clocks may drift apart; minOffset grows by it, so that a constant queue
	// of one second is no longer seen after three hours.
	clockDrift = 100e-6
	// clockStep is the change between two reports that means that a clock was set.
	clockStep = time.Second
)

// report uses a publisher's sender report, which arrived at now. It makes the offset known before the first
// frame, which may be old.
func (c *sourceClock) report(r *rtcp.SenderReport, now time.Time) {
	at := fromNTP(r.NTPTime)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.known {
		if step := at.Sub(c.toTime(r.RTPTime)); step > clockStep || step < -clockStep {
			c.observedAt = time.Time{}
		}
	}
	c.known, c.reportTime, c.reportTimestamp = true, at, r.RTPTime
	c.reportNTP, c.reportArrival = uint32(r.NTPTime>>16), now
	c.observe(now.Sub(at), now)
}

// observe updates minOffset by the difference of a time there and now. mu is held.
func (c *sourceClock) observe(d time.Duration, now time.Time) {
	if c.observedAt.IsZero() {
		c.minOffset, c.observedAt = d, now
	}
	drift := time.Duration(float64(now.Sub(c.observedAt)) * clockDrift)
	c.minOffset, c.observedAt = min(c.minOffset+drift, d), now
}

// lastReport returns what a receiver report says of the last sender report: the middle of its NTP time,
// and how long ago it arrived at now, in 1/65536 s (RFC 3550, section 6.4.1). Both are 0 before the
// first.
func (c *sourceClock) lastReport(now time.Time) (lsr, delay uint32) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return 0, 0
	}
	return c.reportNTP, uint32(now.Sub(c.reportArrival).Seconds() * 65536)
}

// toTime returns the publisher's time of a timestamp near the last report. mu is held.
func (c *sourceClock) toTime(stamp uint32) time.Time {
	rate := time.Duration(c.rate)
	if rate == 0 {
		rate = clockRate
	}
	return c.reportTime.Add(time.Duration(int32(stamp-c.reportTimestamp)) * time.Second / rate)
}

// captureTime returns when the publisher had a frame whose packets arrive now, by this machine's clock;
// now itself before the first report.
func (c *sourceClock) captureTime(stamp uint32, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now
	}
	return c.toTime(stamp).Add(c.minOffset)
}

// frameTime uses a frame whose last packet arrived now, and returns when the publisher had it.
func (c *sourceClock) frameTime(stamp uint32, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now
	}
	there := c.toTime(stamp)
	c.observe(now.Sub(there), now)
	return there.Add(c.minOffset)
}

// readReports reads the publisher's reports about t until it is closed.
func (c *sourceClock) readReports(t remoteTrack) {
	buffer := make([]byte, 1500)
	for {
		n, _, err := t.receiver.Read(buffer)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buffer[:n])
		if err != nil {
			continue // the peer is authenticated, so it harms only itself
		}
		for _, p := range packets {
			if report, ok := p.(*rtcp.SenderReport); ok && report.SSRC == uint32(t.SSRC()) { // a compound packet has those of all tracks
				c.report(report, time.Now())
			}
		}
	}
}

// fromNTP is the inverse of ntp.
func fromNTP(t uint64) time.Time {
	const epoch = 2208988800 // seconds from 1900 to 1970
	return time.Unix(int64(t>>32)-epoch, int64(t&0xffffffff)*1e9>>32)
}
