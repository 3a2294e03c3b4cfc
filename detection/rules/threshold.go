package rules

import (
	"fmt"
	"math"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

// worseBy is the part of the limit by which a value must exceed the worst one alerted so far, to
// be worth another alert.
const worseBy = 0.05

// aboveKind opens an incident when readings are above a value for long enough, and closes it when
// one is not above another value.
func aboveKind() Kind {
	return Kind{
		Name:    detection.Above,
		Devices: []devices.Kind{devices.Sensor},
		Terms:   func() Terms { return &thresholdTerms{sign: 1} },
		Title:   thresholdTitle,
	}
}

// belowKind is aboveKind the other way round.
func belowKind() Kind {
	return Kind{
		Name:    detection.Below,
		Devices: []devices.Kind{devices.Sensor},
		Terms:   func() Terms { return &thresholdTerms{sign: -1} },
		Title:   thresholdTitle,
	}
}

func thresholdTitle(inc detection.Incident) string {
	title := spaced(inc.Device) + " " + string(inc.Kind) + " "
	if inc.Limit == nil {
		title += "its limit"
	} else {
		title += quantity(*inc.Limit, inc.Unit)
	}
	if inc.Value != nil {
		title += ": " + quantity(*inc.Value, inc.Unit)
	}
	return title
}

type thresholdTerms struct {
	sign  float64       // 1 for above, -1 for below: everything is compared as above
	value float64       // beyond it an incident opens
	clear *float64      // at or beyond it, the other way, the incident closes; nil: value
	hold  time.Duration // how long readings must be beyond value
}

func (t *thresholdTerms) Params() []param.Param {
	return []param.Param{
		param.Required("value", param.Number(&t.value, -math.MaxFloat64, math.MaxFloat64)),
		param.Optional("clear", param.OptionalNumber(&t.clear)),
		param.Optional("for", param.Duration(&t.hold, 0, param.Longest)),
	}
}

func (t *thresholdTerms) Check() error {
	if t.clear == nil || t.sign**t.clear <= t.sign*t.value {
		return nil
	}
	side := "above"
	if t.sign < 0 {
		side = "below"
	}
	return &param.Error{Key: "clear", Expected: fmt.Sprintf("a number not %s value (%g)", side, t.value)}
}

func (t *thresholdTerms) Describe() Description {
	value := t.value
	return Description{Value: &value, For: t.hold}
}

func (t *thresholdTerms) Judge(o Opener) Judge {
	j := &threshold{thresholdTerms: *t, opener: o, clearAt: t.value}
	if t.clear != nil {
		j.clearAt = *t.clear
	}
	return j
}

type threshold struct {
	thresholdTerms
	opener  Opener
	clearAt float64

	beyond  bool          // the last reading was beyond the value
	since   time.Duration // when the first of them came
	count   int           // how many came
	open    *OpenIncident
	alerted float64 // the worst value in an alert
}

// Open implements Judge.
func (t *threshold) Open() []detection.Incident { return openOf(t.open) }

// Restore implements Judge.
func (t *threshold) Restore(inc detection.Incident) bool {
	if t.open != nil {
		return false
	}
	t.open, t.alerted = &OpenIncident{Incident: inc}, t.value
	if inc.Value != nil {
		t.alerted = *inc.Value
	}
	return true
}

// Reading implements ReadingJudge.
func (t *threshold) Reading(now time.Duration, r devices.Reading) []detection.Incident {
	if t.open != nil {
		return t.follow(now, r)
	}
	if !(t.sign*r.Value > t.sign*t.value) {
		t.beyond = false
		return nil
	}
	if !t.beyond {
		t.beyond, t.since, t.count = true, now, 0
	}
	t.count++
	if now-t.since < t.hold {
		return nil
	}
	t.open = t.opener.Open(now, r.Time)
	limit := t.value
	t.open.Incident.Limit, t.open.Incident.Unit, t.open.Incident.Count = &limit, r.Unit, t.count
	t.show(r.Value)
	t.alerted = r.Value
	return []detection.Incident{t.open.Alert()}
}

// follow judges a reading while the incident is open. Its Value is the worst so far.
func (t *threshold) follow(now time.Duration, r devices.Reading) []detection.Incident {
	if t.sign*r.Value <= t.sign*t.clearAt {
		inc := t.open.Close(r.Time)
		t.open, t.beyond = nil, false
		return []detection.Incident{inc}
	}
	t.open.Touch(r.Time)
	if t.sign*r.Value > t.sign*t.value {
		t.open.Incident.Count++
	}
	if t.open.Incident.Value == nil || t.sign*r.Value > t.sign**t.open.Incident.Value {
		t.show(r.Value)
		step := max(worseBy*math.Abs(t.value), math.Abs(t.value-t.clearAt))
		t.open.changed = t.open.changed || t.sign*(r.Value-t.alerted) > step
	}
	alerts := t.open.Change(now)
	if len(alerts) > 0 {
		t.alerted = *t.open.Incident.Value
	}
	return alerts
}

func (t *threshold) show(v float64) { t.open.Incident.Value = &v }
