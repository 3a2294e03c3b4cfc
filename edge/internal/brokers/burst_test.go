package brokers

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/mqtt/mosquitto"
	"gridpost/edge/internal/sensor"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 60 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// run runs a component until the test ends.
func run(t *testing.T, f func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- f(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// alerts saves nothing; the sensors of these tests have no rules.
type alerts struct{}

func (alerts) Save(context.Context, string, []detection.Incident) error { return nil }

// site is an intake with a real store.
type site struct {
	intake *sensor.Intake
	store  *store.Store
	doc    *firmwareconfig.Document
	dir    string
}

func newSite(t *testing.T, text string) *site {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	s := &site{doc: doc, dir: t.TempDir()}
	if s.store, err = store.Open(t.Context(), store.Options{Dir: s.dir}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.store.Close(); err != nil {
			t.Error(err)
		}
	})
	s.intake = sensor.NewIntake(s.store, slog.New(slog.DiscardHandler))
	s.intake.SetSensors(doc.Sensors)
	run(t, s.intake.Run)
	for _, d := range doc.Sensors {
		one, err := sensor.New(sensor.Options{
			Config: d, Inbox: s.intake.Inbox(d.Name), Alerts: alerts{}, OnState: func(devices.State, devices.Cause) {},
			Broker: func() devices.Cause { return devices.Cause{} }, Logger: slog.New(slog.DiscardHandler),
		})
		if err != nil {
			t.Fatal(err)
		}
		run(t, one.Run)
	}
	return s
}

// client is a sensor that speaks MQTT 3.1.1 byte by byte.
type client struct {
	t *testing.T
	net.Conn
	r *bufio.Reader
}

func dial(t *testing.T, address, id, user, password string) *client {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute))
	p := &client{t: t, Conn: c, r: bufio.NewReader(c)}
	body := append(field("MQTT"), 4, 0xc2, 0, 0)
	for _, s := range []string{id, user, password} {
		body = append(body, field(s)...)
	}
	if _, err := c.Write(append([]byte{0x10, byte(len(body))}, body...)); err != nil {
		t.Fatal(err)
	}
	if ack := make([]byte, 4); p.full(ack) != nil || ack[3] != 0 {
		t.Fatalf("CONNACK: %x", ack)
	}
	return p
}

func (p *client) full(b []byte) error { _, err := io.ReadFull(p.r, b); return err }

func field(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

// burst publishes n messages of QoS 1 without waiting for acknowledgements, as long as may allows the next
// one, and returns when all are acknowledged.
func (p *client) burst(n int, may func(sent int) bool) {
	p.t.Helper()
	acked := make(chan error, 1)
	go func() {
		for range n {
			ack := make([]byte, 4)
			if err := p.full(ack); err != nil || ack[0] != 0x40 {
				acked <- fmt.Errorf("the answer to PUBLISH is %x: %w", ack, err)
				return
			}
		}
		acked <- nil
	}()
	w := bufio.NewWriterSize(p, 16<<10)
	for i := range n {
		if !may(i) {
			if err := w.Flush(); err != nil {
				p.t.Fatal(err)
			}
			until(p.t, "messages are stored", func() bool { return may(i) })
		}
		body := binary.BigEndian.AppendUint16(field("sensors/river"), uint16(i+1)) //nolint:gosec // below 65536
		body = fmt.Appendf(body, "%d", i)
		if _, err := w.Write(append([]byte{0x32, byte(len(body))}, body...)); err != nil {
			p.t.Fatal(err)
		}
	}
	if err := w.Flush(); err != nil {
		p.t.Fatal(err)
	}
	if err := <-acked; err != nil {
		p.t.Fatal(err)
	}
}

const burst = 5000

const riverSite = "edge: a\nmqtt: %s\nsensors: [{name: river, topic: sensors/river}]\n"

// TestABurstThroughMosquitto: mosquitto with its defaults queues 1,000 messages for a client and drops the
// rest. It reads acknowledgements one by one between the messages of sensors, so that half of that may be on
// their way here; how fast that goes is measured by the bench.
func TestABurstThroughMosquitto(t *testing.T) {
	address := mosquitto.StartFor(t)
	s := newSite(t, fmt.Sprintf(riverSite, "{brokers: [{url: \"mqtt://"+address+"\"}]}"))
	states := make(chan devices.Cause, 100)
	sub, err := NewOutside(OutsideOptions{
		Config: s.doc.MQTT.Brokers[0], Filters: s.doc.Filters(s.doc.MQTT.Brokers[0].Source()), Dir: s.dir, Handle: s.intake.Submit,
		OnState: func(cause devices.Cause) { states <- cause }, OnRefused: func([]string) {}, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	run(t, sub.Run)
	if cause := <-states; !cause.IsZero() {
		t.Fatal(cause)
	}
	dial(t, address, "sensor", "u", "p").burst(burst, func(sent int) bool { return uint64(sent) < sub.Stats().Messages+500 }) //nolint:gosec // counts
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("%+v, %+v", sub.Stats(), s.intake.Stats())
		}
	})
	until(t, "all are stored", func() bool { return sub.Stats().Messages == burst })
	if n := s.store.Waiting()[api.LaneTelemetry]; n != burst {
		t.Errorf("%d readings of %d are stored", n, burst)
	}
}

// TestABurstThroughTheEmbeddedBroker: one client that does not wait is slowed down, and loses nothing.
func TestABurstThroughTheEmbeddedBroker(t *testing.T) {
	s := newSite(t, fmt.Sprintf(riverSite, "{listen: \"127.0.0.1:0\", users: [{name: river, password: x, topics: [\"sensors/#\"]}]}"))
	listening := make(chan string, 1)
	b := &Embedded{
		Config: s.doc.MQTT, Handle: s.intake.Submit, OnState: func(devices.Cause) {}, Listening: func(a string) { listening <- a },
		Logger: slog.New(slog.DiscardHandler),
	}
	run(t, b.Run)
	dial(t, <-listening, "sensor", "river", "x").burst(burst, func(int) bool { return true })
	// Acknowledged means stored.
	if n := s.store.Waiting()[api.LaneTelemetry]; n != burst || b.Stats().Messages != burst {
		t.Errorf("%d readings of %d are stored: %+v", n, burst, b.Stats())
	}
}
