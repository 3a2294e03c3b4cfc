// Package relay brings live pictures from edges to dispatchers: WHIP in, WHEP out.
//
// N viewers of a device cost one upstream. It is asked for when the first viewer comes and
// stopped some seconds after the last has gone. Every view is on record as a Lease, from its
// beginning to its end with the reason of the end.
//
// Who may do what is decided by the caller: names that reach the relay can be trusted. It must
// not import the store or the web packages; it declares what it needs of them.
package relay

import (
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams/webrtc"
)

// Lease is one person's watching of one camera.
type Lease struct {
	Edge     string
	Device   string
	Who      string    // user or token name
	Incident string    // what it is for; empty if Reason says it
	Reason   string    // in the viewer's words; "unspecified" if neither was given
	From     time.Time // when the view was granted
	Until    time.Time // when it ends by itself
}

// Leases keeps the record of views. Both calls may block for a database commit.
type Leases interface {
	// Begin records the view and returns its ID. A view whose record fails does not happen.
	Begin(ctx context.Context, l Lease) (id string, err error)
	// End records when and why, in words, the view ended.
	End(ctx context.Context, id, why string) error
}

// Commander carries commands to edges.
type Commander interface {
	// Command blocks until the edge has answered or ctx ends. The error of an edge's refusal
	// is Refused, with the edge's cause. The relay leaves ID empty: the Commander
	// gives the command its identity.
	Command(ctx context.Context, edge string, c api.Command) error
}

// Refused is the refusal of an edge, or of the hub when the edge cannot be reached.
type Refused struct{ Cause devices.Cause }

func (r Refused) Error() string { return r.Cause.Text }

// Viewer is who watches, and why.
type Viewer struct {
	Who      string
	Incident string
	Reason   string
}

// Options configure a Relay.
type Options struct {
	Engine    *webrtc.Engine
	Leases    Leases
	Commander Commander
	Logger    *slog.Logger

	Linger     time.Duration // from the last viewer's end to the upstream's; default 10 s
	Start      time.Duration // how long an edge may take from the command to its offer; default 10 s
	Unattended time.Duration // what an upstream that was not asked for may last without a viewer; default 2 min
	MaxView    time.Duration // a view's longest time; default 10 min
	MaxViewers int           // at once, over all devices; default 500
	ICEServers []string      // URLs of STUN and TURN servers told to clients; default none
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Linger <= 0 {
		o.Linger = 10 * time.Second
	}
	if o.Start <= 0 {
		o.Start = 10 * time.Second
	}
	if o.Unattended <= 0 {
		o.Unattended = 2 * time.Minute
	}
	if o.MaxView <= 0 {
		o.MaxView = 10 * time.Minute
	}
	if o.MaxViewers <= 0 {
		o.MaxViewers = 500
	}
	return o
}

// Stats are counters since the start, and gauges of now.
type Stats struct {
	Viewers        int    // now
	Upstreams      int    // now
	Views          uint64 // begun
	Commands       uint64 // publish commands sent, without renewals
	PacketsIn      uint64 // of RTP from edges
	BytesIn        uint64 // of their payload
	LostIn         uint64 // packets of edges that never came
	PacketsOut     uint64 // of RTP to viewers
	BytesOut       uint64 // of their payload
	PacketsDropped uint64 // not sent to a viewer that could not follow
	Retransmitted  uint64 // asked for by viewers' NACKs
	PLIs           uint64 // requests for a key picture
}

// Relay is the hub's media plane.
type Relay struct {
	o Options

	mu      sync.Mutex
	ctx     context.Context // of Run; nil while it does not run
	running sync.WaitGroup  // what Run waits for
	paths   map[pathKey]*path
	lives   map[*live]struct{}
	views   map[string]*view
	pubs    map[string]*publisher
	gone    []string // IDs in views that have ended, oldest first; at most keepGone
	viewers int      // views that have not ended, and those being negotiated
	total   Stats    // of what has ended
}

// keepGone is how many ended views are remembered, so that their viewers can ask why.
const keepGone = 256

// New makes a Relay. It serves while Run runs.
func New(o Options) *Relay {
	return &Relay{
		o: o.withDefaults(), paths: make(map[pathKey]*path), lives: make(map[*live]struct{}),
		views: make(map[string]*view), pubs: make(map[string]*publisher),
	}
}

// ending is a cause in words.
type ending string

func (e ending) Error() string { return string(e) }

const hubStops = ending("the hub is stopping")

// Run owns all sessions. When ctx ends it ends them, records the ends of their leases and
// returns nil.
func (r *Relay) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	inner, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	r.mu.Lock()
	r.ctx = inner
	r.mu.Unlock()

	<-ctx.Done()
	r.mu.Lock()
	r.ctx = nil // no new goroutines from here on
	r.mu.Unlock()
	stop(hubStops)
	r.running.Wait()
	return nil
}

// context returns Run's context, which ends after that of Run's caller; nil where Run does not run.
func (r *Relay) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// spawn runs f under Run's context, or reports false where Run does not run.
func (r *Relay) spawn(f func(ctx context.Context)) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return false
	}
	ctx := r.ctx
	r.running.Go(func() { f(ctx) })
	return true
}

// Stats returns the figures of now.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.total
	for _, v := range r.views {
		if v.alive() {
			s.Viewers++
			s.add(v.viewer.Stats())
		}
	}
	s.Upstreams = len(r.lives)
	for l := range r.lives {
		s.addFeed(l.feed.Stats())
	}
	return s
}

// count changes the totals.
func (r *Relay) count(f func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.total)
}

func (r *Relay) addLive(l *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lives[l] = struct{}{}
}

func (r *Relay) removeLive(l *live) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.lives, l)
	r.total.addFeed(l.feed.Stats())
}

func (s *Stats) add(v webrtc.SenderStats) {
	s.PacketsOut += v.Packets
	s.BytesOut += v.Bytes
	s.PacketsDropped += v.Dropped
	s.Retransmitted += v.Retransmitted
	s.PLIs += v.PLIs
}

func (s *Stats) addFeed(f webrtc.FeedStats) {
	s.PacketsIn += f.Packets
	s.BytesIn += f.Bytes
	s.LostIn += f.Lost
}
