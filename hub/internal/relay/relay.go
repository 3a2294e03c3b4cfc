// Package relay forwards live video from edges to viewers: edges publish by WHIP (RFC 9725), viewers
// subscribe by WHEP.
//
// All viewers of a device share one upstream. The relay commands the edge to publish when the first
// viewer arrives, and to stop some seconds after the last one has left. Each viewer has a Lease, which
// is stored before the first frame is sent and ended with a cause.
//
// The caller authorizes requests before it passes them on: the relay trusts the names of users, edges
// and devices. The package must not import the store or web packages; it declares the interfaces that
// it needs.
package relay

import (
	"cmp"
	"context"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// Lease is the right of one user to watch one camera for a limited time.
type Lease struct {
	Edge     string
	Device   string
	User     string    // name of the user or token
	Incident string    // ID of the incident that the user handles; empty if there is none
	Reason   string    // free text of the user; empty only with an incident
	File     string    // of the incident: a clip, which the relay does not serve; empty: live video
	From     time.Time // when the lease was granted
	Until    time.Time // when it expires
}

// Leases stores leases.
type Leases interface {
	// Begin stores a lease and returns its ID; it may block until a database commit. When it fails, the
	// viewer is refused. held ends, with a cause, when the lease is withdrawn; nil: it is never withdrawn.
	Begin(ctx context.Context, l Lease) (id string, held context.Context, err error)
	// End says that a lease has ended now, and why. It does not block: to store it, and to try again when
	// that fails, is the work of who implements Leases.
	End(id string, cause devices.Cause)
}

// Publications records who publishes the video of a camera: its edge, or somebody in place of it.
type Publications interface {
	// Begin records that a publication begins; it may block until a database commit. When it fails, the
	// publisher is refused. end is called once, when the publication has ended, with the cause; it does not block, as
	// Leases.End.
	Begin(ctx context.Context, p Publication) (end func(cause devices.Cause), err error)
}

// Commander sends commands to edges.
type Commander interface {
	// Command sends c and blocks until the edge has answered or ctx ends. It returns a Refused with
	// the cause when the edge refuses. The Commander assigns the command's ID.
	Command(ctx context.Context, edge string, c api.Command) error
}

// Refused is the error of a command that the edge refused, or that the hub refused because the edge
// cannot be reached.
type Refused struct{ Cause devices.Cause }

func (r Refused) Error() string { return r.Cause.Text }

// Viewer describes the user that requests a camera, and the purpose.
type Viewer struct {
	Principal string // ID of the user or token
	User      string // its name
	Incident  string // see Lease
	Reason    string // see Lease

	// Access ends when the right to view ends; the session then ends with its cause (context.Cause). nil: it
	// does not end.
	Access context.Context
	// Release is called once: when the session has ended, or when the request created none. It may be nil.
	Release func()
}

// identity distinguishes viewers: tokens of one name are different principals.
func (v Viewer) identity() string { return cmp.Or(v.Principal, v.User) }

// Publication describes a camera's stream that is published, and who publishes it.
type Publication struct {
	Edge, Device string
	Stream       string // "": the camera's main stream; SubStream
	By           string // "edge:<name>", or the ID of the user or token
	User         string // name of the user or token

	// Access and Release are as in Viewer.
	Access  context.Context
	Release func()
}

// ByEdge reports whether the camera's edge publishes: then it can be commanded.
func (p Publication) ByEdge() bool { return p.By == "edge:"+p.Edge }

// SubStream is the name of a camera's second stream, of a lower bitrate.
const SubStream = api.StreamSub

func release(f func()) {
	if f != nil {
		f()
	}
}

// endWithAccess ends a session with the cause of access once access has ended. The caller must call stop when
// the session has ended.
func endWithAccess(access context.Context, end context.CancelCauseFunc) (stop func() bool) {
	if access == nil {
		return func() bool { return true }
	}
	return context.AfterFunc(access, func() { end(context.Cause(access)) })
}

// ICEServer is a TURN server with credentials for a client.
type ICEServer struct{ URL, Username, Credential string }

// Options configure a Relay.
type Options struct {
	Engine    *webrtc.Engine
	Leases    Leases
	Commander Commander
	Logger    *slog.Logger

	Publications Publications // nil: they are not recorded

	Linger       time.Duration // how long an upstream goes on after its last viewer; default 10 s
	StartTimeout time.Duration // from the publish command to the edge's offer; default 10 s
	Unattended   time.Duration // how long an upstream that was not commanded may last without a viewer; default 2 min
	MaxViewTime  time.Duration // the longest session of a viewer; default 10 min
	MaxViewers   int           // at the same time, of all devices; default DefaultMaxViewers

	// ICEServers returns the TURN servers that a client is told; host is how it names the hub (the Host of its request).
	// nil: none.
	ICEServers func(host string) []ICEServer
}

// DefaultMaxViewers is the default of Options.MaxViewers.
const DefaultMaxViewers = 500

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Linger <= 0 {
		o.Linger = 10 * time.Second
	}
	if o.StartTimeout <= 0 {
		o.StartTimeout = 10 * time.Second
	}
	if o.Unattended <= 0 {
		o.Unattended = 2 * time.Minute
	}
	if o.MaxViewTime <= 0 {
		o.MaxViewTime = 10 * time.Minute
	}
	if o.MaxViewers <= 0 {
		o.MaxViewers = DefaultMaxViewers
	}
	return o
}

// Stats are gauges, and counters since the relay was created.
type Stats struct {
	Viewers        int    // gauge
	Upstreams      int    // gauge
	Views          uint64 // viewer sessions started
	Commands       uint64 // publish commands sent, without renewals
	PacketsIn      uint64 // RTP packets from edges
	BytesIn        uint64 // RTP payload from edges
	LostIn         uint64 // RTP packets from edges that were lost
	PacketsOut     uint64 // RTP packets to viewers
	BytesOut       uint64 // RTP payload to viewers
	PacketsDropped uint64 // dropped because a viewer was too slow
	Retransmitted  uint64 // packets retransmitted to viewers (NACK)
	PLIs           uint64 // keyframe requests of viewers
	Switches       uint64 // of viewers between the streams of a camera
}

// Relay forwards video from publishers to viewers. All its methods may be called concurrently.
type Relay struct {
	o Options

	mu          sync.Mutex
	ctx         context.Context // context of the sessions; nil while Run does not run
	running     sync.WaitGroup  // goroutines that Run waits for
	paths       map[pathKey]*path
	upstreams   map[*upstream]struct{}
	sessions    map[string]*viewerSession
	publishers  map[string]*publisher
	publishing  map[pathKey]int // publishers by stream; at most maxPublishers each
	ended       []string        // IDs of ended sessions that are still in sessions, oldest first; at most maxEndedSessions
	viewerCount int             // viewers with a session, and those that are being set up; at most MaxViewers
	total       Stats           // of ended sessions and upstreams
}

// maxEndedSessions is the number of ended viewer sessions that are remembered, so that a client can
// get the cause of the end. The oldest are forgotten first.
const maxEndedSessions = 256

// New returns a Relay. It accepts sessions only while Run runs.
func New(o Options) *Relay {
	return &Relay{
		o: o.withDefaults(), paths: make(map[pathKey]*path), upstreams: make(map[*upstream]struct{}),
		sessions: make(map[string]*viewerSession), publishers: make(map[string]*publisher), publishing: make(map[pathKey]int),
	}
}

// errHubStopping is the cause with which all sessions end when the hub stops.
func errHubStopping() error { return problem.New("hub_stopping") }

// Run runs all sessions. When ctx ends, it ends them, stores the ends of their leases and returns nil.
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
	r.ctx = nil // no new paths and goroutines from here on
	r.mu.Unlock()
	stop(errHubStopping())
	r.running.Wait()
	return nil
}

// context returns the context of the sessions, nil if Run does not run.
func (r *Relay) context() context.Context {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.ctx
}

// spawn runs f in a goroutine that Run waits for. It returns false if Run does not run.
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

// Stats returns the current statistics.
func (r *Relay) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.total
	for _, v := range r.sessions {
		if v.running() {
			s.Viewers++
			s.add(v.viewer.Stats())
		}
	}
	s.Upstreams = len(r.upstreams)
	for l := range r.upstreams {
		s.addFeed(l.feed.Stats())
	}
	return s
}

// count updates the totals by f.
func (r *Relay) count(f func(*Stats)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f(&r.total)
}

func (r *Relay) addUpstream(l *upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.upstreams[l] = struct{}{}
}

func (r *Relay) removeUpstream(l *upstream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.upstreams, l)
	r.total.addFeed(l.feed.Stats())
}

func (s *Stats) add(v webrtc.SenderStats) {
	s.PacketsOut += v.Packets
	s.BytesOut += v.Bytes
	s.PacketsDropped += v.Dropped
	s.Retransmitted += v.Retransmitted
	s.PLIs += v.PLIs
	s.Switches += v.Switches
}

func (s *Stats) addFeed(f webrtc.FeedStats) {
	s.PacketsIn += f.Packets
	s.BytesIn += f.Bytes
	s.LostIn += f.Lost
}
