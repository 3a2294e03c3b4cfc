// Package rtsp receives the video of a camera by RTSP (RFC 2326) and publishes it to a streams.Stream.
//
// A Source reconnects until it is stopped: a camera that is absent, refuses, hangs, falls silent or sends
// garbage is tried again with back-off. Frames count, not sessions: a camera is online from its first
// keyframe on, and offline when no frame has arrived for some seconds, whatever else it sends. A frame
// that is damaged by a lost packet, and those that depend on it, are dropped and counted.
//
// Only this package and simcam may import gortsplib. It must not import any other adapter.
package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"

	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/retry"
	"gridpost/streams"
	"gridpost/streams/rtsp/compat"
)

// The transports of Options. TCP is better on a network that is not overloaded: nothing is lost, and after one lost
// UDP packet the library holds back up to 64 more before it gives up waiting for it.
const (
	Auto = "auto" // TCP, then UDP if the camera refuses TCP
	TCP  = "tcp"  // media inside the RTSP connection only
	UDP  = "udp"  // UDP, then TCP if nothing arrives or the camera refuses UDP
)

// Options of a Source. The zero value of a field takes its default.
type Options struct {
	URL       address.Stream  // with user name and password if the camera requires them
	Transport string          // Auto, TCP or UDP; default Auto; always TCP for rtsps
	Stream    *streams.Stream // receives the access units; the source is its only publisher
	Logger    *slog.Logger    // default: nothing is logged

	Fingerprint string         // of the camera's certificate, see address.ParseFingerprint; "": it must be trusted by the system
	Logins      *compat.Logins // shared by the streams of a camera; default: one of its own

	WithoutAudio bool // the camera's audio is not received

	// OnState is called from Run's goroutine at each change of the state or its cause. The cause never contains
	// the password. When online it is zero, or a warning: what people cannot see although frames come. OnState must not
	// block.
	OnState func(online bool, cause devices.Cause)

	ConnectTimeout time.Duration // from dialling to the answer to PLAY; default 10 s
	RetryMin       time.Duration // base of the first wait between attempts; default 0.5 s
	RetryMax       time.Duration // base of the longest wait; default 30 s

	// A camera without a frame for FrameTimeout is offline. Its session goes on while packets arrive, because the
	// next keyframe may be a minute away.
	StartTimeout    time.Duration // without a first packet; default 30 s
	UDPTimeout      time.Duration // without a first packet by UDP, unless the camera refuses TCP; default 3 s
	FrameTimeout    time.Duration // without a packet; default 10 s
	KeyframeTimeout time.Duration // without a frame, although packets arrive; default 90 s
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.ConnectTimeout, 10*time.Second)
	set(&o.StartTimeout, 30*time.Second)
	set(&o.UDPTimeout, 3*time.Second)
	set(&o.FrameTimeout, 10*time.Second)
	set(&o.KeyframeTimeout, 90*time.Second)
	set(&o.RetryMin, 500*time.Millisecond)
	set(&o.RetryMax, 30*time.Second)
	if o.Transport == "" {
		o.Transport = Auto
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool, devices.Cause) {}
	}
	return o
}

// Source is the connection to one camera. NewSource creates it.
type Source struct {
	o     Options
	count counters
	loss  lossMeter
	wire  *compat.Camera

	mu      sync.Mutex
	remarks []compat.Remark
	info    Info

	// Only Run's goroutine uses these.
	transport      gortsplib.Transport // of the next attempt
	refusesTCP     bool                // the camera does
	session        uint32
	renewed        time.Time // when a session was last renewed without a wait
	loggedFallback bool      // that the transport was changed
	withoutAudio   error     // why no audio is asked for any more; nil: it is
	reported       bool      // OnState has been called
	online         bool
	cause          devices.Cause
}

type counters struct {
	attempts, sessions, frames, packets, lostPackets, dropped, decodeErrors, timestampJumps atomic.Uint64
}

// Stats counts what happened since the source was created.
type Stats struct {
	Attempts       uint64 // to connect
	Sessions       uint64 // in which frames arrived
	Frames         uint64 // published
	Packets        uint64 // of video that arrived
	LostPackets    uint64 // that never arrived, by their sequence numbers
	Dropped        uint64 // frames dropped because they, or frames that they depend on, were damaged
	DecodeErrors   uint64 // packets, and responses, that could not be parsed
	TimestampJumps uint64 // time stamps that jumped
}

// NewSource returns a source. Run starts it.
func NewSource(o Options) *Source { return &Source{o: o.withDefaults()} }

// address returns the camera's address with its credentials.
func (s *Source) address() *base.URL { return (*base.URL)(s.o.URL.URL()) }

// Remarks returns what was left out of the camera's descriptions so far, or repaired. It may be called from any goroutine.
func (s *Source) Remarks() []compat.Remark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.remarks)
}

// maxRemarks bounds Source.remarks; later ones are neither stored nor logged.
const maxRemarks = 32

// addRemark stores a remark, and reports whether it is new.
func (s *Source) addRemark(r compat.Remark) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.remarks) >= maxRemarks || slices.Contains(s.remarks, r) {
		return false
	}
	s.remarks = append(s.remarks, r)
	return true
}

// Stats returns the counters. It may be called from any goroutine.
func (s *Source) Stats() Stats {
	return Stats{
		Attempts:       s.count.attempts.Load(),
		Sessions:       s.count.sessions.Load(),
		Frames:         s.count.frames.Load(),
		Packets:        s.count.packets.Load(),
		LostPackets:    s.count.lostPackets.Load(),
		Dropped:        s.count.dropped.Load(),
		DecodeErrors:   s.count.decodeErrors.Load(),
		TimestampJumps: s.count.timestampJumps.Load(),
	}
}

// Info describes the newest session with the camera.
type Info struct {
	Transport string        // TCP or UDP
	RoundTrip time.Duration // shortest time between a request and its response; 0: there was none
}

// Info returns what is known of the newest session. It may be called from any goroutine.
func (s *Source) Info() Info {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.info
}

func (s *Source) setInfo(change func(*Info)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change(&s.info)
}

// Loss returns what was lost in the last minute. It may be called from any goroutine.
func (s *Source) Loss() Loss { return s.loss.lastMinute(time.Now()) }

// Run receives video until ctx ends, and returns nil then. It returns an error at once when the options can
// never work. It must be called only once.
func (s *Source) Run(ctx context.Context) error {
	if s.o.URL.IsZero() {
		return errors.New("a source needs an address")
	}
	url := s.address()
	s.wire = compat.NewCamera(compat.Options{URL: s.o.URL.URL(), Fingerprint: s.o.Fingerprint, Logins: s.o.Logins})
	if url.Scheme == "rtsps" {
		s.o.Transport = TCP // UDP would not be encrypted
	}
	switch s.o.Transport {
	case Auto, TCP:
		s.transport = gortsplib.TransportTCP
	case UDP:
		s.transport = gortsplib.TransportUDP
	default:
		return fmt.Errorf("reading the camera's transport: %q is none of auto, tcp, udp", s.o.Transport)
	}
	backoff := retry.Policy{First: s.o.RetryMin, Longest: s.o.RetryMax}.New()
	for {
		began := time.Now()
		n := newSession(s, url)
		err := n.run(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if n.hadFrames() {
			s.session++
		}
		if s.fallBack(err, n) || errors.Is(err, errSourceChanged) && s.renew() {
			continue
		}
		if errors.Is(err, errNoUDPPackets) && s.refusesTCP {
			err = errOnlyUDP
			s.refusesTCP, s.transport = false, gortsplib.TransportTCP // it is asked again: cameras are updated
		}
		cause, understood := causeOf(err, url, s.o)
		if !understood {
			s.count.decodeErrors.Add(1)
		}
		s.report(false, cause, "error", sanitize(err.Error(), url))
		if n.hadFrames() && time.Since(began) > s.o.FrameTimeout {
			backoff.Reset()
		}
		least := time.Duration(0)
		if isRefusal(err) {
			least = max(s.o.RetryMax/2, s.wire.LoginWait()) // cameras lock an account after some wrong passwords
		}
		if !backoff.WaitAtLeast(ctx, least) {
			return nil
		}
	}
}

// renew reports whether a session may be renewed without a wait: at most every renewEvery.
func (s *Source) renew() bool {
	const renewEvery = 10 * time.Second
	if !s.renewed.IsZero() && time.Since(s.renewed) < renewEvery {
		return false
	}
	s.renewed = time.Now()
	return true
}

// fallBack chooses the other transport when this one cannot work, and reports whether to try it without waiting.
func (s *Source) fallBack(err error, n *session) bool {
	if s.o.Transport == TCP || n.hadFrames() || !isTransportFault(err) {
		return false
	}
	from, learned := s.transport, false
	if from == gortsplib.TransportTCP {
		s.refusesTCP, learned = true, !s.refusesTCP
	} else if s.refusesTCP {
		return false
	}
	if from == gortsplib.TransportUDP {
		s.transport = gortsplib.TransportTCP
	} else {
		s.transport = gortsplib.TransportUDP
	}
	if !s.loggedFallback {
		s.loggedFallback = true
		s.o.Logger.Info("camera does not serve this transport, trying the other",
			"stream", s.o.Stream.Name(), "transport", from.String(), "next", s.transport.String())
	}
	preferred := gortsplib.TransportTCP
	if s.o.Transport == UDP {
		preferred = gortsplib.TransportUDP
	}
	return from == preferred || learned // else the two would alternate without a wait
}

// report calls OnState and logs if state or cause have changed.
func (s *Source) report(online bool, cause devices.Cause, detail ...any) {
	// Why a camera is not understood may read differently at each attempt; it is reported once.
	same := s.cause.Equal(cause) || cause.Code == "camera_not_understood" && s.cause.Code == cause.Code
	if s.reported && s.online == online && same {
		return
	}
	known := s.reported && s.online == online && s.cause.Code == cause.Code
	s.reported, s.online, s.cause = true, online, cause
	if !online && !(known && cause.Code == "camera_waiting_for_keyframe") { // this one only counts seconds
		args := append([]any{"stream", s.o.Stream.Name(), "cause", cause.Text, "code", cause.Code, "unreadable", s.count.decodeErrors.Load()}, detail...)
		s.o.Logger.Warn("camera is offline", args...)
	}
	s.o.OnState(online, cause)
}
