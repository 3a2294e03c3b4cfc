package webrtc

import (
	"time"

	"github.com/pion/rtcp"
)

// feedback is what a peer reports and requests by RTCP.
type feedback struct {
	at        time.Time // when it came
	sequences []uint16  // missing
	keyframe  bool      // a keyframe is needed
	reports   []rtcp.ReceptionReport
	transport []transportFeedback
}

// repetition is a packet that the peer has requested again.
type repetition struct {
	sequence uint64
	missed   time.Time // when it was requested first
	asked    time.Time // when it was requested last
	at       time.Time // when it was retransmitted last; zero: never
	again    bool      // it is retransmitted once more
}

// recovery decides how a request for a keyframe (PLI, RFC 4585, section 6.3.1; FIR) is answered, because a whole GOP
// fills a thin line: first, once, with the packets that the peer has requested again and that still help it; then with
// the current GOP, at intervals that double while the peer goes on to request.
type recovery struct {
	onlyGOP bool          // the peer is a hub, which no longer waits for the packets when it requests a keyframe
	longest time.Duration // between two answers with a GOP

	quiet   time.Time // until then requests are ignored: an answer is under way
	resent  bool      // the last answer was the missing packets
	backoff time.Duration
	askedAt time.Time
}

const (
	missingFor     = 2 * time.Second        // after a request for a packet it counts as missing
	resendQuiet    = 300 * time.Millisecond // after an answer with missing packets
	firstGOPQuiet  = time.Second            // after an answer with a GOP; doubled up to recovery.longest
	viewerGOPQuiet = 8 * time.Second
	hubGOPQuiet    = 2 * time.Second
	calmAfter      = 20 * time.Second       // without a request: the next one begins anew
	keyframeSoon   = 300 * time.Millisecond // a camera's own keyframe that comes within this time is waited for
)

// onRequest returns whether to answer a request at now, with the missing packets or with the GOP.
func (r *recovery) onRequest(missing bool, now time.Time) (resend, gop bool) {
	if now.Sub(r.askedAt) > calmAfter {
		r.backoff, r.resent = firstGOPQuiet, false
	}
	r.askedAt = now
	if now.Before(r.quiet) {
		return false, false
	}
	if missing && !r.resent && !r.onlyGOP {
		r.resent = true
		r.quiet = now.Add(resendQuiet)
		return true, false
	}
	r.resent = false
	r.quiet = now.Add(r.backoff)
	r.backoff = min(2*r.backoff, r.longest)
	return false, true
}

// handleFeedback notes what is to be retransmitted, and whether the GOP is. It returns how many packets were requested
// for the first time.
func (s *sender) handleFeedback(f feedback, now time.Time) (first int) {
	for _, short := range f.sequences[:min(len(f.sequences), maxNACKed-len(s.nacked))] {
		sequence := s.extended(short)
		r := &s.repeated[sequence%repeatSlots]
		if r.sequence != sequence {
			*r = repetition{sequence: sequence, missed: now}
			first++
		}
		r.asked = now
		s.nacked = append(s.nacked, short)
	}
	if f.keyframe {
		s.plis.Add(1)
		s.recover(now)
	}
	return first
}

// recover answers a request for a keyframe.
func (s *sender) recover(now time.Time) {
	g, ok := s.feed.current()
	if !ok || !s.joined || s.cursor < s.burstTo || s.keyframeComes(now) {
		return // what the peer needs is under way
	}
	missing := s.missing(g, now)
	resend, gop := s.recovery.onRequest(len(missing) > 0, now)
	if resend {
		s.nacked = append(s.nacked, missing[:min(len(missing), maxNACKed-len(s.nacked))]...)
	}
	s.keyframeRequested = s.keyframeRequested || gop
}

// keyframeComes reports whether the camera's next keyframe comes within keyframeSoon.
func (s *sender) keyframeComes(now time.Time) bool {
	every := s.feed.meter.gopDuration()
	due := s.feed.keyframeArrived().Add(every)
	return every > 0 && !now.After(due) && due.Sub(now) < keyframeSoon
}

// missing returns the packets of the current GOP that the peer has requested lately, and allows them to be
// retransmitted at once.
func (s *sender) missing(g gop, now time.Time) (list []uint16) {
	for i := range s.repeated {
		r := &s.repeated[i]
		if r.sequence == 0 || now.Sub(r.asked) > missingFor {
			continue
		}
		sp := s.spanOf(r.sequence)
		if sp == nil || sp.feed != s.feed || sp.index+r.sequence-sp.sequence < g.index {
			continue
		}
		r.at, r.missed = time.Time{}, now
		list = append(list, uint16(r.sequence))
	}
	return list
}

// extended returns the newest sequence number sent whose lower 16 bits are short.
func (s *sender) extended(short uint16) uint64 {
	return s.sequence - 1 - uint64(uint16(s.sequence-1)-short)
}

// adaptPace adapts the pace to what the peer reports to have lost, and takes the round trip from the report
// (RFC 3550, section 6.4.1).
func (s *sender) adaptPace(reports []rtcp.ReceptionReport, now time.Time) {
	for _, r := range reports {
		if r.SSRC != s.plain.SSRC {
			continue
		}
		s.pacer.onReport(r)
		if r.LastSenderReport != 0 {
			if trip := int32(uint32(ntp(now)>>16) - r.LastSenderReport - r.Delay); trip > 0 {
				s.trip.add(time.Duration(trip)*time.Second>>16, now)
			}
		}
	}
}

// adaptPlayout adapts the playout delay: so many packets were requested for the first time at now.
func (s *sender) adaptPlayout(first int, trip time.Duration, now time.Time) {
	if first > 0 {
		s.playout.onLoss(now)
	}
	s.playout.update(trip, s.sequence, now)
}

// retransmit sends up to limit of the requested packets again, if the feed still has them and they were not
// retransmitted a moment ago. It returns how many requests it has handled.
func (s *sender) retransmit(limit int) (int, error) {
	n := min(limit, len(s.nacked))
	now := time.Now()
	for _, short := range s.nacked[:n] {
		sequence := s.extended(short)
		r := &s.repeated[sequence%repeatSlots]
		if r.sequence == sequence && now.Sub(r.at) < nackEvery/2 {
			continue
		}
		size, err := s.retransmitOne(sequence)
		if err != nil {
			return 0, err
		}
		if size > 0 {
			r.at = now
			s.pacer.sent(size+packetOverhead, now)
		}
	}
	s.nacked = append(s.nacked[:0], s.nacked[n:]...)
	return n, nil
}

// retransmitOne sends the packet of this number again and returns the size of its payload, 0 if the feed
// no longer has it.
func (s *sender) retransmitOne(sequence uint64) (size int, err error) {
	sp := s.spanOf(sequence)
	if sp == nil || !s.playout.known(sequence) {
		return 0, nil
	}
	var one [1]*packet
	if found, ok := sp.feed.read(sp.index+sequence-sp.sequence, one[:]); !ok || found == 0 {
		return 0, nil
	}
	s.retransmitted.Add(1)
	return len(one[0].payload), s.send(one[0], sp, sequence)
}

// spanOf returns the span in which sequence was sent, nil if that was too long ago.
func (s *sender) spanOf(sequence uint64) *span {
	for i := len(s.spans) - 1; i >= 0; i-- {
		if sp := &s.spans[i]; sequence >= sp.sequence && sequence < sp.sequence+sp.count {
			return sp
		}
	}
	return nil
}

// readFeedback passes RTCP on from read, which blocks, until that fails.
func (s *sender) readFeedback(read func([]byte) (int, error)) {
	buffer := make([]byte, 1500)
	for {
		n, err := read(buffer)
		if err != nil {
			return
		}
		f, err := readCompound(buffer[:n])
		if err != nil {
			continue // the peer is authenticated, so it harms only itself
		}
		if f.keyframe || len(f.sequences) > 0 || len(f.reports) > 0 || len(f.transport) > 0 {
			s.receive(f)
		}
	}
}

// receive passes f, which comes now, to the goroutine of run, unless too much waits there already. A report wakes it only
// while packets are held back, which may leave because of it; else it is early enough with the next frame.
func (s *sender) receive(f feedback) {
	f.at = time.Now()
	select {
	case s.feedback <- f:
	default:
		return
	}
	if f.keyframe || len(f.sequences) > 0 || s.held.Load() {
		s.wake.ring()
	}
}

// readCompound decodes a compound packet (RFC 3550, section 6.1).
func readCompound(compound []byte) (f feedback, err error) {
	var rest []byte
	if f.transport, rest = splitTransport(compound); len(rest) == 0 {
		return f, nil
	}
	packets, err := rtcp.Unmarshal(rest)
	if err != nil {
		return feedback{}, err
	}
	f.add(packets)
	return f, nil
}

func (f *feedback) add(packets []rtcp.Packet) {
	for _, p := range packets {
		switch p := p.(type) {
		case *rtcp.TransportLayerNack:
			for i := range p.Nacks {
				f.sequences = append(f.sequences, p.Nacks[i].PacketList()...)
			}
		case *rtcp.ReceiverReport:
			f.reports = append(f.reports, p.Reports...)
		case *rtcp.PictureLossIndication, *rtcp.FullIntraRequest:
			f.keyframe = true
		}
	}
}
