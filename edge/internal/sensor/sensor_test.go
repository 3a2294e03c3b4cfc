package sensor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/decode"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var errFull = errors.New("the disk is full")

// disk saves alerts and readings, and fails on demand.
type disk struct {
	mu         sync.Mutex
	failAlerts map[string]bool // by device
	failAll    bool
	pending    map[string]bool
	alerts     []detection.Incident
	readings   []devices.Reading
	states     []string
	remembered map[string][]detection.Pending
	saves      int // of what is pending
}

func (d *disk) SavePending(_ context.Context, device string, all []detection.Pending) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failAll {
		return errFull
	}
	d.remembered[device] = all
	d.saves++
	return nil
}

// Save keeps the promise of Alerts: a device whose alert could not be saved has it in memory.
func (d *disk) Save(_ context.Context, device string, alerts []detection.Incident) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alerts = append(d.alerts, alerts...)
	if d.failAlerts[device] && len(alerts) > 0 {
		d.pending[device] = true
	}
	if d.pending[device] {
		return errFull
	}
	return nil
}

func (d *disk) SaveReadings(_ context.Context, all []devices.Reading) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failAll {
		return errFull
	}
	d.readings = append(d.readings, all...)
	return nil
}

func (d *disk) set(f func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	f()
}

// rig is an intake with running sensors.
type rig struct {
	t      *testing.T
	disk   *disk
	intake *Intake
	docs   []firmwareconfig.Sensor
	stops  map[string]func()
}

func newRig(t *testing.T, text string) *rig {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	d := &disk{failAlerts: map[string]bool{}, pending: map[string]bool{}, remembered: map[string][]detection.Pending{}}
	r := &rig{t: t, disk: d, intake: NewIntake(d, slog.New(slog.DiscardHandler)), docs: doc.Sensors, stops: map[string]func(){}}
	r.intake.SetSensors(doc.Sensors)
	r.run("", r.intake.Run)
	for _, s := range doc.Sensors {
		r.start(s, nil)
	}
	return r
}

func (r *rig) start(doc firmwareconfig.Sensor, open []detection.Incident) *Sensor {
	r.t.Helper()
	return r.restart(doc, open, nil)
}

// restart starts a sensor after a change of its configuration.
func (r *rig) restart(doc firmwareconfig.Sensor, open []detection.Incident, last *Sensor) *Sensor {
	r.t.Helper()
	s, err := New(Options{
		Config: doc, Inbox: r.intake.Inbox(doc.Name), Alerts: r.disk, Memory: r.disk, Open: open, Last: last,
		OnState: func(state devices.State, cause devices.Cause) {
			r.disk.set(func() { r.disk.states = append(r.disk.states, fmt.Sprintf("%s %s: %s", doc.Name, state, cause.Text)) })
		},
		Broker: func() devices.Cause { return devices.Cause{} },
		Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		r.t.Fatal(err)
	}
	r.run(doc.Name, s.Run)
	return s
}

func (r *rig) run(name string, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(r.t.Context())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	r.stops[name] = func() {
		cancel()
		if err := <-done; err != nil {
			r.t.Error(err)
		}
	}
}

func (r *rig) stop() {
	for _, stop := range r.stops {
		stop()
	}
}

func message(topic, payload string) devices.Message {
	return devices.Message{Topic: topic, Payload: []byte(payload), Durable: true, Received: time.Now()}
}

const twoSensors = `
edge: a
sensors:
  - {name: river, topic: r, rules: [{name: flood, kind: above, value: 1, severity: minor}]}
  - {name: lake, topic: l, rules: [{name: flood, kind: above, value: 1, severity: minor}]}
`

// TestAMessageIsAcknowledgedByItsOwnAlerts: what cannot be saved of one sensor must not leave the
// messages of another unacknowledged, and a message that comes again is stored once.
func TestAMessageIsAcknowledgedByItsOwnAlerts(t *testing.T) {
	r := newRig(t, twoSensors)
	defer r.stop()
	r.disk.set(func() { r.disk.failAlerts["river"] = true })
	for range 3 { // it comes again, with another time of arrival
		if err := r.intake.Handle(t.Context(), message("r", "2")); !errors.Is(err, errFull) {
			t.Errorf("a reading whose alert is only in memory was acknowledged: %v", err)
		}
	}
	if err := r.intake.Handle(t.Context(), message("l", "2")); err != nil {
		t.Errorf("the other sensor's message: %v", err)
	}
	r.disk.set(func() { r.disk.failAlerts, r.disk.pending = map[string]bool{}, map[string]bool{} })
	if err := r.intake.Handle(t.Context(), message("r", "2")); err != nil {
		t.Error(err)
	}
	if len(r.disk.readings) != 2 || len(r.disk.alerts) != 2 {
		t.Errorf("%d readings and %d alerts are saved, expected 2 and 2: %+v", len(r.disk.readings), len(r.disk.alerts), r.disk)
	}
	if st := r.intake.Stats(); st.NotSaved != 3 || st.Readings != 5 {
		t.Errorf("stats: %+v", st)
	}
}

func TestReadingsThatCannotBeSavedAreNotAcknowledged(t *testing.T) {
	r := newRig(t, twoSensors)
	defer r.stop()
	r.disk.set(func() { r.disk.failAll = true })
	if err := r.intake.Handle(t.Context(), message("r", "2")); !errors.Is(err, errFull) {
		t.Errorf("error: %v", err)
	}
	if p := r.intake.Problems(); len(p) != 1 || p[0].Code != "readings_not_stored" {
		t.Errorf("problems: %+v", p)
	}
	r.disk.set(func() { r.disk.failAll = false })
	if err := r.intake.Handle(t.Context(), message("r", "2")); err != nil {
		t.Error(err)
	}
	if p := r.intake.Problems(); len(p) != 0 || len(r.disk.alerts) != 1 {
		t.Errorf("problems: %+v, %d alerts", p, len(r.disk.alerts))
	}
}

// TestRestartOfASensor: messages wait while the sensor restarts, its incident goes on, and messages
// of a sensor that was removed do not block.
func TestRestartOfASensor(t *testing.T) {
	r := newRig(t, twoSensors)
	defer r.stop()
	if err := r.intake.Handle(t.Context(), message("l", "2")); err != nil {
		t.Fatal(err)
	}
	r.stops["lake"]()
	waits := make(chan error, 1)
	go func() { waits <- r.intake.Handle(t.Context(), message("l", "0")) }()
	if err := r.intake.Handle(t.Context(), message("r", "0")); err != nil {
		t.Fatal(err)
	}
	r.start(r.docs[1], r.disk.alerts)
	if err := <-waits; err != nil {
		t.Fatal(err)
	}
	if n := len(r.disk.alerts); n != 2 || r.disk.alerts[1].ID != r.disk.alerts[0].ID || r.disk.alerts[1].State != detection.Closed {
		t.Fatalf("alerts: %+v", r.disk.alerts)
	}

	set := r.intake.current()
	r.intake.SetSensors(r.docs[:1])
	r.stops["lake"]()
	delete(r.stops, "lake")
	// A message that was decoded just before the sensor was removed:
	if _, err := set.judge(t.Context(), decode.Decoded{Readings: []devices.Reading{{Device: "lake"}}}, message("l", "0")); err != nil {
		t.Error(err)
	}
	if err := r.intake.Handle(t.Context(), message("l", "2")); err != nil || r.intake.Stats().Unmatched != 1 || r.intake.Stats().Readings != 3 {
		t.Errorf("%v, %+v", err, r.intake.Stats())
	}
}

func TestSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, "edge: a\nsensors: [{name: river, topic: r, every: 30s}]\n")
		time.Sleep(100 * time.Second)
		if err := r.intake.Handle(t.Context(), message("r", "2")); err != nil {
			t.Error(err)
		}
		time.Sleep(100 * time.Second)
		r.stop()
		want := map[string]bool{
			"river offline: no reading since the edge started, expected every 30 s": true,
			"river online: ": true,
			"river offline: no reading for more than 1m30s, expected every 30 s": true,
		}
		for _, s := range r.disk.states {
			if !want[s] {
				t.Errorf("state %q", s)
			}
		}
		if first, last := r.disk.states[0], r.disk.states[len(r.disk.states)-1]; first == last {
			t.Errorf("states: %q", r.disk.states)
		}
	})
}

func TestRetainedMessages(t *testing.T) {
	r := newRig(t, "edge: a\nsensors: [{name: river, topic: r, every: 30s}, {name: door, topic: d}]\n")
	defer r.stop()
	for topic, want := range map[string]int{"r": 0, "d": 1} {
		m := message(topic, "1")
		m.Retained = true
		before := len(r.disk.readings)
		if err := r.intake.Handle(t.Context(), m); err != nil || len(r.disk.readings)-before != want {
			t.Errorf("%s: %d readings, want %d: %v", topic, len(r.disk.readings)-before, want, err)
		}
	}
	if len(r.disk.states) != 0 {
		t.Errorf("a retained message changed a state: %q", r.disk.states)
	}
}

// TestAChangeOfOneRuleLeavesTheOthersTimers: a value has been beyond the limit for most of its time
// when another rule is added.
func TestAChangeOfOneRuleLeavesTheOthersTimers(t *testing.T) {
	const before = `
edge: a
sensors:
  - {name: lake, topic: l, value: $.v, time: $.t, rules: [{name: flood, kind: above, value: 1, for: 60s, severity: minor}]}
`
	after := strings.Replace(before, "rules: [", "rules: [{name: low, kind: below, value: 0, severity: minor}, ", 1)
	r := newRig(t, strings.Replace(before, "lake", "pond", 1)) // a sensor of another name, so that lake is started here
	defer r.stop()
	docs := func(text string) []firmwareconfig.Sensor {
		doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Fatal(err)
		}
		return doc.Sensors
	}
	r.intake.SetSensors(docs(before))
	lake := r.start(docs(before)[0], nil)
	measured := func(ago time.Duration) devices.Message {
		return message("l", fmt.Sprintf(`{"v": 2, "t": %d}`, time.Now().Add(-ago).UnixMilli()))
	}
	if err := r.intake.Handle(t.Context(), measured(100*time.Second)); err != nil {
		t.Fatal(err)
	}
	r.stops["lake"]()
	r.intake.SetSensors(docs(after))
	r.restart(docs(after)[0], nil, lake)
	if err := r.intake.Handle(t.Context(), measured(30*time.Second)); err != nil {
		t.Fatal(err)
	}
	if len(r.disk.alerts) != 1 || r.disk.alerts[0].Rule != "flood" || r.disk.alerts[0].Count != 2 {
		t.Errorf("alerts after 70 s, 60 of which are needed: %+v", r.disk.alerts)
	}
}
