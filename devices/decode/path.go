package decode

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
)

// Path names one value in a JSON document: the part of JSONPath (RFC 9535) made of member names
// and indexes, such as $.values[0].level or $['water level']. The zero value is no path.
type Path struct {
	text  string
	steps []step
}

// step goes into a member of an object or into an element of an array.
type step struct {
	name  string
	index int // -1 for a member
}

// Bounds of a Path.
const (
	maxSteps = 32
	maxPath  = 4096   // bytes
	maxIndex = 999999 // of an element
)

// ParsePath parses s. Its error says what was expected.
func ParsePath(s string) (Path, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok || len(s) > maxPath {
		return Path{}, errPath
	}
	p := Path{text: s}
	for rest != "" {
		st, after, ok := nextStep(rest)
		if !ok || len(p.steps) == maxSteps {
			return Path{}, errPath
		}
		p.steps, rest = append(p.steps, st), after
	}
	return p, nil
}

var errPath = errors.New("expected a JSON path such as $.level or $.values[0].level")

// IsZero reports whether p is no path.
func (p Path) IsZero() bool { return p.text == "" }

// String returns p as it was written.
func (p Path) String() string { return p.text }

// nextStep parses the first step of s and returns the rest.
func nextStep(s string) (st step, rest string, ok bool) {
	if rest, ok := strings.CutPrefix(s, "."); ok {
		return memberStep(rest)
	}
	for _, quote := range []string{"'", `"`} {
		rest, ok := strings.CutPrefix(s, "["+quote)
		if !ok {
			continue
		}
		name, rest, ok := strings.Cut(rest, quote+"]")
		return step{name: name, index: -1}, rest, ok && name != "" && !strings.ContainsAny(name, quote+`\`)
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		digits, rest, ok := strings.Cut(rest, "]")
		n, err := strconv.ParseUint(digits, 10, 32)
		return step{index: int(n)}, rest, ok && err == nil && n <= maxIndex
	}
	return step{}, "", false
}

// memberStep parses a name after a dot: a letter or _, then letters, digits, _ and -.
func memberStep(s string) (st step, rest string, ok bool) {
	n := strings.IndexFunc(s, func(r rune) bool {
		return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
	})
	if n < 0 {
		n = len(s)
	}
	starts := strings.IndexFunc(s, func(r rune) bool { return r == '_' || unicode.IsLetter(r) }) == 0
	return step{name: s[:n], index: -1}, s[n:], starts
}

// in returns the value that p names in a decoded document.
func (p Path) in(v any) (any, bool) {
	for _, st := range p.steps {
		switch c := v.(type) {
		case map[string]any:
			member, ok := c[st.name]
			if st.index >= 0 || !ok {
				return nil, false
			}
			v = member
		case []any:
			if st.index < 0 || st.index >= len(c) {
				return nil, false
			}
			v = c[st.index]
		default:
			return nil, false
		}
	}
	return v, true
}
