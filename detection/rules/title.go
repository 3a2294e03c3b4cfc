package rules

import (
	"strconv"
	"strings"

	"gridpost/detection"
)

// Title returns a short English description of an incident, such as "motion in the yard" or
// "river above 3.2 m: 3.4 m". Incidents of kinds that are not in r, which newer edges may have, are
// described by rule and device.
func (r Registry) Title(inc detection.Incident) string {
	if k, ok := r.Find(inc.Kind); ok && k.Title != nil {
		return k.Title(inc)
	}
	return spaced(inc.Rule) + " at " + spaced(inc.Device)
}

// classOf returns the class of the object that an incident is about.
func classOf(inc detection.Incident) string {
	if inc.Class == "" {
		return detection.Motion
	}
	return inc.Class
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
