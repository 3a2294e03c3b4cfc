// Package access ends what an access allowed when the access ends: live streams, views, publications and
// the command streams of edges.
//
// A Registry holds the grants of one hub. It checks them all when something was withdrawn, by any hub on the
// database, and every two seconds, because a command beside the hub wakes nobody. The context of a
// grant is cancelled with the cause, which is a *problem.Error. It also bounds what one principal may use
// at the same time.
//
// While the database cannot be read, nothing ends by the check: what is held then ends at Grant.Until, or by
// its user's own limits.
//
// The package must import neither web, ingest nor the relay.
package access

import (
	"context"
	"log/slog"
	"strconv"
	"strings"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/edges"
)

// Principals says who may do what now.
type Principals interface {
	Current(ctx context.Context, q auth.Query) (auth.Current, error)
}

// Edges says which edges and certificates are accepted now.
type Edges interface {
	Accepted(ctx context.Context, names, serials []string) (edges.Accepted, error)
}

// Incidents returns those of the incidents that are closed, or do not exist any more.
type Incidents interface {
	Closed(ctx context.Context, ids []string) ([]string, error)
}

// Leases returns why leases have ended, those that have.
type Leases interface {
	Ended(ctx context.Context, ids []string) (map[string]devices.Cause, error)
}

// Limits bound what one principal uses at the same time at one hub.
type Limits struct {
	UserStreams  int `yaml:"user_streams"`  // live streams of a user
	UserViews    int `yaml:"user_views"`    // viewers of a user
	TokenStreams int `yaml:"token_streams"` // live streams of a token: a program may serve many people
	TokenViews   int `yaml:"token_views"`   // viewers of a token
}

// DefaultLimits returns the default limits.
func DefaultLimits() Limits {
	return Limits{UserStreams: 20, UserViews: 36, TokenStreams: 500, TokenViews: 250}
}

// withDefaults returns the limits with those that are not set as in DefaultLimits.
func (l Limits) withDefaults() Limits {
	d := DefaultLimits()
	for _, f := range []struct{ value, unless *int }{
		{&l.UserStreams, &d.UserStreams}, {&l.UserViews, &d.UserViews}, {&l.TokenStreams, &d.TokenStreams}, {&l.TokenViews, &d.TokenViews},
	} {
		if *f.value <= 0 {
			*f.value = *f.unless
		}
	}
	return l
}

// MaxLimit is the largest limit.
const MaxLimit = 10_000

// Limit is one of the Limits.
type Limit struct {
	Key   string // in the configuration
	Value int
}

// Keys returns the limits with their keys in the configuration.
func (l Limits) Keys() []Limit {
	return []Limit{
		{"user_streams", l.UserStreams}, {"user_views", l.UserViews}, {"token_streams", l.TokenStreams}, {"token_views", l.TokenViews},
	}
}

// maxCommands is how many command streams of an edge are held. The oldest one ends for a further one: an
// edge whose connection was lost connects again long before the hub notices.
const maxCommands = 4

// Options say what a Registry works with. All but Limits, Logger and Every are required.
type Options struct {
	Principals Principals
	Edges      Edges
	Incidents  Incidents
	Leases     Leases
	Wake       func() <-chan struct{} // closed when something may have been withdrawn

	Limits Limits // those that are 0 are as in DefaultLimits
	Logger *slog.Logger
	Every  time.Duration // between checks of everything; 2 s unless set
}

// Stats are a gauge, and counters since the start.
type Stats struct {
	Held    int    // grants that are held
	Ended   uint64 // grants that were ended because the access had ended
	Refused uint64 // grants that were refused because the principal had its limit
	Failed  uint64 // checks that failed because the database could not be read
}

// Registry holds grants. Its methods may be called from any goroutine.
type Registry struct {
	o Options

	mu     sync.Mutex
	next   uint64
	held   map[*hold]bool
	counts map[count]int // of held; no zeros
	stats  Stats
}

// hold is a grant that is held.
type hold struct {
	grant  Grant
	number uint64 // later ones are larger
	end    context.CancelCauseFunc
	ended  bool // by a check; guarded by the Registry's mu
}

// count identifies what a limit counts.
type count struct {
	principal string
	use       Use
}

// New returns a Registry. Without Run, grants are checked when they begin only.
func New(o Options) *Registry {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Every <= 0 {
		o.Every = 2 * time.Second
	}
	o.Limits = o.Limits.withDefaults()
	return &Registry{o: o, held: map[*hold]bool{}, counts: map[count]int{}}
}

// Stats returns the statistics.
func (r *Registry) Stats() Stats {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.stats
	s.Held = len(r.held)
	return s
}

// Hold holds a grant. held is derived from ctx; it ends with a *problem.Error as its cause at most 5 s
// after the access has ended, on whichever hub it was ended. The caller calls release when it has ended what
// it used the grant for. Hold returns a *problem.Error if the access does not exist any more, or the
// principal uses as much as it may, or the error of the database.
func (r *Registry) Hold(ctx context.Context, g Grant) (held context.Context, release func(), err error) {
	held, end := context.WithCancelCause(ctx)
	h := &hold{grant: g, end: end}
	// It is registered before it is checked, so that what is withdrawn meanwhile is not missed.
	if err := r.add(h); err != nil {
		end(err)
		return nil, nil, err
	}
	ends := func() bool { return true }
	if !g.Until.IsZero() {
		ends = time.AfterFunc(time.Until(g.Until), func() { end(expired(g)) }).Stop
	}
	free := func() {
		ends()
		r.remove(h)
		end(context.Canceled)
	}
	if err := r.Check(ctx, g); err != nil {
		free()
		return nil, nil, err
	}
	return held, free, nil
}

// Check returns nil if a grant would be held now, a *problem.Error if it would not, or the error of the
// database.
func (r *Registry) Check(ctx context.Context, g Grant) error {
	s, err := r.read(ctx, []Grant{g})
	if err != nil {
		return err
	}
	if refusal := s.refusal(g); refusal != nil {
		return refusal
	}
	return nil
}

// add registers a hold within the limits.
func (r *Registry) add(h *hold) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	key := count{h.grant.Principal, h.grant.Use}
	if limit, code := r.limit(key); limit > 0 && r.counts[key] >= limit {
		if key.use != Commands {
			r.stats.Refused++
			return problem.New(code, "count", strconv.Itoa(limit))
		}
		r.endOldest(key, problem.New(code, "count", strconv.Itoa(limit)))
	}
	h.number = r.next
	r.next++
	r.held[h] = true
	r.counts[key]++
	return nil
}

// limit returns how many holds a principal may have for a use, and the code for more; 0: any number.
func (r *Registry) limit(c count) (limit int, code string) {
	token := strings.HasPrefix(c.principal, tokenPrincipal)
	switch {
	case c.use == Stream && token:
		return r.o.Limits.TokenStreams, "access_streams_full"
	case c.use == Stream:
		return r.o.Limits.UserStreams, "access_streams_full"
	case c.use == View && token:
		return r.o.Limits.TokenViews, "access_views_full"
	case c.use == View:
		return r.o.Limits.UserViews, "access_views_full"
	case c.use == Commands:
		return maxCommands, "access_replaced"
	}
	return 0, ""
}

// endOldest ends the oldest hold of a principal for a use. mu is held.
func (r *Registry) endOldest(key count, cause error) {
	var oldest *hold
	for h := range r.held {
		if h.grant.Principal == key.principal && h.grant.Use == key.use && (oldest == nil || h.number < oldest.number) {
			oldest = h
		}
	}
	if oldest != nil {
		r.forget(oldest)
		oldest.end(cause)
	}
}

// remove removes a hold.
func (r *Registry) remove(h *hold) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.forget(h)
}

// forget is remove with mu held.
func (r *Registry) forget(h *hold) {
	if !r.held[h] {
		return
	}
	delete(r.held, h)
	key := count{h.grant.Principal, h.grant.Use}
	if r.counts[key]--; r.counts[key] == 0 {
		delete(r.counts, key)
	}
}

// coalesce is how long a check waits for further withdrawals after the first one.
const coalesce = 50 * time.Millisecond

// Run ends what has lost its grant, until ctx ends.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(r.o.Every)
	defer tick.Stop()
	failing := false
	for {
		wake := r.o.Wake() // before the check: a withdrawal during it is not missed
		err := r.sweep(ctx)
		if err != nil && ctx.Err() == nil && !failing {
			r.o.Logger.Error("checking what is still allowed; it is tried again", "error", err)
		}
		if failing = err != nil; failing {
			wake = nil // the next attempt is at the next tick
		}
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
			if !retry.Sleep(ctx, coalesce) {
				return nil
			}
		case <-tick.C:
		}
	}
}

// checkLimit bounds one check: a database that does not answer must not hold up the next one.
const checkLimit = 2 * time.Second

// sweep checks everything that is held.
func (r *Registry) sweep(ctx context.Context) error {
	r.mu.Lock()
	all := make([]*hold, 0, len(r.held))
	grants := make([]Grant, 0, len(r.held))
	for h := range r.held {
		if !h.ended {
			all, grants = append(all, h), append(grants, h.grant)
		}
	}
	r.mu.Unlock()
	if len(all) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	s, err := r.read(ctx, grants)
	if err != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.stats.Failed++
		return err
	}
	for _, h := range all {
		refusal := s.refusal(h.grant)
		if refusal == nil {
			continue
		}
		r.mu.Lock()
		if h.ended = true; r.held[h] {
			r.stats.Ended++
		}
		r.mu.Unlock()
		h.end(refusal) // it stays registered until it is released, so that limits count what still runs
	}
	return nil
}
