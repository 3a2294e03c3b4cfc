// Package uplink carries an edge's outbox to its hub, and the hub's commands back.
//
// Alerts and states go at once, in a stream of requests of their own; evidence and telemetry
// follow in another and never hold them up. A row leaves the outbox when the hub has said that
// it is on its disk, so a lost answer means the same batch again, which the hub knows. A hub
// that is away costs nothing but delay. The package must import nothing of Gridpost but
// hub/api and firmware-config/enrol.
package uplink

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// Events is where what happened waits for the hub.
type Events interface {
	// Outbox returns a lane's oldest events, at most limit and about maxBytes of them. An
	// event that was returned once is the same when it is returned again.
	Outbox(ctx context.Context, lane api.Lane, limit, maxBytes int) ([]api.Event, error)
	// Acked forgets what the hub has on its disk.
	Acked(ctx context.Context, ack api.Ack) error
	// Drop forgets one event that the hub can never take.
	Drop(ctx context.Context, lane api.Lane, seq uint64) error
}

// Numbering names the events' epoch and tells of new ones.
type Numbering interface {
	Epoch() string
	Wake() <-chan struct{} // alerts or states wait
}

// Files is where evidence waits for the hub.
type Files interface {
	NextEvidence(ctx context.Context) (meta api.Evidence, ok bool, err error)
	OpenEvidence(meta api.Evidence) (*os.File, error)
	EvidenceDone(ctx context.Context, meta api.Evidence) error
}

// Store is all that an Uplink needs of an edge's store.
type Store interface {
	Events
	Numbering
	Files
}

// Options are what an Uplink needs.
type Options struct {
	URL      string // https://host:port of the hub's edge port
	Identity *enrol.Identity
	Store    Store

	// Command carries out what the hub asks for and says how it went. It is called from one
	// goroutine that belongs to Run, in the hub's order, and should return soon; ctx ends
	// after 30 s.
	Command func(ctx context.Context, c api.Command) api.Result

	Logger *slog.Logger

	MinBackoff time.Duration // first wait after a failure; 0: 500 ms
	MaxBackoff time.Duration // longest wait; 0: 30 s
	Telemetry  time.Duration // how often telemetry is looked for; 0: 1 s
}

func (o Options) withDefaults() Options {
	if o.MinBackoff == 0 {
		o.MinBackoff = 500 * time.Millisecond
	}
	if o.MaxBackoff == 0 {
		o.MaxBackoff = 30 * time.Second
	}
	if o.Telemetry == 0 {
		o.Telemetry = time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return o
}

// Uplink is the line to one hub.
type Uplink struct {
	o      Options
	client *http.Client
	kick   chan struct{} // the hub has just been seen alive: do not wait out a back-off

	requests, failures, refused, poison atomic.Uint64

	mu       sync.Mutex
	online   bool
	cause    string
	renewal  string // why the certificate could not be renewed; empty: no trouble
	reported bool
}

// Stats counts what an Uplink has met.
type Stats struct {
	Requests uint64 // batches and pieces posted
	Failures uint64 // of which failed
	Refused  uint64 // events that the hub refused by its answer
	Poison   uint64 // events that were dropped because the hub's server cannot take them at all
}

// New returns an uplink that has not dialled yet.
func New(o Options) *Uplink {
	o = o.withDefaults()
	return &Uplink{o: o, client: o.Identity.Client(), kick: make(chan struct{}, 1), cause: "the hub has not been reached since the start"}
}

// Client returns the HTTP client that speaks to the hub as this edge.
func (u *Uplink) Client() *http.Client { return u.client }

// State says whether the last thing tried at the hub worked, and if not, why, in words.
func (u *Uplink) State() (online bool, cause string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.online, u.cause
}

// Problems returns what a person must know of the line, in words.
func (u *Uplink) Problems() []string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var out []string
	if !u.online {
		out = append(out, u.cause)
	}
	if u.renewal != "" {
		out = append(out, u.renewal)
	}
	return out
}

// Stats may be called at any time, from any goroutine.
func (u *Uplink) Stats() Stats {
	return Stats{u.requests.Load(), u.failures.Load(), u.refused.Load(), u.poison.Load()}
}

// Run works until ctx ends, through any number of failures, and returns nil.
func (u *Uplink) Run(ctx context.Context) error {
	defer u.client.CloseIdleConnections()
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { u.prompt(ctx); return nil })
	g.Go(func() error { u.bulk(ctx); return nil })
	g.Go(func() error { u.commands(ctx); return nil })
	g.Go(func() error { u.renew(ctx); return nil })
	return g.Wait()
}

// prompt sends alerts and states as soon as they are there.
func (u *Uplink) prompt(ctx context.Context) {
	s := newSender(u, api.LaneAlerts, api.LaneState)
	b := u.backoff()
	safety := time.NewTicker(30 * time.Second) // a signal cannot get lost, but an outbox must not depend on it
	defer safety.Stop()
	for {
		more, err := s.send(ctx)
		if ctx.Err() != nil {
			return
		}
		u.tell(err)
		if err != nil {
			if !b.wait(ctx, err, u.kick) {
				return
			}
			continue
		}
		b.reset()
		if more {
			continue
		}
		select {
		case <-ctx.Done():
			return
		case <-u.o.Store.Wake():
		case <-safety.C:
		}
	}
}

// bulk sends evidence, and telemetry when no evidence waits.
func (u *Uplink) bulk(ctx context.Context) {
	s := newSender(u, api.LaneTelemetry)
	s.maxBytes = 256 << 10 // small requests, so that a slow line is never taken for long
	b := u.backoff()
	for {
		more, err := u.evidence(ctx)
		if err == nil && !more {
			more, err = s.send(ctx)
		}
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			u.o.Logger.Debug("evidence and telemetry wait", "cause", words(u.o.URL, err))
			if !b.wait(ctx, err, nil) {
				return
			}
			continue
		}
		b.reset()
		if !more && !sleep(ctx, u.o.Telemetry) {
			return
		}
	}
}

// tell notes how the last attempt went and logs a change.
func (u *Uplink) tell(err error) {
	online, cause := err == nil, ""
	if !online {
		u.failures.Add(1)
		cause = words(u.o.URL, err)
	}
	u.mu.Lock()
	changed := !u.reported || u.online != online || u.cause != cause
	u.reported, u.online, u.cause = true, online, cause
	u.mu.Unlock()
	if !changed {
		return
	}
	if online {
		u.o.Logger.Info("the hub is reached", "hub", u.o.URL)
	} else {
		u.o.Logger.Warn("the hub is not reached; everything is kept and sent later", "cause", cause)
	}
}

// seen says that the hub has just answered something.
func (u *Uplink) seen() {
	select {
	case u.kick <- struct{}{}:
	default:
	}
}

// renew asks for a new certificate when two thirds of the present one's life are over.
func (u *Uplink) renew(ctx context.Context) {
	b := u.backoff()
	b.smallest, b.largest = 20*u.o.MinBackoff, 20*u.o.MaxBackoff
	for {
		// Short sleeps, because a box without a clock of its own jumps by decades.
		if wait := time.Until(u.o.Identity.RenewAt()); wait > 0 {
			if !sleep(ctx, min(wait, time.Minute)) {
				return
			}
			continue
		}
		tried, cancel := context.WithTimeout(ctx, requestTimeout)
		err := u.o.Identity.Renew(tried, u.client, u.o.URL)
		cancel()
		if ctx.Err() != nil {
			return
		}
		problem := ""
		if err != nil {
			problem = "the edge's certificate cannot be renewed and ends on " + u.o.Identity.Expires().UTC().Format(time.DateOnly) + ": " + words(u.o.URL, err)
			u.o.Logger.Warn("renewing the certificate failed", "error", err)
		} else {
			u.o.Logger.Info("the certificate was renewed", "until", u.o.Identity.Expires())
			u.client.CloseIdleConnections() // new requests, new handshakes
		}
		u.mu.Lock()
		u.renewal = problem
		u.mu.Unlock()
		if err != nil && !b.wait(ctx, err, nil) {
			return
		}
	}
}

// backoff is a wait that doubles, with full jitter: a thousand edges must not come back to a
// hub in the same moment.
type backoff struct {
	smallest, largest, next time.Duration
}

func (u *Uplink) backoff() *backoff {
	return &backoff{smallest: u.o.MinBackoff, largest: u.o.MaxBackoff}
}

func (b *backoff) reset() { b.next = 0 }

// wait waits after err, as long as a hub asked for if it did. It returns false when ctx ended.
func (b *backoff) wait(ctx context.Context, err error, kick <-chan struct{}) bool {
	b.next = min(max(2*b.next, b.smallest), b.largest)
	d := rand.N(b.next) + b.smallest/10
	var refused *httpError
	if errors.As(err, &refused) && refused.retryAfter > 0 {
		// What the hub asked for is the least; nobody cuts it short.
		d, kick = refused.retryAfter+rand.N(refused.retryAfter/4+1), nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-kick:
	case <-t.C:
	}
	return true
}

func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
