package payload

import (
	"strings"
	"time"
)

// calendar reads a date and a time of day, the year first.
func (o Times) calendar(text string, near time.Time) (time.Time, error) {
	switch n := len(text) - len(strings.TrimLeft(text, "0123456789")); {
	case n == 8 && len(text) >= n+5:
		text = basic(text[:n], text[n:n+1], text[n+1:])
	case n == 12 || n >= 14 && n <= 17: // and a zone after it
		text = compact(text[:n]) + text[n:]
	}
	s := scanner{rest: text}
	year, digits := s.number(4)
	if digits != 4 {
		return time.Time{}, ErrNotTime
	}
	s.either("-", "/", ".", "年")
	month := s.short()
	s.either("-", "/", ".", "月")
	day := s.short()
	if marked := s.skip("日"); s.spaces() == 0 && !marked {
		s.either("T", "t", "_", "-")
	}
	hour := s.short()
	s.either(":", "时", "時", "点")
	minute := s.short()
	s.skip("分")
	second, nanos := 0, 0
	if s.skip(":") || s.digit() {
		second = s.short()
		s.skip("秒")
		nanos = s.fraction()
	}
	hour = s.halfDay(hour)
	if s.bad || month < 1 || month > 12 || day < 1 || day > daysIn(year, month) || hour > 23 && (hour > 24 || minute+second+nanos > 0) || minute > 59 || second > 60 {
		return time.Time{}, ErrNotTime
	}
	zone, err := s.zone(o.Zone)
	if err != nil {
		return time.Time{}, err
	}
	t := time.Date(year, time.Month(month), day, hour, minute, second, nanos, zone).Round(time.Microsecond)
	return nearest(t, near).UTC(), nil
}

// nearest returns the time that has the date and time of day of t in its zone: t, or when these come twice
// because summer ends, the one that is nearer to near.
func nearest(t, near time.Time) time.Time {
	_, offset := t.Zone()
	for _, day := range []time.Duration{-24 * time.Hour, 24 * time.Hour} {
		_, other := t.Add(day).Zone()
		u := t.Add(time.Duration(offset-other) * time.Second)
		if _, there := u.Zone(); there == other && u.Sub(near).Abs() < t.Sub(near).Abs() {
			return u
		}
	}
	return t
}

// basic writes yyyyMMddTHHmmss, with whatever follows, as calendar reads it.
func basic(date, separator, clock string) string {
	n := len(clock) - len(strings.TrimLeft(clock, "0123456789"))
	if n != 4 && n != 6 {
		return date + separator + clock
	}
	out := date[:4] + "-" + date[4:6] + "-" + date[6:] + separator + clock[:2] + ":" + clock[2:4]
	if n == 6 {
		out += ":" + clock[4:6]
	}
	return out + clock[n:]
}

func daysIn(year, month int) int {
	return time.Date(year, time.Month(month)+1, 0, 0, 0, 0, 0, time.UTC).Day()
}

// named reads a time with the name of its month: RFC 1123, RFC 850, ctime, and what the command date prints.
func (o Times) named(text string, near time.Time) (time.Time, error) {
	if day, rest, ok := strings.Cut(text, ","); ok && len(day) <= len("Wednesday") {
		text = rest
	}
	words := strings.Fields(text)
	if last := len(words) - 1; last == 5 && len(words[last]) == 4 { // the zone stands before the year
		words[last-1], words[last] = words[last], words[last-1]
	}
	text = strings.Join(words, " ")
	for _, layout := range []string{"2 Jan 2006 15:04:05", "2-Jan-06 15:04:05", "2-Jan-2006 15:04:05", "Mon Jan 2 15:04:05 2006"} {
		words := strings.Count(layout, " ") + 1
		front, zone := text, ""
		if fields := strings.SplitN(text, " ", words+1); len(fields) > words {
			zone = fields[words]
			front = strings.TrimSuffix(text, " "+zone)
		}
		t, err := time.Parse(layout, front)
		if err != nil {
			continue
		}
		s := scanner{rest: zone}
		in, err := s.zone(o.Zone)
		if err != nil {
			return time.Time{}, err
		}
		return nearest(time.Date(t.Year(), t.Month(), t.Day(), t.Hour(), t.Minute(), t.Second(), 0, in), near).UTC(), nil
	}
	return time.Time{}, ErrNotTime
}

// scanner reads the parts of a time. bad says that one was not as expected.
type scanner struct {
	rest string
	bad  bool
}

func (s *scanner) digit() bool { return s.rest != "" && s.rest[0] >= '0' && s.rest[0] <= '9' }

// number reads at most limit digits.
func (s *scanner) number(limit int) (n, digits int) {
	for digits < limit && s.digit() {
		n = n*10 + int(s.rest[0]-'0')
		s.rest = s.rest[1:]
		digits++
	}
	return n, digits
}

// short reads one or two digits.
func (s *scanner) short() int {
	n, digits := s.number(2)
	s.bad = s.bad || digits == 0
	return n
}

func (s *scanner) skip(mark string) (ok bool) {
	s.rest, ok = strings.CutPrefix(s.rest, mark)
	return ok
}

// either skips one of the marks, of which one must be there.
func (s *scanner) either(marks ...string) {
	for _, m := range marks {
		if s.skip(m) {
			return
		}
	}
	s.bad = true
}

func (s *scanner) spaces() int {
	n := len(s.rest)
	s.rest = strings.TrimLeft(s.rest, " \t")
	return n - len(s.rest)
}

// fraction reads a decimal fraction of a second, in nanoseconds.
func (s *scanner) fraction() int {
	if !s.skip(".") && !s.skip(",") && !s.skip(":") {
		return 0
	}
	n, digits := s.number(9)
	s.bad = s.bad || digits == 0
	for ; digits < 9; digits++ {
		n *= 10
	}
	for s.digit() { // finer than a nanosecond
		s.rest = s.rest[1:]
	}
	return n
}

// halfDay reads AM or PM, if it is there, and returns the hour of the day.
func (s *scanner) halfDay(hour int) int {
	word := strings.ToUpper(strings.TrimSpace(s.rest))
	if !strings.HasPrefix(word, "AM") && !strings.HasPrefix(word, "PM") || len(word) > 2 && word[2] != ' ' {
		return hour
	}
	s.spaces()
	s.rest = s.rest[2:]
	s.bad = s.bad || hour < 1 || hour > 12
	hour %= 12
	if word[0] == 'P' {
		hour += 12
	}
	return hour
}

// zone reads the rest: a zone, or nothing.
func (s *scanner) zone(known *time.Location) (*time.Location, error) {
	name := strings.TrimSpace(s.rest)
	switch strings.ToUpper(name) {
	case "Z", "UTC", "GMT":
		return time.UTC, nil
	}
	for _, utc := range []string{"UTC", "GMT"} { // GMT+08:00, as Java writes it
		if offset, ok := strings.CutPrefix(name, utc); ok && offset != "" && (offset[0] == '+' || offset[0] == '-') {
			name = offset
		}
	}
	if name != "" && (name[0] == '+' || name[0] == '-') {
		return parseOffset(name)
	}
	abbreviation := name != "" && len(name) <= 5 && !strings.ContainsFunc(name, func(r rune) bool { return r < 'A' || r > 'Z' })
	switch {
	case name != "" && !abbreviation:
		return nil, ErrNotTime
	case known == nil:
		return nil, ErrNoZone
	}
	return known, nil
}

// maxOffset bounds the offset of a zone from UTC: there is none beyond +14:00.
const maxOffset = 14 * 60

// parseOffset reads +HH, +HHMM or +HH:MM.
func parseOffset(text string) (*time.Location, error) {
	s := scanner{rest: text[1:]}
	hours, digits := s.number(2)
	colon := s.skip(":")
	minutes, more := s.number(2)
	total := hours*60 + minutes
	if digits == 0 || more == 1 || colon && more == 0 || digits == 1 && more > 0 && !colon || s.rest != "" || minutes > 59 || total > maxOffset {
		return nil, ErrNotTime
	}
	if text[0] == '-' {
		total = -total
	}
	if total == 0 {
		return time.UTC, nil
	}
	return time.FixedZone("", total*60), nil
}

// ParseZone reads the zone of a document: a name of the IANA database, such as Asia/Shanghai, or an
// offset such as +08:00.
func ParseZone(text string) (*time.Location, error) {
	if text != "" && (text[0] == '+' || text[0] == '-') {
		zone, err := parseOffset(text)
		if err != nil {
			return nil, errZone
		}
		return zone, nil
	}
	if text == "" || text == "Local" {
		return nil, errZone
	}
	zone, err := time.LoadLocation(text)
	if err != nil {
		return nil, errZone
	}
	return zone, nil
}
