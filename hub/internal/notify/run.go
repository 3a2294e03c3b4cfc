package notify

import (
	"context"
	"crypto/x509"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options is what a Notifier needs.
type Options struct {
	Store  Store
	Logger *slog.Logger

	// Wake returns a channel that is closed after the next transaction that has queued a delivery
	// or changed a target. Without it, or when another process writes, the queue is looked at
	// every Poll.
	Wake func() <-chan struct{}

	Source       string         // of the CloudEvents: a URI reference that names this hub; "urn:gridpost:hub" unless set
	UserAgent    string         // "Gridpost" unless set
	AllowPrivate bool           // targets inside the network, and http://, are allowed
	RootCAs      *x509.CertPool // nil: the system's
	Timeout      time.Duration  // of one attempt, from dialling to the end of the answer; 15 s unless set
	Poll         time.Duration  // 15 s unless set

	// For tests.
	resolver *net.Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

func (o Options) withDefaults() Options {
	if o.Source == "" {
		o.Source = "urn:gridpost:hub"
	}
	if o.UserAgent == "" {
		o.UserAgent = "Gridpost"
	}
	if o.Timeout == 0 {
		o.Timeout = 15 * time.Second
	}
	if o.Poll == 0 {
		o.Poll = 15 * time.Second
	}
	if o.Wake == nil {
		o.Wake = func() <-chan struct{} { return nil }
	}
	return o
}

// Bounds of what goes on at once.
const (
	inFlight = 4                     // requests to one target
	settle   = 20 * time.Millisecond // a burst of alerts is one look at the queue
	giveUp   = 5 * time.Second       // for writing an outcome down after Run's context has ended

	// After this many failures in a row a target is only probed, one delivery at a time with
	// pauses that double up to maxPause: a long queue must not hammer a receiver that is down.
	tolerated = 5
	maxPause  = time.Minute
)

// Stats counts attempts since the start.
type Stats struct {
	Delivered uint64 // attempts that were accepted
	Failed    uint64 // attempts that were not; tried again or dead
	Dead      uint64 // deliveries given up
}

// Notifier delivers the store's queue.
type Notifier struct {
	o      Options
	client *http.Client

	delivered, failed, dead atomic.Uint64
}

// New returns a Notifier that does nothing before Run.
func New(o Options) *Notifier {
	o = o.withDefaults()
	return &Notifier{o: o, client: newClient(o)}
}

// Stats may be called at any time from any goroutine.
func (n *Notifier) Stats() Stats {
	return Stats{Delivered: n.delivered.Load(), Failed: n.failed.Load(), Dead: n.dead.Load()}
}

// Run delivers until ctx ends and then returns nil. What is on its way at that moment is broken
// off and sent again, under the same webhook-id, by the next Run.
func (n *Notifier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
		n.client.CloseIdleConnections()
	}()
	lanes := map[string]*lane{}
	for {
		wake := n.o.Wake() // before looking, so that nothing in between is missed
		n.refresh(ctx, &wg, lanes)
		select {
		case <-ctx.Done():
			return nil
		case <-wake:
		case <-time.After(n.o.Poll):
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(settle):
		}
	}
}

// refresh starts a lane for each new target, ends those of targets that are gone, and wakes
// the others.
func (n *Notifier) refresh(ctx context.Context, wg *sync.WaitGroup, lanes map[string]*lane) {
	targets, err := n.o.Store.WebhookTargets(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.o.Logger.Error("webhook targets cannot be read", "error", err)
		}
		return
	}
	there := map[string]bool{}
	for _, t := range targets {
		there[t.ID] = true
		if l := lanes[t.ID]; l != nil {
			l.set(t)
			continue
		}
		laneCtx, cancel := context.WithCancel(ctx)
		l := &lane{n: n, cancel: cancel, wake: make(chan struct{}, 1), target: t}
		lanes[t.ID] = l
		wg.Go(func() { l.run(laneCtx) })
	}
	for id, l := range lanes {
		if !there[id] {
			l.cancel()
			delete(lanes, id)
		}
	}
}

// lane delivers to one target. Its goroutine owns everything but what mu guards.
type lane struct {
	n      *Notifier
	cancel context.CancelFunc
	wake   chan struct{} // room for one

	failures int       // in a row
	pause    time.Time // nothing is sent before

	mu     sync.Mutex
	target Target
}

// set puts a target's new URL and secrets in force and has the lane look at its queue.
func (l *lane) set(t Target) {
	l.mu.Lock()
	l.target = t
	l.mu.Unlock()
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

func (l *lane) current() Target {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.target
}

func (l *lane) run(ctx context.Context) {
	defer l.cancel()
	for ctx.Err() == nil {
		wait := l.step(ctx)
		if wait <= 0 {
			continue
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-l.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// step sends what is due and returns how long there is nothing to do.
func (l *lane) step(ctx context.Context) time.Duration {
	now := time.Now()
	if wait := l.pause.Sub(now); wait > 0 {
		return wait
	}
	limit := inFlight
	if l.failures >= tolerated {
		limit = 1
	}
	t := l.current()
	due, next, err := l.n.o.Store.DueDeliveries(ctx, t.ID, now, limit)
	if err != nil {
		if ctx.Err() == nil {
			l.n.o.Logger.Error("webhook queue cannot be read", "target", t.ID, "error", err)
		}
		return l.n.o.Poll
	}
	if len(due) == 0 {
		if next.IsZero() {
			return l.n.o.Poll
		}
		return min(max(next.Sub(now), time.Millisecond), l.n.o.Poll)
	}
	outcomes := make([]*Outcome, len(due))
	var wg sync.WaitGroup
	for i, d := range due {
		wg.Go(func() {
			if o, ok := l.n.attempt(ctx, t, d); ok {
				outcomes[i] = &o
				l.n.record(ctx, o)
			}
		})
	}
	wg.Wait()
	l.learn(outcomes)
	return 0
}

// learn adjusts the lane's pace to what came of a round.
func (l *lane) learn(outcomes []*Outcome) {
	for _, o := range outcomes {
		switch {
		case o == nil:
		case o.State == Delivered || o.Status == http.StatusUnsupportedMediaType:
			l.failures = 0
		default:
			l.failures++
			if o.Status == http.StatusTooManyRequests && o.Next.After(l.pause) {
				l.pause = o.Next // it is the target that has enough, not this delivery
			}
		}
	}
	if over := l.failures - tolerated; over >= 0 {
		pause := time.Now().Add(jitter(min(time.Second<<min(over, 10), maxPause)))
		if pause.After(l.pause) {
			l.pause = pause
		}
	}
}

// record writes an outcome down, however long the store refuses: a delivery whose success is
// not on disk would be sent again. When ctx ends it tries for a little longer.
func (n *Notifier) record(ctx context.Context, o Outcome) {
	n.count(o)
	if o.State != Delivered {
		n.o.Logger.Warn("webhook not delivered", "target", o.Target, "delivery", o.Delivery, "attempt", o.Attempt,
			"state", string(o.State), "cause", o.Cause, "next", o.Next)
	}
	for wait := 100 * time.Millisecond; ; wait = min(2*wait, 10*time.Second) {
		err := n.write(ctx, o)
		if err == nil {
			return
		}
		n.o.Logger.Error("outcome of a webhook cannot be written", "delivery", o.Delivery, "error", err)
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

func (n *Notifier) write(ctx context.Context, o Outcome) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), giveUp)
	defer cancel()
	return n.o.Store.RecordDelivery(ctx, o)
}

func (n *Notifier) count(o Outcome) {
	switch o.State {
	case Delivered:
		n.delivered.Add(1)
	case Dead:
		n.dead.Add(1)
		n.failed.Add(1)
	case Pending:
		n.failed.Add(1)
	}
}
