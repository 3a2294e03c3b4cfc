package webrtc

import (
	"encoding/binary"
	"time"

	"github.com/pion/interceptor/pkg/twcc"
	"github.com/pion/rtcp"
	"github.com/pion/rtp"
)

// transportURI names the header extension with a transport-wide sequence number, and with it the feedback that says
// when each packet arrived (draft-holmer-rmcat-transport-wide-cc-extensions-01). Browsers send that feedback about ten
// times a second, and receiver reports only once.
//
// The transport-wide number of a packet is its RTP sequence number: only the video has one, and a packet that is sent
// again must have the same bytes.
const transportURI = "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01"

const (
	arrivalSlots  = 4096                  // packets for which it is remembered whether they have arrived
	transportTick = 64 * time.Millisecond // unit of a feedback's reference time
)

// arrivals gathers what transport-wide feedback says about one stream. It is not safe for concurrent use.
type arrivals struct {
	base      uint64 // extended number of the first packet that arrived; 0: none has
	highest   uint64 // extended number that arrived
	highestAt time.Duration
	received  uint64 // different packets
	seen      [arrivalSlots / 64]uint64

	reference uint32        // of the last feedback
	elapsed   time.Duration // from the first feedback's reference time to that
	started   bool
}

// add takes a feedback. extend returns the full number of a packet that was sent, 0 if there was none.
func (a *arrivals) add(f transportFeedback, extend func(uint16) uint64) {
	at := a.referenceTime(f.reference)
	first := extend(f.base)
	if first == 0 {
		return
	}
	f.each(func(i int, delta time.Duration) bool {
		at += delta
		sequence := first + uint64(i)
		if extend(uint16(sequence)) != sequence { // never sent
			return false
		}
		a.arrived(sequence, at)
		return true
	})
}

// referenceTime returns the time of a feedback's reference since that of the first one, by the receiver's clock.
func (a *arrivals) referenceTime(reference uint32) time.Duration {
	if !a.started {
		a.started, a.reference = true, reference
	}
	step := int32((reference-a.reference)<<8) >> 8 // 24 bits with a sign
	a.reference = reference
	a.elapsed += time.Duration(step) * transportTick
	return a.elapsed
}

// arrived notes that a packet has arrived.
func (a *arrivals) arrived(sequence uint64, at time.Duration) {
	if a.base == 0 {
		a.base, a.highest, a.highestAt = sequence, sequence-1, at
	}
	if sequence < a.base || sequence+arrivalSlots <= a.highest {
		return
	}
	for ; a.highest < sequence; a.highest++ {
		next := a.highest + 1
		a.seen[next%arrivalSlots/64] &^= 1 << (next % 64)
		a.highestAt = at
	}
	word, bit := &a.seen[sequence%arrivalSlots/64], uint64(1)<<(sequence%64)
	if *word&bit == 0 {
		*word |= bit
		a.received++
	}
}

// lost returns how many packets up to highest have not arrived.
func (a *arrivals) lost() uint32 {
	if a.base == 0 {
		return 0
	}
	return uint32(a.highest - a.base + 1 - a.received)
}

// transportReport makes transport-wide feedback, as a browser does. It is not safe for concurrent use.
type transportReport struct {
	id       uint8 // of the header extension
	recorder *twcc.Recorder
	began    time.Time // when the first packet arrived
	sentAt   time.Time // when the last feedback left
	waiting  bool      // packets have arrived since
}

const transportEvery = 100 * time.Millisecond // between two feedbacks

func newTransportReport(id uint8) *transportReport {
	return &transportReport{id: id, recorder: twcc.NewRecorder(receiverSSRC)}
}

// packet takes note of a packet that arrived at now.
func (r *transportReport) packet(h *rtp.Header, now time.Time) {
	number := h.GetExtension(r.id)
	if len(number) < 2 {
		return
	}
	if r.began.IsZero() {
		r.began, r.sentAt = now, now
	}
	r.recorder.Record(h.SSRC, binary.BigEndian.Uint16(number), now.Sub(r.began).Microseconds())
	r.waiting = true
}

// due returns the feedback that is due at now, nil if none is.
func (r *transportReport) due(now time.Time) []rtcp.Packet {
	if !r.waiting || now.Sub(r.sentAt) < transportEvery {
		return nil
	}
	r.waiting, r.sentAt = false, now
	return r.recorder.BuildFeedbackPacket()
}
