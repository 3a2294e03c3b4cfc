package turn

import (
	"context"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/pion/turn/v5"

	"gridpost/streams/webrtc"
)

const secret = "a secret of the test"

// serve runs a server whose hub's media port is an echo server.
func serve(t *testing.T, o Options) (*Server, netip.AddrPort) {
	t.Helper()
	media, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go echo(media)
	at := media.LocalAddr().(*net.UDPAddr).AddrPort()
	o.Listen, o.Media, o.Secret = "127.0.0.1:0", at, secret
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
		if err := media.Close(); err != nil {
			t.Error(err)
		}
	})
	return s, at
}

func echo(conn net.PacketConn) {
	b := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(b)
		if err != nil {
			return
		}
		if _, err := conn.WriteTo(b[:n], from); err != nil {
			return
		}
	}
}

// client connects over UDP or TCP with a user name and a password.
func client(t *testing.T, network string, s *Server, c ICEServer) *turn.Client {
	t.Helper()
	var conn net.PacketConn
	var err error
	if network == "tcp" {
		var stream net.Conn
		if stream, err = net.Dial("tcp", s.Addr().String()); err == nil {
			conn = turn.NewSTUNConn(stream)
		}
	} else {
		conn, err = net.ListenPacket("udp", "127.0.0.1:0")
	}
	if err != nil {
		t.Fatal(err)
	}
	cl, err := turn.NewClient(&turn.ClientConfig{
		TURNServerAddr: s.Addr().String(), STUNServerAddr: s.Addr().String(), Conn: conn, Username: c.Username, Password: c.Credential, Realm: realm,
		LoggerFactory: webrtc.LoggerFactory(s.o.Logger), RTO: 300 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := cl.Listen(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cl.Close()
		_ = conn.Close() // the client may have closed it
	})
	return cl
}

func credentials(t *testing.T, now time.Time) ICEServer {
	t.Helper()
	all := Credentials{Secret: secret, Port: 3478}.Servers("hub.example:8080", now)
	if len(all) != 2 || all[0].URL != "turn:hub.example:3478?transport=udp" || all[1].URL != "turn:hub.example:3478?transport=tcp" {
		t.Fatalf("%+v", all)
	}
	return all[0]
}

// TestRelay: a client with credentials reaches the media port over UDP and over TCP.
func TestRelay(t *testing.T) {
	s, media := serve(t, Options{})
	for _, network := range []string{"udp", "tcp"} {
		conn, err := client(t, network, s, credentials(t, time.Now())).Allocate()
		if err != nil {
			t.Fatal(network, err)
		}
		if n := s.Stats().Allocations; n != 1 {
			t.Errorf("%d allocations", n)
		}
		if got := roundTrip(t, conn, net.UDPAddrFromAddrPort(media)); got != "hello" {
			t.Errorf("%s: %q", network, got)
		}
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		until(t, "the allocation has ended", func() bool { return s.Stats().Allocations == 0 })
	}
}

// roundTrip sends until the answer is there: UDP may lose packets.
func roundTrip(t *testing.T, conn net.PacketConn, to net.Addr) string {
	t.Helper()
	b := make([]byte, 100)
	for range 30 {
		if _, err := conn.WriteTo([]byte("hello"), to); err != nil {
			t.Fatal(err)
		}
		if err := conn.SetReadDeadline(time.Now().Add(time.Second)); err != nil {
			t.Fatal(err)
		}
		if n, from, err := conn.ReadFrom(b); err == nil {
			if from.String() != to.String() {
				t.Errorf("the answer is from %s, not from %s", from, to)
			}
			return string(b[:n])
		}
	}
	return ""
}

func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 3000 {
		if ok() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatal("timed out waiting until ", what)
}

// TestNoOpenProxy: nothing but the media port is reached, on this machine or elsewhere, and nobody else's packets come in.
func TestNoOpenProxy(t *testing.T) {
	s, media := serve(t, Options{})
	other, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := other.Close(); err != nil {
			t.Error(err)
		}
	}()
	c := client(t, "udp", s, credentials(t, time.Now()))
	conn, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if got := roundTrip(t, conn, net.UDPAddrFromAddrPort(media)); got != "hello" { // and the permission for the address
		t.Fatalf("%q", got)
	}
	before := s.Stats().Refused
	if _, err := conn.WriteTo([]byte("secret"), other.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	until(t, "the packet to another port is refused", func() bool { return s.Stats().Refused > before })
	// What comes from another port of the same address is dropped, too.
	before = s.Stats().Refused
	if _, err := other.WriteTo([]byte("intruder"), conn.LocalAddr()); err != nil {
		t.Fatal(err)
	}
	until(t, "the packet from another port is refused", func() bool { return s.Stats().Refused > before })
	if got := roundTrip(t, conn, net.UDPAddrFromAddrPort(media)); got != "hello" {
		t.Errorf("%q", got)
	}
	for _, a := range []string{"192.0.2.1", "127.0.0.2", "169.254.169.254", "10.0.0.1"} {
		if err := c.CreatePermission(&net.UDPAddr{IP: net.ParseIP(a), Port: int(media.Port())}); err == nil {
			t.Errorf("a permission for %s was granted", a)
		}
	}
}

// TestCredentialsExpire: expired, changed and made-up credentials are refused.
func TestCredentialsExpire(t *testing.T) {
	s, _ := serve(t, Options{})
	good := credentials(t, time.Now())
	name, password := good.Username, good.Credential
	for what, c := range map[string]ICEServer{
		"expired":          credentials(t, time.Now().Add(-life-time.Minute)),
		"another password": {Username: name, Credential: strings.ToUpper(password)},
		"a later expiry":   {Username: "9" + name, Credential: password},
		"no expiry":        {Username: "anna", Credential: password},
	} {
		if _, err := client(t, "udp", s, c).Allocate(); err == nil {
			t.Error(what, "was accepted")
		}
	}
	if n := s.Stats().Allocations; n != 0 {
		t.Errorf("%d allocations", n)
	}
}

// TestLimits: allocations and connections are bounded, and counted.
func TestLimits(t *testing.T) {
	s, _ := serve(t, Options{Most: 2})
	for range 2 {
		if _, err := client(t, "udp", s, credentials(t, time.Now())).Allocate(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := client(t, "udp", s, credentials(t, time.Now())).Allocate(); err == nil || s.Stats().Refused == 0 {
		t.Errorf("a third allocation: %v", err)
	}
	var held []net.Conn
	for range 2 {
		c, err := net.Dial("tcp", s.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		held = append(held, c)
	}
	third, err := net.Dial("tcp", s.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := third.Read(make([]byte, 1)); err == nil {
		t.Error("a third connection is served")
	}
	for _, c := range append(held, third) {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPublicAddress: viewers know the media port by its public address alone, and its packets do not leave the machine.
func TestPublicAddress(t *testing.T) {
	public := netip.MustParseAddr("192.0.2.7")
	s, media := serve(t, Options{Public: []netip.Addr{public}})
	c := client(t, "udp", s, credentials(t, time.Now()))
	conn, err := c.Allocate()
	if err != nil {
		t.Fatal(err)
	}
	if got := roundTrip(t, conn, net.UDPAddrFromAddrPort(netip.AddrPortFrom(public, media.Port()))); got != "hello" {
		t.Errorf("%q", got)
	}
	if err := c.CreatePermission(net.UDPAddrFromAddrPort(media)); err == nil {
		t.Error("the local address is known, too")
	}
}

func TestOutsideServer(t *testing.T) {
	urls := []string{"turn:turn.example:3478?transport=tcp"}
	all := Credentials{Secret: "x", URLs: urls}.Servers("hub", time.Unix(1000, 0))
	if len(all) != 1 || all[0].URL != urls[0] || !strings.HasPrefix(all[0].Username, "2800:") || all[0].Credential == "" {
		t.Errorf("%+v", all)
	}
	if got := (Credentials{Secret: "x", Port: 1}).Servers(`a"; b`, time.Now()); len(got) != 0 {
		t.Errorf("a Host with other characters: %+v", got)
	}
}
