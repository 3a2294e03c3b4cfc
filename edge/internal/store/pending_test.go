package store

import (
	"errors"
	"reflect"
	"slices"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

func pendingOf(device, rule string) detection.Pending {
	return detection.Pending{
		Device: device, Rule: rule, Kind: detection.Above, Limit: 0.5, Unit: "m", Count: 2, Value: 0.7,
		First: time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC), Held: 20 * time.Second,
	}
}

// TestPendingSurvivesARestart: what was saved comes back as it was, older by the time that has certainly
// passed.
func TestPendingSurvivesARestart(t *testing.T) {
	synchronized, free := api.ClockSynchronized, api.ClockUnsynchronized
	day := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	for name, test := range map[string]struct {
		then, now moment
		jump      time.Duration // of the wall clock
		want      time.Duration
	}{
		"the same boot":                    {moment{"a", 1000, free}, moment{"a", 61_000, free}, time.Minute, time.Minute},
		"the same boot, a clock set":       {moment{"a", 1000, synchronized}, moment{"a", 61_000, synchronized}, -24 * time.Hour, time.Minute},
		"another boot":                     {moment{"a", 90_000, synchronized}, moment{"b", 10, synchronized}, time.Hour, time.Hour},
		"another boot, a clock set back":   {moment{"a", 90_000, synchronized}, moment{"b", 10, synchronized}, -time.Hour, 0},
		"another boot, no clock now":       {moment{"a", 90_000, synchronized}, moment{"b", 10, free}, time.Hour, 0},
		"another boot, no clock then":      {moment{"a", 90_000, free}, moment{"b", 10, synchronized}, 50 * 365 * 24 * time.Hour, 0},
		"no boot ID, synchronized":         {moment{"", 0, synchronized}, moment{"", 0, synchronized}, time.Hour, time.Hour},
		"the same boot, but in the future": {moment{"a", 90_000, free}, moment{"a", 10, free}, time.Hour, 0},
	} {
		dir := t.TempDir()
		now := day
		o := Options{Dir: dir, Now: func() time.Time { return now }}
		s, err := Open(t.Context(), o)
		must(t, err)
		s.machine.fixed = func() moment { return test.then }
		door, river := pendingOf("door", "open"), pendingOf("river", "flood")
		must(t, s.SavePending(t.Context(), "door", []detection.Pending{pendingOf("door", "gone"), door}))
		must(t, s.SavePending(t.Context(), "door", []detection.Pending{door}))
		must(t, s.SavePending(t.Context(), "river", []detection.Pending{river}))
		must(t, s.SavePending(t.Context(), "lake", []detection.Pending{pendingOf("lake", "flood")}))
		must(t, s.SavePending(t.Context(), "lake", nil))
		must(t, s.Close())
		now = now.Add(test.jump)
		s, err = Open(t.Context(), o)
		must(t, err)
		s.machine.fixed = func() moment { return test.now }
		got, err := s.Pending(t.Context())
		must(t, errors.Join(err, s.Close()))
		door.Held += test.want
		river.Held += test.want
		if want := map[string][]detection.Pending{"door": {door}, "river": {river}}; !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %+v, want %+v", name, got, want)
		}
	}
}

// TestPendingRowsThatCannotBeRead cost themselves alone.
func TestPendingRowsThatCannotBeRead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	must(t, s.SavePending(t.Context(), "door", []detection.Pending{pendingOf("door", "a"), pendingOf("door", "b")}))
	must(t, s.incidents.write(t.Context(), func(t *tx) error {
		_, err := t.exec(`UPDATE pending SET data = '{' WHERE rule = 'a'`)
		return err
	}))
	if got, err := s.Pending(t.Context()); err != nil || len(got["door"]) != 1 || got["door"][0].Rule != "b" {
		t.Errorf("%+v, %v", got, err)
	}
}

// TestEveryTableIsSalvaged: what a damaged file is rebuilt from names all of its tables.
func TestEveryTableIsSalvaged(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for _, f := range []*file{s.incidents, s.telemetry} {
		var name string
		must(t, f.rows(t.Context(), `SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'`, nil, func() {}, func(scan func(...any) error) error {
			if err := scan(&name); err != nil {
				return err
			}
			if !slices.Contains(f.tables, name) {
				t.Errorf("%s: the table %s would be lost", f.name, name)
			}
			return nil
		}))
	}
}

func TestNewestReading(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	if r, err := s.NewestReading(t.Context(), "river"); r != nil || err != nil {
		t.Errorf("%+v, %v", r, err)
	}
	base := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	at := func(seconds int, r devices.Reading) devices.Reading {
		r.Device, r.Time, r.Unit = "river", base.Add(time.Duration(seconds)*time.Second), "m"
		if r.Quality == "" {
			r.Quality = devices.Good
		}
		return r
	}
	must(t, s.SaveReadings(t.Context(), []devices.Reading{
		at(5, devices.Reading{Value: 5}), at(1, devices.Reading{Value: 1}), at(6, devices.Reading{Quality: devices.Bad}), at(7, devices.Reading{Text: "open"}),
		{Device: "lake", Time: base.Add(time.Hour), Value: 9, Quality: devices.Good},
	}))
	want := at(5, devices.Reading{Value: 5})
	if r, err := s.NewestReading(t.Context(), "river"); err != nil || r == nil || *r != want {
		t.Errorf("%+v, %v, want %+v", r, err, want)
	}
}

// TestNewestReadingAfterAClockWasAhead: readings that were dated in the future do not hide the newest one, and are
// better than none. A clock that starts a little behind hides none.
func TestNewestReadingAfterAClockWasAhead(t *testing.T) {
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	save := func(device string, at time.Time, value float64) devices.Reading {
		r := devices.Reading{Device: device, Time: at, Value: value, Unit: "m", Quality: devices.Good}
		must(t, s.SaveReadings(t.Context(), []devices.Reading{r}))
		return r
	}
	want := map[string]devices.Reading{
		"river": save("river", now.Add(-time.Second), 1),
		"gate":  save("gate", now.Add(50*time.Minute), 1),
	}
	future := now.AddDate(8, 0, 0)
	for range 150 { // more than are read at once
		future = future.Add(time.Second)
		save("river", future, 2)
	}
	save("gate", now, 2)
	want["lake"] = save("lake", future, 3)
	for device, want := range want {
		if r, err := s.NewestReading(t.Context(), device); err != nil || r == nil || *r != want {
			t.Errorf("%s: %+v, %v, want %+v", device, r, err, want)
		}
	}
}
