package rules

import (
	"testing"
	"time"
	"unsafe"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/payload"
)

// clockSet returns what time.Now would have returned in the place of t, had the machine's clock been set by
// d, whole seconds: the wall clock jumps, Go's monotonic reading does not.
func clockSet(t *testing.T, at time.Time, d time.Duration) time.Time {
	t.Helper()
	// time.Time begins with a flag, 33 bits of seconds and 30 bits of nanoseconds. There is no other way to
	// make a time whose two readings differ.
	before := at
	*(*uint64)(unsafe.Pointer(&at)) += uint64(d/time.Second) << 30
	if at.Round(0).Sub(before.Round(0)) != d || at.Sub(before) != 0 {
		t.Fatalf("%v became %v: package time stores times in another way than this test believes", before, at)
	}
	return at
}

// machine is a machine whose clock may be wrong, with one sensor whose clock is right.
type machine struct {
	t      *testing.T
	engine *Engine
	now    time.Time // with Go's monotonic reading
	wrong  time.Duration
	stored []devices.Reading
	ids    int
	opened bool
}

func newMachine(t *testing.T) *machine {
	t.Helper()
	m := &machine{t: t, now: time.Now()}
	m.restart()
	return m
}

func (m *machine) setClock(wrong time.Duration) {
	m.now, m.wrong = clockSet(m.t, m.now, wrong-m.wrong), wrong
}

// restart begins with the newest reading that is stored, whatever clock dated it.
func (m *machine) restart() {
	m.t.Helper()
	e, err := NewEngine("gate", []Spec{spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 2})}, func() string {
		m.ids++
		return time.Duration(m.ids).String()
	})
	if err != nil {
		m.t.Fatal(err)
	}
	var open []detection.Incident
	if m.engine != nil {
		open = m.engine.Open()
	}
	e.Restore(open, m.now)
	var newest *devices.Reading
	for _, r := range m.stored {
		if newest == nil || !r.Time.Before(newest.Time) {
			newest = &r
		}
	}
	e.Resume(newest, nil)
	m.engine = e
}

// next is the sensor's next reading: one above the limit follows one below. It must be judged.
func (m *machine) next(passed, late time.Duration) {
	m.t.Helper()
	m.now = m.now.Add(passed)
	r := devices.Reading{Device: "gate", Time: milliseconds(m.now.Add(-m.wrong - late)), Value: 3, Quality: devices.Good}
	want := detection.Open
	if m.opened {
		r.Value, want = 1, detection.Closed
	}
	if !payload.Plausible(r.Time, m.now) { // as the decoder does
		r.Time = m.now
	}
	if alerts := m.engine.Reading(r, m.now); len(alerts) != 1 || alerts[0].State != want {
		m.t.Fatalf("while the clock is wrong by %v, the reading %+v, which must be %s, became %+v", m.wrong, r, want, alerts)
	}
	m.opened = !m.opened
	r.Time = time.UnixMilli(r.Time.UnixMilli())
	m.stored = append(m.stored, r)
}

// TestNoReadingIsLateByTheMachinesClock: a machine whose clock is far ahead takes the right times of a sensor
// for wrong, and dates its readings by their arrival: in the future. When the clock is right again, at once
// or after a restart, the sensor's times are earlier than those, and count all the same.
func TestNoReadingIsLateByTheMachinesClock(t *testing.T) {
	for name, correct := range map[string]func(*machine){
		"running":                        func(m *machine) { m.setClock(0) },
		"restarted":                      func(m *machine) { m.setClock(0); m.restart() },
		"restarted before it":            func(m *machine) { m.restart(); m.setClock(0) },
		"restarted more than once":       func(m *machine) { m.setClock(0); m.restart(); m.next(time.Second, 0); m.restart() },
		"first set to another wrong one": func(m *machine) { m.setClock(-time.Hour); m.next(time.Second, 0); m.setClock(0) },
	} {
		t.Run(name, func(t *testing.T) {
			for _, wrong := range []time.Duration{time.Hour, 20 * 24 * time.Hour, 40 * 24 * time.Hour, 3000 * 24 * time.Hour, -time.Hour, -3000 * 24 * time.Hour} {
				m := newMachine(t)
				m.next(time.Second, 0)
				m.setClock(wrong)
				m.next(time.Second, 0)
				m.next(20*time.Millisecond, 0)
				correct(m)
				for range 5 {
					m.next(20*time.Millisecond, 0)
				}
			}
		})
	}
}

// TestRepeatedAfterTheClockWasWrong: what the sensor sends again is still late by its own clock, after
// readings that were dated by their arrival.
func TestRepeatedAfterTheClockWasWrong(t *testing.T) {
	m := newMachine(t)
	m.next(time.Second, 0)
	again := devices.Reading{Device: "gate", Time: milliseconds(m.now.Add(-time.Second)), Value: 3, Quality: devices.Good}
	m.next(time.Second, 0)
	m.setClock(3000 * 24 * time.Hour)
	m.next(time.Second, 0)
	m.next(time.Second, 0)
	m.setClock(0)
	if alerts := m.engine.Reading(again, m.now); len(alerts) != 0 {
		t.Errorf("a reading that was repeated became %+v", alerts)
	}
	m.next(time.Second, 0)
}
