package webrtc

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/pion/sdp/v3"
	"github.com/pion/webrtc/v4"

	"gridpost/devices"
	"gridpost/streams"
	"gridpost/streams/h26x"
)

// Errors of an offer, for the HTTP answer.
var (
	// ErrOffer is an offer that is no session description, or one without video.
	ErrOffer = errors.New("the offer cannot be used")
	// ErrCodec is an offer without a suitable codec.
	ErrCodec = errors.New("no coding in common")
	// ErrBFrames is a stream with B-frames: browsers show the frames of WebRTC as they come, in decoding order.
	ErrBFrames error = codedError{code: "video_b_frames"}
)

// CodecError is an ErrCodec that names what the source sends.
type CodecError struct{ Codec streams.Codec }

func (e CodecError) Error() string {
	return fmt.Sprintf("%s: the camera sends %s, which the offer does not have", ErrCodec, e.Codec.Name())
}

// Cause returns the codec as a cause.
func (e CodecError) Cause() devices.Cause {
	return devices.NewCause("codec_not_playable", "codec", e.Codec.Name())
}

func (e CodecError) Unwrap() error { return ErrCodec }

const playoutDelayURI = "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay"

const clockRate = 90000 // of all video over RTP

// codec is one payload format as a session description names it.
type codec struct {
	name        streams.Codec
	fmtp        string
	payloadType uint8
}

func (c codec) mime() string { return c.kind().String() + "/" + string(c.name) }

func (c codec) kind() webrtc.RTPCodecType {
	if c.name.IsAudio() {
		return webrtc.RTPCodecTypeAudio
	}
	return webrtc.RTPCodecTypeVideo
}

// rate returns the RTP clock in Hz: that of Opus is always the same (RFC 7587, section 4.1), and G.711 with another rate
// than 8 kHz is not supported.
func (c codec) rate() uint32 {
	switch c.name {
	case streams.PCMU, streams.PCMA:
		return 8000
	case streams.Opus:
		return 48000
	}
	return clockRate
}

func (c codec) capability() webrtc.RTPCodecCapability {
	if c.name.IsAudio() {
		channels := uint16(0)
		if c.name == streams.Opus {
			channels = 2 // also of one channel (RFC 7587, section 7)
		}
		return webrtc.RTPCodecCapability{MimeType: c.mime(), ClockRate: c.rate(), Channels: channels, SDPFmtpLine: c.fmtp}
	}
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
	switch u.Codec {
	case streams.H265:
		return codec{name: streams.H265, payloadType: 96}, nil
	case streams.H264:
	default:
		return codec{}, fmt.Errorf("reading the first frame: %w", CodecError{u.Codec})
	}
	for _, n := range u.NALUs {
		if len(n) >= 4 && h26x.TypeOf(u.Codec, n) == h26x.H264SPS {
			fmtp := fmt.Sprintf("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=%02x%02x%02x", n[1], n[2], n[3])
			return codec{name: streams.H264, fmtp: fmtp, payloadType: 96}, nil
		}
	}
	return codec{}, fmt.Errorf("reading the first frame: %w: no sequence parameter set", ErrCodec)
}

// audioCodecOf returns the payload format that a publisher offers for an audio track; ok is false if WebRTC cannot carry
// it.
func audioCodecOf(t streams.Track) (c codec, ok bool) {
	c.name = t.Codec
	switch t.Codec {
	case streams.PCMU:
		c.payloadType = 0 // RFC 3551, table 4
	case streams.PCMA:
		c.payloadType = 8
	case streams.Opus:
		c.payloadType, c.fmtp = 111, "minptime=10;useinbandfec=1"
		if t.Channels == 2 {
			c.fmtp += ";stereo=1;sprop-stereo=1"
		}
	default:
		return c, false
	}
	return c, uint32(t.ClockRate) == c.rate() && (t.Channels == 1 || t.Codec == streams.Opus)
}

// offer is what of a peer's offer can be used, in its order.
type offer struct {
	video []codec // H.264 with packetization-mode 1, and H.265, of the first video medium
	audio []codec // G.711 and Opus of the first audio medium that shares the video's transport
}

// readOffer returns ErrOffer or ErrCodec for an offer without usable video.
func readOffer(text string) (offer, error) {
	var d sdp.SessionDescription
	if err := d.UnmarshalString(text); err != nil {
		return offer{}, fmt.Errorf("%w: %w", ErrOffer, err)
	}
	video, audio := firstMedium(&d, "video"), firstMedium(&d, "audio")
	if video == nil {
		return offer{}, fmt.Errorf("%w: it has no video in the right direction", ErrOffer)
	}
	o := offer{video: formatsOf(video, func(c codec) bool {
		return c.name == streams.H265 || c.name == streams.H264 && c.parameter("packetization-mode") == "1"
	})}
	if len(o.video) == 0 {
		return offer{}, fmt.Errorf("%w: the offer has neither H.264 with packetization-mode 1 nor H.265", ErrCodec)
	}
	if audio != nil && bundled(&d, video, audio) {
		o.audio = formatsOf(audio, func(c codec) bool { return c.name.IsAudio() })
	}
	return o, nil
}

// firstMedium returns the first medium of a kind that is not switched off, nil if there is none.
func firstMedium(d *sdp.SessionDescription, kind string) *sdp.MediaDescription {
	for _, m := range d.MediaDescriptions {
		_, bundleOnly := m.Attribute("bundle-only") // its port is 0 (RFC 9143, section 6)
		_, inactive := m.Attribute("inactive")
		if m.MediaName.Media == kind && (m.MediaName.Port.Value != 0 || bundleOnly) && !inactive {
			return m
		}
	}
	return nil
}

// bundled reports whether the offer lets both media share one transport (RFC 9143).
func bundled(d *sdp.SessionDescription, a, b *sdp.MediaDescription) bool {
	first, _ := a.Attribute("mid")
	second, _ := b.Attribute("mid")
	return slices.Contains(bundleOf(d, first), second)
}

// bundleOf returns the mids of the bundle that holds mid, in their order; none if there is no such bundle.
func bundleOf(d *sdp.SessionDescription, mid string) []string {
	for _, x := range d.Attributes {
		if mids := strings.Fields(x.Value); x.Key == "group" && len(mids) > 0 && mids[0] == "BUNDLE" && slices.Contains(mids[1:], mid) {
			return mids[1:]
		}
	}
	return nil
}

// formatsOf returns the payload formats of a medium that are usable.
func formatsOf(m *sdp.MediaDescription, usable func(codec) bool) []codec {
	var found []codec
	for _, format := range m.MediaName.Formats {
		pt, err := strconv.ParseUint(format, 10, 7)
		if err != nil {
			continue
		}
		c := codec{payloadType: uint8(pt)}
		rtpmap := map[string]string{"0": "PCMU/8000", "8": "PCMA/8000"}[format] // may be left out (RFC 3551, table 4)
		for _, a := range m.Attributes {
			id, rest, _ := strings.Cut(a.Value, " ")
			switch {
			case id != format:
			case a.Key == "rtpmap":
				rtpmap = rest
			case a.Key == "fmtp":
				c.fmtp = rest
			}
		}
		name, parameters, _ := strings.Cut(rtpmap, "/")
		if c.name = streams.Codec(strings.ToUpper(name)); c.name == "OPUS" {
			c.name = streams.Opus
		}
		rate, _, _ := strings.Cut(parameters, "/")
		if rate == strconv.Itoa(int(c.rate())) && usable(c) {
			found = append(found, c)
		}
	}
	return found
}

// CheckOffer returns ErrOffer or ErrCodec for a viewer's offer that suits no source.
func CheckOffer(offer string) error {
	offer, err := directed(offer, directionReceive)
	if err != nil {
		return err
	}
	_, err = readOffer(offer)
	return err
}

// chooseAudio returns the offered format of the source's audio; ok is false if there is none.
func chooseAudio(source *audioFeed, from []codec) (c codec, ok bool) {
	if source == nil {
		return c, false
	}
	i := slices.IndexFunc(from, func(c codec) bool { return c.name == source.codec.name })
	if i < 0 {
		return c, false
	}
	return from[i], true
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
		return codec{}, CodecError{source.name}
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
