package format

import (
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"gridpost/devices/payload"
)

// object parses a payload that must be an object.
func object(data []byte) (map[string]any, error) {
	document, err := payload.Parse(data)
	if err != nil {
		return nil, err
	}
	o, ok := document.(map[string]any)
	if !ok {
		return nil, errors.New("it is not an object")
	}
	return o, nil
}

// text returns a member that is a text or a number, or "".
func text(o map[string]any, key string) string {
	switch c := o[key].(type) {
	case string:
		return c
	case json.Number:
		return c.String()
	}
	return ""
}

// within returns a member that is an object, or nil.
func within(o map[string]any, keys ...string) map[string]any {
	for _, key := range keys {
		o, _ = o[key].(map[string]any)
	}
	return o
}

// list returns a member that is a list, or nil.
func list(o map[string]any, key string) []any {
	l, _ := o[key].([]any)
	return l
}

// number returns a member that is a number.
func number(o map[string]any, key string) (float64, bool) {
	n, ok := o[key].(json.Number)
	if !ok {
		return 0, false
	}
	f, err := n.Float64()
	return f, err == nil
}

// rfc3339 returns a member that is a time with a zone, or the zero time.
func rfc3339(o map[string]any, key string) time.Time {
	t, err := time.Parse(time.RFC3339Nano, text(o, key))
	if err != nil {
		return time.Time{}
	}
	return t.UTC()
}

// path writes the JSON path of a member within members.
func path(names ...string) string {
	p := "$"
	for _, name := range names {
		switch {
		case isName(name):
			p += "." + name
		case strings.Contains(name, "'"):
			p += `["` + name + `"]`
		default:
			p += "['" + name + "']"
		}
	}
	return p
}

func isName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// counter is a frame counter of LoRaWAN. What is a little behind the highest count, and was received by the
// network no later than that, came late. Anything else is a new start: a device has joined again, or counts
// from 0 after a restart.
type counter struct {
	highest uint64
	at      time.Time // of the highest; zero: not known
	started bool
}

// maxLate is how far behind the highest count a late message may be.
const maxLate = 64

// late notes a count with the time of its reception and says whether its message came late.
func (c *counter) late(n uint64, at time.Time) bool {
	if c.started && n < c.highest && c.highest-n <= maxLate && !at.After(c.at) {
		return true
	}
	c.highest, c.at, c.started = n, at, true
	return false
}

// count returns a member that is a whole number of at least 0.
func count(o map[string]any, key string) (uint64, bool) {
	n, err := strconv.ParseUint(text(o, key), 10, 64)
	return n, err == nil
}

// flatten lists the numbers, Booleans and short texts of a document and of lists in it with their paths, at
// most limit.
func flatten(document any, limit int) []leaf {
	var all []leaf
	var walk func(v any, at leaf)
	walk = func(v any, at leaf) {
		if len(all) >= limit || len(at.names) > 6 {
			return
		}
		switch c := v.(type) {
		case map[string]any:
			for _, key := range sortedKeys(c) {
				walk(c[key], at.inner(key, key, strings.TrimPrefix(path(key), "$")))
			}
		case []any:
			for i, element := range c {
				switch element.(type) {
				case map[string]any, []any:
					continue // a history, whose elements are no values of their own
				}
				walk(element, at.inner(at.key, strconv.Itoa(i+1), "["+strconv.Itoa(i)+"]"))
			}
		case json.Number, bool, string:
			at.value = v
			all = append(all, at)
		}
	}
	walk(document, leaf{})
	return all
}

// leaf is a value in a document.
type leaf struct {
	names []string // of the members that lead to it, and the places in lists, from 1
	key   string   // the last member
	path  string   // JSON path without $
	value any
}

// inner returns the place of a member or element of l.
func (l leaf) inner(key, name, step string) leaf {
	return leaf{names: append(l.names[:len(l.names):len(l.names)], name), key: key, path: l.path + step}
}

// array parses a payload that must be a list.
func array(data []byte) ([]any, error) {
	document, err := payload.Parse(data)
	if err != nil {
		return nil, err
	}
	l, ok := document.([]any)
	if !ok {
		return nil, errors.New("it is not a list")
	}
	return l, nil
}

func sortedKeys(o map[string]any) []string { return slices.Sorted(maps.Keys(o)) }

// maxLevels bounds the levels of a topic that become members of a document.
const maxLevels = 16

var errDeep = errors.New("its topic has too many levels")
