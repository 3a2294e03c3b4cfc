package rules

import (
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/devices"
)

// Names are what people call the device and the rule of an incident, where the site's document says so.
type Names struct {
	Device devices.Title
	Rule   devices.Title // what has happened ("loitering"); of a line, what the line is called
	Class  devices.Class // of a sensor with the values 1 and 0
}

// Title returns a short English description of an incident, such as "Loitering: bus station" or
// "Smoke 146 ppm (limit 60)". Incidents of kinds that are not in r, which newer edges may have, are
// described by rule and device.
func (r Registry) Title(inc detection.Incident, n Names) string {
	if k, ok := r.Find(inc.Kind); ok && k.Title != nil {
		return capital(k.Title(inc, n))
	}
	return capital(ruleAt(inc, n))
}

// ruleAt describes an incident by its rule and its device: "loitering: bus station".
func ruleAt(inc detection.Incident, n Names) string {
	return n.Rule.Or(inc.Rule) + ": " + n.Device.Or(inc.Device)
}

// titled returns the description of all incidents whose rule has a name for people, and plain's for others.
func titled(plain func(inc detection.Incident, n Names) string) func(detection.Incident, Names) string {
	return func(inc detection.Incident, n Names) string {
		if n.Rule.IsZero() {
			return plain(inc, n)
		}
		return ruleAt(inc, n)
	}
}

// called returns the description of incidents of a kind that has a name of its own: "loitering: bus station".
func called(what string) func(detection.Incident, Names) string {
	return titled(func(inc detection.Incident, n Names) string { return what + ": " + n.Device.Or(inc.Device) })
}

// classOf returns the class of the object that an incident is about.
func classOf(inc detection.Incident) string {
	if inc.Class == "" {
		return detection.Motion
	}
	return inc.Class
}

func capital(text string) string {
	first, size := utf8.DecodeRuneInString(text)
	return string(unicode.ToUpper(first)) + text[size:]
}

// spaced writes a name with spaces.
func spaced(name string) string { return strings.ReplaceAll(name, "-", " ") }

// quantity writes a value with at most three decimals and its unit.
func quantity(v float64, unit string) string {
	text := strconv.FormatFloat(v, 'f', -1, 64)
	if i := strings.IndexByte(text, '.'); i >= 0 && len(text)-i > 4 {
		text = strconv.FormatFloat(v, 'f', 3, 64)
		text = strings.TrimRight(strings.TrimRight(text, "0"), ".")
	}
	if unit == "" || unit == "1" {
		return text
	}
	return text + " " + unit
}
