// Package webrtc sends and receives streams over WebRTC: an edge publishes by WHIP (RFC 9725), the
// hub receives that and forwards it to viewers by WHEP (draft-ietf-wish-whep), and a WHEP client
// plays for tests and load.
//
// Frames are never transcoded: the payloads that an edge made reach every viewer, only the headers
// differ. Payloads are immutable once they are in a Feed, and all viewers share them.
//
// An edge adapts what it sends to its line (see PublishOptions and PublishStats).
//
// It is the only package that imports pion/webrtc. It must not import edge, hub, detection or
// another adapter of streams.
package webrtc

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"time"

	"github.com/pion/dtls/v3"
	"github.com/pion/ice/v4"
	"github.com/pion/interceptor"
	"github.com/pion/webrtc/v4"
)

// EngineOptions configure an Engine.
type EngineOptions struct {
	// Listen is the address, host:port, of the one UDP port of all sessions, and of ICE over
	// TCP on the same number. Empty: an ephemeral port for each session, as clients need.
	Listen string

	// PublicAddresses are the IP addresses that peers are given beside Listen's own, if that cannot be reached.
	PublicAddresses []string

	Logger *slog.Logger
}

// Engine creates sessions. It is safe for concurrent use.
type Engine struct {
	logger       *slog.Logger
	settings     webrtc.SettingEngine
	conn         *batchConn // nil without Listen
	certificates certificates
	udpMux       *ice.UDPMuxDefault
	tcpMux       *ice.TCPMuxDefault
	addr         string
}

// The times after which a silent peer is lost: ICE is disconnected, then failed. Together they are
// less than framesWithin, so that a peer that is gone is not reported as a camera without frames.
const (
	iceDisconnected = 5 * time.Second
	iceFailed       = 3 * time.Second
	iceKeepalive    = 2 * time.Second
)

// NewEngine binds the port, if there is one, and starts reading it. The caller must Close the
// Engine after its last session has ended.
func NewEngine(o EngineOptions) (*Engine, error) {
	logger := o.Logger
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	e := &Engine{logger: logger}
	s := &e.settings
	s.LoggerFactory = logFactory{logger: logger}
	s.SetICETimeouts(iceDisconnected, iceFailed, iceKeepalive)
	s.SetICEMulticastDNSMode(ice.MulticastDNSModeDisabled)
	s.SetNetworkTypes([]webrtc.NetworkType{
		webrtc.NetworkTypeUDP4, webrtc.NetworkTypeUDP6, webrtc.NetworkTypeTCP4, webrtc.NetworkTypeTCP6,
	})
	s.SetIncludeLoopbackCandidate(true) // hub and edge on one machine, as in the demo
	// AES-GCM costs a tenth of AES-CTR with HMAC-SHA1. The answering side is the
	// DTLS server and chooses by its own order, also with browsers.
	s.SetSRTPProtectionProfiles(dtls.SRTP_AEAD_AES_128_GCM, dtls.SRTP_AEAD_AES_256_GCM, dtls.SRTP_AES128_CM_HMAC_SHA1_80)
	// DTLS asks a peer to prove its address (HelloVerifyRequest, RFC 6347, section 4.2.1), which costs a round trip. Here
	// only a peer gets that far that has authenticated itself by ICE, with credentials from an authorized offer.
	s.SetDTLSInsecureSkipHelloVerify(true)
	s.SetSRTPReplayProtectionWindow(2 * reorderSlots) // a retransmitted packet may be that old
	if err := s.SetAnsweringDTLSRole(webrtc.DTLSRoleServer); err != nil {
		return nil, fmt.Errorf("setting the DTLS role: %w", err)
	}
	if o.Listen == "" {
		return e, nil
	}
	if err := e.listen(o.Listen, o.PublicAddresses); err != nil {
		return nil, fmt.Errorf("listening for media on %s: %w", o.Listen, err)
	}
	return e, nil
}

func (e *Engine) listen(address string, public []string) error {
	udp, tcp, err := bind(address)
	if err != nil {
		return err
	}
	e.conn = newBatchConn(udp, e.logger, true)
	e.conn.enlarge()
	e.addr = udp.LocalAddr().String()
	factory := logFactory{logger: e.logger}
	e.udpMux = ice.NewUDPMuxDefault(ice.UDPMuxParams{Logger: factory.NewLogger("ice-udp"), UDPConn: e.conn, Net: &currentNet{}})
	e.tcpMux = ice.NewTCPMuxDefault(ice.TCPMuxParams{
		Listener:        tcp,
		Logger:          factory.NewLogger("ice-tcp"),
		ReadBufferSize:  32,
		WriteBufferSize: 4 << 20, // bounded; what does not fit is dropped, as UDP would
	})
	e.settings.SetICEUDPMux(e.udpMux)
	e.settings.SetICETCPMux(e.tcpMux)
	// A server with known addresses answers connectivity checks and makes none (RFC 8445, section 2.5).
	e.settings.SetLite(true)
	if len(public) > 0 {
		for _, a := range public {
			if net.ParseIP(a) == nil {
				return errors.Join(fmt.Errorf("%q is not an IP address", a), e.Close())
			}
		}
		err := e.settings.SetICEAddressRewriteRules(webrtc.ICEAddressRewriteRule{
			External:        public,
			AsCandidateType: webrtc.ICECandidateTypeHost,
			Mode:            webrtc.ICEAddressRewriteAppend,
		})
		if err != nil {
			return errors.Join(fmt.Errorf("setting the public addresses: %w", err), e.Close())
		}
	}
	return nil
}

// bind binds a UDP and a TCP port of the same number. With port 0 it takes a free UDP port, and tries
// another one where the TCP port is in use.
func bind(address string) (*net.UDPConn, net.Listener, error) {
	ua, err := net.ResolveUDPAddr("udp", address)
	if err != nil {
		return nil, nil, err
	}
	for tries := 0; ; tries++ {
		udp, err := net.ListenUDP("udp", ua)
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
		if ua.Port != 0 || tries == 10 {
			return nil, nil, err
		}
	}
}

// Addr returns the bound host:port, or "" for an Engine without Listen.
func (e *Engine) Addr() string { return e.addr }

// Close releases the port.
func (e *Engine) Close() error {
	if e.udpMux == nil {
		return nil
	}
	return errors.Join(e.udpMux.Close(), e.tcpMux.Close())
}

// newConnection creates a peer connection for these codecs. No interceptor is registered: this package
// does what they would do, once for all viewers of a feed. transport says whether the packets of the video have
// transport-wide sequence numbers, if the peer supports them; receives, whether the session receives media. flush sends
// what waits in the batch of an SSRC.
func (e *Engine) newConnection(transport, receives bool, codecs ...codec) (pc *webrtc.PeerConnection, flush func(ssrc uint32), err error) {
	m := &webrtc.MediaEngine{}
	for _, c := range codecs {
		capability := c.capability()
		if transport && !c.name.IsAudio() {
			capability.RTCPFeedback = append(capability.RTCPFeedback, webrtc.RTCPFeedback{Type: webrtc.TypeRTCPFBTransportCC})
		}
		err := m.RegisterCodec(webrtc.RTPCodecParameters{
			RTPCodecCapability: capability,
			PayloadType:        webrtc.PayloadType(c.payloadType),
		}, c.kind())
		if err != nil {
			return nil, nil, fmt.Errorf("registering %s: %w", c.mime(), err)
		}
	}
	extensions := []string{playoutDelayURI, captureTimeURI}
	if transport {
		extensions = append(extensions, transportURI)
	}
	for _, uri := range extensions {
		err := m.RegisterHeaderExtension(webrtc.RTPHeaderExtensionCapability{URI: uri}, webrtc.RTPCodecTypeVideo)
		if err != nil {
			return nil, nil, fmt.Errorf("registering the extension %s: %w", uri, err)
		}
	}
	certificate, err := e.certificates.at(time.Now())
	if err != nil {
		return nil, nil, err
	}
	settings := e.settings
	if e.conn != nil {
		flush = e.conn.flush
	} else {
		network := &sessionNet{engine: e, receives: receives}
		settings.SetNet(network)
		flush = network.flush
	}
	// Without a registry pion would register its default interceptors.
	api := webrtc.NewAPI(webrtc.WithMediaEngine(m), webrtc.WithSettingEngine(settings), webrtc.WithInterceptorRegistry(&interceptor.Registry{}))
	if pc, err = api.NewPeerConnection(webrtc.Configuration{Certificates: []webrtc.Certificate{certificate}}); err != nil {
		return nil, nil, fmt.Errorf("creating a peer connection: %w", err)
	}
	return pc, flush, nil
}
