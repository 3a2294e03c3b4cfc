package broker

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
)

// hello sends CONNECT with a client ID, and a will if there is one, and returns the answer's code.
func (p *peer) hello(version byte, id, user, password, will string) byte {
	p.t.Helper()
	flags, parts := byte(0xc0), [][]byte{field("MQTT")}
	if will != "" {
		flags |= 0x2c // QoS 1, retained
	}
	parts = append(parts, []byte{version, flags, 0, 30})
	if version == 5 {
		parts = append(parts, []byte{0}) // no properties
	}
	parts = append(parts, field(id))
	if will != "" {
		if version == 5 {
			parts = append(parts, []byte{0})
		}
		parts = append(parts, field(will), field("gone"))
	}
	p.send(packet(0x10, append(parts, field(user), field(password))...))
	ack := p.read()
	if len(ack) < 4 || ack[0] != 0x20 {
		p.t.Fatalf("CONNACK: %x", ack)
	}
	return ack[3]
}

func (p *peer) expect(want ...byte) {
	p.t.Helper()
	if got := p.read(); !bytes.HasPrefix(got, want) {
		p.t.Fatalf("answered %x, expected %x", got, want)
	}
}

func eventually(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestALongMessageIsAcknowledgedAndDropped: the client would send it again on each connection.
func TestALongMessageIsAcknowledgedAndDropped(t *testing.T) {
	for _, version := range []byte{4, 5} {
		s := &sink{}
		b := start(t, Options{Handle: s.handle})
		p := dial(t, b)
		if code := p.hello(version, "a", "river", "s3cret", ""); code != 0 {
			t.Fatalf("refused with %d", code)
		}
		properties := []byte{}
		refused := []byte{}
		if version == 5 {
			properties, refused = []byte{0}, []byte{0x97}
		}
		for i, size := range []int{devices.MaxMessage + 1, 1 << 20, 5 << 20} {
			id := byte(i + 1)
			p.send(packet(0x32, field("sensors/river"), []byte{0, id}, properties, bytes.Repeat([]byte("x"), size)))
			p.expect(append([]byte{0x40, byte(2 + len(refused)), 0, id}, refused...)...)
		}
		p.send(packet(0x34, field("sensors/river"), []byte{0, 9}, properties, bytes.Repeat([]byte("x"), 1<<20))) // QoS 2
		p.expect(append([]byte{0x50, byte(2 + len(refused)), 0, 9}, refused...)...)
		if version == 4 {
			p.send([]byte{0x62, 2, 0, 9})
			p.expect(0x70, 2, 0, 9)
		}
		p.send(packet(0x32, field("sensors/river"), []byte{0, 7}, properties, []byte("1")))
		p.expect(0x40, 2, 0, 7)
		if got := s.messages(); len(got) != 1 || string(got[0].Payload) != "1" || b.Stats().TooLong != 4 {
			t.Errorf("version %d: kept %d messages, %+v", version, len(got), b.Stats())
		}
		if c := b.Problems(); len(c) != 1 || c[0].Code != "message_too_long" || c[0].Params["topic"] != "sensors/river" || c[0].Params["count"] != "4" {
			t.Errorf("version %d: problems %+v", version, c)
		}
	}
}

// TestReasonsOfMQTT5: its clients learn why a message is dropped.
func TestReasonsOfMQTT5(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	p := dial(t, b)
	p.hello(5, "a", "river", "s3cret", "")
	p.send(packet(0x32, field("other"), []byte{0, 1, 0}, []byte("1")))
	p.expect(0x40, 3, 0, 1, 0x87)
	p.send(packet(0x34, field("other"), []byte{0, 2, 0}, []byte("1")))
	p.expect(0x50, 3, 0, 2, 0x87)
	p.send(packet(0x32, field("sensors/river/\x01"), []byte{0, 3, 0}, []byte("1")))
	p.expect(0x40, 3, 0, 3, 0x90)
	p.send(packet(0x34, field("sensors/river"), []byte{0, 4, 0}, []byte("1")))
	p.expect(0x50, 2, 0, 4)
	p.send([]byte{0x62, 2, 0, 4})
	p.expect(0x70, 2, 0, 4)
	if len(s.messages()) != 1 {
		t.Errorf("kept %+v", s.messages())
	}
}

// TestManyMessagesOfQoS2 are published before the first is released.
func TestManyMessagesOfQoS2(t *testing.T) {
	const n = 3000
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	p := dial(t, b)
	p.login("river", "s3cret")
	go func() {
		for i := range n {
			_, _ = p.Write(packet(0x34, field("sensors/river"), []byte{byte((i + 1) >> 8), byte(i + 1)}, []byte("1")))
		}
	}()
	for i := range n {
		p.expect(0x50, 2, byte((i+1)>>8), byte(i+1))
	}
	go func() {
		for i := range n {
			_, _ = p.Write([]byte{0x62, 2, byte((i + 1) >> 8), byte(i + 1)})
		}
	}()
	for i := range n {
		p.expect(0x70, 2, byte((i+1)>>8), byte(i+1))
	}
	if len(s.messages()) != n {
		t.Errorf("kept %d", len(s.messages()))
	}
}

// TestUsersCannotEndEachOthersConnections: a client ID belongs to its user.
func TestUsersCannotEndEachOthersConnections(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	first, other, again := dial(t, b), dial(t, b), dial(t, b)
	first.hello(4, "same", "river", "s3cret", "sensors/river/status")
	other.hello(4, "same", "mute", "x", "")
	first.publish("sensors/river", "1", 1)
	first.expect(0x40, 2, 0, 1)
	// The same user with the same ID takes the connection over (MQTT 3.1.1, section 3.1.4). It is not gone.
	again.hello(4, "same", "river", "s3cret", "")
	eventually(t, "the first connection ends", func() bool { return first.ended() })
	again.publish("sensors/river", "2", 1)
	again.expect(0x40, 2, 0, 1)
	other.send([]byte{0xc0, 0})
	other.expect(0xd0, 0)
	if got := s.messages(); len(got) != 2 || string(got[1].Payload) != "2" {
		t.Errorf("kept %+v", got)
	}
}

// ended reads until the broker ends the connection.
func (p *peer) ended() bool {
	for {
		if _, err := p.Read(make([]byte, 100)); err != nil {
			return !errors.Is(err, os.ErrDeadlineExceeded)
		}
	}
}

func TestWills(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle, Source: "embedded"})
	lost, leaves, foreign := dial(t, b), dial(t, b), dial(t, b)
	lost.hello(4, "a", "river", "s3cret", "sensors/river/status")
	leaves.hello(4, "b", "river", "s3cret", "sensors/river/left")
	if code := foreign.hello(5, "c", "river", "s3cret", "other/status"); code != 0 {
		t.Fatalf("refused with %d", code)
	}
	foreign.hangUp()
	leaves.send([]byte{0xe0, 0}) // DISCONNECT
	eventually(t, "both end", func() bool { return foreign.ended() && leaves.ended() })
	lost.hangUp()
	eventually(t, "the will", func() bool { return len(s.messages()) == 1 })
	if got := s.messages()[0]; got.Topic != "sensors/river/status" || string(got.Payload) != "gone" || got.Retained || !got.Durable || got.Source != "embedded" {
		t.Errorf("the will is %+v", got)
	}
	if b.Stats().RefusedTopics != 1 {
		t.Errorf("%+v", b.Stats())
	}
}

// TestSilentConnectionsOfOneAddress leave room for others, and log-ins make room again.
func TestSilentConnectionsOfOneAddress(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	var silent []*peer
	for range maxSilent {
		silent = append(silent, dial(t, b))
	}
	eventually(t, "all are accepted", func() bool {
		g := b.listeners[0].gate
		g.mu.Lock()
		defer g.mu.Unlock()
		return g.open == maxSilent
	})
	if got := dial(t, b).read(); got != nil {
		t.Errorf("one more is answered %x", got)
	}
	if code := silent[0].login("river", "s3cret"); code != 0 {
		t.Errorf("refused with %d", code)
	}
	if code := dial(t, b).login("mute", "x"); code != 0 {
		t.Errorf("after a log-in one more is refused with %d", code)
	}
}

// TestGuessingIsSlow, and blocks nobody else.
func TestGuessingIsSlow(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	for range maxFailures {
		if code := dial(t, b).login("river", "wrong"); code == 0 {
			t.Fatal("a wrong password is accepted")
		}
	}
	if code := dial(t, b).login("river", "s3cret"); code == 0 {
		t.Error("guessing goes on")
	}
	if code := dial(t, b).login("mute", "x"); code != 0 {
		t.Errorf("another user is refused with %d", code)
	}
	if c := b.Problems(); len(c) != 1 || c[0].Code != "sensor_logins_blocked" || c[0].Params["user"] != "river" {
		t.Errorf("problems %+v", c)
	}
}

func TestLogins(t *testing.T) {
	l := newLogins()
	for i := range 3 * maxAttackers {
		l.fail("10.0.0."+string(rune('a'+i%26)), strings.Repeat("u", i))
	}
	if len(l.pairs) > maxAttackers {
		t.Errorf("%d pairs are remembered", len(l.pairs))
	}
	for i := range maxFailures {
		l.fail("2001:db8::"+string(rune('1'+i%8)), "river")
	}
	if l.blocked("2001:db8::abcd", "river") == 0 || l.blocked("2001:db8:1::1", "river") != 0 || l.blocked("2001:db8::1", "lake") != 0 {
		t.Error("an IPv6 network is one address")
	}
	l.succeeded("2001:db8::1", "river")
	if l.blocked("2001:db8::1", "river") != 0 {
		t.Error("a log-in does not end it")
	}
}

// writeCertificate writes a certificate for 127.0.0.1 and its key.
func writeCertificate(t *testing.T, dir, name string) (certificate, key string, pool *x509.CertPool) {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		DNSNames: []string{name}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		t.Fatal(err)
	}
	certificate, key = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool = x509.NewCertPool()
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(text)
	for path, b := range map[string][]byte{certificate: text, key: pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: raw})} {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certificate, key, pool
}

// TestTLS: both listeners serve, a certificate that is renewed is used, and one that cannot be read is said.
func TestTLS(t *testing.T) {
	s := &sink{}
	dir := t.TempDir()
	certificate, key, pool := writeCertificate(t, dir, "first")
	b := start(t, Options{Handle: s.handle, TLSListen: "127.0.0.1:0", Certificate: certificate, Key: key})
	secure := func(pool *x509.CertPool, name string) (*peer, error) {
		c, err := tls.Dial("tcp", b.TLSAddr(), &tls.Config{RootCAs: pool, ServerName: name})
		if err != nil {
			return nil, err
		}
		t.Cleanup(func() { _ = c.Close() })
		_ = c.SetDeadline(time.Now().Add(10 * time.Second))
		return &peer{t, c}, nil
	}
	p, err := secure(pool, "first")
	if err != nil {
		t.Fatal(err)
	}
	p.login("river", "s3cret")
	p.publish("sensors/river", "1", 7)
	p.expect(0x40, 2, 0, 7)
	dial(t, b).login("mute", "x")

	if err := os.Rename(key, key+".gone"); err != nil {
		t.Fatal(err)
	}
	if c := b.Problems(); len(c) != 1 || c[0].Code != "listener_certificate_unreadable" {
		t.Errorf("problems %+v", c)
	}
	if _, err := secure(pool, "first"); err != nil {
		t.Errorf("the certificate that was read before: %v", err)
	}
	_, _, pool = writeCertificate(t, dir, "second")
	later := time.Now().Add(time.Minute)
	for _, path := range []string{certificate, key} {
		if err := os.Chtimes(path, later, later); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := secure(pool, "second"); err != nil {
		t.Errorf("the renewed certificate: %v", err)
	}
	if c := b.Problems(); len(c) != 0 {
		t.Errorf("problems %+v", c)
	}
	// Plain MQTT at the port for TLS ends, and costs nobody else anything.
	plain, err := net.Dial("tcp", b.TLSAddr())
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Close() //nolint:errcheck // a test
	_ = plain.SetDeadline(time.Now().Add(10 * time.Second))
	_, _ = plain.Write([]byte("GET / HTTP/1.1\r\n\r\n"))
	if !(&peer{t, plain}).ended() {
		t.Error("it does not end")
	}
}

// TestAMessageThatComesAgain: one of QoS 2 that is dropped and comes again before PUBREL is recognised, and what is
// dropped after it is reported under its own topic.
func TestAMessageThatComesAgain(t *testing.T) {
	b := start(t, Options{Handle: (&sink{}).handle})
	p := dial(t, b)
	p.login("river", "s3cret")
	long := bytes.Repeat([]byte("x"), 1<<20)
	p.send(packet(0x34, field("sensors/river/a"), []byte{0, 9}, long))
	p.expect(0x50, 2, 0, 9)
	again := packet(0x3c, field("sensors/river/\x02"), []byte{0, 9}, []byte("1"))
	p.send(append(again, packet(0x32, field("sensors/river/b"), []byte{0, 1}, long)...))
	p.expect(0x50, 2, 0, 9)
	p.expect(0x40, 2, 0, 1)
	var topics []string
	for _, c := range b.Problems() {
		topics = append(topics, c.Params["topic"])
	}
	slices.Sort(topics)
	if !slices.Equal(topics, []string{"sensors/river/a", "sensors/river/b"}) {
		t.Errorf("the topics reported are %q", topics)
	}
}

// TestDisconnectWithTheWill is no failure (MQTT 5, section 3.14.2.1).
func TestDisconnectWithTheWill(t *testing.T) {
	s := &sink{}
	b := start(t, Options{Handle: s.handle})
	for i, disconnect := range [][]byte{{0xe0, 1, 4}, {0xe0, 2, 4, 0}} {
		p := dial(t, b)
		p.hello(5, "a", "river", "s3cret", "sensors/river/status")
		p.send(disconnect)
		eventually(t, "the will", func() bool { return len(s.messages()) == i+1 && p.ended() })
	}
	if b.Stats().Malformed != 0 || len(b.Problems()) != 0 {
		t.Errorf("%+v, %+v", b.Stats(), b.Problems())
	}
}

// TestStrangersFillNothing: who has not logged in causes one problem, whatever it sends.
func TestStrangersFillNothing(t *testing.T) {
	b := start(t, Options{Handle: (&sink{}).handle})
	for i := range 2 * recentMost {
		if code := dial(t, b).hello(4, "x", "stranger"+strconv.Itoa(i), "x", "other/"+strconv.Itoa(i)); code == 0 {
			t.Fatal("a stranger got in")
		}
	}
	if c := b.Problems(); len(c) != 1 || c[0].Code != "sensor_login_refused" || b.Stats().RefusedTopics != 0 {
		t.Errorf("problems %+v, %+v", c, b.Stats())
	}
}

// TestSessionsAreBounded: those of clients that are away are kept, but not any number of them.
func TestSessionsAreBounded(t *testing.T) {
	b := start(t, Options{Handle: (&sink{}).handle, MaxClients: 2})
	present := func(id string) bool {
		p := dial(t, b)
		p.send(packet(0x10, field("MQTT"), []byte{4, 0xc0, 0, 30}, field(id), field("river"), field("s3cret")))
		ack := p.read()
		if len(ack) < 4 || ack[3] != 0 {
			t.Fatalf("CONNACK: %x", ack)
		}
		p.hangUp()
		eventually(t, "it ends", func() bool {
			g := b.listeners[0].gate
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.open == 0
		})
		return ack[2] == 1
	}
	present("first")
	for i := range 3 * keptPerClient {
		present(strconv.Itoa(i))
	}
	if !present("first") || present(strconv.Itoa(3*keptPerClient-1)) {
		t.Error("the first session is kept, and the last is forgotten")
	}
}
