package decode

import (
	"math"
	"strconv"
	"strings"
)

// The decimal mark of numbers that are texts.
const (
	Point = "point"
	Comma = "comma"
)

// maxNumber bounds a number with its unit as it is written, in bytes.
const maxNumber = 64

// parseNumber reads a number and the unit that follows it.
//
// decimal is Point, Comma or empty. When it is empty a single comma is a decimal comma, unless three
// digits follow, as they do in thousands: then the error says so.
func parseNumber(text, decimal string) (value float64, unit string, err error) {
	if len(text) > maxNumber {
		return 0, "", notNumber(text)
	}
	s := strings.Replace(strings.TrimSpace(text), "\u2212", "-", 1) // the minus sign of typography
	n := numberLength(s)
	number := strings.TrimRight(s[:n], ".,")
	unit = strings.TrimSpace(s[n:])
	if number, err = plain(number, decimal); err != nil {
		return 0, "", err
	}
	if !strings.ContainsAny(number, "0123456789") || unit != "" && !unitFollows(s[n:], unit) {
		return 0, "", notNumber(text)
	}
	value, err = strconv.ParseFloat(number, 64)
	switch {
	case math.IsInf(value, 0):
		return 0, "", refuse("value_out_of_range")
	case err != nil:
		return 0, "", notNumber(text)
	}
	return value, unit, exact(number, value)
}

func notNumber(text string) error { return refuse("value_not_number", "value", text) }

// numberLength returns how much of s can be a number.
func numberLength(s string) int {
	n := 0
	if n < len(s) && (s[n] == '-' || s[n] == '+') {
		n++
	}
	digits := false
	for n < len(s) && (s[n] >= '0' && s[n] <= '9' || s[n] == '.' || s[n] == ',') {
		digits = digits || s[n] >= '0' && s[n] <= '9'
		n++
	}
	if !digits {
		return 0
	}
	if e := n; e < len(s) && s[e]|0x20 == 'e' {
		e++
		if e < len(s) && (s[e] == '-' || s[e] == '+') {
			e++
		}
		for end := e; end < len(s) && s[end] >= '0' && s[end] <= '9'; end++ {
			n = end + 1
		}
	}
	return n
}

// unitFollows reports whether what follows a number can be a unit: it is known, or a space is between,
// and it has no digits but in a power such as m3.
func unitFollows(after, unit string) bool {
	if _, known := measureOf(unit); known {
		return unit != after || len(unit) > 1 || unit < "a" || unit > "f" // 5c is hexadecimal
	}
	if len([]rune(unit)) > maxUnit || unit == after || strings.ContainsFunc(unit, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return false
	}
	first := strings.IndexAny(unit, "0123456789")
	return first < 0 || first > 0 && !strings.ContainsAny(unit, ":.-, ")
}

// maxUnit bounds a unit, in runes.
const maxUnit = 20

// plain writes a number with a decimal point and without marks of thousands.
func plain(number, decimal string) (string, error) {
	commas, points := strings.Count(number, ","), strings.Count(number, ".")
	mark, thousands := ".", ","
	switch {
	case decimal == Comma || decimal == "" && commas == 1 && (points == 0 || strings.IndexByte(number, '.') < strings.IndexByte(number, ',')):
		mark, thousands = ",", "."
	case commas == 0:
		return number, nil // ParseFloat refuses a second point
	}
	whole, fraction, _ := strings.Cut(number, mark)
	if decimal == "" && commas == 1 && points == 0 && grouped(whole+","+fraction, ",") {
		return "", refuse("value_ambiguous", "value", number)
	}
	if strings.Contains(whole, thousands) && !grouped(whole, thousands) || strings.ContainsAny(fraction, ".,") {
		return "", refuse("value_ambiguous", "value", number)
	}
	return strings.ReplaceAll(whole, thousands, "") + "." + fraction, nil
}

// grouped reports whether a number is written in groups of three digits, the first of one to three and
// not 0.
func grouped(number, mark string) bool {
	groups := strings.Split(strings.TrimLeft(number, "+-"), mark)
	for i, g := range groups {
		if i > 0 && len(g) != 3 || i == 0 && (g == "" || len(g) > 3 || g[0] == '0') {
			return false
		}
	}
	return true
}

// exact refuses an integer that a float64 would round. Nobody wants the last digits of a measurement
// of seventeen, but those of a counter or an identifier.
func exact(number string, value float64) error {
	digits := strings.TrimLeft(number, "+-0")
	if len(digits) <= 15 || strings.ContainsAny(digits, ".eE") {
		return nil
	}
	if strconv.FormatFloat(math.Abs(value), 'f', 0, 64) != digits {
		return refuse("value_inexact", "value", number)
	}
	return nil
}

// cut returns the first limit runes of a text.
func cut(text string, limit int) string {
	runes := 0
	for i := range text {
		if runes == limit {
			return text[:i]
		}
		runes++
	}
	return text
}
