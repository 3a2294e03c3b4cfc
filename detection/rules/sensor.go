package rules

import (
	"math"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// worseBy is the part of the limit by which a value must pass the worst one told so far, to be
// worth an alert.
const worseBy = 0.05

// threshold opens an incident when readings are beyond a value for long enough, and closes it
// when one is back beyond another value.
type threshold struct {
	minter
	sign  float64 // 1 for above, -1 for below: everything is compared as above
	clear float64

	beyond bool          // the last reading was beyond the value
	since  time.Duration // when the first of them came
	count  int           // how many came
	open   *entry
	told   float64 // the worst value in an alert
}

func newThreshold(m minter) *threshold {
	t := &threshold{minter: m, sign: 1, clear: m.spec.Value}
	if m.spec.Kind == detection.Below {
		t.sign = -1
	}
	if m.spec.ClearValue != nil {
		t.clear = *m.spec.ClearValue
	}
	return t
}

func (t *threshold) restore(inc detection.Incident) {
	t.open = &entry{inc: inc}
	t.told = t.spec.Value
	if inc.Value != nil {
		t.told = *inc.Value
	}
}

func (t *threshold) reading(now time.Duration, r devices.Reading) []detection.Incident {
	if t.open != nil {
		return t.follow(now, r)
	}
	if !(t.sign*r.Value > t.sign*t.spec.Value) {
		t.beyond = false
		return nil
	}
	if !t.beyond {
		t.beyond, t.since, t.count = true, now, 0
	}
	t.count++
	if now-t.since < t.spec.For {
		return nil
	}
	t.open = t.minter.open(now, r.Time)
	limit := t.spec.Value
	t.open.inc.Limit, t.open.inc.Unit, t.open.inc.Count = &limit, r.Unit, t.count
	t.show(r.Value)
	t.told = r.Value
	return []detection.Incident{t.open.alert()}
}

// follow judges a reading while the incident is open. Its Value is the worst so far.
func (t *threshold) follow(now time.Duration, r devices.Reading) []detection.Incident {
	if t.sign*r.Value <= t.sign*t.clear {
		inc := t.open.close(r.Time)
		t.open, t.beyond = nil, false
		return []detection.Incident{inc}
	}
	t.open.touch(r.Time)
	if t.sign*r.Value > t.sign*t.spec.Value {
		t.open.inc.Count++
	}
	if t.open.inc.Value == nil || t.sign*r.Value > t.sign**t.open.inc.Value {
		t.show(r.Value)
		step := max(worseBy*math.Abs(t.spec.Value), math.Abs(t.spec.Value-t.clear))
		t.open.changed = t.open.changed || t.sign*(r.Value-t.told) > step
	}
	alerts := t.open.change(now)
	if len(alerts) > 0 {
		t.told = *t.open.inc.Value
	}
	return alerts
}

func (t *threshold) show(v float64) { t.open.inc.Value = &v }

// silence opens an incident when nothing was heard of the device for long enough, and closes it
// at the first word.
type silence struct {
	minter
	open *entry
}

func newSilence(m minter) *silence { return &silence{minter: m} }

func (s *silence) restore(inc detection.Incident) { s.open = &entry{inc: inc} }

func (s *silence) tick(silent time.Duration, now time.Time) []detection.Incident {
	if s.open != nil || silent < s.spec.For {
		return nil
	}
	s.open = s.minter.open(0, now.Add(s.spec.For-silent))
	limit := s.spec.For.Seconds()
	s.open.inc.Limit, s.open.inc.Unit = &limit, "s"
	return []detection.Incident{s.open.alert()}
}

// broken ends the silence at the time that the device gives.
func (s *silence) broken(at time.Time) []detection.Incident {
	if s.open == nil {
		return nil
	}
	inc := s.open.close(at)
	s.open = nil
	return []detection.Incident{inc}
}
