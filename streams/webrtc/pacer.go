package webrtc

import (
	"time"

	"github.com/pion/rtcp"
)

// pacer decides when the next packets may leave to a viewer, so that keyframes and cached GOPs neither
// overflow the viewer's socket buffer nor fill a line that it shares. Packets leave at a small multiple
// of the stream's bitrate, in segments of at most maxSegment. A viewer that reports losses (RTCP
// receiver reports, RFC 3550, section 6.4.1) gets less, but always a little more than the stream has,
// because a viewer that falls behind continues with a newer keyframe.
//
// It has no goroutine and reads no clock. It is not safe for concurrent use.
type pacer struct {
	meter *sourceMeter
	share float64   // of the pace of a viewer without losses, (0, 1]
	next  time.Time // when the next packet may leave
	used  float64   // bits sent since the rate was read last
	rate  float64   // bit/s

	heavyLosses int // reports in a row with a heavy loss
}

const (
	leastPace     = 1.25 // of the stream's bitrate
	lossTolerated = 5    // of 256 packets in a report, 2 %
	lossHeavy     = 26   // of 256 packets in a report, 10 %
	heavyReports  = 2    // in a row show that the line does not carry the stream
	lossDecrease  = 0.7
	lossRecovery  = 1.1
	rateEvery     = 64 << 13 // bits after which the stream's rate is read again
)

func newPacer(m *sourceMeter) pacer { return pacer{meter: m, share: 1} }

// wait returns how long the next packet must wait at now; 0: it may leave.
func (p *pacer) wait(now time.Time) time.Duration { return max(0, p.next.Sub(now)) }

// sent notes that a packet of so many bytes left at now.
func (p *pacer) sent(bytes int, now time.Time) {
	bits := 8 * float64(bytes)
	if p.used += bits; p.rate == 0 || p.used > rateEvery {
		p.used, p.rate = 0, p.meter.pace(p.share)
	}
	if p.next.Before(now) {
		p.next = now
	}
	p.next = p.next.Add(seconds(bits / p.rate))
}

// onReport adapts the pace to what a viewer has lost since its last report.
func (p *pacer) onReport(r rtcp.ReceptionReport) {
	if p.heavyLosses++; r.FractionLost < lossHeavy {
		p.heavyLosses = 0
	}
	if r.FractionLost > lossTolerated {
		p.share = max(p.share*lossDecrease, leastPace/burstFactor)
	} else {
		p.share = min(p.share*lossRecovery, 1)
	}
	p.rate = 0
}
