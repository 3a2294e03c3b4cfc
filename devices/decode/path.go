package decode

import (
	"fmt"
	"strconv"
	"strings"
	"unicode"
)

// path names one value in a JSON document: the part of JSONPath (RFC 9535) made of member
// names and indexes, such as $.values[0].level or $['water level'].
type path []step

// step goes into a member of an object or, when name is empty and index is set, into an array.
type step struct {
	name  string
	index int // -1 for a member
}

// maxSteps bounds a path.
const maxSteps = 1000

func parsePath(s string) (path, error) {
	rest, ok := strings.CutPrefix(s, "$")
	if !ok {
		return nil, fmt.Errorf("the JSON path %q does not begin with $", s)
	}
	var p path
	for rest != "" {
		var st step
		var err error
		if st, rest, err = nextStep(rest); err != nil {
			return nil, fmt.Errorf("the JSON path %q: %w", s, err)
		}
		if p = append(p, st); len(p) > maxSteps {
			return nil, fmt.Errorf("the JSON path %q has more than %d steps", s, maxSteps)
		}
	}
	return p, nil
}

func nextStep(s string) (step, string, error) {
	if rest, ok := strings.CutPrefix(s, "."); ok {
		n := strings.IndexFunc(rest, func(r rune) bool {
			return r != '_' && r != '-' && !unicode.IsLetter(r) && !unicode.IsNumber(r)
		})
		if n < 0 {
			n = len(rest)
		}
		if n == 0 {
			return step{}, "", fmt.Errorf("expected a name after the dot")
		}
		return step{name: rest[:n], index: -1}, rest[n:], nil
	}
	for _, quote := range []string{"'", `"`} {
		rest, ok := strings.CutPrefix(s, "["+quote)
		if !ok {
			continue
		}
		name, rest, ok := strings.Cut(rest, quote+"]")
		if !ok || name == "" {
			return step{}, "", fmt.Errorf("a name in brackets does not end")
		}
		return step{name: name, index: -1}, rest, nil
	}
	if rest, ok := strings.CutPrefix(s, "["); ok {
		digits, rest, ok := strings.Cut(rest, "]")
		n, err := strconv.ParseUint(digits, 10, 20)
		if !ok || err != nil {
			return step{}, "", fmt.Errorf("expected a number in brackets")
		}
		return step{index: int(n)}, rest, nil
	}
	return step{}, "", fmt.Errorf("expected . or [ at %q", s)
}

// in returns the value that p names in a decoded document.
func (p path) in(v any) (any, bool) {
	for _, st := range p {
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
