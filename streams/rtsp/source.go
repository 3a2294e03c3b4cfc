// Package rtsp takes the pictures of a camera by RTSP (RFC 2326) into a streams.Stream.
//
// A Source connects for ever: a camera that is absent, refuses, hangs, falls silent or sends garbage is
// tried again, at a pace that spares it. What counts are pictures, not sessions: a camera is online
// from its first key picture on, and lost when none has come for some seconds, whatever else it
// sends. A picture that is damaged by a lost packet, and those that build on it, are left out and counted.
//
// Only this package and simcam may import gortsplib. It must not import any other adapter.
package rtsp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/bluenviron/gortsplib/v4"
	"github.com/bluenviron/gortsplib/v4/pkg/base"

	"gridpost/devices/address"
	"gridpost/devices/retry"
	"gridpost/streams"
)

// The transports of Options. TCP is the better one on a wire that is not overloaded: nothing is lost, and after one lost
// UDP packet the library holds back up to 64 more before it gives up waiting for it.
const (
	Auto = "auto" // TCP, and UDP if the camera refuses TCP
	TCP  = "tcp"  // media inside the RTSP connection, and nothing else
	UDP  = "udp"  // UDP, and TCP if nothing comes or the camera refuses UDP
)

// Options of a Source. The zero value of a field takes the default that it names.
type Options struct {
	URL       address.Stream  // with user name and password if the camera requires them
	Transport string          // Auto, TCP or UDP; default Auto
	Stream    *streams.Stream // where the units go; the source is its only publisher
	Logger    *slog.Logger    // default: nothing is logged

	// OnState hears of each change of state and of its cause, from Run's goroutine. The cause is for a person,
	// never holds the password, and is empty when online. It must not block.
	OnState func(online bool, cause string)

	ConnectTimeout time.Duration // from dialling to the answer to PLAY; default 10 s
	FrameTimeout   time.Duration // without a picture, or without a first key picture; default 10 s
	UDPTimeout     time.Duration // without a first packet by UDP; default 3 s
	RetryMin       time.Duration // bound of the first wait between attempts; default 0.5 s
	RetryMax       time.Duration // bound of the longest wait; default 30 s
}

func (o Options) withDefaults() Options {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.ConnectTimeout, 10*time.Second)
	set(&o.FrameTimeout, 10*time.Second)
	set(&o.UDPTimeout, 3*time.Second)
	set(&o.RetryMin, 500*time.Millisecond)
	set(&o.RetryMax, 30*time.Second)
	if o.Transport == "" {
		o.Transport = Auto
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.OnState == nil {
		o.OnState = func(bool, string) {}
	}
	return o
}

// Source is one camera's connection. Make it with NewSource.
type Source struct {
	o     Options
	count counters

	// Only Run's goroutine touches these.
	transport      gortsplib.Transport // of the next attempt
	session        uint32
	loggedFallback bool // that the transport was changed
	reported       bool // OnState has been called
	online         bool
	cause          string
}

type counters struct {
	attempts, sessions, frames, lostPackets, dropped, decodeErrors, timestampJumps atomic.Uint64
}

// Stats counts what happened since the source was made.
type Stats struct {
	Attempts       uint64 // connections tried
	Sessions       uint64 // of which pictures came
	Frames         uint64 // published
	LostPackets    uint64 // that should have come, by their numbers
	Dropped        uint64 // pictures left out because they or what they build on were damaged
	DecodeErrors   uint64 // packets, and answers to requests, that could not be read
	TimestampJumps uint64 // time stamps that jumped
}

// NewSource returns a source that does nothing yet.
func NewSource(o Options) *Source { return &Source{o: o.withDefaults()} }

// Stats returns the counts up to now. It may be called from any goroutine.
func (s *Source) Stats() Stats {
	return Stats{
		Attempts:       s.count.attempts.Load(),
		Sessions:       s.count.sessions.Load(),
		Frames:         s.count.frames.Load(),
		LostPackets:    s.count.lostPackets.Load(),
		Dropped:        s.count.dropped.Load(),
		DecodeErrors:   s.count.decodeErrors.Load(),
		TimestampJumps: s.count.timestampJumps.Load(),
	}
}

// Run takes pictures until ctx ends, and returns nil then. It returns an error at once when the options can
// never work. It is called once.
func (s *Source) Run(ctx context.Context) error {
	if s.o.URL.IsZero() {
		return errors.New("a source needs an address")
	}
	url := (*base.URL)(s.o.URL.URL())
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
		if n.gotFrame {
			s.session++
		}
		if s.fallBack(err, n) {
			continue
		}
		cause, understood := causeOf(err, url, s.o)
		if !understood {
			s.count.decodeErrors.Add(1)
		}
		s.report(false, cause, "error", sanitize(err.Error(), url))
		if n.gotFrame && time.Since(began) > s.o.FrameTimeout {
			backoff.Reset()
		}
		least := time.Duration(0)
		if isRefusal(err) {
			least = s.o.RetryMax / 2 // cameras lock an account after some wrong passwords
		}
		if !backoff.WaitAtLeast(ctx, least) {
			return nil
		}
	}
}

// fallBack chooses the other transport when this one cannot work, and reports whether to try it at once.
func (s *Source) fallBack(err error, n *session) bool {
	if s.o.Transport == TCP || n.gotFrame || !isTransportFault(err) {
		return false
	}
	from := s.transport
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
	return from == preferred // and not for ever to and fro
}

// report tells of a change of state; a state that stays is told once.
func (s *Source) report(online bool, cause string, detail ...any) {
	if s.reported && s.online == online && s.cause == cause {
		return
	}
	s.reported, s.online, s.cause = true, online, cause
	if !online {
		args := append([]any{"stream", s.o.Stream.Name(), "cause", cause, "unreadable", s.count.decodeErrors.Load()}, detail...)
		s.o.Logger.Warn("camera is offline", args...)
	}
	s.o.OnState(online, cause)
}
