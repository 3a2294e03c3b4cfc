package webrtc

import (
	"fmt"
	"sync"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// captureTimeURI names the header extension by which every picture says when it was taken
// (http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time), by the clock of the sender
// reports. A browser that asks for it can tell how old the picture is that it shows.
const captureTimeURI = "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time"

// stamped returns a copy of h that carries what is in at, which may change: 8 bytes, the time in
// NTP's format.
func withExtension(h rtp.Header, id int, at []byte) (rtp.Header, error) {
	c := h.Clone()
	if err := c.SetExtension(uint8(id), at); err != nil {
		return rtp.Header{}, fmt.Errorf("setting the capture time: %w", err)
	}
	return c, nil
}

// sourceClock tells when, on this machine's clock, a publisher had a picture, although the
// publisher's clock may be wrong: of each picture and report it compares the arrival here with the
// time there. The least difference ever seen is the clocks' difference and the shortest way between
// them; what a picture's difference is above that, it spent waiting. So a line that falls behind
// shows in the age of the picture, and only the shortest way itself is not counted.
type sourceClock struct {
	mu              sync.Mutex
	known           bool
	reportTime      time.Time // the last report's time, by the publisher's clock
	reportTimestamp uint32    // its time stamp
	reportNTP       uint32    // the middle 32 bits of its NTP time
	reportArrival   time.Time // here

	minOffset  time.Duration // arrival here minus time there
	observedAt time.Time     // when least was last compared; zero: least is not known
}

const (
	// clockDrift is by how much two clocks may run apart; least forgets by it, and a queue on the line
	// of one second would be forgotten in three hours.
	clockDrift = 100e-6
	// clockStep is the change between two reports that is a clock being set, not a drift.
	clockStep = time.Second
)

// report takes in a publisher's sender report, which was made when it was sent and came at now. So
// the clocks' difference is known before the first picture, which may be an old one.
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

// took takes in what lies between a time there and now, which is here. mu is held.
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

// time returns the publisher's time of a time stamp near the last report. mu is held.
func (c *sourceClock) toTime(stamp uint32) time.Time {
	return c.reportTime.Add(time.Duration(int32(stamp-c.reportTimestamp)) * time.Second / clockRate)
}

// taken returns when the publisher had a picture whose packets come now, by this machine's clock;
// now itself until a report has come.
func (c *sourceClock) captureTime(stamp uint32, now time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now
	}
	return c.toTime(stamp).Add(c.minOffset)
}

// picture takes in a picture whose last packet came now, and returns when the publisher had it.
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

// listen takes the publisher's reports from r until it closes.
func (c *sourceClock) readReports(r *webrtc.RTPReceiver) {
	buffer := make([]byte, 1500)
	for {
		n, _, err := r.Read(buffer)
		if err != nil {
			return
		}
		packets, err := rtcp.Unmarshal(buffer[:n])
		if err != nil {
			continue // the peer is authenticated; what it garbles is its own loss
		}
		for _, p := range packets {
			if report, ok := p.(*rtcp.SenderReport); ok {
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
