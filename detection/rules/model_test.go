package rules

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/payload"
)

// thresholdModel says when an incident of an above or below rule opens and closes, in the simplest way.
type thresholdModel struct {
	name               string
	sign, value, clear float64
	hold               time.Duration

	open    bool
	run     []sample      // readings beyond the value since the last one that was not
	held    time.Duration // for how long the last value has held since the run began, while the sensor was not offline
	resumed bool          // the run began before a restart
}

type sample struct {
	own      time.Time     // as the sensor says, or when it arrived
	measured time.Duration // the sum of the times between the readings that count, up to this one
	arrived  time.Time
}

func (m *thresholdModel) beyond(v float64) bool { return m.sign*v > m.sign*m.value }

func (m *thresholdModel) end() { m.run, m.held, m.resumed = nil, 0, false }

func (m *thresholdModel) start() string {
	m.end()
	m.open = true
	return "open " + m.name
}

func (m *thresholdModel) reading(v float64, s sample) string {
	switch {
	case m.open && m.sign*v <= m.sign*m.clear:
		m.open = false
		return "close " + m.name
	case m.open:
	case !m.beyond(v):
		m.end()
	default:
		m.run = append(m.run, s)
		if s.measured-m.run[0].measured >= m.hold {
			return m.start()
		}
	}
	return ""
}

func (m *thresholdModel) retained(v float64, newer bool) string {
	if !m.beyond(v) {
		m.end()
	}
	if newer && m.open && m.sign*v <= m.sign*m.clear {
		m.open = false
		return "close " + m.name
	}
	return ""
}

func (m *thresholdModel) tick(before, now, started time.Time, offline bool) string {
	if len(m.run) == 0 || offline {
		return ""
	}
	from := before
	if !m.resumed && m.run[0].arrived.After(from) {
		from = m.run[0].arrived
	}
	m.held += now.Sub(from)
	if m.held < m.hold || m.resumed && now.Sub(started) < resumeAfter {
		return ""
	}
	return m.start()
}

// sensorModel is all that an engine should know of a sensor, and the sensor's own clock.
type sensorModel struct {
	rules    []*thresholdModel
	silence  time.Duration
	silent   bool
	life     time.Time // the last sign of life, or the start
	alive    bool      // it came since the last tick
	known    bool
	newest   devices.Reading
	dated    bool      // the newest reading, by the sensor's own clock
	arrived  time.Time // when the newest reading did; zero: before a restart
	own      time.Time // of the newest reading that the sensor dated itself; zero: none
	measured time.Duration
	refused  []sample // in a row, as fast as they arrived
	offline  bool
	before   time.Time // the last tick
	started  time.Time // the first one

	clock time.Duration // how far the sensor's clock is ahead of the machine's
	old   time.Time     // what was sent late last

	machine time.Duration // by how much the machine's clock was set in all
	then    time.Duration // machine when the newest reading arrived
}

// bound returns the time before which a reading that the sensor dated is late; zero: none.
func (m *sensorModel) bound(arrived time.Time) time.Time {
	bound := m.newest.Time
	if isArrival(bound) && m.machine != m.then {
		bound = m.own // what the machine's clock said before it was set says nothing now
	}
	if bound.After(arrived.Add(time.Minute)) {
		return time.Time{} // nothing can have been measured then
	}
	return bound
}

// accept says whether a reading counts: it is not older than the newest one, or the sensor's clock was set
// back.
func (m *sensorModel) accept(r devices.Reading, arrived time.Time, dated bool) (sample, bool) {
	s := sample{own: r.Time, arrived: arrived}
	step := r.Time.Sub(m.newest.Time)
	if m.known && dated && r.Time.Before(m.bound(arrived)) {
		if len(m.refused) > 0 {
			first := m.refused[0]
			own, passed := s.own.Sub(first.own), arrived.Sub(first.arrived)
			if (own - passed).Abs() > max(time.Second, passed/10) {
				m.refused = nil
			}
		}
		m.refused = append(m.refused, s)
		if len(m.refused) < 3 || arrived.Sub(m.refused[0].arrived) < 2*time.Second {
			return s, false
		}
	}
	m.refused = nil
	if m.known {
		if passed := arrived.Sub(m.arrived); !m.arrived.IsZero() && dated != m.dated {
			step = min(step, passed) // the clocks need not agree
		}
		m.measured += max(0, step)
	}
	m.dated, m.arrived, m.then = dated, arrived, m.machine
	if dated {
		m.own = r.Time
	}
	s.measured = m.measured
	m.known, m.newest = true, r
	return s, true
}

func (m *sensorModel) reading(r devices.Reading, arrived time.Time) (happened []string) {
	dated := !isArrival(r.Time)
	if !r.Retained {
		m.life, m.alive = r.Time, true
		if r.Historical {
			m.life = arrived
		}
		if m.silent {
			m.silent = false
			happened = append(happened, "close silent")
		}
	}
	if r.Historical || r.Quality == devices.Bad {
		return happened
	}
	if r.Retained && (!dated || m.known && !r.Time.After(m.bound(arrived))) {
		for _, rule := range m.rules {
			if !dated {
				happened = append(happened, rule.retained(r.Value, false))
			}
		}
		return happened
	}
	if dated && m.known && r.Time.Equal(m.newest.Time) && r.Value == m.newest.Value {
		return happened
	}
	s, ok := m.accept(r, arrived, dated)
	for _, rule := range m.rules {
		switch {
		case ok && r.Retained:
			happened = append(happened, rule.retained(r.Value, true))
		case ok:
			happened = append(happened, rule.reading(r.Value, s))
		}
	}
	return happened
}

func (m *sensorModel) tick(now time.Time) (happened []string) {
	// A sign of life counts from when it came, if the sensor's clock tells that, else from the tick.
	if m.alive && (m.life.After(now) || m.life.Before(m.before)) {
		m.life = now
	}
	m.life = now.Add(-now.Sub(m.life)) // from now on by the machine's monotonic clock
	m.alive = false
	for _, rule := range m.rules {
		happened = append(happened, rule.tick(m.before, now, m.started, m.offline))
	}
	m.before = now
	return happened
}

// modelRun runs an engine beside the model.
type modelRun struct {
	*rig
	m   *sensorModel
	rng *rand.Rand
	now time.Time
	set time.Time // before what comes next, as the machine's clock has it now
	did map[string]int
}

func modelSpecs(hold time.Duration) []Spec {
	one := 1.0
	return []Spec{
		spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 2, clear: &one, hold: hold}),
		spec("cold", detection.Minor, &thresholdTerms{sign: -1, value: 1}),
		spec("dry", detection.Minor, &thresholdTerms{sign: -1, value: 1.2, hold: 45 * time.Second}),
		spec("silent", detection.Minor, &silenceTerms{hold: 40 * time.Second}),
	}
}

func newModelRun(t *testing.T, seed uint64) *modelRun {
	t.Helper()
	x := &modelRun{rig: newRig(t, modelSpecs(30*time.Second)...), rng: rand.New(rand.NewPCG(seed, 4)), did: map[string]int{}} // repeatable
	// With Go's monotonic reading, as the times of messages have it.
	x.now = time.Now()
	x.m = &sensorModel{silence: 40 * time.Second, rules: []*thresholdModel{
		{name: "flood", sign: 1, value: 2, clear: 1, hold: 30 * time.Second},
		{name: "cold", sign: -1, value: 1, clear: 1},
		{name: "dry", sign: -1, value: 1.2, clear: 1.2, hold: 45 * time.Second},
	}}
	x.begin()
	return x
}

// begin is the first tick of an engine.
func (x *modelRun) begin() {
	x.set, x.m.before, x.m.started, x.m.life = x.now, x.now, x.now, x.now
	x.e.SetOffline(x.m.offline)
	x.compare("the start", x.e.Tick(x.now), nil)
}

// compare compares what an engine did with what the model did.
func (x *modelRun) compare(what string, alerts []detection.Incident, want []string) {
	x.t.Helper()
	if err := x.log.take(alerts); err != nil {
		x.t.Fatalf("%s: %v", what, err)
	}
	var got []string
	for _, a := range alerts {
		switch {
		case a.State == detection.Closed:
			got = append(got, "close "+a.Rule)
		case a.Version == 1:
			got = append(got, "open "+a.Rule)
		}
	}
	want = slices.DeleteFunc(want, func(s string) bool { return s == "" })
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		x.t.Fatalf("%s at %v: the engine did %q, the model %q; pending %+v", what, x.now.Sub(x.m.started), got, want, x.e.Pending())
	}
	for _, s := range want {
		x.did[s]++
	}
}

// tick lets up to two seconds pass.
func (x *modelRun) tick() {
	x.now = x.set.Add(time.Duration(500+x.rng.IntN(1500)) * time.Millisecond)
	x.set = x.now
	x.e.SetOffline(x.m.offline)
	want := x.m.tick(x.now)
	if !x.m.silent && x.now.Sub(x.m.life) >= x.m.silence {
		x.m.silent = true
		want = append(want, "open silent")
	}
	x.compare("a tick", x.e.Tick(x.now), want)
}

// message sends a reading of any kind, at a time before the next tick.
func (x *modelRun) message() {
	m := x.m
	arrived := x.set.Add(time.Duration(x.rng.IntN(500)) * time.Millisecond)
	own := milliseconds(arrived).Add(m.clock)
	r := devices.Reading{Device: "gate", Time: arrived, Value: []float64{0, 1.1, 1.5, 3}[x.rng.IntN(4)], Unit: "m", Quality: devices.Good}
	if x.rng.IntN(3) > 0 {
		r.Value = m.newest.Value // sensors repeat themselves
	}
	kind, choice := "arrival", x.rng.IntN(12)
	if !m.known {
		choice = 11 // the others refer to an earlier one
	}
	switch choice {
	case 0:
		kind, r.Retained = "retained", true
	case 1:
		kind, r.Retained, r.Time = "retained and dated", true, own.Add(-time.Duration(x.rng.IntN(3000))*time.Millisecond)
	case 2:
		kind, r.Historical, r.Time = "historical", true, own.Add(-time.Hour)
	case 3:
		kind, r.Quality = "bad", devices.Bad
	case 4, 5: // of a gateway that sends the newest of what it has kept first: never as fast as they arrive
		if newest := milliseconds(m.newest.Time); m.old.IsZero() || !m.old.Before(newest) {
			m.old = newest
		}
		m.old = m.old.Add(-time.Duration(1500+x.rng.IntN(5000)) * time.Millisecond)
		kind, r.Time = "old", m.old
	case 6:
		kind, r.Time, r.Value = "the same again", m.newest.Time.Round(0), m.newest.Value
	case 7, 8, 9:
		kind, r.Time = "dated", own
	}
	if !payload.Plausible(r.Time, arrived) { // as the decoder does
		kind, r.Time = "not plausible", arrived
	}
	x.now = arrived
	x.compare(fmt.Sprintf("%s reading %+v", kind, r), x.e.Reading(r, arrived), m.reading(r, arrived))
	x.did[kind]++
}

// reconfigure gives one rule other terms. Its timer starts anew, the others go on.
func (x *modelRun) reconfigure() {
	flood := x.m.rules[0]
	flood.hold = time.Duration(20+10*x.rng.IntN(3)) * time.Second
	specs := modelSpecs(flood.hold)
	if specs[0].Terms.(*thresholdTerms).hold != x.e.rules[slices.IndexFunc(x.e.rules, func(r rule) bool { return r.spec.Name == "flood" })].spec.Terms.(*thresholdTerms).hold {
		flood.end()
		if !flood.open && x.m.known && !x.m.newest.Retained && flood.beyond(x.m.newest.Value) { // it begins with the newest reading
			flood.run = []sample{{own: x.m.newest.Time, measured: x.m.measured, arrived: x.m.before}}
			x.did["begin"]++
		}
	}
	x.rng.Shuffle(len(specs), func(i, j int) { specs[i], specs[j] = specs[j], specs[i] })
	alerts, err := x.e.Reconfigure(specs, x.now)
	if err != nil {
		x.t.Fatal(err)
	}
	x.compare("a reload", alerts, nil)
}

// restartEdge replaces the engine by one that knows what the store keeps.
func (x *modelRun) restartEdge() {
	m := x.m
	saved, err := json.Marshal(x.e.Pending())
	if err != nil {
		x.t.Fatal(err)
	}
	var pending []detection.Pending
	if err := json.Unmarshal(saved, &pending); err != nil {
		x.t.Fatal(err)
	}
	took := time.Duration(x.rng.IntN(100)) * time.Second
	for i := range pending {
		pending[i].Held += took
	}
	var newest *devices.Reading
	if m.known {
		r := m.newest
		r.Time = time.UnixMilli(r.Time.UnixMilli())
		newest, m.newest, m.own = &r, r, r.Time
	}
	e, err := NewEngine("gate", modelSpecs(m.rules[0].hold), x.log.id)
	if err != nil {
		x.t.Fatal(err)
	}
	x.compare("restoring", e.Restore(x.log.open(), x.now), nil)
	e.Resume(newest, pending)
	x.e = e
	for _, rule := range m.rules {
		if len(rule.run) > 0 {
			rule.held += took
			rule.resumed = true
			rule.run[0].measured = m.measured - max(0, m.newest.Time.Sub(rule.run[0].own.Round(0)))
		}
	}
	m.refused, m.arrived = nil, time.Time{}
	x.now = x.set.Add(took)
	x.begin()
}

// setMachine sets the machine's clock: by little, or by so much that it takes the sensor's own times for wrong.
func (x *modelRun) setMachine() {
	d := []time.Duration{10 * time.Second, time.Hour, 20 * 24 * time.Hour, 400 * 24 * time.Hour}[x.rng.IntN(4)]
	d += time.Duration(x.rng.IntN(100)) * time.Second
	if x.rng.IntN(2) == 0 {
		d = -d
	}
	if x.rng.IntN(2) == 0 {
		d = -x.m.machine // it is right again
	}
	x.set = clockSet(x.t, x.set, d)
	x.m.machine += d
	x.m.clock -= d
}

// TestEngineAgainstTheModel compares above, below and silence rules with the model over random readings of
// every kind, ticks, restarts, reloads, times offline, and a sensor and a machine whose clocks are set.
func TestEngineAgainstTheModel(t *testing.T) {
	did := map[string]int{}
	for seed := range uint64(60) {
		x := newModelRun(t, seed)
		quiet := 1 + x.rng.IntN(20)
		for range 2500 {
			switch d := x.rng.IntN(1000); {
			case d < 4:
				x.restartEdge()
				did["restart"]++
			case d < 24:
				x.reconfigure()
			case d < 30:
				x.m.offline = !x.m.offline
			case d < 34:
				x.m.clock = time.Duration(x.rng.IntN(3650)-3600)*time.Second - x.m.machine
				did["clock"]++
			case d < 41:
				quiet = 1 + x.rng.IntN(60)
			case d < 46:
				x.setMachine()
				did["machine"]++
			}
			if x.rng.IntN(quiet) == 0 {
				x.message()
			}
			x.tick()
		}
		for what, n := range x.did {
			did[what] += n
		}
	}
	for _, what := range []string{
		"restart", "clock", "machine", "begin", "not plausible", "arrival", "retained", "retained and dated", "historical", "bad", "old", "the same again", "dated",
		"open flood", "close flood", "open cold", "close cold", "open dry", "close dry", "open silent", "close silent",
	} {
		if did[what] < 50 {
			t.Errorf("%s happened %d times: the test shows little about it", what, did[what])
		}
	}
}
