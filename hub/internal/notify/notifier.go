package notify

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"
)

// Options of a Notifier. Queue, Logger and Source are required.
type Options struct {
	Queue  Queue
	Logger *slog.Logger

	// Wake returns a channel that is closed after the next transaction that enqueues a delivery or
	// changes a target. Without it the queue is polled every Poll.
	Wake func() <-chan struct{}

	// Observe is called after each attempt, from several goroutines; nil: not at all.
	Observe func(Outcome)

	// Source of the CloudEvents: a URI that no other installation has. Required.
	Source string

	// Present completes the stored data of an alert for events of the present format, and returns the URL of
	// the schema of what it returns. Without it the stored data are sent.
	Present func(data json.RawMessage) (complete json.RawMessage, schema string, err error)

	UserAgent    string         // default "Gridpost"
	AllowPrivate bool           // targets inside the network, and http://, are allowed
	RootCAs      *x509.CertPool // nil: the system's
	Timeout      time.Duration  // of one attempt, from dialling to the end of the response; default 15 s
	Poll         time.Duration  // default 15 s
	GiveUpAfter  time.Duration  // age at which a delivery is given up; default GiveUpAfter

	// For tests.
	resolver *net.Resolver
	dial     func(ctx context.Context, network, address string) (net.Conn, error)
}

// GiveUpAfter is the default age at which a delivery is given up.
const GiveUpAfter = 72 * time.Hour

func (o Options) withDefaults() Options {
	if o.Present == nil {
		o.Present = func(data json.RawMessage) (json.RawMessage, string, error) { return data, "", nil }
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
	if o.GiveUpAfter == 0 {
		o.GiveUpAfter = GiveUpAfter
	}
	if o.Wake == nil {
		o.Wake = func() <-chan struct{} { return nil }
	}
	if o.Observe == nil {
		o.Observe = func(Outcome) {}
	}
	return o
}

// settle is how long the notifier waits after a wake-up, so that a burst of alerts is read at once.
const settle = 20 * time.Millisecond

// Stats counts attempts since the start.
type Stats struct {
	Delivered uint64 // attempts that were accepted
	Failed    uint64 // attempts that were not accepted
	Dead      uint64 // deliveries given up; those of a target that is disabled are not counted
}

// Notifier delivers the alerts of a Queue.
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

// Run delivers until ctx ends and then returns nil. Attempts that are in progress at that moment
// are cancelled and repeated, under the same webhook-id, by the next Run.
func (n *Notifier) Run(ctx context.Context) error {
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer func() {
		cancel()
		wg.Wait()
		n.client.CloseIdleConnections()
	}()
	senders := map[string]*sender{}
	for {
		wake := n.o.Wake() // before the queue is read, so that no change in between is missed
		n.refresh(ctx, &wg, senders)
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

// refresh starts a sender for each new target, stops those of targets that are removed or
// disabled, and wakes the others.
func (n *Notifier) refresh(ctx context.Context, wg *sync.WaitGroup, senders map[string]*sender) {
	targets, err := n.o.Queue.Targets(ctx)
	if err != nil {
		if ctx.Err() == nil {
			n.o.Logger.Error("reading webhook targets", "error", err)
		}
		return
	}
	current := map[string]bool{}
	for _, t := range targets {
		current[t.ID] = true
		if s := senders[t.ID]; s != nil {
			s.set(t)
			continue
		}
		senderCtx, cancel := context.WithCancel(ctx)
		s := newSender(n, t, cancel)
		senders[t.ID] = s
		wg.Go(func() { s.run(senderCtx) })
	}
	for id, s := range senders {
		if !current[id] {
			s.cancel()
			delete(senders, id)
		}
	}
}

func (n *Notifier) count(o Outcome) {
	n.o.Observe(o)
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
