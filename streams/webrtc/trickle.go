package webrtc

import (
	"errors"
	"fmt"
	"strings"

	"github.com/pion/ice/v4"
	"github.com/pion/webrtc/v4"
)

// fragment is the content of a trickle-ice-sdpfrag (RFC 8840).
type fragment struct {
	ufrag, password string
	mid             string
	candidates      []string
}

const maxCandidates = 64 // of one fragment; the rest is ignored

// parseFragment returns ErrOffer for a text that is no fragment: each line has a type and a value, candidates can be
// read, credentials come in pairs of the lengths of RFC 8839, section 5.4, and there is something about ICE in it.
func parseFragment(text string) (fragment, error) {
	var f fragment
	about := false
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, "\r\n")
		if line == "" {
			continue
		}
		if len(line) < 2 || line[0] < 'a' || line[0] > 'z' || line[1] != '=' {
			return fragment{}, fmt.Errorf("%w: a line of the fragment has no type", ErrOffer)
		}
		key, value, _ := strings.Cut(strings.TrimSpace(line), ":")
		switch key {
		case "a=ice-ufrag":
			f.ufrag = value
		case "a=ice-pwd":
			f.password = value
		case "a=mid":
			f.mid = value
		case "a=end-of-candidates":
			about = true
		case "a=candidate":
			about = true
			if err := checkCandidate(value); err != nil {
				return fragment{}, err
			}
			if len(f.candidates) < maxCandidates {
				f.candidates = append(f.candidates, "candidate:"+value)
			}
		}
	}
	switch {
	case (f.ufrag == "") != (f.password == ""):
		return fragment{}, fmt.Errorf("%w: ice-ufrag and ice-pwd belong together", ErrOffer)
	case f.ufrag != "" && (!isICEChars(f.ufrag, 4) || !isICEChars(f.password, 22)):
		return fragment{}, fmt.Errorf("%w: bad ice-ufrag or ice-pwd", ErrOffer)
	case f.ufrag == "" && !about:
		return fragment{}, fmt.Errorf("%w: the fragment has no ICE attribute", ErrOffer)
	}
	return f, nil
}

// checkCandidate returns ErrOffer for a candidate that cannot be read. Candidates of unknown types and transports are
// valid; they are ignored later (RFC 8839, section 5.1).
func checkCandidate(value string) error {
	if value == "" {
		return nil // the end of the candidates, as browsers write it
	}
	_, err := ice.UnmarshalCandidate(value)
	if err == nil || errors.Is(err, ice.ErrUnknownCandidateTyp) || errors.Is(err, ice.ErrDetermineNetworkType) {
		return nil
	}
	return fmt.Errorf("%w: candidate: %w", ErrOffer, err)
}

// isICEChars reports whether s has at least least and at most 256 of the characters that ICE credentials have.
func isICEChars(s string, least int) bool {
	return len(s) >= least && len(s) <= 256 && !strings.ContainsFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '+' || r == '/')
	})
}

// trickle adds candidates, or restarts ICE if the fragment has new credentials. It returns the
// answering fragment, empty unless ICE was restarted.
func (s *session) trickle(text string) (string, error) {
	f, err := parseFragment(text)
	if err != nil {
		return "", err
	}
	remote := s.pc.RemoteDescription()
	if remote == nil {
		return "", fmt.Errorf("%w: there was no negotiation before", ErrOffer)
	}
	reply := ""
	if f.ufrag != "" && credential(remote.SDP, "ice-ufrag") != f.ufrag {
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
