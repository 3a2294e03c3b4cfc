package sensor

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
)

const heardSite = `
edge: a
sensors:
  - name: river
    topic: r
    value: $.level
    time: $.t
    time_zone: +08:00
    every: 30s
    rules: [{name: silent, kind: silence, for: 2m, severity: minor}]
`

// TestHeardIsNotUnderstood: what is not understood breaks the silence of a sensor, and its cause stands
// on it and in the health until a message is understood again.
func TestHeardIsNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, strings.Replace(heardSite, "river", "lake", 1)) // another sensor of the topic; river is started here
		doc := r.docs[0]
		doc.Name = "river"
		docs := append(slices.Clone(r.docs), doc)
		r.intake.SetSensors(docs)
		s := r.start(doc, nil)
		send := func(payload string) {
			t.Helper()
			if err := r.intake.Handle(t.Context(), message("r", payload)); err != nil {
				t.Error(err)
			}
			synctest.Wait()
		}
		last := func() string {
			r.disk.mu.Lock()
			defer r.disk.mu.Unlock()
			for i := len(r.disk.states) - 1; i >= 0; i-- {
				if strings.HasPrefix(r.disk.states[i], "river ") {
					return r.disk.states[i]
				}
			}
			return ""
		}
		const refused = `river online: what the sensor sends is not understood: there is no value at $.level; it sent: {"error":"no probe 1"}`
		for i := range 10 { // five minutes without a reading, and without silence
			send(strings.Replace(`{"error":"no probe 1"}`, "1", string(rune('1'+i)), 1))
			time.Sleep(30 * time.Second)
		}
		if got := last(); got != refused {
			t.Errorf("state: %s", got)
		}
		if p := s.Problems(); len(p) != 1 || p[0].Code != "reading_not_understood" || p[0].Params["device"] != "river" {
			t.Errorf("problems: %+v", p)
		}
		r.disk.set(func() {
			if len(r.disk.alerts) != 0 || len(r.disk.readings) != 0 {
				t.Errorf("alerts: %+v, readings: %+v", r.disk.alerts, r.disk.readings)
			}
		})
		send(`{"level":1,"t":"` + time.Now().Add(8*time.Hour).UTC().Format("2006-01-02 15:04:05") + `"}`)
		if got := last(); got != "river online: " || len(s.Problems()) != 0 {
			t.Errorf("understood: %s, %+v", got, s.Problems())
		}

		// An absurd time is announced, and the reading is dated by its arrival.
		time.Sleep(90 * time.Second)
		send(`{"level":2,"t":"1970-01-01 08:00:00"}`)
		if got := last(); !strings.Contains(got, "cannot be right (1970-01-01 08:00:00)") {
			t.Errorf("absurd time: %s", got)
		}
		r.disk.set(func() {
			if !r.disk.readings[len(r.disk.readings)-1].Time.Equal(time.Now()) {
				t.Errorf("readings: %+v", r.disk.readings)
			}
		})

		// Silence is silence again.
		time.Sleep(3 * time.Minute)
		if got := last(); !strings.HasPrefix(got, "river offline: no reading for more than") {
			t.Errorf("silent: %s", got)
		}
		r.stop()
		if n := len(r.disk.alerts); n != 2 { // of both sensors: they share a topic
			t.Errorf("alerts: %+v", r.disk.alerts)
		}
	})
}

// TestEverySecondMessageIsNotUnderstood: a sensor of which every second message is not understood does
// not announce a state for each.
func TestEverySecondMessageIsNotUnderstood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "edge: a\nsensors: [{name: river, topic: r, value: $.level}]\n")
		for range 600 { // ten minutes
			for _, payload := range []string{`{"level":1}`, `{"other":1}`} {
				if err := r.intake.Handle(t.Context(), message("r", payload)); err != nil {
					t.Error(err)
				}
			}
			time.Sleep(time.Second)
		}
		r.stop()
		if changes := len(slices.Compact(r.disk.states)); changes < 10 || changes > 25 {
			t.Errorf("%d changes of state", changes)
		}
	})
}

// TestTroubleOfAnotherBroker: what another broker sends on the topic is not the sensor's.
func TestTroubleOfAnotherBroker(t *testing.T) {
	r := newRig(t, "edge: a\nmqtt: {listen: \"127.0.0.1:0\", users: [{name: u, password: p, topics: [r]}]}\nsensors: [{name: river, topic: r, value: $.level, broker: embedded}]\n")
	for source, states := range map[string]int{"plant": 0, "embedded": 1} {
		m := message("r", "garbage")
		m.Source = source
		if err := r.intake.Handle(t.Context(), m); err != nil {
			t.Error(err)
		}
		r.disk.set(func() {
			if len(r.disk.states) != states {
				t.Errorf("from %s: %q", source, r.disk.states)
			}
			r.disk.states = nil
		})
	}
	r.stop()
}

// TestTrouble: only the first of a kind is shown, and the next one not within a minute.
func TestTrouble(t *testing.T) {
	cause := func(code, text string) devices.Cause { return devices.Cause{Code: code, Text: text} }
	start := time.Now()
	var tr trouble
	for _, step := range []struct {
		after time.Duration
		note  devices.Cause
		shown string
	}{
		{0, cause("a", "1"), "1"},
		{time.Second, cause("a", "2"), "1"},
		{2 * time.Second, devices.Cause{}, ""},
		{3 * time.Second, cause("a", "3"), ""},
		{61 * time.Second, cause("a", "4"), "4"},
		{62 * time.Second, cause("b", "5"), ""}, // no longer a, and b within the minute
		{122 * time.Second, cause("b", "6"), "6"},
	} {
		tr.note(step.note, start.Add(step.after))
		if tr.shown.Text != step.shown {
			t.Errorf("after %s %q is shown, expected %q", step.after, tr.shown.Text, step.shown)
		}
	}
	tr.note(devices.Cause{}, start.Add(123*time.Second))
	tr.note(cause("a", "7"), start.Add(124*time.Second))
	if tr.show(start.Add(181*time.Second)) || !tr.show(start.Add(182*time.Second)) || tr.show(start.Add(183*time.Second)) || tr.shown.Text != "7" {
		t.Errorf("after a minute %+v is shown", tr)
	}
}
