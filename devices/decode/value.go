package decode

import (
	"fmt"
	"math"
	"strings"
	"unicode"

	"gridpost/devices"
	"gridpost/devices/format"
	"gridpost/devices/payload"
)

// ValueMapping is how one value and its time are made from a document. It does not change.
type ValueMapping struct {
	Value    Path     // zero: the document itself is the value
	Unit     string   // of the readings; empty: that which is in the value, if any
	Text     bool     // the value is kept as text
	Encoding Encoding // of the texts of the document
	Bytes    Bytes    // the number in the bytes that Encoding gives

	// What a number becomes: the words of Map have their values; another number is multiplied by
	// Scale, and Offset is added. Both may only be 1 (or 0) and 0 when Unit converts.
	Map     map[string]float64 // by Word
	Scale   float64            // 0: 1
	Offset  float64
	Decimal string   // decimal mark of numbers in texts: Point, Comma, or empty: see parseNumber
	Missing *float64 // the value when an object lacks its last member; nil: then there is none

	// What makes a value Bad: it is one of Invalid as the device sends it, or what it becomes is out of
	// Range, or Quality says so.
	Invalid []string // as Word returns them
	Range   Range
	Quality Quality

	Time  Path // of the time of measurement; zero: what the format found, or that of arrival
	Date  Path // of its date, when Time has only the time of day
	Times payload.Times
}

// Range bounds the values of a sensor, which are good when they are within it. The zero value is no bound.
type Range struct {
	Min, Max float64
	Set      bool
}

// Quality says where a device says whether its value can be used. The zero value is nowhere.
type Quality struct {
	Path      Path
	Good, Bad []string // as Word returns them; both empty: the usual words for good ones
}

// read makes a reading of what a report says. warn says why the time is that of arrival although the
// device sends one, or what else is wrong with the device. The error wraps errNoValue when there is
// nothing at the path of the value.
func (m *Mapping) read(rep format.Report, msg devices.Message) (r devices.Reading, warn warning, err error) {
	r = devices.Reading{Device: m.Device, Time: msg.Received, Unit: m.Unit, Quality: devices.Good, Retained: msg.Retained, Historical: rep.Historical}
	if rep.Bad {
		r.Quality = devices.Bad
	}
	if err := m.value(rep.Document, rep.Partial, &r); err != nil {
		return devices.Reading{}, warning{}, err
	}
	at, warn := m.time(rep.Document, rep.Time, msg)
	if !at.IsZero() {
		r.Time = at
	}
	if warn.cause == nil && !rep.Cause.IsZero() {
		warn.cause = func() devices.Cause { return rep.Cause }
	}
	return r, warn, nil
}

// value sets the value of r and its quality.
func (m *ValueMapping) value(document any, partial bool, r *devices.Reading) error {
	bad := m.Quality.bad(document, m.Encoding)
	if bad {
		r.Quality = devices.Bad
	}
	v, found := m.Value.in(document, m.Encoding)
	switch {
	case found:
	case bad:
		return nil // the device says that there is none
	case m.Missing != nil && !partial && m.omitted(document):
		r.Value = *m.Missing
		return nil
	default:
		return absent(m.Value)
	}
	v, err := m.decoded(v)
	if err != nil {
		return err
	}
	if v == nil { // null: the sensor works, and has no value
		r.Quality = devices.Bad
		return nil
	}
	text, ok := scalar(v)
	if !ok {
		return refuse("value_not_scalar")
	}
	if m.Value.IsZero() && text == "" {
		return refuse("payload_empty")
	}
	if m.Text {
		m.text(text, r)
		return nil
	}
	return m.number(text, r)
}

// decoded returns what the value encodes.
func (m *ValueMapping) decoded(v any) (any, error) {
	text, isText := v.(string)
	switch {
	case m.Encoding != Hex && m.Encoding != Base64, v == nil:
		return v, nil
	case !isText && m.Bytes.Length == 0:
		return v, nil // it was reached within an encoded text
	case !isText:
		return nil, refuse("value_not_encoded", "encoding", string(m.Encoding))
	}
	b, err := m.Encoding.bytes(text)
	if err != nil {
		return nil, err
	}
	if m.Bytes.Length == 0 {
		return strings.TrimRight(string(b), "\x00"), nil
	}
	return m.Bytes.number(b)
}

// omitted reports whether a document is one that could have the value, and leaves it out: it has the
// object around it, with something in it if that is the whole document, and the time of measurement if
// one is configured.
func (m *ValueMapping) omitted(document any) bool {
	parent, ok := m.Value.parent()
	if !ok {
		return false
	}
	v, ok := parent.in(document, m.Encoding)
	object, isObject := v.(map[string]any)
	if !ok || !isObject || parent.isRoot() && len(object) == 0 {
		return false
	}
	for _, p := range []Path{m.Time, m.Date} {
		if _, ok := p.in(document, m.Encoding); !p.IsZero() && !ok {
			return false
		}
	}
	return true
}

// text keeps a value as text: one line of at most devices.MaxText runes.
func (m *ValueMapping) text(text string, r *devices.Reading) {
	word := Word(text)
	if word == "unavailable" || word == "unknown" || contains(m.Invalid, word) {
		r.Quality = devices.Bad
	}
	r.Text = cut(printable(text), devices.MaxText)
	if r.Text == "" {
		r.Quality = devices.Bad // otherwise it would be the number 0
	}
}

// printable replaces what is not to be shown by spaces.
func printable(text string) string {
	return strings.TrimSpace(strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return ' '
		}
		return c
	}, text))
}

// number sets the value of r from a text, as the mapping says.
func (m *ValueMapping) number(text string, r *devices.Reading) error {
	word := Word(text)
	if value, ok := m.Map[word]; ok {
		r.Value = value
		return m.bounded(r)
	}
	if contains(m.Invalid, word) || unavailable(word) {
		r.Quality = devices.Bad
		return nil
	}
	if value, ok := switched(word); ok {
		r.Value = value
		return m.bounded(r)
	}
	value, unit, err := parseNumber(text, m.Decimal)
	if err != nil {
		return err
	}
	if contains(m.Invalid, Word(fmt.Sprint(value))) { // 65535 with a unit
		r.Quality = devices.Bad
		return nil
	}
	if r.Value, err = m.scaled(value, unit); err != nil {
		return err
	}
	if m.Unit == "" {
		r.Unit = unit
	}
	return m.bounded(r)
}

// scaled returns a number of the payload in the unit of the readings. Scale and Offset take precedence
// over the unit in the value.
func (m *ValueMapping) scaled(value float64, unit string) (float64, error) {
	plain := (m.Scale == 0 || m.Scale == 1) && m.Offset == 0
	if !plain {
		scale := m.Scale
		if scale == 0 {
			scale = 1
		}
		return value*scale + m.Offset, nil
	}
	if unit == "" || m.Unit == "" {
		return value, nil
	}
	converted, ok := convert(value, unit, m.Unit)
	if !ok {
		return 0, refuse("value_unit", "from", unit, "to", m.Unit)
	}
	return converted, nil
}

// bounded refuses what is no number any more, and marks what is out of the range.
func (m *ValueMapping) bounded(r *devices.Reading) error {
	if math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return refuse("value_out_of_range")
	}
	if m.Range.Set && (r.Value < m.Range.Min || r.Value > m.Range.Max) {
		r.Quality = devices.Bad
	}
	return nil
}

// bad reports whether the device says that its value cannot be used. Without the field it can.
func (q *Quality) bad(document any, e Encoding) bool {
	if q.Path.IsZero() {
		return false
	}
	v, found := q.Path.in(document, e)
	if !found {
		return false
	}
	text, _ := scalar(v)
	word := Word(text)
	switch {
	case contains(q.Bad, word):
		return true
	case len(q.Good) > 0:
		return !contains(q.Good, word)
	case len(q.Bad) > 0:
		return false
	}
	switch word {
	case "good", "ok", "valid", "true", "1", "normal", "192": // 192 is Good in OPC
		return false
	}
	return true
}

func contains(words []string, word string) bool {
	for _, w := range words {
		if w == word {
			return true
		}
	}
	return false
}
