// Package turn relays media for viewers that reach neither the hub's UDP port nor its media port over TCP: a TURN server
// (RFC 8656) on ports of its own, and the short-lived credentials for it or for a server outside the hub.
//
// The server is no open proxy: it relays to the hub's own media port and to nothing else, whoever asks.
package turn

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"sync/atomic"

	"github.com/pion/turn/v5"

	"gridpost/streams/webrtc"
)

const realm = "gridpost"

// Options configure a Server.
type Options struct {
	Listen string         // host:port, of UDP and TCP
	Media  netip.AddrPort // where the hub's media port is; the address may be unspecified
	Public []netip.Addr   // addresses under which peers know the media port, where these are not the machine's own
	Secret string         // of the credentials; see Credentials
	Logger *slog.Logger   // nil: none
	Most   int            // allocations, and TCP connections, at a time; default 500
}

// Stats are gauges, and counters since the start.
type Stats struct {
	Allocations int    // gauge
	Refused     uint64 // allocations beyond the limit, and packets to others than the hub
}

// Server is a TURN server. It serves while Run runs.
type Server struct {
	o     Options
	peers peers
	udp   net.PacketConn
	tcp   *listener

	allocations atomic.Int64
	refused     atomic.Uint64
}

// New binds the ports. The caller must call Run or Close.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Most <= 0 {
		o.Most = 500
	}
	s := &Server{o: o}
	var err error
	if s.peers, err = peersOf(o.Media, o.Public); err != nil {
		return nil, err
	}
	udp, tcp, err := bind(o.Listen)
	if err != nil {
		return nil, fmt.Errorf("listening for TURN on %s: %w", o.Listen, err)
	}
	s.udp, s.tcp = udp, &listener{Listener: tcp, free: make(chan struct{}, o.Most)}
	return s, nil
}

// bind binds a UDP and a TCP port of the same number; with port 0, one that is free for both.
func bind(address string) (net.PacketConn, net.Listener, error) {
	for tries := 0; ; tries++ {
		udp, err := net.ListenPacket("udp", address)
		if err != nil {
			return nil, nil, err
		}
		tcp, err := net.Listen("tcp", udp.LocalAddr().String())
		if err == nil {
			return udp, tcp, nil
		}
		if cerr := udp.Close(); cerr != nil {
			return nil, nil, errors.Join(err, cerr)
		}
		if _, port, serr := net.SplitHostPort(address); serr != nil || port != "0" || tries == 10 {
			return nil, nil, err
		}
	}
}

// Addr returns the address that is served, over UDP and TCP.
func (s *Server) Addr() netip.AddrPort { return s.udp.LocalAddr().(*net.UDPAddr).AddrPort() }

// Stats returns the current statistics.
func (s *Server) Stats() Stats {
	return Stats{Allocations: int(s.allocations.Load()), Refused: s.refused.Load()}
}

// Run serves until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	logs := webrtc.LoggerFactory(s.o.Logger)
	generator := &generator{server: s}
	allow := func(_ net.Addr, peer net.IP) bool {
		ip, ok := netip.AddrFromSlice(peer)
		return ok && s.peers.known(ip.Unmap())
	}
	server, err := turn.NewServer(turn.ServerConfig{
		Realm: realm, LoggerFactory: logs,
		AuthHandler: turn.LongTermTURNRESTAuthHandler(s.o.Secret, logs.NewLogger("turn")),
		QuotaHandler: func(string, string, net.Addr) bool {
			if s.allocations.Load() < int64(s.o.Most) {
				return true
			}
			s.refused.Add(1)
			return false
		},
		PacketConnConfigs: []turn.PacketConnConfig{{PacketConn: s.udp, RelayAddressGenerator: generator, PermissionHandler: allow}},
		ListenerConfigs:   []turn.ListenerConfig{{Listener: s.tcp, RelayAddressGenerator: generator, PermissionHandler: allow}},
	})
	if err != nil {
		return errors.Join(fmt.Errorf("starting the TURN server: %w", err), s.Close())
	}
	<-ctx.Done()
	if err := server.Close(); err != nil {
		return fmt.Errorf("stopping the TURN server: %w", err)
	}
	return nil
}

// Close releases the ports of a Server whose Run was never called. After Run it does nothing.
func (s *Server) Close() error {
	var errs []error
	for _, err := range []error{s.udp.Close(), s.tcp.Close()} {
		if err != nil && !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// generator makes the sockets of allocations. Their ports need not be reachable from outside: their only peer is on this
// machine.
type generator struct{ server *Server }

var errTCPRelay = errors.New("only UDP is relayed")

func (g *generator) Validate() error { return nil }

func (g *generator) AllocatePacketConn(c turn.AllocateListenerConfig) (net.PacketConn, net.Addr, error) {
	s := g.server
	bindTo, as, ok := s.peers.relayAddress(c.Network == "udp6")
	if !ok {
		return nil, nil, fmt.Errorf("the media port has no address of %s", c.Network)
	}
	conn, err := net.ListenUDP(c.Network, net.UDPAddrFromAddrPort(netip.AddrPortFrom(bindTo, 0)))
	if err != nil {
		return nil, nil, err
	}
	s.allocations.Add(1)
	port := conn.LocalAddr().(*net.UDPAddr).AddrPort().Port()
	return &peerConn{PacketConn: conn, server: s}, net.UDPAddrFromAddrPort(netip.AddrPortFrom(as, port)), nil
}

func (g *generator) AllocateListener(turn.AllocateListenerConfig) (net.Listener, net.Addr, error) {
	return nil, nil, errTCPRelay
}

func (g *generator) AllocateConn(turn.AllocateConnConfig) (net.Conn, error) { return nil, errTCPRelay }
