package devices

import "slices"

// Class says what the values 1 and 0 of a sensor mean, so that people read "open" and not "1". A sensor of
// other values has none.
type Class string

// The classes, each with its words for 1 and 0.
const (
	Opening Class = "opening" // open, closed
	Power   Class = "power"   // on, off
	Leak    Class = "leak"    // leak detected, no leak
	Smoke   Class = "smoke"   // smoke detected, no smoke
	Gas     Class = "gas"     // gas detected, no gas
	Motion  Class = "motion"  // motion detected, no motion
	Alarm   Class = "alarm"   // alarm, normal
)

// classWords are the English words for 1 and 0. The console has them in its own message files.
var classWords = []struct {
	class   Class
	on, off string
}{
	{Opening, "open", "closed"},
	{Power, "on", "off"},
	{Leak, "leak detected", "no leak"},
	{Smoke, "smoke detected", "no smoke"},
	{Gas, "gas detected", "no gas"},
	{Motion, "motion detected", "no motion"},
	{Alarm, "alarm", "normal"},
}

// Classes returns all classes.
func Classes() []Class {
	all := make([]Class, len(classWords))
	for i, c := range classWords {
		all[i] = c.class
	}
	return all
}

// Known says whether c is one of Classes.
func (c Class) Known() bool { return slices.Contains(Classes(), c) }

// Word returns the English word for a value; empty if c is not known.
func (c Class) Word(value float64) string {
	for _, w := range classWords {
		if w.class != c {
			continue
		}
		if value >= 0.5 {
			return w.on
		}
		return w.off
	}
	return ""
}
