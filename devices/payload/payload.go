// Package payload reads what sensors send: JSON as devices write it in practice, and times in the
// many forms in which they are written.
//
// Everything that it reads is hostile. All of its functions are pure, run in linear time, and are
// bounded in depth and size. The package must import nothing of Gridpost.
package payload

import (
	"encoding/json"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"
)

// Bounds of a document.
const (
	maxDepth = 64 // lists and objects within each other
	maxWord  = 64 // bytes of a bare word

	maxSize   = 1 << 20 // bytes
	maxValues = 1 << 17
)

// Parse reads a payload: JSON (RFC 8259), or a bare text.
//
// The result is made of map[string]any, []any, string, bool, nil and json.Number, which is always a
// number as RFC 8259 writes it. What one field of a device does wrong does not lose the others:
//
//   - a byte order mark in front, and NUL bytes at either end, are skipped;
//   - a bare word that JSON does not know, such as nan, -inf or 007, is a string; True, False, None
//     and undefined are true, false and null; a value that is left out is null;
//   - invalid UTF-8 becomes U+FFFD, two bytes of GBK become one;
//   - texts may stand in single quotes and have control characters and unknown escapes, keys may have
//     no quotes, and a comma may follow the last element;
//   - of a key given twice the last value counts.
//
// A payload that is not JSON is a text, without the space around it. When it begins as an object or a
// list does and is none, the result is its text, and the error says what was expected where. The
// result is nil only for null, and for a payload of more than 1 MiB.
func Parse(data []byte) (any, error) {
	if len(data) > maxSize {
		return nil, fmt.Errorf("the payload has more than %d bytes", maxSize)
	}
	text := strings.TrimPrefix(string(data), "\ufeff")
	text = strings.TrimFunc(text, func(r rune) bool { return r == 0 || unicode.IsSpace(r) })
	return ParseText(text)
}

// ParseText is Parse for a text within a document.
func ParseText(text string) (any, error) {
	switch {
	case text == "":
		return "", nil
	case text[0] == '{' || text[0] == '[' || text[0] == '"':
		p := parser{text: text}
		v, err := p.value(0)
		if err == nil && p.next() != 0 {
			err = p.expected("the end")
		}
		if err == nil {
			return v, nil
		}
		if text[0] == '"' {
			err = nil
		}
		return text, err
	case text == "true", text == "false", text == "null", isNumber(text):
		return wordValue(text), nil
	}
	return text, nil
}

// isNumber reports whether s is a number as RFC 8259 writes it.
func isNumber(s string) bool {
	return s[0] <= '9' && (s[0] == '-' || s[0] >= '0') && json.Valid([]byte(s))
}

// wordValue returns what a bare word stands for.
func wordValue(word string) any {
	switch word {
	case "true", "True", "TRUE":
		return true
	case "false", "False", "FALSE":
		return false
	case "null", "NULL", "Null", "None", "nil", "undefined", "":
		return nil
	}
	if isNumber(word) {
		return json.Number(word)
	}
	return word
}

// parser reads one text from front to back.
type parser struct {
	text   string
	at     int
	values int // read so far
}

func (p *parser) expected(what string) error { return &SyntaxError{Expected: what, At: p.at} }

// SyntaxError is the error of a payload that begins as JSON and is none.
type SyntaxError struct {
	Expected string // such as "a colon"
	At       int    // byte, from 0
}

// Error implements error.
func (e *SyntaxError) Error() string {
	return fmt.Sprintf("the payload is not JSON: expected %s at byte %d", e.Expected, e.At)
}

// next skips space and returns the byte that follows; 0: none does.
func (p *parser) next() byte {
	for p.at < len(p.text) {
		switch c := p.text[p.at]; c {
		case ' ', '\t', '\r', '\n', 0:
			p.at++
		default:
			return c
		}
	}
	return 0
}

func (p *parser) value(depth int) (any, error) {
	if depth > maxDepth {
		return nil, fmt.Errorf("the payload is not read: its values are nested more than %d deep", maxDepth)
	}
	if p.values++; p.values > maxValues {
		return nil, fmt.Errorf("the payload is not read: it has more than %d values", maxValues)
	}
	switch c := p.next(); c {
	case '{':
		return p.object(depth)
	case '[':
		return p.list(depth)
	case '"', '\'':
		return p.quoted(c)
	}
	word, err := p.word(",]}")
	return wordValue(word), err
}

func (p *parser) object(depth int) (any, error) {
	p.at++ // the brace
	out := map[string]any{}
	for {
		switch p.next() {
		case '}':
			p.at++
			return out, nil
		case ',':
			p.at++
			continue
		}
		key, err := p.key()
		if err != nil {
			return nil, err
		}
		if out[key], err = p.value(depth + 1); err != nil {
			return nil, err
		}
		if err := p.separator('}'); err != nil {
			return nil, err
		}
	}
}

// key reads a key and its colon.
func (p *parser) key() (key string, err error) {
	if c := p.next(); c == '"' || c == '\'' {
		key, err = p.quoted(c)
	} else if key, err = p.word(":,]}"); err == nil && key == "" {
		err = p.expected("a key")
	}
	if err == nil && p.next() != ':' {
		err = p.expected("a colon")
	}
	p.at++
	return key, err
}

func (p *parser) list(depth int) (any, error) {
	p.at++ // the bracket
	out := []any{}
	for p.next() != ']' {
		v, err := p.value(depth + 1)
		if err != nil {
			return nil, err
		}
		out = append(out, v)
		if err := p.separator(']'); err != nil {
			return nil, err
		}
	}
	p.at++
	return out, nil
}

// separator skips the comma after an element, unless the end follows.
func (p *parser) separator(end byte) error {
	switch p.next() {
	case ',':
		p.at++
	case end:
	default:
		return p.expected("a comma or " + string(end))
	}
	return nil
}

// word reads a word without quotes, up to space or one of the characters of end. It may be empty.
func (p *parser) word(end string) (string, error) {
	start := p.at
	for p.at < len(p.text) && p.at-start <= maxWord {
		c := p.text[p.at]
		switch {
		case c <= ' ' || strings.IndexByte(end, c) >= 0:
			return strings.ToValidUTF8(p.text[start:p.at], "\ufffd"), nil
		case strings.IndexByte(`"'{[:`, c) >= 0:
			return "", p.expected("a value")
		}
		p.at++
	}
	return "", p.expected("the end of a word")
}

// quoted reads a text up to its closing quote.
func (p *parser) quoted(quote byte) (string, error) {
	p.at++
	plain := p.plain(quote)
	if p.at < len(p.text) && p.text[p.at] == quote { // as most texts are
		p.at++
		return plain, nil
	}
	var b strings.Builder
	b.WriteString(plain)
	for p.at < len(p.text) {
		rest := p.text[p.at:]
		switch c := rest[0]; {
		case c == quote:
			p.at++
			return b.String(), nil
		case c == '\\' && len(rest) > 1:
			p.escape(&b, rest)
		case c < utf8.RuneSelf && c != '\\':
			b.WriteString(p.plain(quote))
		case c == '\\': // the last byte
			p.at++
		default:
			r, n := utf8.DecodeRuneInString(rest)
			if r == utf8.RuneError && n == 1 && isGBK(rest) {
				n = 2 // its second byte may look like a backslash
			}
			b.WriteRune(r)
			p.at += n
		}
	}
	return "", p.expected("the end of a text")
}

// plain reads characters of one byte that stand for themselves.
func (p *parser) plain(quote byte) string {
	start := p.at
	for p.at < len(p.text) && p.text[p.at] != quote && p.text[p.at] != '\\' && p.text[p.at] < utf8.RuneSelf {
		p.at++
	}
	return p.text[start:p.at]
}

// isGBK reports whether s begins with a character of GBK of two bytes.
func isGBK(s string) bool {
	return len(s) > 1 && s[0] >= 0x81 && s[0] < 0xff && s[1] >= 0x40 && s[1] != 0x7f && s[1] != 0xff
}

// escape reads the escape at the front of rest. An escape that JSON does not know stands for its
// character.
func (p *parser) escape(b *strings.Builder, rest string) {
	const plain, special = `bfnrt`, "\b\f\n\r\t"
	c := rest[1]
	if c == 'u' {
		if r, ok := unit16(rest); ok {
			n := 6
			if low, ok := unit16(rest[6:]); ok && utf16.IsSurrogate(r) {
				if pair := utf16.DecodeRune(r, low); pair != utf8.RuneError {
					r, n = pair, 12
				}
			}
			b.WriteRune(r) // U+FFFD for half a pair
			p.at += n
			return
		}
	}
	if i := strings.IndexByte(plain, c); i >= 0 {
		c = special[i]
	}
	p.at++
	if c < utf8.RuneSelf { // otherwise a character of several bytes follows
		b.WriteByte(c)
		p.at++
	}
}

// unit16 reads \uXXXX at the front of s.
func unit16(s string) (r rune, ok bool) {
	if len(s) < 6 || s[0] != '\\' || s[1] != 'u' {
		return 0, false
	}
	for _, c := range []byte(s[2:6]) {
		digit := strings.IndexByte("0123456789abcdef", c|0x20)
		if digit < 0 {
			return 0, false
		}
		r = r<<4 | rune(digit)
	}
	return r, true
}
