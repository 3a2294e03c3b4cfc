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
// one is not above another value. The value of a sensor is its last reading until the next one: a sensor
// that sends only changes opens an incident by time alone, unless it is offline.
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

// thresholdTitle returns "smoke 146 ppm (limit 60)"; "door open" for a sensor with a class.
func thresholdTitle(inc detection.Incident, n Names) string {
	title := n.Device.Or(inc.Device)
	if n.Class.Known() {
		if !n.Rule.IsZero() {
			return ruleAt(inc, n)
		}
		return title + " " + n.Class.Word(binary(inc))
	}
	if !n.Rule.IsZero() {
		title = ruleAt(inc, n)
	}
	switch {
	case inc.Value != nil && inc.Limit != nil:
		return title + " " + quantity(*inc.Value, inc.Unit) + " (limit " + quantity(*inc.Limit, "") + ")"
	case inc.Value != nil:
		return title + " " + quantity(*inc.Value, inc.Unit)
	case inc.Limit != nil:
		return title + " " + string(inc.Kind) + " " + quantity(*inc.Limit, inc.Unit)
	}
	return title + " " + string(inc.Kind) + " its limit"
}

// binary returns the value of a sensor with the values 1 and 0, by the kind of the rule where it is not known.
func binary(inc detection.Incident) float64 {
	switch {
	case inc.Value != nil:
		return *inc.Value
	case inc.Kind == detection.Above:
		return 1
	}
	return 0
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

	pending *pending // nil: the last reading was not beyond the value, or an incident is open
	open    *OpenIncident
	alerted float64 // the worst value in an alert
}

// pending is a time for which readings have been beyond the value.
type pending struct {
	first    time.Time     // of the first of them
	measured time.Duration // its place by the clock of readings
	arrived  time.Duration // its place by the clock of ticks, moved by the time that does not count
	count    int           // how many came
	value    float64       // the last one
	unit     string
	latest   time.Duration // place of the last one by the clock of readings
	resumed  bool          // it is from before a restart
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
func (t *threshold) Reading(a Arrival) []detection.Incident {
	switch {
	case t.open != nil:
		return t.follow(a)
	case !t.beyond(a.Value):
		t.pending = nil
		return nil
	case t.pending == nil:
		t.pending = &pending{first: a.Time, measured: a.Measured, arrived: a.Arrived}
	}
	p := t.pending
	p.count++
	p.value, p.unit, p.latest = a.Value, a.Unit, a.Measured
	if a.Measured-p.measured < t.hold {
		return nil
	}
	return t.start(a.Time)
}

func (t *threshold) beyond(value float64) bool { return t.sign*value > t.sign*t.value }

// Retained implements RetainedJudge. The reading ends what is pending even if its age is not known: that opens
// nothing. It ends an incident only if it is newer than the readings before it.
func (t *threshold) Retained(a Arrival) []detection.Incident {
	if !t.beyond(a.Value) {
		t.pending = nil
	}
	if t.open != nil && a.Dated && t.cleared(a.Value) {
		return t.finish(a.Time)
	}
	return nil
}

// Tick implements TickJudge. The last value holds until the next one comes.
func (t *threshold) Tick(tick Tick) []detection.Incident {
	p := t.pending
	if p == nil {
		return nil
	}
	if tick.Offline {
		p.arrived = min(p.arrived+tick.Step, tick.Elapsed)
		return nil
	}
	held := tick.Elapsed - p.arrived
	if held < t.hold || p.resumed && tick.Elapsed < resumeAfter {
		return nil
	}
	at := tick.Now
	if !p.resumed {
		at = at.Add(t.hold - held)
	}
	return t.start(at)
}

// start opens the incident of what is pending.
func (t *threshold) start(at time.Time) []detection.Incident {
	p := t.pending
	t.pending = nil
	t.open = t.opener.Open(p.latest, at)
	limit := t.value
	t.open.Incident.Limit, t.open.Incident.Unit, t.open.Incident.Count = &limit, p.unit, p.count
	t.show(p.value)
	t.alerted = p.value
	return []detection.Incident{t.open.Alert()}
}

// Pending implements PendingJudge.
func (t *threshold) Pending(now time.Duration) (detection.Pending, bool) {
	p := t.pending
	if p == nil {
		return detection.Pending{}, false
	}
	return detection.Pending{Limit: t.value, First: p.first, Held: max(0, now-p.arrived), Count: p.count, Value: p.value, Unit: p.unit}, true
}

// Begin implements PendingJudge.
func (t *threshold) Begin(a Arrival) {
	if t.open == nil && t.beyond(a.Value) {
		t.pending = &pending{first: a.Time, measured: a.Measured, arrived: a.Arrived, latest: a.Measured, count: 1, value: a.Value, unit: a.Unit}
	}
}

// Resume implements PendingJudge.
func (t *threshold) Resume(p detection.Pending, newest *devices.Reading) {
	if t.open != nil || t.pending != nil || p.Limit != t.value || p.Count < 1 || p.Held < 0 || !t.beyond(p.Value) {
		return
	}
	resumed := &pending{first: p.First, arrived: -p.Held, count: p.Count, value: p.Value, unit: p.Unit, resumed: true}
	if newest != nil && !newest.Time.Before(milliseconds(p.First)) {
		if !t.beyond(newest.Value) {
			return // it ended right before the stop
		}
		resumed.measured = p.First.Sub(newest.Time)
	}
	t.pending = resumed
}

func (t *threshold) cleared(value float64) bool { return t.sign*value <= t.sign*t.clearAt }

// finish closes the incident.
func (t *threshold) finish(at time.Time) []detection.Incident {
	inc := t.open.Close(at)
	t.open, t.pending = nil, nil
	return []detection.Incident{inc}
}

// follow judges a reading while the incident is open. Its Value is the worst so far.
func (t *threshold) follow(r Arrival) []detection.Incident {
	if t.cleared(r.Value) {
		return t.finish(r.Time)
	}
	t.open.Touch(r.Time)
	if t.beyond(r.Value) {
		t.open.Incident.Count++
	}
	if t.open.Incident.Value == nil || t.sign*r.Value > t.sign**t.open.Incident.Value {
		t.show(r.Value)
		step := max(worseBy*math.Abs(t.value), math.Abs(t.value-t.clearAt))
		t.open.changed = t.open.changed || t.sign*(r.Value-t.alerted) > step
	}
	alerts := t.open.Change(r.Measured)
	if len(alerts) > 0 {
		t.alerted = *t.open.Incident.Value
	}
	return alerts
}

func (t *threshold) show(v float64) { t.open.Incident.Value = &v }
