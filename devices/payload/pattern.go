package payload

import (
	"strconv"
	"strings"
	"time"
)

// unixUnit returns the unit of a format that is a number since 1970.
func unixUnit(name string) (unit time.Duration, ok bool) {
	switch name {
	case "unix_s":
		return time.Second, true
	case "unix_ms":
		return time.Millisecond, true
	case "unix_us":
		return time.Microsecond, true
	case "unix_ns":
		return time.Nanosecond, true
	}
	return 0, false
}

// Format is one form of a time. The zero value is none.
type Format struct {
	text   string
	layout string        // of package time
	unit   time.Duration // of a number since 1970
	zoned  bool          // the layout has a zone
}

// IsZero reports whether f is no format.
func (f Format) IsZero() bool { return f.text == "" }

// String returns f as it was written.
func (f Format) String() string { return f.text }

// ParseFormat reads the format of a document: unix_s, unix_ms, unix_us or unix_ns, or a pattern of
// yyyy or yy, MM or M, dd or d, HH or H, mm or m, ss or s, SSS after a point or comma for any
// fraction of a second, and Z for Z or +08:00 and +0800; what else stands in it must be no letter,
// digit or _, but for T.
func ParseFormat(text string) (Format, error) {
	f := Format{text: text}
	if unit, ok := unixUnit(text); ok {
		f.unit = unit
		return f, nil
	}
	var b strings.Builder
	seen := map[string]bool{}
	for rest := text; rest != ""; {
		n := 1
		for n < len(rest) && rest[n] == rest[0] {
			n++
		}
		part := rest[:n]
		rest = rest[n:]
		token, ok := formatToken(part)
		switch {
		case ok && !seen[token]:
			seen[token] = true
			b.WriteString(token)
		case !ok && plainMark(part):
			b.WriteString(part)
		case strings.Trim(part, "S") == "" && seen["05"]: // package time reads a fraction after seconds by itself
			out := strings.TrimRight(b.String(), ".,")
			b.Reset()
			b.WriteString(out)
		default:
			return Format{}, errFormat
		}
	}
	f.layout, f.zoned = b.String(), seen["Z07:00"]
	if !(seen["2006"] || seen["06"]) || !(seen["01"] || seen["1"]) || !(seen["02"] || seen["2"]) || !(seen["15"] || seen["3"]) || !(seen["04"] || seen["4"]) {
		return Format{}, errFormat
	}
	return f, nil
}

// formatToken returns a part of a pattern as package time writes it.
func formatToken(part string) (token string, ok bool) {
	switch part {
	case "yyyy":
		token = "2006"
	case "yy":
		token = "06"
	case "MM":
		token = "01"
	case "M":
		token = "1"
	case "dd":
		token = "02"
	case "d":
		token = "2"
	case "HH", "H":
		token = "15" // one digit or two
	case "mm":
		token = "04"
	case "m":
		token = "4"
	case "ss":
		token = "05"
	case "s":
		token = "5"
	case "Z":
		token = "Z07:00"
	}
	return token, token != ""
}

// plainMark reports whether a part of a pattern stands for itself.
func plainMark(part string) bool {
	return part == "T" || !strings.ContainsFunc(part, func(r rune) bool {
		return r == '_' || r < 0x80 && (r >= '0' && r <= '9' || r|0x20 >= 'a' && r|0x20 <= 'z') || r < ' '
	})
}

// parse reads a time of the format.
func (f Format) parse(text string, zone *time.Location, near time.Time) (time.Time, error) {
	if f.unit != 0 {
		digits, fraction, ok := cutDigits(text)
		n, err := strconv.ParseInt(digits, 10, 64)
		if !ok || err != nil {
			return time.Time{}, ErrNotFormat
		}
		return sinceEpoch(n, fraction, f.unit), nil
	}
	layout := f.layout
	if f.zoned {
		if at := strings.LastIndexAny(text, "+-"); at >= 0 && !strings.Contains(text[at:], ":") && strings.HasSuffix(layout, "Z07:00") && len(text)-at == 5 {
			layout = strings.TrimSuffix(layout, "Z07:00") + "Z0700"
		}
	} else if zone == nil {
		return time.Time{}, ErrNoZone
	}
	if zone == nil {
		zone = time.UTC
	}
	t, err := time.ParseInLocation(layout, text, zone)
	if err != nil {
		return time.Time{}, ErrNotFormat
	}
	if !f.zoned {
		t = nearest(t, near)
	}
	return t.Round(time.Microsecond).UTC(), nil
}
