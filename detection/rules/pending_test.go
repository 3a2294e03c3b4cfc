package rules

import (
	"reflect"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// doorSpec is a rule about a door that says "open" once: 1 is open.
func doorSpec() Spec {
	return spec("door", detection.Minor, &thresholdTerms{sign: 1, value: 0.5, hold: time.Minute})
}

// ticks passes ticks of a second, from one time to another, both included.
func (r *rig) ticks(from, to int) (alerts []detection.Incident) {
	for s := from; s <= to; s++ {
		alerts = append(alerts, r.e.Tick(at(float64(s)))...)
	}
	return alerts
}

// restart replaces the engine, as a restart of the edge does that takes a time, and hands over what the
// store has: the newest reading, open incidents, and what is pending.
func (r *rig) restart(newest *devices.Reading, took time.Duration, specs ...Spec) {
	r.t.Helper()
	pending := r.e.Pending()
	for i := range pending {
		pending[i].Held += took
	}
	e, err := NewEngine("gate", specs, r.log.id)
	if err != nil {
		r.t.Fatal(err)
	}
	r.want(e.Restore(r.log.open(), at(0)))
	e.Resume(newest, pending)
	r.e = e
}

func retained(x devices.Reading) devices.Reading {
	x.Retained = true
	return x
}

func TestTimeOpensWhatReportsOnChange(t *testing.T) {
	r := newRig(t, doorSpec())
	r.want(r.ticks(0, 10))
	r.want(r.read(reading(10, 0)))
	r.want(r.read(reading(10.5, 1)))
	r.want(r.ticks(11, 70))
	r.want(r.ticks(71, 75), "opened door 70.5 value 1")
	r.want(r.ticks(76, 300))
	r.want(r.read(reading(301, 0)), "closed door 301.0 value 1")
	r.want(r.ticks(301, 400))
	r.want(r.read(reading(400, 1)))
	r.want(r.ticks(401, 459))
	r.want(r.read(reading(459.5, 0))) // closed in time
	r.want(r.ticks(460, 600))
}

// TestTimeDoesNotCountWhileASensorIsOffline: its last value may not hold any more.
func TestTimeDoesNotCountWhileASensorIsOffline(t *testing.T) {
	r := newRig(t, doorSpec())
	r.want(r.ticks(0, 0))
	r.want(r.read(reading(0, 1)))
	r.want(r.ticks(1, 20))
	r.e.SetOffline(true)
	r.want(r.ticks(21, 5000))
	r.e.SetOffline(false)
	r.want(r.ticks(5001, 5039))
	r.want(r.ticks(5040, 5040), "opened door 5040.0 value 1")

	// Two readings with nothing between them tell that the value held.
	r.want(r.read(reading(5041, 0)), "closed door 5041.0 value 1")
	r.want(r.read(reading(5042, 1)))
	r.e.SetOffline(true)
	r.want(r.ticks(5043, 5100))
	r.want(r.read(reading(5103, 1)), "opened door 5103.0 value 1 count 2")
}

func TestPendingSurvivesARestart(t *testing.T) {
	r := newRig(t, doorSpec(), floodSpec())
	r.want(r.ticks(0, 0))
	open := reading(0, 1)
	r.want(r.read(open))
	r.want(r.ticks(1, 20))
	r.restart(&open, 5*time.Second, floodSpec(), doorSpec())
	r.want(r.read(retained(open))) // it comes again, and changes nothing
	r.want(r.ticks(25, 59))
	r.want(r.ticks(60, 60), "opened door 60.0 value 1")

	// What is open is not pending, and stays open.
	r.restart(&open, 5*time.Second, floodSpec(), doorSpec())
	r.want(r.read(retained(open)))
	r.want(r.ticks(65, 500))
	if p := r.e.Pending(); len(p) != 0 {
		t.Errorf("pending beside an open incident: %+v", p)
	}
	r.want(r.read(reading(501, 0)), "closed door 501.0 value 1")

	// The time is long over at the start: what the broker has kept comes first.
	open = reading(502, 1)
	r.want(r.read(open))
	r.want(r.ticks(501, 520))
	r.restart(&open, time.Hour, doorSpec())
	r.want(r.ticks(4100, 4109))
	r.want(r.ticks(4110, 4110), "opened door 4110.0 value 1")
	r.want(r.read(reading(4111, 0)), "closed door 4111.0 value 1")
	open = reading(4112, 1)
	r.want(r.read(open))
	r.want(r.ticks(4111, 4120))
	r.restart(&open, time.Hour, doorSpec())
	r.want(r.ticks(7700, 7705))
	r.want(r.read(retained(reading(7000, 0)))) // it was closed meanwhile
	r.want(r.ticks(7706, 9000))
}

// TestResume: what contradicts the stored state, or does not fit the rules any more, is forgotten.
func TestResume(t *testing.T) {
	p := detection.Pending{Device: "gate", Rule: "door", Kind: detection.Above, Limit: 0.5, First: at(0), Held: 50 * time.Second, Count: 1, Value: 1}
	for name, test := range map[string]struct {
		change func(p *detection.Pending, newest *devices.Reading)
		want   int
	}{
		"nothing":            {func(*detection.Pending, *devices.Reading) {}, 1},
		"another device":     {func(p *detection.Pending, _ *devices.Reading) { p.Device = "river" }, 0},
		"a rule that is not": {func(p *detection.Pending, _ *devices.Reading) { p.Rule = "window" }, 0},
		"another kind":       {func(p *detection.Pending, _ *devices.Reading) { p.Kind = detection.Below }, 0},
		"another limit":      {func(p *detection.Pending, _ *devices.Reading) { p.Limit = 0.4 }, 0},
		"no reading":         {func(p *detection.Pending, _ *devices.Reading) { p.Count = 0 }, 0},
		"a negative time":    {func(p *detection.Pending, _ *devices.Reading) { p.Held = -1 }, 0},
		"a value within":     {func(p *detection.Pending, _ *devices.Reading) { p.Value = 0.5 }, 0},
		"a newer reading":    {func(_ *detection.Pending, r *devices.Reading) { r.Value, r.Time = 0, at(20) }, 0},
		"an older reading":   {func(_ *detection.Pending, r *devices.Reading) { r.Value, r.Time = 0, at(-20) }, 1},
	} {
		r := newRig(t, doorSpec())
		p, newest := p, reading(0, 1)
		test.change(&p, &newest)
		r.e.Resume(&newest, []detection.Pending{p, p})
		r.want(r.e.Tick(at(100)))
		if got := r.e.Pending(); len(got) != test.want {
			t.Errorf("%s: pending is %+v", name, got)
		} else if len(got) == 1 && (!got[0].First.Equal(p.First) || got[0].Held != p.Held || got[0].Count != 1 || got[0].Value != 1) {
			t.Errorf("%s: pending is %+v, it was %+v", name, got[0], p)
		}
	}
	r := newRig(t, floodSpec())
	r.e.Resume(nil, []detection.Pending{p})
	if got := r.e.Pending(); len(got) != 0 {
		t.Errorf("without its rule: %+v", got)
	}
}

// TestRetainedReadingsOpenNothing: their age is not known, unless the sensor tells it.
func TestRetainedReadingsOpenNothing(t *testing.T) {
	three := 3.0
	r := newRig(t, spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3.2, clear: &three}), doorSpec(),
		spec("silent", detection.Minor, &silenceTerms{hold: 5 * time.Minute}))
	undated := func(value float64) []detection.Incident {
		x := devices.Reading{Device: "gate", Time: time.Now(), Value: value, Quality: devices.Good, Retained: true}
		return r.e.Reading(x, x.Time)
	}
	r.want(r.ticks(0, 0))
	r.want(undated(9))
	r.want(r.read(retained(reading(10, 9))))
	r.want(r.ticks(11, 299))
	r.want(r.ticks(300, 300), "opened silent 300.0") // they are no sign of life
	r.want(undated(9))
	r.want(r.read(reading(301, 9)), "closed silent 301.0", "opened flood 301.0 value 9")
	r.want(undated(0))                        // may be older than what opened it
	r.want(r.read(retained(reading(301, 0)))) // is not newer
	r.want(r.read(retained(reading(302, 3.1))))
	r.want(r.read(retained(reading(303, 0))), "closed flood 303.0 value 9")
	r.want(r.read(retained(reading(304, 9))))
	r.want(r.ticks(302, 600))
	r.want(r.read(reading(303.5, 9))) // older than the newest one, retained or not
	r.want(r.read(reading(305, 2)))
	r.want(undated(0))
	if p := r.e.Pending(); len(p) != 0 {
		t.Errorf("pending although the retained value is within the limit: %+v", p)
	}
}

// TestOldReadingsChangeNothing: a gateway sends what it has kept over an outage, after a restart too.
func TestOldReadingsChangeNothing(t *testing.T) {
	door := spec("door", detection.Minor, &thresholdTerms{sign: 1, value: 0.5})
	r := newRig(t, door)
	r.want(r.read(reading(1000, 0)))
	for range 2 {
		for s := range 500 { // in a burst
			r.want(r.e.Reading(reading(float64(s), 1), at(1001+float64(s)/100)))
		}
		historical := reading(1100, 1)
		historical.Historical = true
		r.want(r.read(historical))
		newest := reading(1000.0004, 0) // the store has milliseconds
		r.restart(&newest, time.Minute, door)
	}
	r.want(r.read(reading(1001, 1)), "opened door 1001.0 value 1")
	r.want(r.read(reading(1001, 1))) // the same once more
	for s := range 500 {
		r.want(r.e.Reading(reading(float64(s), 0), at(1001+float64(s)/100)))
	}
	newest := reading(1001, 1)
	r.restart(&newest, time.Minute, door)
	r.want(r.read(reading(1000, 0)))
	r.want(r.read(reading(1001, 1)))
	r.want(r.read(reading(1002, 0)), "closed door 1002.0 value 1")
	// The sensor's clock was set back: its times advance as fast as they arrive.
	r.want(r.e.Reading(reading(100, 1), at(1010)))
	r.want(r.e.Reading(reading(101, 1), at(1011)))
	r.want(r.e.Reading(reading(102, 1), at(1012)), "opened door 102.0 value 1")
}

// TestANewRuleBeginsWithTheNewestReading: the door is open when a rule about it is added, or changed.
func TestANewRuleBeginsWithTheNewestReading(t *testing.T) {
	atOnce := spec("now", detection.Minor, &thresholdTerms{sign: 1, value: 0.5})
	r := newRig(t)
	r.want(r.ticks(0, 0))
	r.want(r.read(reading(1, 1)))
	r.want(r.ticks(1, 100))
	r.want(r.reconfigure(100, doorSpec(), atOnce))
	r.want(r.e.Tick(at(101)), "opened now 100.0 value 1")
	r.want(r.ticks(102, 159))
	r.want(r.e.Tick(at(160)), "opened door 160.0 value 1")
	r.want(r.reconfigure(161, doorSpec(), atOnce)) // nothing has changed, and nothing begins
	r.want(r.ticks(162, 300))
	r.want(r.read(reading(301, 0)), "closed door 301.0 value 1", "closed now 301.0 value 1")
	r.want(r.reconfigure(302, doorSpec(), spec("now", detection.Severe, &thresholdTerms{sign: 1, value: 0.5})))
	r.want(r.ticks(303, 400))
	r.want(r.read(retained(reading(401, 1)))) // opens nothing, now or later
	r.want(r.reconfigure(402, doorSpec(), atOnce))
	r.want(r.ticks(403, 500))
}

// TestPendingIsAValue: what Pending returns does not change with the engine.
func TestPendingIsAValue(t *testing.T) {
	r := newRig(t, doorSpec())
	r.want(r.ticks(0, 0))
	r.want(r.read(reading(0, 1)))
	r.want(r.ticks(1, 7))
	got := r.e.Pending()
	want := []detection.Pending{{Device: "gate", Rule: "door", Kind: detection.Above, Limit: 0.5, First: at(0), Held: 7 * time.Second, Count: 1, Value: 1, Unit: "m"}}
	r.want(r.read(reading(8, 2)))
	r.want(r.ticks(8, 9))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pending: %+v, want %+v", got, want)
	}
}
