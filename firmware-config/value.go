package firmwareconfig

import (
	"fmt"
	"math"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// value is a node of the document, and where it stands.
type value struct {
	p    *parser
	node *yaml.Node
	path string
}

func (v value) fail(format string, args ...any) { v.p.fail(v.node.Line, v.path, format, args...) }

func (v value) null() bool { return v.node.Kind == yaml.ScalarNode && v.node.Tag == "!!null" }

// found describes the value as it was written, for a message. Not for secrets.
func (v value) found() string {
	switch {
	case v.null():
		return "nothing"
	case v.node.Kind == yaml.ScalarNode:
		return quote(v.node.Value)
	case v.node.Kind == yaml.MappingNode:
		return "a mapping"
	case v.node.Kind == yaml.SequenceNode:
		return "a list"
	default:
		return "an alias"
	}
}

// quote cuts s to what fits a message.
func quote(s string) string {
	const limit = 60
	if utf8.RuneCountInString(s) > limit {
		s = string([]rune(s)[:limit]) + "…"
	}
	return strconv.Quote(s)
}

// field is one key of a mapping and what reads it.
type field struct {
	key      string
	required bool
	read     func(value)
}

func may(key string, read func(value)) field { return field{key: key, read: read} }

func must(key string, read func(value)) field { return field{key: key, required: true, read: read} }

// plainKey is what an unknown key may look like to be repeated in a message. "password:secret",
// with the blank forgotten, is a key too.
var plainKey = regexp.MustCompile(`^[A-Za-z0-9_-]{1,40}$`)

// fields reads a mapping. Keys that are in no field are problems, as are keys given twice and
// required ones that are missing. A value that is empty counts as not given.
func (v value) fields(fields ...field) {
	if v.null() {
		v.required(fields, nil)
		return
	}
	if v.node.Kind != yaml.MappingNode {
		v.fail("expected a mapping of keys and values, found %s", v.kindOnly())
		return
	}
	seen := map[string]bool{}
	given := map[string]bool{}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		key, child := v.node.Content[i], v.node.Content[i+1]
		f := find(fields, key)
		switch {
		case f == nil:
			v.unknownKey(key, fields)
		case seen[f.key]:
			v.p.fail(key.Line, v.join(f.key), "expected once, found a second time")
		default:
			seen[f.key] = true
			c := value{p: v.p, node: child, path: v.join(f.key)}
			if !c.null() {
				given[f.key] = true
				f.read(c)
			}
		}
	}
	v.required(fields, given)
}

func (v value) required(fields []field, given map[string]bool) {
	for _, f := range fields {
		if f.required && !given[f.key] {
			v.p.fail(v.node.Line, v.join(f.key), "expected a value, found nothing")
		}
	}
}

func find(fields []field, key *yaml.Node) *field {
	if key.Kind != yaml.ScalarNode {
		return nil
	}
	for i := range fields {
		if fields[i].key == key.Value {
			return &fields[i]
		}
	}
	return nil
}

func (v value) unknownKey(key *yaml.Node, fields []field) {
	known := make([]string, len(fields))
	for i, f := range fields {
		known[i] = f.key
	}
	sort.Strings(known)
	expected := strings.Join(known, ", ")
	if key.Kind == yaml.ScalarNode && plainKey.MatchString(key.Value) {
		v.p.fail(key.Line, v.join(key.Value), "expected one of the keys %s, found the unknown key %q", expected, key.Value)
		return
	}
	v.p.fail(key.Line, v.path, "expected one of the keys %s, found an unknown key", expected)
}

func (v value) join(key string) string {
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}

// kindOnly is found without a scalar's text, for places where a secret may have slipped.
func (v value) kindOnly() string {
	if v.node.Kind == yaml.ScalarNode && !v.null() {
		return "a text or number"
	}
	return v.found()
}

// items reads a list of at most limit values.
func (v value) items(limit int, each func(i int, item value)) {
	if v.node.Kind != yaml.SequenceNode {
		v.fail("expected a list, found %s", v.kindOnly())
		return
	}
	if len(v.node.Content) > limit {
		v.fail("expected at most %d entries, found %d", limit, len(v.node.Content))
		return
	}
	for i, n := range v.node.Content {
		each(i, value{p: v.p, node: n, path: fmt.Sprintf("%s[%d]", v.path, i)})
	}
}

// text reads a scalar and puts the environment in. ok is false after a problem.
func (v value) text() (s string, ok bool) { return v.expand(func(s string) string { return s }) }

// expand reads a scalar and replaces each ${NAME} by escape of the variable's value.
func (v value) expand(escape func(string) string) (s string, ok bool) {
	if v.node.Kind != yaml.ScalarNode || v.null() {
		v.fail("expected a text, found %s", v.found())
		return "", false
	}
	return v.substitute(v.node.Value, escape)
}

var (
	reference = regexp.MustCompile(`\$?\$\{([^}]*)\}?`)
	envName   = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

func (v value) substitute(s string, escape func(string) string) (string, bool) {
	ok := true
	s = reference.ReplaceAllStringFunc(s, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := strings.TrimSuffix(strings.TrimPrefix(m, "${"), "}")
		if !strings.HasSuffix(m, "}") || !envName.MatchString(name) {
			ok = false
			v.fail("expected ${NAME} with the name of an environment variable, or $${ for the characters themselves, found something else after ${")
			return ""
		}
		val, set := v.p.getenv(name)
		if !set {
			ok = false
			v.fail("expected the environment variable %s to be set, found that it is not", name)
		}
		return escape(val)
	})
	return s, ok
}

// into reads a text into dst.
func (v value) into(dst *string) {
	if s, ok := v.text(); ok {
		*dst = s
	}
}

// secret reads a text of which no message ever shows anything.
func (v value) secret(dst *string) {
	if v.node.Kind != yaml.ScalarNode {
		v.fail("expected a text, found %s", v.kindOnly())
		return
	}
	s, ok := v.text()
	if ok && s == "" {
		v.fail("expected a password, found an empty text")
		return
	}
	*dst = s
}

var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// name reads the name of an edge, device or rule.
func (v value) name(dst *string) {
	s, ok := v.text()
	if !ok {
		return
	}
	if !nameForm.MatchString(s) {
		v.fail("expected 1 to 40 of the characters a-z, 0-9 and -, found %s", v.found())
		return
	}
	*dst = s
}

// number reads a number between least and most.
func (v value) number(dst *float64, least, most float64) {
	s, ok := v.text()
	if !ok {
		return
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || math.IsNaN(f) || f < least || f > most {
		v.fail("expected a number%s, found %s", between(least, most), v.found())
		return
	}
	*dst = f
}

func between(least, most float64) string {
	if least == -math.MaxFloat64 && most == math.MaxFloat64 {
		return ""
	}
	return fmt.Sprintf(" from %s to %s", strconv.FormatFloat(least, 'f', -1, 64), strconv.FormatFloat(most, 'f', -1, 64))
}

// duration reads a time such as 30s, between least and most.
func (v value) duration(dst *time.Duration, least, most time.Duration) {
	s, ok := v.text()
	if !ok {
		return
	}
	d, err := time.ParseDuration(strings.TrimSpace(s))
	if err != nil || d < least || d > most {
		v.fail("expected a time from %s to %s, such as 30s or 5m, found %s", words(least), words(most), v.found())
		return
	}
	*dst = d
}

// words writes 168h0m0s as 168h.
func words(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// oneOf reads a word out of a set.
func oneOf[T ~string](v value, dst *T, words ...T) {
	s, ok := v.text()
	if !ok {
		return
	}
	list := make([]string, len(words))
	for i, w := range words {
		if s == string(w) {
			*dst = w
			return
		}
		list[i] = string(w)
	}
	v.fail("expected one of %s, found %s", strings.Join(list, ", "), v.found())
}
