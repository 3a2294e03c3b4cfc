package webrtc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/webrtc/v4"
)

// fragment is the content of a trickle-ice-sdpfrag (RFC 8840).
type fragment struct {
	ufrag, password string
	mid             string
	candidates      []string
}

const maxCandidates = 64 // of one fragment; the rest is ignored

func parseFragment(text string) fragment {
	var f fragment
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "a=ice-ufrag":
			f.ufrag = value
		case "a=ice-pwd":
			f.password = value
		case "a=mid":
			f.mid = value
		case "a=candidate":
			if len(f.candidates) < maxCandidates {
				f.candidates = append(f.candidates, "candidate:"+value)
			}
		}
	}
	return f
}

// trickle adds candidates, or restarts ICE if the fragment has new credentials. It returns the
// answering fragment, empty unless ICE was restarted.
func (s *session) trickle(text string) (string, error) {
	f := parseFragment(text)
	remote := s.pc.RemoteDescription()
	if remote == nil {
		return "", fmt.Errorf("%w: there was no negotiation before", ErrOffer)
	}
	reply := ""
	if f.ufrag != "" && credential(remote.SDP, "ice-ufrag") != f.ufrag {
		if f.password == "" {
			return "", fmt.Errorf("%w: ice-ufrag without ice-pwd", ErrOffer)
		}
		answer, err := s.accept(withCredentials(remote.SDP, f.ufrag, f.password))
		if err != nil {
			return "", fmt.Errorf("restarting ICE: %w", err)
		}
		reply = iceLines(answer)
	}
	var bad []error
	for _, c := range f.candidates {
		err := s.pc.AddICECandidate(webrtc.ICECandidateInit{Candidate: c, SDPMid: &f.mid})
		if err != nil {
			bad = append(bad, fmt.Errorf("%w: candidate: %w", ErrOffer, err))
		}
	}
	return reply, errors.Join(bad...)
}

// credential returns the first attribute of this name, "" if there is none.
func credential(sdp, name string) string {
	for line := range strings.Lines(sdp) {
		if value, ok := strings.CutPrefix(strings.TrimSpace(line), "a="+name+":"); ok {
			return value
		}
	}
	return ""
}

// withCredentials returns an offer with other ICE credentials and without candidates.
func withCredentials(sdp, ufrag, password string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		switch {
		case strings.HasPrefix(line, "a=ice-ufrag:"):
			b.WriteString("a=ice-ufrag:" + ufrag + "\r\n")
		case strings.HasPrefix(line, "a=ice-pwd:"):
			b.WriteString("a=ice-pwd:" + password + "\r\n")
		case strings.HasPrefix(line, "a=candidate:"), strings.HasPrefix(line, "a=end-of-candidates"):
		default:
			b.WriteString(line)
		}
	}
	return b.String()
}

// iceLines returns the lines of an answer that belong into a fragment.
func iceLines(sdp string) string {
	var b strings.Builder
	for line := range strings.Lines(sdp) {
		for _, prefix := range []string{"a=ice-", "m=", "a=mid:", "a=candidate:", "a=end-of-candidates"} {
			if strings.HasPrefix(line, prefix) {
				b.WriteString(line)
			}
		}
	}
	return b.String()
}

// Trickle handles a viewer's fragment (RFC 8840): more candidates, or new credentials, which
// restart ICE. The reply is empty unless ICE was restarted.
func (v *Viewer) Trickle(fragment string) (reply string, err error) {
	return v.session.trickle(fragment)
}

// Trickle handles a publisher's fragment, as Viewer.Trickle does.
func (in *Ingest) Trickle(fragment string) (reply string, err error) {
	return in.session.trickle(fragment)
}
