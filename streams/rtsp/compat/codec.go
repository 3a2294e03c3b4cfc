package compat

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"

	libdescription "github.com/bluenviron/gortsplib/v4/pkg/description"
	libsdp "github.com/bluenviron/gortsplib/v4/pkg/sdp"
)

// format is one payload type of a medium as the camera describes it.
type format struct {
	kind, payloadType string
	rtpmap, fmtp      string
	number            string // the payload type in the rebuilt description
}

// codecNames are the spellings of a codec, in upper case, that cameras use, and the registered name.
func codecName(s string) string {
	switch s = strings.ToUpper(s); s {
	case "H.264", "AVC", "AVC1":
		return "H264"
	case "H.265", "HEVC", "HVC1", "HEV1":
		return "H265"
	case "MJPEG", "MJPG":
		return "JPEG"
	case "G711A", "G.711A", "ALAW":
		return "PCMA"
	case "G711U", "G.711U", "ULAW":
		return "PCMU"
	case "MPEG4_GENERIC", "AAC":
		return "MPEG4-GENERIC"
	}
	return s
}

// codec returns the codec's name, its clock rate and channels; 0 where the camera gave none that can be read.
func (f format) codec() (name string, clock, channels int) {
	parts := strings.Split(f.rtpmap, "/")
	if name = codecName(strings.TrimSpace(parts[0])); name == "" {
		return f.codecWithoutName()
	}
	number := func(i int) int {
		if i < len(parts) {
			if n, err := strconv.ParseUint(strings.TrimSpace(parts[i]), 10, 31); err == nil {
				return int(n)
			}
		}
		return 0
	}
	return name, number(1), number(2)
}

// codecWithoutName returns the codec of a format without rtpmap: that of its static payload type (RFC 3551, section 6),
// or the one that has its parameters.
func (f format) codecWithoutName() (name string, clock, channels int) {
	switch f.payloadType {
	case "0":
		return "PCMU", 8000, 1
	case "8":
		return "PCMA", 8000, 1
	case "26":
		return "JPEG", 90000, 0
	}
	if f.kind != "video" {
		return "", 0, 0
	}
	p := f.parameters()
	switch {
	case p["sprop-vps"] != "" || p["sprop-sps"] != "":
		return "H265", 90000, 0
	case p["sprop-parameter-sets"] != "" || p["packetization-mode"] != "":
		return "H264", 90000, 0
	}
	return "", 0, 0
}

// name says what the camera offers, for people.
func (f format) name() string {
	if name, _, _ := f.codec(); name != "" {
		return name
	}
	return "payload type " + f.payloadType
}

func (f format) subject() string { return f.kind + " " + f.payloadType + " " + f.name() }

// rebuild returns the lines for a format, or false if Gridpost or the library cannot use it.
func (f format) rebuild(notes *notes) (rebuilt, bool) {
	name, clock, channels := f.codec()
	r := rebuilt{payloadType: f.number}
	var rtpmap string
	var parameters []string
	dynamic := isDynamic(f.number)
	switch {
	case f.kind == "video" && name == "H264" && (dynamic || f.number == "35"):
		rtpmap, parameters = "H264/90000", f.h264(notes)
	case f.kind == "video" && name == "H265" && dynamic:
		rtpmap, parameters = "H265/90000", f.h265(notes)
	case f.kind == "video" && name == "JPEG" && f.number == "26":
		rtpmap = "JPEG/90000"
	case f.kind == "audio" && name == "MPEG4-GENERIC" && dynamic:
		var ok bool
		if clock, parameters, ok = f.aac(clock, channels, notes); !ok {
			return r, false
		}
		rtpmap = fmt.Sprintf("mpeg4-generic/%d/%d", clock, max(channels, 1))
	case f.kind == "audio" && name == "OPUS" && dynamic:
		rtpmap = "opus/48000/2" // RFC 7587, section 7: always
		if f.parameters()["sprop-stereo"] == "1" {
			parameters = []string{"sprop-stereo=1"}
		}
	case f.kind == "audio" && (name == "PCMA" || name == "PCMU") && (dynamic || f.payloadType == "0" || f.payloadType == "8"):
		if clock == 0 {
			clock = 8000
		}
		rtpmap = fmt.Sprintf("%s/%d/%d", name, clock, max(channels, 1))
		if !dynamic {
			rtpmap = fmt.Sprintf("%s/8000", name)
			if (name == "PCMU") != (f.payloadType == "0") {
				notes.leftOut(f, "its payload type belongs to another codec")
				return r, false
			}
		}
	default:
		notes.leftOut(f, "it is not supported")
		return r, false
	}
	r.lines = append(r.lines, "a=rtpmap:"+f.number+" "+rtpmap)
	if len(parameters) > 0 {
		r.lines = append(r.lines, "a=fmtp:"+f.number+" "+strings.Join(parameters, ";"))
	}
	if !accepted(mediumText(f.kind, "", []rebuilt{r})) {
		if f.kind == "audio" {
			notes.leftOut(f, "its parameters cannot be read")
			return r, false
		}
		notes.add(f.subject(), "its parameters cannot be read, those in the stream are used")
		r.lines = r.lines[:1]
	}
	return r, true
}

// parameters returns the parameters of fmtp by their names in lower case.
func (f format) parameters() map[string]string {
	m := map[string]string{}
	for _, p := range strings.Split(f.fmtp, ";") {
		key, value, _ := strings.Cut(p, "=")
		if key = strings.ToLower(strings.TrimSpace(key)); key != "" && m[key] == "" {
			m[key] = strings.Trim(strings.TrimSpace(value), `"`)
		}
	}
	return m
}

// h264 returns the parameters of H.264 (RFC 6184, section 8.1). Parameter sets that cannot be read are left out: those in
// the stream are used then.
func (f format) h264(notes *notes) []string {
	const sps, pps = 7, 8
	p := f.parameters()
	var out []string
	switch mode := p["packetization-mode"]; mode {
	case "0", "":
	case "2":
		// Interleaved packets are not supported; no camera is known that sends them.
		notes.add(f.subject(), "it announces interleaved packets (packetization-mode 2)")
		fallthrough
	default:
		out = append(out, "packetization-mode=1")
	}
	value, given := p["sprop-parameter-sets"]
	if !given || value == "" {
		return out
	}
	sets := map[int]string{}
	for _, nalu := range parameterSets(value) {
		if t := int(nalu[0] & 31); sets[t] == "" {
			sets[t] = base64.StdEncoding.EncodeToString(nalu)
		}
	}
	if sets[sps] == "" || sets[pps] == "" {
		notes.add(f.subject(), "its parameter sets cannot be read, those in the stream are used")
		return out
	}
	return append(out, "sprop-parameter-sets="+sets[sps]+","+sets[pps])
}

// h265 returns the parameters of H.265 (RFC 7798, section 7.1).
func (f format) h265(notes *notes) []string {
	p := f.parameters()
	var out []string
	// Above 0 the packets have decoding order numbers.
	if n, err := strconv.ParseUint(p["sprop-max-don-diff"], 10, 15); err == nil && n > 0 {
		out = append(out, "sprop-max-don-diff="+strconv.FormatUint(n, 10))
	}
	others := out
	for _, set := range []struct {
		name string
		kind byte
	}{{"sprop-vps", 32}, {"sprop-sps", 33}, {"sprop-pps", 34}} {
		value := p[set.name]
		if value == "" {
			continue
		}
		nalus := parameterSets(value)
		i := slices.IndexFunc(nalus, func(nalu []byte) bool { return nalu[0]>>1&63 == set.kind })
		if i < 0 {
			notes.add(f.subject(), "its parameter sets cannot be read, those in the stream are used")
			return others
		}
		out = append(out, set.name+"="+base64.StdEncoding.EncodeToString(nalus[i]))
	}
	return out
}

// parameterSets decodes NALUs in base64, separated by commas. Padding may be missing, start codes may be there, and one
// value may hold several NALUs.
func parameterSets(value string) [][]byte {
	var nalus [][]byte
	for _, part := range strings.SplitN(value, ",", 16) {
		part = strings.Map(func(r rune) rune {
			if r == ' ' || r == '\t' || r == '=' {
				return -1
			}
			return r
		}, part)
		raw, err := base64.RawStdEncoding.DecodeString(part)
		if err != nil {
			continue
		}
		for _, nalu := range bytes.Split(raw, []byte{0, 0, 1}) {
			if nalu = bytes.TrimRight(nalu, "\x00"); len(nalu) > 2 {
				nalus = append(nalus, nalu)
			}
		}
	}
	return nalus
}

// aacRates are the sampling frequencies of ISO/IEC 14496-3, table 1.18, by their index.
var aacRates = [...]int{96000, 88200, 64000, 48000, 44100, 32000, 24000, 22050, 16000, 12000, 11025, 8000, 7350}

// aac returns the clock rate and the parameters of AAC (RFC 3640, section 4.1). The sizes of AAC-hbr and, for AAC-LC, the
// configuration follow from the rest where the camera leaves them out.
func (f format) aac(clock, channels int, notes *notes) (int, []string, bool) {
	p := f.parameters()
	if mode := strings.ToLower(p["mode"]); mode != "" && mode != "aac-hbr" && mode != "aac_hbr" {
		notes.leftOut(f, "its mode "+printable(mode, 20)+" is not supported")
		return 0, nil, false
	}
	config := p["config"]
	if config == "" {
		i := slices.Index(aacRates[:], clock)
		if i < 0 || channels > 2 {
			notes.leftOut(f, "its configuration is missing")
			return 0, nil, false
		}
		const lowComplexity = 2
		config = fmt.Sprintf("%04x", lowComplexity<<11|i<<7|max(channels, 1)<<3)
	}
	if len(config)%2 != 0 {
		config += "0"
	}
	if _, err := hex.DecodeString(config); err != nil {
		notes.leftOut(f, "its configuration cannot be read")
		return 0, nil, false
	}
	number := func(name, usual string) string {
		if n, err := strconv.ParseUint(p[name], 10, 6); err == nil && n <= 32 {
			return strconv.FormatUint(n, 10)
		}
		return usual
	}
	if clock == 0 {
		clock = 8000 // the library takes the rate from the configuration
	}
	return clock, []string{
		"streamtype=5", "profile-level-id=1", "mode=AAC-hbr", "sizelength=" + number("sizelength", "13"),
		"indexlength=" + number("indexlength", "3"), "indexdeltalength=" + number("indexdeltalength", "3"), "config=" + config,
	}, true
}

// accepted reports whether the library can read a description with these lines of a medium.
func accepted(text string) bool {
	var parsed libsdp.SessionDescription
	if parsed.Unmarshal([]byte("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nt=0 0\r\n"+text)) != nil {
		return false
	}
	var d libdescription.Session
	return d.Unmarshal(&parsed) == nil
}
