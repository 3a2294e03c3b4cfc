package webrtc

import (
	"time"

	"github.com/pion/rtcp"
)

// Receiver reports leave with the first of these: after so many packets, after so long since the last
// one, and, once the last one is older than reportFrame, at the end of a frame or when no packet has
// arrived for reportFrame. They are the clock of the publisher's congestion control, and cost the line
// less than one percent of what they report.
//
// The publisher takes the time from sending the newest packet to its report for the round trip. So the
// newest packet must never wait here for long: a delay of the receiver looks like a queue on the line.
const (
	reportPackets  = hubSegment
	reportInterval = 100 * time.Millisecond
	reportFrame    = 20 * time.Millisecond
)

// receptionReport counts what arrives of one source, for RTCP receiver reports (RFC 3550, sections
// 6.4.1 and A.3, A.8). It is not safe for concurrent use.
type receptionReport struct {
	ssrc uint32

	started  bool
	base     uint64 // extended number of the first packet
	highest  uint64 // extended number that arrived
	received uint64 // with duplicates, as the RFC has it

	expectedBefore uint64 // at the last report
	receivedBefore uint64

	transit uint32  // arrival time less timestamp of the last packet, in ticks
	jitter  float64 // ticks

	waiting   int       // packets since the last report
	arrivedAt time.Time // of the last packet
	sentAt    time.Time // of the last report
}

// packet takes note of a packet that arrived at now, and reports whether a report is due.
func (r *receptionReport) packet(sequence uint16, timestamp uint32, marker bool, now time.Time) (due bool) {
	transit := ticks(time.Duration(now.UnixNano())) - timestamp
	if !r.started {
		r.started = true
		r.highest = 1<<16 + uint64(sequence)
		r.base, r.transit = r.highest, transit
	}
	if step := int16(sequence - uint16(r.highest)); step > 0 {
		r.highest += uint64(step)
	}
	r.received++
	d := int32(transit - r.transit)
	r.transit = transit
	r.jitter += (float64(max(d, -d)) - r.jitter) / 16
	r.waiting++
	r.arrivedAt = now
	since := now.Sub(r.sentAt)
	return r.waiting >= reportPackets || since >= reportInterval || marker && since >= reportFrame
}

// dueAt returns when a report is due if no further packet arrives. Packets must be waiting.
func (r *receptionReport) dueAt() time.Time {
	at := r.sentAt.Add(reportInterval)
	if quiet := r.arrivedAt.Add(reportFrame); quiet.Before(at) {
		at = quiet
	}
	return at
}

// overdue reports whether packets have waited long enough to be reported without a further one.
func (r *receptionReport) overdue(now time.Time) bool {
	return r.waiting > 0 && !now.Before(r.dueAt())
}

// report returns the report that is sent at now. last is the middle of the NTP time of the last sender
// report and delay the time since then, in 1/65536 s; both are 0 before the first.
func (r *receptionReport) report(last, delay uint32, now time.Time) *rtcp.ReceiverReport {
	r.waiting, r.sentAt = 0, now
	expected := r.highest - r.base + 1
	lost := int64(expected) - int64(r.received)
	inInterval := int64(expected-r.expectedBefore) - int64(r.received-r.receivedBefore)
	fraction := uint8(0)
	if n := expected - r.expectedBefore; n > 0 && inInterval > 0 {
		fraction = uint8(min(inInterval*256/int64(n), 255))
	}
	r.expectedBefore, r.receivedBefore = expected, r.received
	return &rtcp.ReceiverReport{SSRC: receiverSSRC, Reports: []rtcp.ReceptionReport{{
		SSRC:               r.ssrc,
		FractionLost:       fraction,
		TotalLost:          uint32(min(max(lost, 0), 1<<23-1)),
		LastSequenceNumber: uint32(r.highest - 1<<16),
		Jitter:             uint32(r.jitter),
		LastSenderReport:   last,
		Delay:              delay,
	}}}
}

// receiverSSRC names a receiver that sends no media itself, as browsers do.
const receiverSSRC = 1
