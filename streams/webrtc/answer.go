package webrtc

import (
	"fmt"
	"slices"
	"strings"

	"github.com/pion/sdp/v3"
)

// bundleUsed returns an offer whose bundle holds the first usable video, the first usable audio and data, as far as the
// offer bundles them with that video: pion rejects what is not bundled, and would accept what the peer has rejected.
func bundleUsed(offer string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	video, audio := firstMedium(&d, "video"), firstMedium(&d, "audio")
	if video == nil {
		return offer, nil
	}
	mid, ok := video.Attribute("mid")
	if !ok {
		return offer, nil
	}
	mids := slices.DeleteFunc(bundleOf(&d, mid), func(mid string) bool {
		return !slices.ContainsFunc(d.MediaDescriptions, func(m *sdp.MediaDescription) bool {
			own, _ := m.Attribute("mid")
			return own == mid && (m == video || m == audio || m.MediaName.Media == "application" && m.MediaName.Port.Value != 0)
		})
	})
	if len(mids) == 0 {
		mids = []string{mid}
	}
	group := sdp.NewAttribute("group", "BUNDLE "+strings.Join(mids, " "))
	d.Attributes = append(slices.DeleteFunc(d.Attributes, isGroup), group)
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	return string(b), nil
}

// completeAnswer makes an answer that pion has made one that mirrors the offer: it has the offer's sections in the
// offer's order (RFC 3264, section 6), each with its mid (RFC 8829, section 5.3.1). pion leaves out sections of kinds
// that it does not know and rejects a section without its mid. It writes the candidates into the first section, also
// where that is rejected; a browser looks for them in the first accepted section of the bundle (RFC 9143, section 7.3).
func completeAnswer(offer, answer string) (string, error) {
	var from, to sdp.SessionDescription
	if err := from.UnmarshalString(offer); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	if err := to.UnmarshalString(answer); err != nil {
		return "", fmt.Errorf("reading the answer: %w", err)
	}
	if video := firstMedium(&from, "video"); video != nil && !bundled(&from, video, video) {
		to.Attributes = slices.DeleteFunc(to.Attributes, isGroup) // see bundleUsed; an answer adds no bundle (RFC 9143, section 7.3)
	}
	var candidates []sdp.Attribute
	for _, m := range to.MediaDescriptions {
		for _, a := range m.Attributes {
			if isCandidate(a) {
				candidates = append(candidates, a)
			}
		}
		m.Attributes = slices.DeleteFunc(m.Attributes, isCandidate)
	}
	var accepted *sdp.MediaDescription
	sections := make([]*sdp.MediaDescription, len(from.MediaDescriptions))
	for i, offered := range from.MediaDescriptions {
		m := answeredSection(&to, i, offered, len(sections))
		if m == nil {
			m = &sdp.MediaDescription{ConnectionInformation: unspecifiedAddress()}
			m.MediaName.Media = offered.MediaName.Media
		}
		sections[i] = m
		mid, ok := offered.Attribute("mid")
		if _, has := m.Attribute("mid"); ok && !has {
			m.Attributes = append(m.Attributes, sdp.NewAttribute("mid", mid))
		}
		m.MediaName.Protos = offered.MediaName.Protos // also where the section is rejected (RFC 3264, section 6)
		switch {
		case m.MediaName.Port.Value == 0:
			reject(m, offered)
		case accepted == nil:
			accepted = m
		}
	}
	if accepted == nil {
		return "", fmt.Errorf("%w: no medium of it can be accepted", ErrOffer)
	}
	accepted.Attributes = append(accepted.Attributes, candidates...)
	to.MediaDescriptions = sections
	b, err := to.Marshal()
	if err != nil {
		return "", fmt.Errorf("writing the answer: %w", err)
	}
	return string(b), nil
}

// answeredSection returns the section of an answer for the offer's section i, nil if there is none. An answer of older
// hubs has no mid in rejected sections; the position counts there.
func answeredSection(answer *sdp.SessionDescription, i int, offered *sdp.MediaDescription, count int) *sdp.MediaDescription {
	mid, _ := offered.Attribute("mid")
	for _, m := range answer.MediaDescriptions {
		if own, ok := m.Attribute("mid"); ok && own == mid {
			return m
		}
	}
	if len(answer.MediaDescriptions) != count {
		return nil
	}
	m := answer.MediaDescriptions[i]
	if _, ok := m.Attribute("mid"); ok || m.MediaName.Media != offered.MediaName.Media {
		return nil
	}
	return m
}

// reject makes m the answer to a section that is not accepted. One of the offered formats stands for all of them, with
// its meaning, which pion's clients want; of the other attributes only the mid is left.
func reject(m, offered *sdp.MediaDescription) {
	m.MediaName.Formats = offered.MediaName.Formats[:min(1, len(offered.MediaName.Formats))]
	m.Attributes = slices.DeleteFunc(m.Attributes, func(a sdp.Attribute) bool { return a.Key != "mid" })
	for _, a := range offered.Attributes {
		if format, _, _ := strings.Cut(a.Value, " "); a.Key == "rtpmap" && slices.Contains(m.MediaName.Formats, format) {
			m.Attributes = append(m.Attributes, a)
		}
	}
	m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute("inactive"))
}

func unspecifiedAddress() *sdp.ConnectionInformation {
	return &sdp.ConnectionInformation{NetworkType: "IN", AddressType: "IP4", Address: &sdp.Address{Address: "0.0.0.0"}}
}

// Directions of media, as the peer sees them.
const (
	directionReceive = "recvonly" // of a viewer
	directionSend    = "sendonly" // of a publisher
)

// directed returns an offer whose media have the direction want each, or are inactive where the peer does not offer
// that. So a medium that is offered for both ways is answered for the one that is used (RFC 3264, section 6.1); pion
// would accept both.
func directed(offer, want string) (string, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	var ofSession string
	ofSession, d.Attributes = takeDirection(d.Attributes)
	for _, m := range d.MediaDescriptions {
		if m.MediaName.Media != "video" && m.MediaName.Media != "audio" {
			continue
		}
		var own string
		if own, m.Attributes = takeDirection(m.Attributes); own == "" {
			own = ofSession
		}
		if own != "" && own != "sendrecv" && own != want {
			m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute("inactive"))
			continue
		}
		m.Attributes = append(m.Attributes, sdp.NewPropertyAttribute(want))
	}
	b, err := d.Marshal()
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrOffer, err)
	}
	return string(b), nil
}

// takeDirection returns the direction among attributes, "" if there is none, and the other attributes.
func takeDirection(attributes []sdp.Attribute) (direction string, others []sdp.Attribute) {
	for _, a := range attributes {
		switch a.Key {
		case "sendrecv", "sendonly", "recvonly", "inactive":
			direction = a.Key
		default:
			others = append(others, a)
		}
	}
	return direction, others
}

func isCandidate(a sdp.Attribute) bool { return a.Key == "candidate" || a.Key == "end-of-candidates" }

func isGroup(a sdp.Attribute) bool { return a.Key == "group" }
