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
	"errors"
	"log/slog"
	"net/http"
	"time"

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
	// is Refused, with the edge's cause in words.
	Command(ctx context.Context, edge string, c api.Command) error
}

// Refused is an edge's No, or the hub's when the edge cannot be reached, with the cause in
// words for the viewer.
type Refused struct{ Cause string }

func (r Refused) Error() string { return r.Cause }

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

	Linger  time.Duration // from the last viewer's end to the upstream's; default 10 s
	Start   time.Duration // how long an edge may take from the command to its first offer; default 10 s
	MaxView time.Duration // a view's longest time; default 10 min
	Viewers int           // most viewers at once, over all devices; default 500
}

// Stats are counters since the start, and gauges of now.
type Stats struct {
	Viewers        int    // now
	Upstreams      int    // now
	Views          uint64 // begun
	Commands       uint64 // publish commands sent
	BytesIn        uint64 // of RTP from edges
	BytesOut       uint64 // of RTP to viewers
	PacketsOut     uint64
	PacketsDropped uint64 // not sent to a viewer that could not follow
	Retransmitted  uint64 // asked for by viewers' NACKs
	PLIs           uint64 // requests for a key picture
	LostIn         uint64 // packets of edges that never came
}

// Relay is the hub's media plane.
type Relay struct {
	options Options
}

// New makes a Relay. It serves once Run runs.
func New(o Options) *Relay {
	return &Relay{options: o}
}

// Run owns all sessions. It ends them, records the ends of their leases and returns when ctx ends.
func (r *Relay) Run(ctx context.Context) error {
	<-ctx.Done()
	return nil
}

// Stats returns the figures of now.
func (r *Relay) Stats() Stats { return Stats{} }

var errNotYet = errors.New("the relay is not ready")

// ServeWHIP answers /whip/{edge}/{device}, every method: POST takes a publisher's offer. The
// resource in its Location is the same path and an ID: serve it with ServeWHIPSession.
func (r *Relay) ServeWHIP(w http.ResponseWriter, _ *http.Request, _, _ string) {
	http.Error(w, errNotYet.Error(), http.StatusServiceUnavailable)
}

// ServeWHIPSession answers /whip/{edge}/{device}/{id}, every method.
func (r *Relay) ServeWHIPSession(w http.ResponseWriter, _ *http.Request, _, _, _ string) {
	http.Error(w, errNotYet.Error(), http.StatusServiceUnavailable)
}

// ServeWHEP answers /whep/{edge}/{device}, every method: POST takes a viewer's offer, waits for
// the edge to send, records the Lease and answers. The resource in its Location is the same
// path and an ID: serve it with ServeWHEPSession. The caller has checked that the device exists.
func (r *Relay) ServeWHEP(w http.ResponseWriter, _ *http.Request, _, _ string, _ Viewer) {
	http.Error(w, errNotYet.Error(), http.StatusServiceUnavailable)
}

// ServeWHEPSession answers /whep/{edge}/{device}/{id}, every method. Only the viewer that
// began the session, by Who, finds it.
func (r *Relay) ServeWHEPSession(w http.ResponseWriter, _ *http.Request, _, _, _ string, _ Viewer) {
	http.Error(w, errNotYet.Error(), http.StatusServiceUnavailable)
}
