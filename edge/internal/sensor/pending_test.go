package sensor

import (
	"errors"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// kept returns the alerts that were saved, and what is saved as pending of a sensor.
func (d *disk) kept(device string) ([]detection.Incident, []detection.Pending) {
	d.mu.Lock()
	defer d.mu.Unlock()
	return slices.Clone(d.alerts), slices.Clone(d.remembered[device])
}

const doorOpen = `
edge: a
sensors:
  - {name: door, topic: d, rules: [{name: open, kind: above, value: 0.5, for: 60s, severity: minor}]}
`

// TestABeginningIsSavedBeforeItsMessageIsAcknowledged: the message may be the only one that says so.
func TestABeginningIsSavedBeforeItsMessageIsAcknowledged(t *testing.T) {
	r := newRig(t, doorOpen)
	defer r.stop()
	r.disk.set(func() { r.disk.failAll = true })
	if err := r.intake.Handle(t.Context(), message("d", "1")); !errors.Is(err, errFull) {
		t.Errorf("what began is not on the disk, and its message was acknowledged: %v", err)
	}
	r.disk.set(func() { r.disk.failAll = false })
	for range 3 { // it comes again, and again
		if err := r.intake.Handle(t.Context(), message("d", "1")); err != nil {
			t.Fatal(err)
		}
	}
	r.disk.set(func() {
		if p := r.disk.remembered["door"]; len(p) != 1 || p[0].Rule != "open" || p[0].Device != "door" || r.disk.saves != 1 {
			t.Errorf("saved %d times: %+v", r.disk.saves, p)
		}
	})
}

// TestTimeOpensByTheLastValue: a door says "open" once.
func TestTimeOpensByTheLastValue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, doorOpen)
		defer r.stop()
		began := time.Now()
		if err := r.intake.Handle(t.Context(), message("d", "open")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(59 * time.Second)
		synctest.Wait()
		if alerts, _ := r.disk.kept("door"); len(alerts) != 0 {
			t.Errorf("alerts after 59 s: %+v", alerts)
		}
		time.Sleep(2 * time.Second)
		synctest.Wait()
		alerts, pending := r.disk.kept("door")
		if len(alerts) != 1 || alerts[0].State != detection.Open || !alerts[0].Opened.Equal(began.Add(time.Minute)) {
			t.Errorf("alerts after 61 s: %+v", alerts)
		}
		if len(pending) != 0 {
			t.Errorf("pending beside its incident: %+v", pending)
		}
	})
}

// TestRestartRemembers: the time goes on over a restart, and what contradicts it ends it.
func TestRestartRemembers(t *testing.T) {
	for name, test := range map[string]struct {
		meanwhile string // a retained message, if any
		want      int
	}{"nothing": {"", 1}, "the same": {"open", 1}, "closed": {"closed", 0}} {
		synctest.Test(t, func(t *testing.T) {
			r := newRig(t, doorOpen)
			if err := r.intake.Handle(t.Context(), message("d", "open")); err != nil {
				t.Fatal(err)
			}
			var newest devices.Reading
			r.disk.set(func() { newest = r.disk.readings[0] })
			newest.Time = newest.Time.Round(0)
			time.Sleep(40 * time.Second)
			r.stop()
			_, pending := r.disk.kept("door")
			pending[0].Held += 40 * time.Second
			time.Sleep(5 * time.Second)
			pending[0].Held += 5 * time.Second

			next := newRig(t, doorOpen)
			defer next.stop()
			next.stops["door"]()
			s, err := New(Options{
				Config: next.docs[0], Inbox: next.intake.Inbox("door"), Alerts: next.disk, Memory: next.disk, Newest: &newest, Pending: pending,
				OnState: func(devices.State, devices.Cause) {}, Broker: func() devices.Cause { return devices.Cause{} },
			})
			if err != nil {
				t.Fatal(err)
			}
			next.run("door", s.Run)
			if test.meanwhile != "" {
				m := message("d", test.meanwhile)
				m.Retained = true
				if err := next.intake.Handle(t.Context(), m); err != nil {
					t.Fatal(err)
				}
			}
			time.Sleep(13 * time.Second)
			synctest.Wait()
			if alerts, _ := next.disk.kept("door"); len(alerts) != 0 {
				t.Errorf("%s: alerts after 58 s: %+v", name, alerts)
			}
			time.Sleep(5 * time.Second)
			synctest.Wait()
			alerts, pending := next.disk.kept("door")
			if len(alerts) != test.want || len(pending) != 0 {
				t.Errorf("%s: alerts %+v, want %d; pending %+v", name, alerts, test.want, pending)
			}
		})
	}
}

// TestASilentSensorOpensNothing: a value that is older than the sensor's interval allows opens nothing.
func TestASilentSensorOpensNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, `
edge: a
sensors:
  - {name: river, topic: r, every: 10s, rules: [{name: flood, kind: above, value: 1, for: 60s, severity: minor}]}
`)
		defer r.stop()
		if err := r.intake.Handle(t.Context(), message("r", "2")); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Hour)
		synctest.Wait()
		if alerts, _ := r.disk.kept("river"); len(alerts) != 0 {
			t.Errorf("alerts of a sensor that is offline: %+v", alerts)
		}
		if err := r.intake.Handle(t.Context(), message("r", "2")); err != nil {
			t.Fatal(err)
		}
		if alerts, _ := r.disk.kept("river"); len(alerts) != 1 || alerts[0].Count != 2 {
			t.Errorf("alerts after a second reading: %+v", alerts)
		}
	})
}

// TestAMessageThatIsNotUnderstoodBreaksSilence: the sensor is heard all the same.
func TestAMessageThatIsNotUnderstoodBreaksSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, `
edge: a
sensors:
  - {name: river, topic: r, rules: [{name: silent, kind: silence, for: 60s, severity: minor}]}
`)
		defer r.stop()
		for range 10 {
			time.Sleep(30 * time.Second)
			if err := r.intake.Handle(t.Context(), message("r", "what?")); err != nil {
				t.Fatal(err)
			}
		}
		if alerts, _ := r.disk.kept("river"); len(alerts) != 0 {
			t.Errorf("alerts of a sensor that is heard: %+v", alerts)
		}
		time.Sleep(62 * time.Second)
		synctest.Wait()
		m := message("r", "2")
		m.Retained = true
		if err := r.intake.Handle(t.Context(), m); err != nil {
			t.Error(err)
		}
		if alerts, _ := r.disk.kept("river"); len(alerts) != 1 {
			t.Errorf("a retained message is no sign of life: %+v", alerts)
		}
	})
}
