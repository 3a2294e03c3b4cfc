package payload

import (
	"encoding/json"
	"errors"
	"math"
	"strconv"
	"strings"
	"time"
)

// maxTime bounds a time as it is written, in bytes.
const maxTime = 64

// Errors of Time. They say what a person can do about it.
var (
	ErrNotTime   = errors.New("it is not a time in a form that is known; time_format would name it")
	ErrNoZone    = errors.New("it names no time zone; time_zone would")
	ErrNotText   = errors.New("it is neither a text nor a number")
	ErrNotFormat = errors.New("it is not of the form that time_format names")

	errZone   = errors.New("expected a time zone such as Asia/Shanghai or +08:00")
	errFormat = errors.New("expected a time format such as yyyy-MM-dd HH:mm:ss, dd.MM.yyyy HH:mm, unix_s, unix_ms, unix_us or unix_ns")
)

// Times says how a device writes times. The zero value reads whatever names a point in time by
// itself.
type Times struct {
	Zone   *time.Location // of times that name no zone; nil: they are refused
	Format Format         // zero: one of the forms that Time tells apart
}

// Time reads a time of a document, which is about as old as near: where digits can mean several
// times the first is taken that Plausible accepts. It tells these forms apart:
//
//   - ISO 8601 and what is like it: T or space between date and time, dashes, slashes, dots or
//     Chinese words in the date (the year comes first), one digit where two are usual, no seconds, a
//     fraction after a point or comma, AM or PM; Z, UTC, GMT, +0800, +08:00, +08, or no zone;
//   - RFC 1123 with GMT or with an offset, and the forms of ctime and of the command date;
//   - digits: yyyyMMddHHmmss, yyyyMMddHHmm, yyMMddHHmmss, with a fraction (yyyyMMddHHmmssSSS); the first
//     two also with a zone;
//   - seconds, milliseconds, microseconds or nanoseconds since 1970, told apart by their size.
//
// The abbreviation of a zone other than these is ignored when there is a Zone, because it may mean
// several. Of a local time that comes twice when summer ends the one nearer to near is meant.
func (o Times) Time(v any, near time.Time) (time.Time, error) {
	text, err := timeText(v)
	if err != nil {
		return time.Time{}, err
	}
	if !o.Format.IsZero() {
		return o.Format.parse(text, o.Zone, near)
	}
	if digits, fraction, ok := cutDigits(text); ok {
		return o.digits(digits, fraction, near)
	}
	t, err := o.calendar(text, near)
	if errors.Is(err, ErrNotTime) {
		return o.named(text, near)
	}
	return t, err
}

// TwoFields is Time for a date and a time of day in two fields of a document.
func (o Times) TwoFields(date, clock any, near time.Time) (time.Time, error) {
	d, err := timeText(date)
	if err != nil {
		return time.Time{}, err
	}
	c, err := timeText(clock)
	if err != nil {
		return time.Time{}, err
	}
	if !o.Format.IsZero() {
		return o.Format.parse(d+" "+c, o.Zone, near)
	}
	if digits, fraction, ok := cutDigits(c); ok && len(digits) <= 6 {
		// Digits of a number have lost their leading zeros.
		size := 6
		if len(digits) < 5 && fraction == "" {
			size = 4
		}
		digits = strings.Repeat("0", max(0, size-len(digits))) + digits
		c = digits[:2] + ":" + digits[2:4]
		if size == 6 {
			c += ":" + digits[4:] + fraction
		}
	}
	if digits, fraction, ok := cutDigits(d); ok && fraction == "" {
		switch len(digits) {
		case 8:
			d = digits[:4] + "-" + digits[4:6] + "-" + digits[6:]
		case 6:
			d = "20" + digits[:2] + "-" + digits[2:4] + "-" + digits[4:]
		}
	}
	return o.calendar(d+" "+c, near)
}

// timeText returns a value of a document as text.
func timeText(v any) (string, error) {
	var text string
	switch c := v.(type) {
	case string:
		text = strings.Trim(c, " \t\r\n\x00")
	case json.Number:
		text = c.String()
		if f, err := c.Float64(); err == nil && strings.ContainsAny(text, "eE") {
			text = strconv.FormatFloat(f, 'f', -1, 64) // 1.77236634e+12
		}
	default:
		return "", ErrNotText
	}
	if len(text) > maxTime || text == "" {
		return "", ErrNotTime
	}
	return unwrapped(text), nil
}

// unwrapped removes what Java writes after an offset, as in 2026-03-01T20:00:00+08:00[Asia/Shanghai], and
// what .NET writes around milliseconds, as in /Date(1772366340000+0800)/.
func unwrapped(text string) string {
	if at := strings.IndexByte(text, '['); at > 0 && strings.HasSuffix(text, "]") && strings.ContainsAny(text[max(0, at-6):at], "Z+-") {
		return text[:at]
	}
	if inner, ok := strings.CutPrefix(text, "/Date("); ok && strings.HasSuffix(inner, ")/") {
		inner = strings.TrimSuffix(inner, ")/")
		if at := strings.IndexAny(inner, "+-"); at > 0 { // the offset does not change the milliseconds
			inner = inner[:at]
		}
		return inner
	}
	return text
}

// How far a device's own time may be from the time of arrival. The past is wide: a sensor may
// have kept its readings over an outage. The future is not: its clock is wrong.
const (
	MaxFuture = time.Minute
	MaxPast   = 30 * 24 * time.Hour
)

// Plausible says whether a message that arrived at received can be of the time at.
func Plausible(at, received time.Time) bool {
	return at.Before(received.Add(MaxFuture)) && at.After(received.Add(-MaxPast))
}

// cutDigits splits a number without sign and exponent; fraction begins with its point.
func cutDigits(s string) (digits, fraction string, ok bool) {
	point := strings.IndexByte(s, '.')
	if point < 0 {
		point = len(s)
	}
	digits, fraction = s[:point], s[point:]
	return digits, fraction, digits != "" && allDigits(digits) && (fraction == "" || len(fraction) > 1 && allDigits(fraction[1:]))
}

func allDigits(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < '0' || r > '9' })
}

// digits reads a time that is one number.
func (o Times) digits(digits, fraction string, near time.Time) (time.Time, error) {
	var first time.Time
	err := ErrNotTime
	try := func(t time.Time, failed error) bool {
		switch {
		case failed == nil && Plausible(t, near):
			first, err = t, nil
			return true
		case failed == nil && first.IsZero():
			first, err = t, nil
		case errors.Is(err, ErrNotTime):
			err = failed
		}
		return false
	}
	if try(epoch(digits, fraction)) {
		return first, nil
	}
	for _, year := range []string{"", "20"} {
		if n := len(digits) + len(year); n == 12 || n >= 14 && n <= 17 && year == "" || n == 14 {
			if s := year + digits; try(o.calendar(compact(s)+fraction, near)) {
				break
			}
		}
	}
	return first, err
}

// compact writes yyyyMMddHHmm, with seconds and a fraction or without, as calendar reads it.
func compact(s string) string {
	out := s[:4] + "-" + s[4:6] + "-" + s[6:8] + " " + s[8:10] + ":" + s[10:12]
	if len(s) >= 14 {
		out += ":" + s[12:14]
	}
	if len(s) > 14 {
		out += "." + s[14:]
	}
	return out
}

// epoch reads a number of units since 1970. As seconds, the years are 1973 to 5138.
func epoch(digits, fraction string) (time.Time, error) {
	digits = strings.TrimLeft(digits, "0")
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n < 1e8 {
		return time.Time{}, ErrNotTime
	}
	unit := time.Nanosecond
	switch {
	case n < 1e11:
		unit = time.Second
	case n < 1e14:
		unit = time.Millisecond
	case n < 1e17:
		unit = time.Microsecond
	}
	return sinceEpoch(n, fraction, unit), nil
}

// sinceEpoch returns the time n units and a decimal fraction of one after 1970.
func sinceEpoch(n int64, fraction string, unit time.Duration) time.Time {
	rest, err := strconv.ParseFloat("0"+fraction, 64)
	if err != nil {
		rest = 0 // there is none
	}
	perSecond := int64(time.Second / unit)
	nanos := n%perSecond*int64(unit) + int64(math.Round(rest*float64(unit)))
	return time.Unix(n/perSecond, nanos).Round(time.Microsecond).UTC()
}
