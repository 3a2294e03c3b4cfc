// Package param reads the parameters of a rule from the values of a site document.
//
// A kind of rule lists its parameters; each is a key and the Reader of its value. The document's
// parser knows file, line and key, so a Reader only says what it expected. The readers here are
// used by the parser for its own keys too: a number or a duration is parsed in one way.
// The package must not import other packages of Gridpost.
package param

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// Longest is the longest duration that a document may name.
const Longest = 7 * 24 * time.Hour

// Value is one value of a document, a scalar or a list.
type Value interface {
	// Text returns a scalar with references to the environment filled in. ok is false after a
	// problem has been reported.
	Text() (text string, ok bool)

	// Items calls each for the entries of a list of at most limit entries. It reports a problem
	// and returns false when the value is not such a list.
	Items(limit int, each func(item Value)) bool

	// Fail reports a problem at the value's line and key. An empty found stands for the value
	// as it is written in the document.
	Fail(expected, found string)
}

// Reader reads a value into the variable that it was made for. It returns false after it has
// reported a problem, and leaves the variable as it was.
type Reader func(Value) bool

// Param is a parameter of a rule: a key of the document and what reads its value.
type Param struct {
	Key      string
	Required bool
	Read     Reader
}

// Required returns a parameter that must be given.
func Required(key string, read Reader) Param { return Param{Key: key, Required: true, Read: read} }

// Optional returns a parameter that may be left out.
func Optional(key string, read Reader) Param { return Param{Key: key, Read: read} }

// Error says which parameter is wrong where each value by itself is right, such as a limit that
// is on the wrong side of another one.
type Error struct {
	Key      string // the parameter that is to be changed
	Expected string // such as "a number not above value (3)"
}

// Error implements error.
func (e *Error) Error() string { return e.Key + ": expected " + e.Expected }

// Text reads any text.
func Text(dst *string) Reader {
	return func(v Value) bool {
		s, ok := v.Text()
		if ok {
			*dst = s
		}
		return ok
	}
}

// Texts reads a list of at most limit texts.
func Texts(dst *[]string, limit int) Reader {
	return func(v Value) bool {
		var list []string
		valid := true
		ok := v.Items(limit, func(item Value) {
			var s string
			valid = Text(&s)(item) && valid
			list = append(list, s)
		})
		if !ok || !valid {
			return false
		}
		*dst = list
		return true
	}
}

// Number reads a finite number from least to most. -math.MaxFloat64 and math.MaxFloat64 stand for
// no bounds.
func Number(dst *float64, least, most float64) Reader {
	return func(v Value) bool {
		s, ok := v.Text()
		if !ok {
			return false
		}
		f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
		if err != nil || math.IsNaN(f) || f < least || f > most {
			v.Fail("a number"+between(least, most), "")
			return false
		}
		*dst = f
		return true
	}
}

// Whole reads a whole number from least to most.
func Whole(dst *int, least, most int) Reader {
	return func(v Value) bool {
		s, ok := v.Text()
		if !ok {
			return false
		}
		n, err := strconv.Atoi(strings.TrimSpace(s))
		if err != nil || n < least || n > most {
			v.Fail(fmt.Sprintf("a whole number from %d to %d", least, most), "")
			return false
		}
		*dst = n
		return true
	}
}

// OptionalNumber reads any finite number into a new variable.
func OptionalNumber(dst **float64) Reader {
	return func(v Value) bool {
		var f float64
		if !Number(&f, -math.MaxFloat64, math.MaxFloat64)(v) {
			return false
		}
		*dst = &f
		return true
	}
}

func between(least, most float64) string {
	if least == -math.MaxFloat64 && most == math.MaxFloat64 {
		return ""
	}
	return fmt.Sprintf(" from %s to %s", strconv.FormatFloat(least, 'f', -1, 64), strconv.FormatFloat(most, 'f', -1, 64))
}

// Duration reads a time such as 30s, from least to most.
func Duration(dst *time.Duration, least, most time.Duration) Reader {
	return func(v Value) bool {
		s, ok := v.Text()
		if !ok {
			return false
		}
		d, err := time.ParseDuration(strings.TrimSpace(s))
		if err != nil || d < least || d > most {
			v.Fail(fmt.Sprintf("a time from %s to %s, such as 30s or 5m", short(least), short(most)), "")
			return false
		}
		*dst = d
		return true
	}
}

// short writes 168h0m0s as 168h.
func short(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// OneOf reads one of a set of words.
func OneOf[T ~string](dst *T, words ...T) Reader {
	return func(v Value) bool {
		s, ok := v.Text()
		if !ok {
			return false
		}
		list := make([]string, len(words))
		for i, w := range words {
			if s == string(w) {
				*dst = w
				return true
			}
			list[i] = string(w)
		}
		v.Fail("one of "+strings.Join(list, ", "), "")
		return false
	}
}
