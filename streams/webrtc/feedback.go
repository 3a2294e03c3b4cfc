package webrtc

import (
	"time"

	"github.com/pion/rtcp"
)

// feedback is what a peer reports and requests by RTCP.
type feedback struct {
	sequences []uint16 // missing
	keyframe  bool     // a keyframe is needed
	reports   []rtcp.ReceptionReport
}

// handleFeedback notes what is to be retransmitted, and whether a keyframe is requested.
func (s *sender) handleFeedback(f feedback) {
	if f.keyframe {
		s.plis.Add(1)
		if now := time.Now(); s.joined && s.cursor >= s.burstTo && now.Sub(s.keyframeRequestedAt) > keyframeRequestEvery {
			s.keyframeRequested, s.keyframeRequestedAt = true, now
		}
	}
	s.nacked = append(s.nacked, f.sequences[:min(len(f.sequences), maxNACKed-len(s.nacked))]...)
}

// retransmit sends up to limit of the requested packets again, if the feed still has them. It returns
// how many requests it has handled.
func (s *sender) retransmit(limit int) (int, error) {
	n := min(limit, len(s.nacked))
	for _, short := range s.nacked[:n] {
		if _, err := s.retransmitOne(s.sequence - uint64(uint16(s.sequence)-short)); err != nil {
			return 0, err
		}
	}
	s.nacked = append(s.nacked[:0], s.nacked[n:]...)
	return n, nil
}

// retransmitOne sends the packet of this number again and returns the size of its payload, 0 if the feed
// no longer has it.
func (s *sender) retransmitOne(sequence uint64) (size int, err error) {
	sp := s.spanOf(sequence)
	if sp == nil {
		return 0, nil
	}
	var one [1]*packet
	if found, ok := s.feed.read(sp.index+sequence-sp.sequence, one[:]); !ok || found == 0 {
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
		packets, err := rtcp.Unmarshal(buffer[:n])
		if err != nil {
			continue // the peer is authenticated, so it harms only itself
		}
		if f := feedbackOf(packets); f.keyframe || len(f.sequences) > 0 || s.wantsReports && len(f.reports) > 0 {
			select {
			case s.feedback <- f:
			default:
			}
		}
	}
}

func feedbackOf(packets []rtcp.Packet) feedback {
	var f feedback
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
	return f
}
