package webrtc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

// Errors of an offer, for the HTTP answer.
var (
	// ErrOffer is an offer that is no session description, or one without video.
	ErrOffer = errors.New("the offer cannot be used")
	// ErrCodec is an offer without a suitable codec.
	ErrCodec = errors.New("no coding in common")
)

const playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

const clockRate = 90000 // of all video over RTP

// codec is one payload format as a session description names it.
type codec struct {
	name        streams.Codec
	fmtp        string
	payloadType uint8
}

func (c codec) mime() string { return "video/" + string(c.name) }

func (c codec) capability() webrtc.RTPCodecCapability {
	return webrtc.RTPCodecCapability{
		MimeType:    c.mime(),
		ClockRate:   clockRate,
		SDPFmtpLine: c.fmtp,
		RTCPFeedback: []webrtc.RTCPFeedback{
			{Type: "nack"}, {Type: "nack", Parameter: "pli"}, {Type: "ccm", Parameter: "fir"},
		},
	}
}

// parameter returns one parameter of the fmtp line, "" when missing.
func (c codec) parameter(name string) string {
	for part := range strings.SplitSeq(c.fmtp, ";") {
		k, v, _ := strings.Cut(strings.TrimSpace(part), "=")
		if strings.EqualFold(k, name) {
			return v
		}
	}
	return ""
}

// profile returns the first two bytes of an H.264 profile-level-id as hex: profile_idc and
// constraints. RFC 6184 section 8.1: a missing one is Baseline at level 1.
func (c codec) profile() string {
	id := strings.ToLower(c.parameter("profile-level-id"))
	if len(id) != 6 {
		return "4200"
	}
	return id[:4]
}

// codecOf returns the payload format that a publisher offers for u, a keyframe.
func codecOf(u *streams.AccessUnit) (codec, error) {
	if u.Codec == streams.H265 {
		return codec{name: streams.H265, payloadType: 96}, nil
	}
	for _, n := range u.NALUs {
		if len(n) >= 4 && h26x.TypeOf(u.Codec, n) == h26x.H264SPS {
			fmtp := fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=%02x%02x%02x", n[1], n[2], n[3])
			return codec{name: streams.H264, fmtp: fmtp, payloadType: 96}, nil
		}
	}
	return codec{}, fmt.Errorf("reading the first frame: %w: no sequence parameter set", ErrCodec)
}

// offered returns the supported payload formats of the offer's first video medium:
// H.264 with packetization-mode 1, and H.265; in the offer's order.
func offered(offer string) ([]codec, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(offer); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	i := slices.IndexFunc(d.MediaDescriptions, func(m *sdp.MediaDescription) bool { return m.MediaName.Media == "video" })
	if i < 0 {
		return nil, fmt.Errorf("%w: it has no video", ErrOffer)
	}
	m := d.MediaDescriptions[i]
	var found []codec
	for _, format := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		c := codec{payloadType: uint8(pt)}
		for _, a := range m.Attributes {
			id, rest, _ := strings.Cut(a.Value, " ")
			switch {
			case id != format:
			case a.Key == "rtpmap":
				name, _, _ := strings.Cut(rest, "/")
				c.name = streams.Codec(strings.ToUpper(name))
			case a.Key == "fmtp":
				c.fmtp = rest
			}
		}
		if c.name == streams.H265 || c.name == streams.H264 && c.parameter("packetization-mode") == "1" {
			found = append(found, c)
		}
	}
	if len(found) == 0 {
		return nil, fmt.Errorf("%w: the offer has neither H.264 with packetization-mode 1 nor H.265", ErrCodec)
	}
	return found, nil
}

// CheckOffer returns ErrOffer or ErrCodec for an offer that suits no source.
func CheckOffer(offer string) error {
	_, err := offered(offer)
	return err
}

// choose returns the offered format that suits a source best. A source whose profile was not offered is
// sent as the most similar one: decoders read the parameter sets and not the offer, and browsers offer
// fewer profiles than they decode.
func choose(source codec, from []codec) (codec, error) {
	best, rank := codec{}, -1
	for _, c := range from {
		if c.name != source.name {
			continue
		}
		if r := similarity(source.profile(), c.profile()); r > rank {
			best, rank = c, r
		}
	}
	if rank < 0 {
		return codec{}, fmt.Errorf("%w: the camera sends %s, which the offer does not have", ErrCodec, source.name)
	}
	return best, nil
}

// similarity is higher the better an offered H.264 profile suits that of the source.
func similarity(source, offer string) int {
	if source == offer {
		return 10
	}
	if source[:2] == offer[:2] {
		return 9
	}
	order := []string{"64", "4d", "f4", "42"} // High, Main, High 4:4:4, Baseline
	if source[:2] == "42" {
		order = []string{"4d", "64", "f4"}
	}
	if i := slices.Index(order, offer[:2]); i >= 0 {
		return 5 - i
	}
	return 0
}
