package decode

import (
	"errors"
	"strconv"
	"strings"
	"unicode"
)

// Path names one value in a JSON document: the part of JSONPath (RFC 9535) made of member names
// and indexes, such as $.values[0].level or $['water level'], and besides elements by a member:
// $.values[name=level].value is the value of the first object in the list whose name is level. The
// zero value is no path.
type Path struct {
	text  string
	steps []step
}

// step goes into a member of an object or into an element of an array.
type step struct {
	name  string
	index int    // -1 for a member
	want  string // the element whose member name is this, as text
	named bool   // there is a want
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

var errPath = errors.New("expected a JSON path such as $.level, $.values[0].level or $.values[name=level].value")

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
		if st, rest, ok := namedStep(rest); ok {
			return st, rest, true
		}
		digits, rest, ok := strings.Cut(rest, "]")
		n, err := strconv.ParseUint(digits, 10, 32)
		return step{index: int(n)}, rest, ok && err == nil && n <= maxIndex
	}
	return step{}, "", false
}

// namedStep parses name=text] after a bracket. A text with a bracket stands in quotes.
func namedStep(s string) (st step, rest string, ok bool) {
	st, rest, ok = memberStep(s)
	if !ok {
		return step{}, "", false
	}
	if rest, ok = strings.CutPrefix(rest, "="); !ok {
		return step{}, "", false
	}
	st.named = true
	for _, quote := range []string{"'", `"`} {
		if quoted, isQuoted := strings.CutPrefix(rest, quote); isQuoted {
			st.want, rest, ok = strings.Cut(quoted, quote+"]")
			return st, rest, ok && !strings.ContainsAny(st.want, quote+`\`)
		}
	}
	st.want, rest, ok = strings.Cut(rest, "]")
	return st, rest, ok && st.want != "" && !strings.ContainsAny(st.want, `'"\[=`)
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

// isRoot reports whether p names the whole document.
func (p Path) isRoot() bool { return len(p.steps) == 0 }

// parent returns the path of the object of which p names a member.
func (p Path) parent() (parent Path, ok bool) {
	last := len(p.steps) - 1
	if last < 0 || p.steps[last].named || p.steps[last].index >= 0 {
		return Path{}, false
	}
	return Path{text: "$", steps: p.steps[:last]}, true
}

// in returns the value that p names in a document. Where a step meets a text, it goes on in what the
// text encodes.
func (p Path) in(v any, e Encoding) (any, bool) {
	for _, st := range p.steps {
		if text, isText := v.(string); isText {
			var ok bool
			if v, ok = e.open(text); !ok {
				return nil, false
			}
		}
		var ok bool
		if v, ok = st.in(v); !ok {
			return nil, false
		}
	}
	return v, true
}

// in returns the member or element of v.
func (st step) in(v any) (any, bool) {
	switch c := v.(type) {
	case map[string]any:
		if st.index >= 0 || st.named {
			return nil, false
		}
		v, ok := c[st.name]
		return v, ok
	case []any:
		if st.named {
			return st.find(c)
		}
		if st.index < 0 || st.index >= len(c) {
			return nil, false
		}
		return c[st.index], true
	}
	return nil, false
}

// find returns the first object of a list whose member is as wanted.
func (st step) find(list []any) (any, bool) {
	for _, element := range list {
		object, _ := element.(map[string]any)
		if text, ok := scalar(object[st.name]); ok && text == st.want {
			return element, true
		}
	}
	return nil, false
}

// IsMember reports whether p names a member of an object.
func (p Path) IsMember() bool {
	_, ok := p.parent()
	return ok
}
