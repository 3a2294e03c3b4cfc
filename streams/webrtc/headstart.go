package webrtc

import (
	"strings"
	"time"

	"github.com/pion/webrtc/v4"
)

// UDP is tried for a round trip before TCP, in these bounds.
const (
	headStartLeast = 20 * time.Millisecond
	headStartMost  = 200 * time.Millisecond
)

// headStart returns for how long UDP candidates are tried before TCP ones are added, if the answer took so long to come.
//
// The addition also makes pion look at its checks at once: without one it nominates a candidate that has answered only
// at its next tick, up to 200 ms later.
func headStart(trip time.Duration) time.Duration {
	return min(max(trip, headStartLeast), headStartMost)
}

// splitCandidates takes the TCP candidates out of an answer that has UDP ones too.
func splitCandidates(answer string) (udp string, tcp []string) {
	var b strings.Builder
	left := false
	for line := range strings.Lines(answer) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "a=candidate:"); ok {
			// foundation, component, transport, ... (RFC 8839, section 5.1)
			if fields := strings.Fields(value); len(fields) > 2 && strings.EqualFold(fields[2], "tcp") {
				tcp = append(tcp, "candidate:"+value)
				continue
			}
			left = true
		}
		b.WriteString(line)
	}
	if !left {
		return answer, nil
	}
	return b.String(), tcp
}

// setAnswer sets an answer that came after trip. Its TCP candidates are added later, unless there is a connection by
// then.
func (s *session) setAnswer(answer string, trip time.Duration) error {
	udp, tcp := splitCandidates(answer)
	if err := s.pc.SetRemoteDescription(webrtc.SessionDescription{Type: webrtc.SDPTypeAnswer, SDP: udp}); err != nil {
		return err
	}
	if len(tcp) == 0 {
		return nil
	}
	time.AfterFunc(headStart(trip), func() {
		select {
		case <-s.connected:
			return
		case <-s.gone:
			return
		default:
		}
		for _, c := range tcp {
			// A candidate that cannot be used leaves the others, as in an answer.
			_ = s.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c})
		}
	})
	return nil
}
