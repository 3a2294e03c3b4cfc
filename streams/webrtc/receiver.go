package webrtc

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"time"

	"github.com/pion/rtcp"
	"github.com/pion/rtp"
	"github.com/pion/webrtc/v4"
)

// receiver reads one track in order, asks the peer for what is missing, and reports what arrived.
type receiver struct {
	track     *webrtc.TrackRemote
	ssrc      uint32 // of the track
	writeRTCP func([]rtcp.Packet) error
	reorder   reorder
	drop      func(sequence uint16) bool // tests lose packets by it; nil loses none

	deliver    func(a rtpPacket, lost uint64) // in order; a.payload is the receiver's to keep
	lost       uint64                         // given up
	nacked     uint64                         // packets that NACKs named
	pliSent    time.Time                      // when a keyframe was requested last
	lastPacket time.Time                      // when the last packet arrived
	deadlineAt time.Time                      // read deadline that is set

	reports *receptionReport // nil: the sender gets no receiver reports
	due     bool             // a report is due
	clock   *sourceClock     // knows the last sender report; set with reports

	transport *transportReport // nil: the sender gets no transport-wide feedback
}

func newReceiver(s *session, t *webrtc.TrackRemote) *receiver {
	return &receiver{track: t, ssrc: uint32(t.SSRC()), writeRTCP: s.pc.WriteRTCP}
}

const pliEvery = 500 * time.Millisecond

// run reads until the session ends, ctx ends or no packet has arrived for framesWithin.
func (r *receiver) run(ctx context.Context) error {
	buffer := make([]byte, 1600)
	r.lastPacket = time.Now()
	for {
		now := time.Now()
		if err := r.setDeadline(now); err != nil {
			return ErrClosedByPeer // as below
		}
		n, _, err := r.track.Read(buffer)
		now = time.Now()
		var timeout net.Error
		switch {
		case ctx.Err() != nil:
			return context.Cause(ctx)
		case errors.As(err, &timeout) && timeout.Timeout():
			r.deadlineAt = time.Time{}
		case err != nil:
			return ErrClosedByPeer // the track ends with its connection
		default:
			if err := r.push(buffer[:n], now); err != nil {
				continue // not RTP; the peer is authenticated, so it harms only itself
			}
			r.lastPacket = now
		}
		if err := r.drain(now); err != nil {
			return err
		}
		if now.Sub(r.lastPacket) > framesWithin {
			return ErrNoFrames
		}
	}
}

// setDeadline bounds the next read: it is short while something is missing or a report is due, else a
// second. It is changed rarely, because that is expensive.
func (r *receiver) setDeadline(now time.Time) error {
	if r.reorder.waiting > 0 {
		r.deadlineAt = now.Add(nackEvery / 2)
	} else if r.reports != nil && r.reports.waiting > 0 {
		dueAt := r.reports.dueAt()
		if !r.deadlineAt.After(dueAt) && r.deadlineAt.After(now) {
			return nil
		}
		r.deadlineAt = dueAt
	} else if r.deadlineAt.Sub(now) > 300*time.Millisecond {
		return nil
	} else {
		r.deadlineAt = now.Add(time.Second)
	}
	return r.track.SetReadDeadline(r.deadlineAt)
}

func (r *receiver) push(b []byte, now time.Time) error {
	var h rtp.Header
	n, err := h.Unmarshal(b)
	if err != nil {
		return fmt.Errorf("reading an RTP header: %w", err)
	}
	if r.drop != nil && r.drop(h.SequenceNumber) {
		return nil
	}
	if r.transport != nil {
		r.transport.packet(&h, now)
	}
	payload := b[n:]
	if h.Padding && len(payload) > 0 {
		payload = payload[:max(0, len(payload)-int(payload[len(payload)-1]))]
	}
	if r.reports != nil {
		r.due = r.reports.packet(h.SequenceNumber, h.Timestamp, h.Marker, now)
	}
	r.reorder.push(h.SequenceNumber, rtpPacket{payload: slices.Clone(payload), timestamp: h.Timestamp, marker: h.Marker}, now)
	return nil
}

// drain delivers what is in order, reports what arrived, and requests what is missing.
func (r *receiver) drain(now time.Time) error {
	for {
		a, lost, ok := r.reorder.pop(now)
		if !ok {
			break
		}
		r.lost += lost
		r.deliver(a, lost)
	}
	if r.reports != nil && (r.due || r.reports.overdue(now)) {
		r.due = false
		lsr, delay := r.clock.lastReport(now)
		if err := r.send("reporting what arrived", r.reports.report(lsr, delay, now)); err != nil {
			return err
		}
	}
	if r.transport != nil {
		if feedback := r.transport.due(now); len(feedback) > 0 {
			if err := r.send("reporting when packets arrived", feedback...); err != nil {
				return err
			}
		}
	}
	missing := r.reorder.missing(now)
	if len(missing) == 0 {
		return nil
	}
	r.nacked += uint64(len(missing))
	return r.send("requesting packets", &rtcp.TransportLayerNack{
		MediaSSRC: r.ssrc, Nacks: rtcp.NackPairsFromSequenceNumbers(missing),
	})
}

// send sends RTCP packets, which fails only once the connection is closed: a line that is lost swallows them.
func (r *receiver) send(doing string, packets ...rtcp.Packet) error {
	if err := r.writeRTCP(packets); err != nil {
		return fmt.Errorf("%w: %s: %w", ErrClosedByPeer, doing, err)
	}
	return nil
}

// requestKeyframe sends a PLI, at most every pliEvery.
func (r *receiver) requestKeyframe(now time.Time) error {
	if now.Sub(r.pliSent) < pliEvery {
		return nil
	}
	r.pliSent = now
	return r.send("requesting a keyframe", &rtcp.PictureLossIndication{MediaSSRC: r.ssrc})
}
