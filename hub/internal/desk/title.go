package desk

import (
	"strconv"
	"strings"

	"gridpost/detection"
)

// Title says in words what an incident of an edge is, such as "motion in the yard" or
// "river above 3.2 m: 3.4 m".
func Title(inc detection.Incident) string {
	class := inc.Class
	if class == "" {
		class = detection.Motion
	}
	switch inc.Kind {
	case detection.Zone:
		return class + " in the " + words(inc.Rule)
	case detection.Line:
		return class + " across the line " + words(inc.Rule)
	case detection.Above, detection.Below:
		title := words(inc.Device) + " " + string(inc.Kind)
		if inc.Limit != nil {
			title += " " + quantity(*inc.Limit, inc.Unit)
		} else {
			title += " its limit"
		}
		if inc.Value != nil {
			title += ": " + quantity(*inc.Value, inc.Unit)
		}
		return title
	case detection.Silence:
		return words(inc.Device) + " is silent"
	}
	return words(inc.Rule) + " at " + words(inc.Device)
}

func words(name string) string { return strings.ReplaceAll(name, "-", " ") }

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
