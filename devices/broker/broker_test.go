package broker

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// sink is a handler that can be told to fail.
type sink struct {
	mu   sync.Mutex
	got  []devices.Message
	fail error
}

func (s *sink) handle(_ context.Context, m devices.Message, done func(error)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fail == nil {
		s.got = append(s.got, m)
	}
	done(s.fail)
}

func (s *sink) setFail(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.fail = err
}

func (s *sink) messages() []devices.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	return append([]devices.Message(nil), s.got...)
}

// start runs a broker until the test ends.
func start(t *testing.T, o Options) *Broker {
	t.Helper()
	b, stop := startUntil(t, o)
	t.Cleanup(stop)
	return b
}

// startUntil runs a broker until stop is called.
func startUntil(t *testing.T, o Options) (b *Broker, stop func()) {
	t.Helper()
	o.Listen = "127.0.0.1:0"
	o.Users = []User{{Name: "river", Password: "s3cret", Topics: []string{"sensors/river/#"}}, {Name: "mute", Password: "x"}}
	b, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Run(ctx) }()
	return b, func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(10 * time.Second):
			t.Error("the broker does not stop")
		}
	}
}

// peer is a client that sends MQTT 3.1.1 packets one by one, to see exactly what is acknowledged.
type peer struct {
	t *testing.T
	net.Conn
}

func dial(t *testing.T, b *Broker) *peer {
	t.Helper()
	c, err := net.Dial("tcp", b.Addr())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	return &peer{t, c}
}

func field(s string) []byte { return append([]byte{byte(len(s) >> 8), byte(len(s))}, s...) }

func packet(kind byte, parts ...[]byte) []byte {
	body := bytes.Join(parts, nil)
	out := []byte{kind}
	for n := len(body); ; {
		b := byte(n & 0x7f)
		if n >>= 7; n > 0 {
			out = append(out, b|0x80)
			continue
		}
		return append(append(out, b), body...)
	}
}

func (p *peer) send(b []byte) {
	p.t.Helper()
	if _, err := p.Write(b); err != nil {
		p.t.Fatal(err)
	}
}

// read returns the next packet, or nil when the connection has ended.
func (p *peer) read() []byte {
	p.t.Helper()
	head := make([]byte, 2) // all answers are short
	if _, err := io.ReadFull(p, head); err != nil {
		var timeout net.Error
		if errors.As(err, &timeout) && timeout.Timeout() {
			p.t.Fatal("no answer, and the connection stays open")
		}
		return nil
	}
	body := make([]byte, head[1])
	if _, err := io.ReadFull(p, body); err != nil {
		return nil
	}
	return append(head, body...)
}

// login sends CONNECT and returns the answer's code (section 3.2.2.3).
func (p *peer) login(user, password string) byte {
	p.t.Helper()
	p.send(packet(0x10, field("MQTT"), []byte{4, 0xc2, 0, 30}, field("id-"+user), field(user), field(password)))
	ack := p.read()
	if len(ack) != 4 || ack[0] != 0x20 {
		p.t.Fatalf("CONNACK: %x", ack)
	}
	return ack[3]
}

// hangUp says that nothing more comes, and still listens.
func (p *peer) hangUp() {
	if tcp, ok := p.Conn.(*net.TCPConn); ok {
		_ = tcp.CloseWrite()
	}
}

func (p *peer) publish(topic, payload string, id byte) {
	p.t.Helper()
	p.send(packet(0x32, field(topic), []byte{0, id}, []byte(payload)))
}

func TestAcknowledgedAfterKept(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	p := dial(t, b)
	if code := p.login("river", "s3cret"); code != 0 {
		t.Fatalf("refused with %d", code)
	}
	p.publish("sensors/river/level", `{"level":3.1}`, 7)
	if ack := p.read(); !bytes.Equal(ack, []byte{0x40, 2, 0, 7}) {
		t.Fatalf("PUBACK: %x", ack)
	}
	got := s.messages()
	if len(got) != 1 || got[0].Topic != "sensors/river/level" || string(got[0].Payload) != `{"level":3.1}` || !got[0].Durable {
		t.Errorf("kept: %+v", got)
	}
}

func TestFullStoreMeansNoAcknowledgement(t *testing.T) {
	s := &sink{fail: errors.New("the disk is full")}
	b := start(t, Options{Handle: s.handle})
	p := dial(t, b)
	p.login("river", "s3cret")
	p.publish("sensors/river", "1", 7)
	if ack := p.read(); ack != nil {
		t.Fatalf("answered with %x, though nothing was kept", ack)
	}
	s.setFail(nil)
	p = dial(t, b)
	p.login("river", "s3cret")
	p.publish("sensors/river", "1", 7)
	if ack := p.read(); !bytes.Equal(ack, []byte{0x40, 2, 0, 7}) {
		t.Fatalf("PUBACK: %x", ack)
	}
	if b.Stats().NotStored != 1 || b.Stats().Messages != 1 {
		t.Errorf("counted: %+v", b.Stats())
	}
}

func TestUnknownUsersAreRefused(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	for _, c := range [][2]string{{"river", "wrong"}, {"nobody", "s3cret"}, {"", ""}, {"mute", ""}, {"river", ""}} {
		if code := dial(t, b).login(c[0], c[1]); code == 0 {
			t.Errorf("%q with %q got in", c[0], c[1])
		}
	}
	if b.Stats().RefusedLogins < 2 { // those without a password are refused before anybody asks
		t.Errorf("counted: %+v", b.Stats())
	}
}

// TestRefusedTopicsAreAcknowledgedAndDropped: a client of MQTT 3.1.1 would send a message that is not
// acknowledged again on each connection, for ever.
func TestRefusedTopicsAreAcknowledgedAndDropped(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	refused := uint64(0)
	for user, topics := range map[string][]string{
		"river": {"sensors/riverbank", "other", "$SYS/broker", "sensors", "sensors/river/+", "sensors/river/#", "sensors/river/\x01", "sensors/river/\xff", "\x01", "sensors/river/\ufffe"},
		"mute":  {"sensors/river", "mute"},
	} {
		p := dial(t, b)
		if code := p.login(user, map[string]string{"river": "s3cret", "mute": "x"}[user]); code != 0 {
			t.Fatalf("%s refused with %d", user, code)
		}
		for i, topic := range topics {
			id := byte(i + 1)
			p.publish(topic, "1", id)
			if ack := p.read(); !bytes.Equal(ack, []byte{0x40, 2, 0, id}) {
				t.Fatalf("%s to %q is answered %x", user, topic, ack)
			}
			refused++
		}
	}
	if got := s.messages(); len(got) != 0 || b.Stats().RefusedTopics != refused {
		t.Errorf("kept: %+v, %+v", got, b.Stats())
	}
	p := dial(t, b)
	p.login("river", "s3cret")
	p.publish("sensors/river", "1", 7)
	if ack := p.read(); !bytes.Equal(ack, []byte{0x40, 2, 0, 7}) {
		t.Fatalf("PUBACK: %x", ack)
	}
	named := false
	for _, c := range b.Problems() {
		named = named || c.Code == "message_topic_refused" && c.Params["user"] == "river" && c.Params["topic"] == "other"
	}
	if !named {
		t.Errorf("problems: %+v", b.Problems())
	}
}

func TestNothingCanBeHeard(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	p := dial(t, b)
	p.login("river", "s3cret")
	p.send(packet(0x82, []byte{0, 1}, field("#"), []byte{1}))
	if ack := p.read(); len(ack) != 5 || ack[0] != 0x90 || ack[4] != 0x80 {
		t.Errorf("SUBACK: %x", ack)
	}
}

func TestGarbageCostsItsConnectionOnly(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	for _, garbage := range [][]byte{
		[]byte("GET / HTTP/1.1\r\n\r\n"),
		{0x10, 0xff, 0xff, 0xff, 0xff, 0xff},
		{0, 0},
		bytes.Repeat([]byte{0xff}, 5000),
		packet(0x10, field("MQTT"), []byte{4, 0xc2, 0, 30}),
	} {
		p := dial(t, b)
		_, _ = p.Write(garbage)
		p.hangUp()
		_, _ = io.Copy(io.Discard, p)
	}
	p := dial(t, b)
	p.login("river", "s3cret")
	p.send([]byte{0x32, 0xff, 0xff, 0xff, 0x7f}) // announces 256 MiB
	p.hangUp()
	if ack := p.read(); ack != nil && ack[0] == 0x40 {
		t.Errorf("answered %x", ack)
	}
	p = dial(t, b)
	if code := p.login("river", "s3cret"); code != 0 {
		t.Errorf("a good client is refused with %d after all that", code)
	}
}

func TestConnectionsAreBounded(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle, MaxClients: 2})
	first, second := dial(t, b), dial(t, b)
	first.login("river", "s3cret")
	second.login("mute", "x")
	if third := dial(t, b).read(); third != nil {
		t.Errorf("a third connection is answered %x", third)
	}
}

func TestBadOptions(t *testing.T) {
	h := func(context.Context, devices.Message, func(error)) {}
	for _, o := range []Options{
		{Listen: "127.0.0.1:0"},
		{Listen: "nowhere:x", Handle: h},
		{Listen: "127.0.0.1:0", Handle: h, Users: []User{{Name: "a"}}},
		{Listen: "127.0.0.1:0", Handle: h, Users: []User{{Name: "a", Password: "b", Topics: []string{"#/a"}}}},
	} {
		if b, err := New(o); err == nil {
			t.Errorf("%+v was accepted", o)
			_ = b.Close()
		}
	}
}
