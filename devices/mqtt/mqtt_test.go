package mqtt

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt/mosquitto"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testBroker is a real broker that can be stopped and started on one port.
type testBroker struct {
	*mosquitto.Broker
	t *testing.T
}

func newMosquitto(t *testing.T, extra string) *testBroker {
	t.Helper()
	dir := t.TempDir()
	b, err := mosquitto.New(dir, "persistence true", "persistence_location "+dir+"/", extra)
	if err != nil {
		t.Fatal(err)
	}
	m := &testBroker{b, t}
	m.start()
	t.Cleanup(m.stop)
	return m
}

func (m *testBroker) start() {
	m.t.Helper()
	if err := m.Start(); err != nil {
		m.t.Fatal(err)
	}
}

func (m *testBroker) stop() {
	m.t.Helper()
	if err := m.Stop(); err != nil {
		m.t.Error(err)
	}
}

func (m *testBroker) server(id string) Server {
	return Server{Address: address.Broker{Host: m.Address, Name: "127.0.0.1"}, ClientID: id}
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// recorder keeps what a subscriber received.
type recorder struct {
	mu       sync.Mutex
	received []string
	causes   []string
	online   bool
	fail     error
	tries    int
}

func (e *recorder) handle(_ context.Context, m devices.Message, done func(error)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.tries++
	if e.fail == nil {
		e.received = append(e.received, string(m.Payload))
	}
	done(e.fail)
}

func (e *recorder) state(online bool, cause devices.Cause) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.online = online
	e.causes = append(e.causes, cause.Text)
}

func (e *recorder) is(f func(*recorder) bool) func() bool {
	return func() bool {
		e.mu.Lock()
		defer e.mu.Unlock()
		return f(e)
	}
}

func online(e *recorder) bool  { return e.online }
func offline(e *recorder) bool { return !e.online && len(e.causes) > 0 }

func listen(t *testing.T, at Server, e *recorder) (stop func()) {
	t.Helper()
	s, err := NewSubscriber(Options{Server: at, Filters: []string{"sensors/#"}, Handle: e.handle, OnState: e.state})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func publisher(t *testing.T, at Server) func(string) {
	t.Helper()
	p, err := NewPublisher(at)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.Close)
	return func(payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := p.Publish(ctx, "sensors/river", []byte(payload), false); err != nil {
			t.Fatal(err)
		}
	}
}

func TestBrokerStoppedAndStarted(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{}
	stop := listen(t, m.server("edge"), e)
	say := publisher(t, m.server("sensor"))
	until(t, "online", e.is(online))
	say("1")
	until(t, "first message", e.is(func(e *recorder) bool { return len(e.received) == 1 }))

	m.stop()
	until(t, "offline", e.is(offline))
	m.start()
	until(t, "online again", e.is(online))
	say("2")
	until(t, "second message", e.is(func(e *recorder) bool { return len(e.received) == 2 }))

	// Away for a while: what is sent meanwhile, and over a restart of the broker, arrives.
	stop()
	say("3")
	m.stop()
	m.start()
	say("4")
	stop = listen(t, m.server("edge"), e)
	until(t, "messages sent while away", e.is(func(e *recorder) bool { return len(e.received) == 4 }))
	stop()
	if got := strings.Join(e.received, " "); got != "1 2 3 4" {
		t.Errorf("received %s", got)
	}
	found := false
	for _, c := range e.causes {
		found = found || strings.Contains(c, "connection refused") || strings.Contains(c, "closed the connection") || strings.Contains(c, "connection lost")
	}
	if !found {
		t.Errorf("causes: %q", e.causes)
	}
}

func TestNotAcknowledgedBeforeStored(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{fail: errors.New("the disk is full")}
	stop := listen(t, m.server("edge"), e)
	say := publisher(t, m.server("sensor"))
	until(t, "online", e.is(online))
	say("1")
	say("2")
	until(t, "a try", e.is(func(e *recorder) bool { return e.tries > 0 }))
	stop() // as a crash would: the message has been delivered, but not stored
	e.mu.Lock()
	e.fail = nil
	e.mu.Unlock()
	stop = listen(t, m.server("edge"), e)
	until(t, "delivered again", e.is(func(e *recorder) bool { return len(e.received) == 2 }))
	stop()
	if got := strings.Join(e.received, " "); got != "1 2" {
		t.Errorf("received %s", got)
	}
}

func TestHandlerIsTriedAgain(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{fail: errors.New("the disk is full")}
	stop := listen(t, m.server("edge"), e)
	defer stop()
	say := publisher(t, m.server("sensor"))
	until(t, "online", e.is(online))
	say("1")
	until(t, "a try", e.is(func(e *recorder) bool { return e.tries > 0 }))
	e.mu.Lock()
	e.fail = nil
	e.mu.Unlock()
	until(t, "stored at last", e.is(func(e *recorder) bool { return len(e.received) == 1 }))
}

func TestRefusalIsSaidInWords(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous false")
	e := &recorder{}
	at := m.server("edge")
	at.Username, at.Password = "edge", "s3cret"
	stop := listen(t, at, e)
	defer stop()
	until(t, "refused", e.is(offline))
	e.mu.Lock()
	defer e.mu.Unlock()
	if want := "the broker at " + m.Address + " refuses the user name or password"; e.causes[0] != want {
		t.Errorf("cause %q, want %q", e.causes[0], want)
	}
}

func TestTooLongIsDropped(t *testing.T) {
	m := newMosquitto(t, "allow_anonymous true")
	e := &recorder{}
	stop := listen(t, m.server("edge"), e)
	defer stop()
	say := publisher(t, m.server("sensor"))
	until(t, "online", e.is(online))
	say(strings.Repeat("x", devices.MaxMessage+1))
	say("short")
	until(t, "the short one", e.is(func(e *recorder) bool { return len(e.received) == 1 && e.received[0] == "short" }))
}

func TestIncompleteServersAreRefused(t *testing.T) {
	for _, s := range []Server{{}, {Address: address.Broker{Host: "h:1"}}, {ClientID: "x"}} {
		if _, err := NewPublisher(s); err == nil {
			t.Errorf("a publisher to %+v was accepted", s)
		}
		if _, err := NewSubscriber(Options{Server: s, Filters: []string{"#"}, Handle: (&recorder{}).handle}); err == nil {
			t.Errorf("a subscriber to %+v was accepted", s)
		}
	}
}

// TestUnreadableAuthorityIsAState: a file that is missing when the edge runs, although it was there
// when the document was checked, concerns one broker and not the edge.
func TestUnreadableAuthorityIsAState(t *testing.T) {
	for _, ca := range []string{filepath.Join(t.TempDir(), "missing.pem"), "/etc/hostname"} {
		causes := make(chan devices.Cause, 1)
		s, err := NewSubscriber(Options{
			Server:  Server{Address: address.Broker{Host: "127.0.0.1:1", Name: "127.0.0.1", TLS: true}, ClientID: "edge", CA: ca},
			Filters: []string{"#"}, Handle: (&recorder{}).handle,
			OnState: func(_ bool, cause devices.Cause) { causes <- cause },
		})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error)
		go func() { done <- s.Run(ctx) }()
		if cause := <-causes; cause.Code != "broker_authority_unreadable" || !strings.Contains(cause.Text, ca) || cause.Params["broker"] != "127.0.0.1:1" {
			t.Errorf("%s: cause %+v", ca, cause)
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("%s: Run ended with %v", ca, err)
		}
	}
}
