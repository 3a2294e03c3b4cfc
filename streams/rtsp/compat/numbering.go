package compat

import "strconv"

// numbering chooses payload types that the library reads. It knows H.264, H.265, AAC and Opus by dynamic payload types
// only, and JPEG by its static one, whatever the camera's rtpmap says.
type numbering struct {
	used map[string]bool // payload types in the description
	sent map[uint8]uint8 // the camera's payload types, by those chosen where they differ
}

const jpegType = "26" // RFC 3551, section 6

// numbering returns the payload types that a description uses.
func (d *description) numbering() *numbering {
	n := &numbering{used: map[string]bool{}, sent: map[uint8]uint8{}}
	for _, m := range d.media {
		for _, t := range m.complete() {
			n.used[t] = true
		}
	}
	return n
}

// assign returns the payload type for a format: its own if there is no other that the library reads.
func (n *numbering) assign(f format) string {
	name, _, _ := f.codec()
	switch name {
	case "JPEG":
		if f.payloadType != jpegType && !n.used[jpegType] {
			return n.choose(f, jpegType)
		}
	case "H264", "H265", "MPEG4-GENERIC", "OPUS":
		if isDynamic(f.payloadType) || name == "H264" && f.payloadType == "35" {
			return f.payloadType
		}
		for t := 127; t >= 96; t-- {
			if free := strconv.Itoa(t); !n.used[free] {
				return n.choose(f, free)
			}
		}
	}
	return f.payloadType
}

func (n *numbering) choose(f format, number string) string {
	n.used[number] = true
	n.sent[typeNumber(number)] = typeNumber(f.payloadType)
	return number
}

// isDynamic reports whether a payload type is one of 96 to 127 (RFC 3551, section 6).
func isDynamic(payloadType string) bool { return typeNumber(payloadType) >= 96 }

// typeNumber returns a payload type as a number; payloadType has checked that it is one.
func typeNumber(s string) uint8 {
	n, _ := strconv.ParseUint(s, 10, 7)
	return uint8(n)
}
