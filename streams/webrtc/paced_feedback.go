package webrtc

import "time"

type repetition struct {
	sequence uint64
	missed   time.Time // when it was requested first
	at       time.Time // when it was retransmitted last; zero: never
}

// onFeedback handles what the receiver reports and requests.
func (p *pacedSender) onFeedback(f feedback, now time.Time) {
	for _, r := range f.reports {
		if r.SSRC == p.plain.SSRC {
			p.control.onReport(p.extended(uint16(r.LastSequenceNumber)), r.TotalLost, now)
		}
	}
	p.noteLosses(f.sequences, now)
	if p.yielding || p.paused || !p.joined {
		f.sequences, f.keyframe = nil, false
	}
	p.handleFeedback(f)
}

// noteLosses counts the packets that are requested for the first time.
func (p *pacedSender) noteLosses(sequences []uint16, now time.Time) {
	n := 0
	for _, short := range sequences {
		sequence := p.extended(short)
		if r := &p.repeated[sequence%reorderSlots]; r.sequence != sequence {
			*r = repetition{sequence: sequence, missed: now}
			n++
		}
	}
	if n > 0 {
		p.control.onNACK(n, now)
	}
}

// extended returns the newest sequence number sent whose lower 16 bits are short.
func (p *pacedSender) extended(short uint16) uint64 {
	return p.sequence - 1 - uint64(uint16(p.sequence-1)-short)
}

// repeat retransmits one missing packet. It skips those that would arrive after giveUpAfter, when the
// receiver no longer waits, and those that were retransmitted within the last round trip. It reports
// false when no request is left.
func (p *pacedSender) repeat(now time.Time) (bool, error) {
	for len(p.nacked) > 0 {
		short := p.nacked[0]
		p.nacked = append(p.nacked[:0], p.nacked[1:]...)
		sequence := p.extended(short)
		r := &p.repeated[sequence%reorderSlots]
		if r.sequence != sequence || now.Sub(r.missed)+p.control.rtt >= giveUpAfter || now.Sub(r.at) < max(p.control.rtt, nackEvery) {
			continue
		}
		size, err := p.retransmitOne(sequence)
		if err != nil {
			return false, err
		}
		if size == 0 {
			continue
		}
		r.at = now
		p.control.onSent(0, size+packetOverhead, now)
		p.flush()
		return true, nil
	}
	return false, nil
}
