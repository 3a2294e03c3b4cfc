package sensor

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// disk saves alerts and readings, and fails on demand.
type disk struct {
	mu     sync.Mutex
	fail   error
	alerts []detection.Incident
}

func (d *disk) Save(_ context.Context, alerts []detection.Incident) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.alerts = append(d.alerts, alerts...)
	return d.fail
}

func (d *disk) SaveReadings(context.Context, []devices.Reading) error { return nil }

func (d *disk) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func testSensors(t *testing.T, d *disk, text string) *Sensors {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	must(t, err)
	s, _, err := New(Options{
		Document: doc, Alerts: d, Readings: d, Logger: slog.New(slog.DiscardHandler),
		OnState: func(string, devices.State, string) {},
	}, nil, time.Now())
	must(t, err)
	return s
}

func TestReadingsThatCannotBeSavedAreNotAcknowledged(t *testing.T) {
	d := &disk{fail: errors.New("the disk is full")}
	s := testSensors(t, d, "edge: a\nsensors: [{name: river, topic: r, rules: [{name: flood, kind: above, value: 1, severity: minor}]}]\n")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	m := devices.Message{Topic: "r", Payload: []byte("2"), Durable: true, Received: time.Now()}
	if err := s.handle(ctx, m); err == nil {
		t.Error("a reading whose incident is only in memory was acknowledged")
	}
	d.set(nil)
	must(t, s.handle(ctx, m))
	cancel()
	must(t, <-done)
	if len(d.alerts) == 0 || d.alerts[0].Version != 1 {
		t.Errorf("alerts: %+v", d.alerts)
	}
}

func TestRetainedMessages(t *testing.T) {
	s := testSensors(t, &disk{}, "edge: a\nsensors: [{name: river, topic: r, every: 30s}, {name: door, topic: d}]\n")
	at := time.Now()
	for topic, want := range map[string]int{"r": 0, "d": 1} {
		m := devices.Message{Topic: topic, Payload: []byte("1"), Retained: true, Received: at}
		if got := s.current(s.decoder.Decode(m), m); len(got) != want {
			t.Errorf("%s: %d readings, want %d", topic, len(got), want)
		}
	}
}

func TestShort(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 90 * time.Second: "1m30s", 2 * time.Minute: "2m", 3 * time.Hour: "3h", 10 * time.Minute: "10m", 500 * time.Millisecond: "500ms",
	} {
		if got := short(d); got != want {
			t.Errorf("%v is written %s", d, got)
		}
	}
}
