package compat

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Bounds of a description. Cameras send one to four kilobytes.
const (
	maxDescription = 256 << 10 // bytes
	maxMedia       = 32        // media that are looked at
	maxAttributes  = 256       // lines of one medium
	maxFormats     = 32        // payload types of one medium
)

// Remark says what was left out of a camera's description, or repaired.
type Remark struct {
	Subject string // such as "audio 104 MPEG4-GENERIC/16000", printable, at most maxRemark bytes
	Reason  string // such as "its configuration cannot be read"

	// Kind is "video" or "audio" if a format of that kind was left out, and Codec its name; both are empty otherwise.
	Kind, Codec string
}

// String returns a line for logs and for people.
func (r Remark) String() string { return r.Subject + ": " + r.Reason }

// maxRemark bounds the bytes of a camera's own text in a remark, and maxRemarks their number.
const (
	maxRemark  = 80
	maxRemarks = 16
)

// medium is one m= section of a description with what is needed of its lines.
type medium struct {
	kind      string // "video" or "audio"
	types     []string
	rtpmap    []attribute
	fmtp      []attribute
	control   string
	direction string // "sendonly", "recvonly", "sendrecv", "inactive" or ""
	lines     int
}

// attribute is the value of a=rtpmap or a=fmtp: a payload type, "" if there is none, and the rest.
type attribute struct{ payloadType, value string }

// description is what RebuildSDP reads from a camera.
type description struct {
	session medium // the lines before the first m=; only its attributes count
	media   []medium
	other   int // media of other kinds, such as metadata
}

// RebuiltSDP is what RebuildSDP makes of a description.
type RebuiltSDP struct {
	Text    []byte
	Control string // the session's control attribute, "" for none
	Remarks []Remark

	types map[uint8]uint8 // payload types that the camera sends, by those in Text where they differ
}

// RebuildSDP makes a minimal description (RFC 8866) of what a camera sent: session lines of our own, and the video and
// audio that Gridpost can use with rtpmap, fmtp and control. Whatever else the camera wrote, however broken, cannot make
// the library refuse the result.
//
// It returns a *NoVideoError, and the remarks, if no video is left.
func RebuildSDP(body []byte) (RebuiltSDP, error) {
	d := parseSDP(body)
	notes := &notes{}
	numbers := d.numbering()
	var out bytes.Buffer
	out.WriteString("v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=-\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n")
	videos := 0
	var offered []string
	for _, m := range d.used(notes) {
		text, names := m.rebuild(d, numbers, notes)
		if m.kind == "video" {
			offered = append(offered, names...)
		}
		if text == "" {
			continue
		}
		if m.kind == "video" {
			videos++
		}
		out.WriteString(text)
	}
	if videos == 0 {
		return RebuiltSDP{Remarks: notes.list}, &NoVideoError{Offered: offered}
	}
	return RebuiltSDP{Text: out.Bytes(), Control: d.session.control, Remarks: notes.list, types: numbers.sent}, nil
}

// notes collects remarks without repetition.
type notes struct{ list []Remark }

func (n *notes) add(subject, reason string) { n.append(Remark{Subject: subject, Reason: reason}) }

// leftOut notes that a format is left out.
func (n *notes) leftOut(f format, reason string) {
	n.append(Remark{Subject: f.subject(), Reason: reason, Kind: f.kind, Codec: printable(f.name(), maxRemark)})
}

func (n *notes) append(r Remark) {
	r.Subject = printable(r.Subject, maxRemark)
	if len(n.list) < maxRemarks && !slices.Contains(n.list, r) {
		n.list = append(n.list, r)
	}
}

// parseSDP reads what it can use; it passes over everything else.
func parseSDP(body []byte) *description {
	if len(body) > maxDescription {
		body = body[:maxDescription]
	}
	d := &description{}
	current := &d.session
	for len(body) > 0 {
		var line string
		line, body = cutLine(body)
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			continue
		}
		value = strings.TrimSpace(value)
		switch strings.ToLower(strings.Trim(key, " \t\ufeff")) {
		case "m":
			m, used := parseMedium(value)
			switch {
			case !used:
				d.other++
				current = &medium{} // its attributes belong to nothing
			case len(d.media) == maxMedia:
				return d
			default:
				d.media = append(d.media, m)
				current = &d.media[len(d.media)-1]
			}
		case "a":
			current.addAttribute(value)
		}
	}
	return d
}

// cutLine returns the first line of b, without NUL and white space around it, and the rest. CR, LF and CRLF end a line.
func cutLine(b []byte) (string, []byte) {
	line, rest := b, []byte(nil)
	if i := bytes.IndexAny(b, "\r\n"); i >= 0 {
		line, rest = b[:i], b[i+1:]
	}
	if bytes.IndexByte(line, 0) >= 0 {
		line = bytes.ReplaceAll(line, []byte{0}, nil)
	}
	return strings.TrimSpace(string(line)), rest
}

// parseMedium parses the value of an m= line, "video 0 RTP/AVP 96". It does not look at the port, which means nothing in
// RTSP, and takes what comes after the protocol, or after the port if there is no protocol, for payload types.
func parseMedium(value string) (medium, bool) {
	fields := strings.Fields(value)
	if len(fields) == 0 {
		return medium{}, false
	}
	m := medium{kind: strings.ToLower(fields[0])}
	if m.kind != "video" && m.kind != "audio" {
		return medium{}, false
	}
	rest := fields[1:]
	if i := slices.IndexFunc(rest, func(f string) bool {
		return strings.Contains(strings.ToUpper(f), "AVP") || strings.Contains(f, "/MP2T")
	}); i >= 0 {
		rest = rest[i+1:]
	} else if len(rest) > 0 {
		rest = rest[1:]
	}
	for _, f := range rest {
		if t, ok := payloadType(f); ok && !slices.Contains(m.types, t) && len(m.types) < maxFormats {
			m.types = append(m.types, t)
		}
	}
	return m, true
}

// payloadType returns a payload type from 0 to 127 in its plain form.
func payloadType(s string) (string, bool) {
	n, err := strconv.ParseUint(s, 10, 7)
	if err != nil {
		return "", false
	}
	return strconv.FormatUint(n, 10), true
}

func (m *medium) addAttribute(value string) {
	if m.lines++; m.lines > maxAttributes {
		return
	}
	name, value, _ := strings.Cut(value, ":")
	value = strings.TrimSpace(value)
	switch name = strings.ToLower(strings.TrimSpace(name)); name {
	case "rtpmap":
		m.rtpmap = append(m.rtpmap, parseAttribute(value))
	case "fmtp":
		m.fmtp = append(m.fmtp, parseAttribute(value))
	case "control":
		if m.control == "" && value != "*" {
			m.control = value
		}
	case "sendonly", "recvonly", "sendrecv", "inactive":
		m.direction = name
	}
}

// parseAttribute parses "96 H264/90000". Some cameras write no payload type, or another separator.
func parseAttribute(value string) attribute {
	digits := 0
	for digits < len(value) && value[digits] >= '0' && value[digits] <= '9' {
		digits++
	}
	t, ok := payloadType(value[:digits])
	if !ok || digits < len(value) && !strings.ContainsRune(" \t;:", rune(value[digits])) {
		return attribute{"", value}
	}
	return attribute{t, strings.TrimLeft(value[digits:], " \t;:")}
}

// used returns the media that may be set up: without back channels and repetitions.
//
// In the description of a camera, a=sendonly marks a back channel: a client may send there (ONVIF Streaming
// Specification, section 5.3). Some cameras describe themselves instead; then all video is sendonly, and a back
// channel would be recvonly.
func (d *description) used(notes *notes) []medium {
	back := "sendonly"
	if !slices.ContainsFunc(d.media, func(m medium) bool { return m.kind == "video" && m.direction != "sendonly" }) {
		back = "recvonly"
	}
	live := func(m medium) bool { return m.kind == "video" && m.direction != back && m.direction != "inactive" }
	anyLive := slices.ContainsFunc(d.media, live)
	var used []medium
	for _, m := range d.media {
		switch {
		case m.direction == back && (m.kind == "audio" || anyLive):
			continue
		case m.direction == "inactive" && (m.kind == "audio" || anyLive):
			notes.add(m.kind, "it is inactive")
			continue
		}
		if slices.ContainsFunc(used, func(o medium) bool {
			return o.kind == m.kind && o.control == m.control && slices.Equal(o.types, m.types)
		}) {
			notes.add(m.kind, "it is described twice")
			continue
		}
		used = append(used, m)
	}
	return used
}

// complete returns the payload types of a medium. Without any on its m= line, those of its rtpmap lines are taken.
func (m medium) complete() []string {
	if len(m.types) > 0 {
		return m.types
	}
	var types []string
	for _, a := range m.rtpmap {
		if a.payloadType != "" && !slices.Contains(types, a.payloadType) && len(types) < maxFormats {
			types = append(types, a.payloadType)
		}
	}
	return types
}

// find returns the value for a payload type. A medium with one payload type takes a value that is for none of its
// types: the camera wrote another number by mistake. Last comes what stands before the first medium.
func find(own, session []attribute, payloadType string, alone bool) string {
	for _, list := range [][]attribute{own, session} {
		for _, a := range list {
			if a.payloadType == payloadType {
				return a.value
			}
		}
	}
	if alone && len(own) > 0 {
		return own[0].value
	}
	return ""
}

// rebuild returns the lines of a medium, "" if no format is left, and the names of the codecs that it offered.
func (m medium) rebuild(d *description, numbers *numbering, notes *notes) (text string, names []string) {
	types := m.complete()
	var formats []rebuilt
	for _, t := range types {
		alone := len(types) == 1
		f := format{kind: m.kind, payloadType: t, rtpmap: find(m.rtpmap, d.session.rtpmap, t, alone), fmtp: find(m.fmtp, d.session.fmtp, t, alone)}
		names = append(names, printable(f.name(), maxRemark))
		f.number = numbers.assign(f)
		if r, ok := f.rebuild(notes); ok {
			formats = append(formats, r)
		}
	}
	if len(types) == 0 {
		notes.add(m.kind, "it names no format")
	}
	if len(formats) == 0 {
		return "", names
	}
	text = mediumText(m.kind, encodeControl(m.control), formats)
	if !accepted(text) {
		notes.add(m.kind+" "+strings.Join(names, " "), "its parameters cannot be read")
		return "", names
	}
	return text, names
}

// rebuilt is one payload type with the lines for it.
type rebuilt struct {
	payloadType string
	lines       []string
}

func mediumText(kind, control string, formats []rebuilt) string {
	var b strings.Builder
	fmt.Fprintf(&b, "m=%s 0 RTP/AVP", kind)
	for _, f := range formats {
		b.WriteString(" " + f.payloadType)
	}
	b.WriteString("\r\n")
	for _, f := range formats {
		for _, line := range f.lines {
			b.WriteString(line + "\r\n")
		}
	}
	if control != "" {
		b.WriteString("a=control:" + control + "\r\n")
	}
	return b.String()
}

// encodeControl makes a control attribute a part of a URL that can be parsed: the library does not check that.
func encodeControl(s string) string {
	if len(s) > 1024 {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '%' && (i+2 >= len(s) || !isHex(s[i+1]) || !isHex(s[i+2])), c <= ' ', c >= 0x7f, strings.IndexByte("\"<>\\^`{|}#[]", c) >= 0:
			fmt.Fprintf(&b, "%%%02X", c)
		default:
			b.WriteByte(c)
		}
	}
	s = b.String()
	if scheme, rest, ok := strings.Cut(s, "://"); ok {
		if scheme = strings.ToLower(scheme); scheme == "rtsp" || scheme == "rtsps" {
			s = scheme + "://" + rest
			if _, err := parseURL(s); err != nil {
				return ""
			}
		}
	}
	return s
}

func isHex(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}
