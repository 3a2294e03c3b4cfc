package firmwareconfig

import (
	"fmt"
	"regexp"
	"sort"
	"strconv"
	"strings"
	"unicode/utf8"

	"gridpost/detection/rules/param"

	"go.yaml.in/yaml/v3"
)

// value is a node of the document with its path.
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

// by returns what reads a value with a reader that also rules use.
func by(read param.Reader) func(value) { return func(v value) { read(v) } }

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

// child returns the value of a key of a mapping, the first one if it is given twice.
func (v value) child(key string) (value, bool) {
	if v.node.Kind != yaml.MappingNode {
		return value{}, false
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == key {
			return value{p: v.p, node: v.node.Content[i+1], path: v.join(key)}, true
		}
	}
	return value{}, false
}

func (v value) join(key string) string {
	if v.path == "" {
		return key
	}
	return v.path + "." + key
}

// kindOnly is found without a scalar's text, for places where a secret may stand by mistake.
func (v value) kindOnly() string {
	if v.node.Kind == yaml.ScalarNode && !v.null() {
		return "a text or number"
	}
	return v.found()
}

// items reads a list of at most limit values. It returns false after a problem with the list itself.
func (v value) items(limit int, each func(item value)) bool {
	if v.node.Kind != yaml.SequenceNode {
		v.fail("expected a list, found %s", v.kindOnly())
		return false
	}
	if len(v.node.Content) > limit {
		v.fail("expected at most %d entries, found %d", limit, len(v.node.Content))
		return false
	}
	for i, n := range v.node.Content {
		each(value{p: v.p, node: n, path: fmt.Sprintf("%s[%d]", v.path, i)})
	}
	return true
}

// Items implements param.Value.
func (v value) Items(limit int, each func(item param.Value)) bool {
	return v.items(limit, func(item value) { each(item) })
}

// Text implements param.Value: it reads a scalar and replaces each ${NAME} by the variable's value.
func (v value) Text() (s string, ok bool) {
	if v.node.Kind != yaml.ScalarNode || v.null() {
		v.fail("expected a text, found %s", v.found())
		return "", false
	}
	return v.substitute(v.node.Value, func(s string) string { return s })
}

// Fail implements param.Value.
func (v value) Fail(expected, found string) {
	if found == "" {
		found = v.found()
	}
	v.fail("expected %s, found %s", expected, found)
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

// maxLogin bounds names and passwords in bytes. MQTT has room for 65,535 (version 3.1.1, section
// 1.5.3).
const maxLogin = 1024

// login reads the name of an MQTT user.
func (v value) login(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if s == "" || len(s) > maxLogin || !utf8.ValidString(s) {
		v.fail("expected a name of 1 to %d bytes, found another text", maxLogin)
		return
	}
	*dst = s
}

// secret reads a password. No problem ever shows anything of it.
func (v value) secret(dst *string) {
	if v.node.Kind != yaml.ScalarNode {
		v.fail("expected a text, found %s", v.kindOnly())
		return
	}
	s, ok := v.Text()
	switch {
	case !ok:
	case s == "":
		v.fail("expected a password, found an empty text")
	case len(s) > maxLogin:
		v.fail("expected a password of at most %d bytes, found a longer one", maxLogin)
	default:
		*dst = s
	}
}

var nameForm = regexp.MustCompile(`^[a-z0-9-]{1,40}$`)

// name reads the name of an edge, device or rule.
func (v value) name(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if !nameForm.MatchString(s) {
		v.fail("expected 1 to 40 of the characters a-z, 0-9 and -, found %s", v.found())
		return
	}
	*dst = s
}
