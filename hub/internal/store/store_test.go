package store

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newStore(t testing.TB) *Store {
	t.Helper()
	s, err := Open(Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func withEdge(t testing.TB, s *Store, name string) {
	t.Helper()
	if err := s.AddEdge(t.Context(), "test", name, []byte("hash of "+name), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func newID(t testing.TB) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// opened is an alert that opens an incident.
func opened(t testing.TB, seq uint64) Event {
	t.Helper()
	now := time.Now()
	return Event{Lane: api.LaneAlerts, Seq: seq, Value: Alert{
		Title: fmt.Sprintf("motion in the yard %d", seq),
		Incident: detection.Incident{
			ID: newID(t), Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate,
			State: detection.Open, Opened: now, Updated: now, Version: 1, Class: detection.Motion,
			Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}, Count: 1,
		},
	}}
}

func count(t testing.TB, s *Store, query string) (n int) {
	t.Helper()
	if err := s.read.QueryRow(query).Scan(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

func TestOpenTwiceAndFromAnotherProcess(t *testing.T) {
	dir := t.TempDir()
	a, err := Open(Options{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	b, err := Open(Options{Dir: dir}) // as "hub token create" does while the hub runs
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 {
		s := []*Store{a, b}[i%2]
		if err := s.AddToken(t.Context(), Token{ID: fmt.Sprint(i), Role: "monitor"}, []byte{byte(i)}); err != nil {
			t.Fatal(err)
		}
	}
	all, err := a.Tokens(t.Context())
	if err != nil || len(all) != 20 {
		t.Fatalf("%d tokens, %v", len(all), err)
	}
	if broken, err := a.VerifyAudit(t.Context()); broken != 0 || err != nil {
		t.Fatalf("audit broken at %d, %v", broken, err)
	}
	for _, s := range []*Store{a, b} {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}
	for _, mode := range []string{"journal_mode", "synchronous"} {
		c, err := Open(Options{Dir: dir})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := c.writer.QueryRowContext(t.Context(), "PRAGMA "+mode).Scan(&got); err != nil {
			t.Fatal(err)
		}
		if want := map[string]string{"journal_mode": "wal", "synchronous": "2"}[mode]; got != want {
			t.Errorf("%s is %s, want %s", mode, got, want)
		}
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestAuditFindsAChangedRow(t *testing.T) {
	s := newStore(t)
	for range 5 {
		withEdge(t, s, "gate-"+newID(t)[30:])
	}
	if broken, err := s.VerifyAudit(t.Context()); broken != 0 || err != nil {
		t.Fatalf("broken at %d, %v", broken, err)
	}
	if err := s.update(t.Context(), func(t *tx) error {
		_, err := t.exec(`UPDATE audit SET who = 'somebody else' WHERE id = 3`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if broken, err := s.VerifyAudit(t.Context()); broken != 3 || err != nil {
		t.Fatalf("broken at %d, %v; want 3", broken, err)
	}
}

func TestDevicesComeGoAndFallSilent(t *testing.T) {
	now := time.Now()
	s := newStore(t)
	s.now = func() time.Time { return now }
	withEdge(t, s, "gate-7")
	place := &devices.Place{Lat: 30.92, Lon: 120.93, FOV: 90, Range: 60}
	inv := api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard", Kind: devices.Camera, Place: place}, {Name: "river", Kind: devices.Sensor, Unit: "m"}}}
	reading := []devices.Reading{{Device: "river", Time: now, Value: 3.4, Quality: devices.Good}}
	apply := func(epoch string, events ...Event) Applied {
		t.Helper()
		got, err := applyEvents(t.Context(), s, "gate-7", epoch, events)
		if err != nil {
			t.Fatal(err)
		}
		return got
	}
	got := apply("a",
		Event{Lane: api.LaneTelemetry, Seq: 1, Value: reading},
		Event{Lane: api.LaneState, Seq: 1, Value: inv},
		Event{Lane: api.LaneState, Seq: 2, Value: devices.Status{Device: "yard", State: devices.Offline, Cause: devices.NewCause("camera_no_frames", "seconds", "10"), Since: now}},
		Event{Lane: api.LaneState, Seq: 3, Value: devices.Status{Device: "gone", State: devices.Online}},
	)
	if len(got.Ack.Refused) != 1 || got.Ack.Refused[0].Seq != 3 || got.Ack.Committed[api.LaneState] != 3 {
		t.Fatalf("ack %+v", got.Ack)
	}
	all, err := s.Devices(t.Context(), DeviceQuery{Limit: 10})
	if err != nil || len(all) != 2 || all[0].Reading == nil || all[0].Reading.Value != 3.4 || all[1].Cause != "connected, but no frames for 10 s" ||
		all[1].CauseCode != "camera_no_frames" || all[1].CauseParams["seconds"] != "10" {
		t.Fatalf("%+v, %v", all, err)
	}
	near, err := s.CamerasWithin(t.Context(), 30.921, 120.931, 500)
	if err != nil || len(near) != 1 || near[0].Name != "yard" {
		t.Fatalf("%+v, %v", near, err)
	}
	if near, err = s.CamerasWithin(t.Context(), 31.921, 120.931, 500); err != nil || len(near) != 0 {
		t.Fatalf("%+v, %v", near, err)
	}
	now = now.Add(AwayAfter + time.Second)
	if err := s.MarkAway(t.Context()); err != nil {
		t.Fatal(err)
	}
	d, err := s.Device(t.Context(), "gate-7", "yard")
	if err != nil || d.State != devices.Unknown || !strings.Contains(d.Cause, "gate-7 has not been heard of since") ||
		d.CauseCode != "edge_silent" || d.CauseParams["edge"] != "gate-7" || d.CauseParams["since"] == "" {
		t.Fatalf("%+v, %v", d, err)
	}
	apply("a", Event{Lane: api.LaneState, Seq: 4, Value: api.Inventory{Version: "2", Devices: inv.Devices[:1]}})
	if all, err = s.Devices(t.Context(), DeviceQuery{Limit: 10}); err != nil || len(all) != 1 || all[0].State != devices.Offline {
		t.Fatalf("%+v, %v", all, err)
	}
	if err := s.RevokeEdge(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if near, err = s.CamerasWithin(t.Context(), 30.921, 120.931, 500); err != nil || len(near) != 0 {
		t.Fatalf("cameras of a revoked edge: %+v, %v", near, err)
	}
}
