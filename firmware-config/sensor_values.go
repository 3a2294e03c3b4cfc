package firmwareconfig

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"gridpost/detection/rules/param"
	"gridpost/devices/decode"
	"gridpost/devices/payload"

	"go.yaml.in/yaml/v3"
)

// Bounds of the lists of a sensor's values.
const (
	maxWords   = 256 // of map
	maxInvalid = 64
)

// valueFields are the keys that say how the values of a sensor and their times are made.
func (p *parser) valueFields(m *decode.ValueMapping) []field {
	var kind string
	return []field{
		may("value", func(v value) { v.jsonPath(&m.Value) }),
		may("unit", func(v value) { v.unit(&m.Unit) }),
		may("type", func(v value) {
			param.OneOf(&kind, "number", "text")(v)
			m.Text = kind == "text"
		}),
		may("encoding", by(param.OneOf(&m.Encoding, decode.JSONString, decode.Hex, decode.Base64))),
		may("bytes", func(v value) { v.bytes(&m.Bytes) }),
		may("map", func(v value) { v.words(&m.Map) }),
		may("scale", func(v value) {
			if param.Number(&m.Scale, -math.MaxFloat64, math.MaxFloat64)(v) && m.Scale == 0 {
				v.fail("expected a factor other than 0, found %s", v.found())
			}
		}),
		may("offset", by(param.Number(&m.Offset, -math.MaxFloat64, math.MaxFloat64))),
		may("decimal", by(param.OneOf(&m.Decimal, decode.Point, decode.Comma))),
		may("missing", by(param.OptionalNumber(&m.Missing))),
		may("range", func(v value) { v.rangeOf(&m.Range) }),
		may("invalid", func(v value) { v.wordList(&m.Invalid) }),
		may("quality", func(v value) { v.quality(&m.Quality) }),
		may("time", func(v value) { v.jsonPath(&m.Time) }),
		may("date", func(v value) { v.jsonPath(&m.Date) }),
		may("time_zone", func(v value) {
			readText(v, func(s string) (err error) { m.Times.Zone, err = payload.ParseZone(s); return err })
		}),
		may("time_format", func(v value) {
			readText(v, func(s string) (err error) { m.Times.Format, err = payload.ParseFormat(s); return err })
		}),
	}
}

// checkValues reports keys of a sensor that contradict each other.
func (v value) checkValues(m *decode.ValueMapping) {
	if m.Text {
		for _, key := range []string{"map", "scale", "offset", "decimal", "missing", "range", "bytes"} {
			if c, given := v.child(key); given && !c.null() {
				c.fail("expected nothing beside type: text, because a text is kept as it is, found %s", c.found())
			}
		}
	}
	if c, given := v.child("bytes"); given && m.Bytes.Length > 0 && m.Encoding != decode.Hex && m.Encoding != decode.Base64 {
		c.fail("expected encoding: hex or encoding: base64 beside bytes, found none of them")
	}
	if c, given := v.child("missing"); given && m.Missing != nil && !m.Value.IsMember() {
		c.fail("expected a value that names a member, such as $.object.leak, beside missing, found none")
	}
	for _, key := range []string{"date", "time_format"} {
		if c, given := v.child(key); given && !c.null() && m.Time.IsZero() {
			c.fail("expected the key time beside %s, found nothing", key)
		}
	}
}

// checkClass reports keys of a sensor that contradict its class.
func (v value) checkClass(s Sensor) {
	if s.Class == "" {
		return
	}
	for _, key := range []string{"unit", "type"} {
		if c, given := v.child(key); given && (key == "unit" && s.Unit != "" && s.Unit != "1" || key == "type" && s.Text) {
			c.fail("expected the values 1 and 0 without a unit beside class, found %s", c.found())
		}
	}
}

// readText reads a text with a parser whose error says what was expected.
func readText(v value, parse func(string) error) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if err := parse(strings.TrimSpace(s)); err != nil {
		v.fail("%s, found %s", err, v.found())
	}
}

// bytes reads where in encoded bytes a number is.
func (v value) bytes(b *decode.Bytes) {
	var at, length float64
	order, as := "big", decode.Unsigned
	v.fields(
		may("at", by(param.Number(&at, 0, 65535))),
		must("length", by(param.Number(&length, 1, 8))),
		may("order", by(param.OneOf(&order, "big", "little"))),
		may("as", by(param.OneOf(&as, decode.Unsigned, decode.Signed, decode.Float))),
	)
	*b = decode.Bytes{At: int(at), Length: int(length), Little: order == "little", As: as}
	switch {
	case at != math.Trunc(at) || length != math.Trunc(length):
		v.fail("expected whole numbers of bytes, found a fraction")
	case as == decode.Float && length != 0 && length != 4 && length != 8:
		v.p.fail(v.node.Line, v.join("length"), "expected 4 or 8 bytes beside as: float, found %d", int(length))
	}
}

// words reads a mapping of words to numbers.
func (v value) words(dst *map[string]float64) {
	if v.node.Kind != yaml.MappingNode {
		v.fail("expected words and their numbers, such as {open: 1, close: 0}, found %s", v.found())
		return
	}
	if n := len(v.node.Content) / 2; n > maxWords {
		v.fail("expected at most %d words, found %d", maxWords, n)
		return
	}
	words := map[string]float64{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key := v.node.Content[i]
		word := decode.Word(key.Value)
		child := value{p: v.p, node: v.node.Content[i+1], path: fmt.Sprintf("%s[%s]", v.path, quote(key.Value))}
		if _, twice := words[word]; twice || key.Kind != yaml.ScalarNode || word == "" {
			v.p.fail(key.Line, v.path, "expected each word once, as a text, found %s", quote(key.Value))
			continue
		}
		var f float64
		if param.Number(&f, -math.MaxFloat64, math.MaxFloat64)(child) {
			words[word] = f
		}
	}
	*dst = words
}

// rangeOf reads the lowest and the highest value.
func (v value) rangeOf(r *decode.Range) {
	var bounds []float64
	ok := v.items(2, func(item value) {
		var f float64
		if param.Number(&f, -math.MaxFloat64, math.MaxFloat64)(item) {
			bounds = append(bounds, f)
		}
	})
	switch {
	case !ok || len(bounds) != len(v.node.Content):
	case len(bounds) != 2 || bounds[0] >= bounds[1]:
		v.fail("expected the lowest and the highest value, such as [0, 12.5], found %s", v.found())
	default:
		*r = decode.Range{Min: bounds[0], Max: bounds[1], Set: true}
	}
}

// wordList reads words that are compared with values.
func (v value) wordList(dst *[]string) {
	var words []string
	if !param.Texts(&words, maxInvalid)(v) {
		return
	}
	if len(words) == 0 {
		v.fail("expected at least one value, found none")
	}
	for _, w := range words {
		if word := decode.Word(w); !slices.Contains(*dst, word) {
			*dst = append(*dst, word)
		}
	}
}

// quality reads the path of a quality, alone or with the words that it can have.
func (v value) quality(q *decode.Quality) {
	if v.node.Kind == yaml.ScalarNode {
		v.jsonPath(&q.Path)
		return
	}
	v.fields(
		must("path", func(v value) { v.jsonPath(&q.Path) }),
		may("good", func(v value) { v.wordList(&q.Good) }),
		may("bad", func(v value) { v.wordList(&q.Bad) }),
	)
	for _, w := range q.Good {
		if slices.Contains(q.Bad, w) {
			v.p.fail(v.node.Line, v.join("bad"), "expected no word that is also in good, found %s", quote(w))
		}
	}
}
