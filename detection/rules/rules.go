// Package rules turns the tracks and readings of one device into incidents that open, change
// and close.
//
// A Kind is one kind of rule: the keys that it has in a site document, the devices that it fits,
// and the judge that opens and closes its incidents. A Registry is a set of kinds. A new kind is
// one file of this package and one line in Standard.
//
// An Engine holds the rules of one device. It is a plain state machine: it has no goroutine and
// no clock. What it returns are alerts to be stored and sent: the whole incident, its Version one
// higher than before. Nothing follows the alert that closes an incident. A rule has at most
// one open incident; only a line has one for each crossing, and health one for each problem. A rule with a cool-down opens its next incident only when that long has passed since it opened the one before: an
// incident that is still open then opens late, and those that are over are counted by the next one. The
// cool-down itself does not survive a restart of the edge.
//
// The value of a sensor is its last reading until the next one. So above and below open an incident by
// time alone where a sensor reports changes only, and what is pending survives a restart of the edge:
// see Pending and Resume. Four things open nothing: a retained reading, a reading that is older than the
// newest one, a historical one, and the last value of a sensor that is offline.
//
// A rule with a schedule is active only then, by the machine's clock as ticks have it. When its time ends, its open
// incident closes at that moment, and what was pending is forgotten. When its time begins, it begins as a rule that
// is new: with no time passed, and a rule about readings with the newest one.
//
// Durations are measured along the times handed in, in a way that survives clocks that are set:
// time that runs backwards counts as standing still, and so does a gap of more than a minute
// between two frames. The package imports nothing of Gridpost but detection and devices.
package rules

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/detection/rules/schedule"
	"gridpost/devices"
)

// Standard returns the kinds of rules that Gridpost has.
func Standard() Registry {
	return Registry{
		zoneKind(),
		lineKind(),
		loiteringKind(),
		wrongWayKind(),
		crowdKind(),
		stoppedKind(),
		absenceKind(),
		leftKind(),
		removedKind(),
		sightingKind(),
		aboveKind(),
		belowKind(),
		silenceKind(),
		healthKind(),
	}
}

// Kind is one kind of rule.
type Kind struct {
	Name    detection.RuleKind
	Devices []devices.Kind // the devices that it fits

	// Terms returns the terms of a new rule of this kind, with their defaults.
	Terms func() Terms

	// Title returns a short English description of an incident, as within a sentence; nil: that of all other
	// kinds.
	Title func(inc detection.Incident, n Names) string
}

// Fits reports whether rules of this kind may stand on a device.
func (k Kind) Fits(device devices.Kind) bool { return slices.Contains(k.Devices, device) }

// Terms are the parameters of one rule. Implementations are pointers to plain data, so that
// reflect.DeepEqual tells whether a rule has changed.
type Terms interface {
	// Params lists the kind's keys in a site document. Their readers fill in the terms.
	Params() []param.Param

	// Check returns what is wrong between parameters that are right by themselves, as a
	// *param.Error. It is called once, after all parameters have been read.
	Check() error

	// Describe returns what an operator is shown of the rule.
	Describe() Description

	// Judge returns the rule at work, with no incident open.
	Judge(o Opener) Judge
}

// Description is what the hub shows of a rule, and what an edge needs to know to run it.
type Description struct {
	Detection bool                // it judges frames, so its camera needs a worker
	Model     bool                // it opens nothing without an object model
	Value     *float64            // the limit, in the sensor's unit
	Direction detection.Direction // of crossings
	Classes   []string            // of the tracks that count; empty: any
	Problems  []string            // of a camera's health
	For       time.Duration       // how long the condition must hold
	NearEdge  bool                // its area comes near the frame's edge without reaching it
}

// Spec is one rule of a device.
type Spec struct {
	Name     string // [a-z0-9-]{1,40}, unique on its device
	Title    devices.Title
	Kind     detection.RuleKind
	Severity detection.Severity
	CoolDown time.Duration      // least time between two incidents that open, 0..param.Longest; what is between them is counted
	Schedule *schedule.Schedule // when it is active; nil: always
	Terms    Terms
}

// Check returns what makes s unusable.
func (s Spec) Check() error {
	switch {
	case s.Name == "":
		return errors.New("name: expected a value, found nothing")
	case s.Kind == "" || s.Terms == nil:
		return errors.New("kind: expected a value, found nothing")
	case s.CoolDown < 0 || s.CoolDown > param.Longest:
		return fmt.Errorf("cool_down: expected 0 to %s, found %s", param.Longest, s.CoolDown)
	}
	return s.Terms.Check()
}

// Registry is a set of kinds with different names.
type Registry []Kind

// Find returns the kind of a name.
func (r Registry) Find(name detection.RuleKind) (Kind, bool) {
	for _, k := range r {
		if k.Name == name {
			return k, true
		}
	}
	return Kind{}, false
}

// Names returns the names of all kinds, in their order.
func (r Registry) Names() []detection.RuleKind {
	names := make([]detection.RuleKind, len(r))
	for i, k := range r {
		names[i] = k.Name
	}
	return names
}

// For returns the kinds that fit a device.
func (r Registry) For(device devices.Kind) Registry {
	return slices.DeleteFunc(slices.Clone(r), func(k Kind) bool { return !k.Fits(device) })
}
