package relay

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams/webrtc"
)

type pathKey struct{ edge, device string }

func (k pathKey) String() string { return k.edge + "/" + k.device }

// path is one device's way from its edge to its viewers. It is made when first named and kept;
// the caller has checked that the device exists, which bounds their number.
type path struct {
	relay *Relay
	key   pathKey

	command chan struct{} // of capacity one: one command to the edge at a time, in order

	mu        sync.Mutex
	users     int        // viewers, and requests that wait to be
	idle      uint64     // counts arrivals: a linger that sees another number was overtaken
	start     *attempt   // under way
	live      *live      // what is sent now; nil exactly when publisher is
	publisher *publisher // that fills live
	commanded bool       // the edge was told to publish, and not to stop since
}

// attempt is the wait for an upstream, which all viewers of the device share.
type attempt struct {
	done chan struct{}
	live *live // set before done is closed, or err is
	err  error
}

// live is one unbroken view of a device: viewers live as long as it does.
type live struct {
	feed *webrtc.Feed
	ctx  context.Context // ends with the cause for the viewers
	end  context.CancelCauseFunc
}

// Bounds of an upstream.
const (
	publishFor    = 30 * time.Minute // an edge stops by itself then, unless told again
	stopWithin    = 3 * time.Second
	nobodyWatches = ending("nobody is watching")
)

func (r *Relay) path(edge, device string) *path {
	key := pathKey{edge, device}
	r.mu.Lock()
	defer r.mu.Unlock()
	p := r.paths[key]
	if p == nil {
		p = &path{relay: r, key: key, command: make(chan struct{}, 1)}
		r.paths[key] = p
	}
	return p
}

// acquire counts a user in and returns what is live, asking the edge for it where it must. The
// caller must release, unless there is an error.
func (p *path) acquire(ctx context.Context) (*live, error) {
	p.mu.Lock()
	p.users++
	p.idle++
	if l := p.live; l != nil {
		p.mu.Unlock()
		return l, nil
	}
	a := p.start
	if a == nil {
		a = &attempt{done: make(chan struct{})}
		if !p.relay.spawn(func(ctx context.Context) { p.begin(ctx, a) }) {
			p.users--
			p.mu.Unlock()
			return nil, hubStops
		}
		p.start = a
	}
	p.mu.Unlock()

	var err error
	select {
	case <-a.done:
		err = a.err
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	if err != nil {
		p.release()
		return nil, err
	}
	return a.live, nil
}

// begin asks the edge to publish and waits until it has, or not.
func (p *path) begin(ctx context.Context, a *attempt) {
	ctx, cancel := context.WithTimeout(ctx, p.relay.o.Start)
	defer cancel()
	p.relay.count(func(s *Stats) { s.Commands++ })
	p.mu.Lock()
	p.commanded = true
	p.mu.Unlock()
	err := p.tell(ctx, api.CommandPublish)
	if err == nil {
		select {
		case <-a.done:
			return
		case <-ctx.Done():
			err = Refused{Cause: devices.Cause{Text: fmt.Sprintf("the edge has not begun to send within %s", p.relay.o.Start)}}
			p.stop(ctx)
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.start != a { // the edge was there in the last moment
		return
	}
	p.start = nil
	a.err = p.words(err)
	close(a.done)
}

// words makes a viewer's cause of a failed command; what a viewer need not know is logged.
func (p *path) words(err error) error {
	var refused Refused
	if errors.As(err, &refused) {
		return refused
	}
	p.relay.o.Logger.Warn("asking an edge for a live picture", "device", p.key.String(), "error", err)
	return Refused{Cause: devices.Cause{Text: "the edge does not answer"}}
}

// tell sends one command, after those before it.
func (p *path) tell(ctx context.Context, kind api.CommandKind) error {
	select {
	case p.command <- struct{}{}:
		defer func() { <-p.command }()
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c := api.Command{Kind: kind, Device: p.key.device, Issued: time.Now().UTC()}
	if kind == api.CommandPublish {
		c.Until = c.Issued.Add(publishFor)
	}
	if err := p.relay.o.Commander.Command(ctx, p.key.edge, c); err != nil {
		return fmt.Errorf("telling %s to %s: %w", p.key, kind, err)
	}
	return nil
}

// stop tells the edge to stop. It outlives ctx for some seconds: the edge must hear it also when
// the hub stops.
func (p *path) stop(ctx context.Context) {
	p.mu.Lock()
	p.commanded = false // a publish command that comes now waits for the stop and sets it again
	p.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer cancel()
	if err := p.tell(ctx, api.CommandStop); err != nil {
		// The edge stops by itself when its session ends, and at the command's Until.
		p.relay.o.Logger.Info("telling an edge to stop", "device", p.key.String(), "error", err)
	}
}

// release counts a user out. Some time after the last one the upstream ends.
func (p *path) release() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users--
	p.linger()
}

// linger retires the publisher some time from now if nobody watches what we have commanded. mu
// is held.
func (p *path) linger() {
	if p.users > 0 || p.publisher == nil || !p.commanded {
		return
	}
	idle, pub := p.idle, p.publisher
	p.relay.spawn(func(ctx context.Context) {
		timer := time.NewTimer(p.relay.o.Linger)
		defer timer.Stop()
		select {
		case <-timer.C:
			p.retire(ctx, idle, pub)
		case <-pub.done:
		case <-ctx.Done():
		}
	})
}

// retire ends pub if nobody has come since idle was read.
func (p *path) retire(ctx context.Context, idle uint64, pub *publisher) {
	p.mu.Lock()
	if p.users > 0 || p.idle != idle || p.publisher != pub {
		p.mu.Unlock()
		return
	}
	p.publisher = nil
	p.endLive(nobodyWatches)
	p.mu.Unlock()
	p.stop(ctx) // before the session ends, so that the edge does not take it for a loss
	pub.cancel(nobodyWatches)
}

// attach makes pub the publisher of the path, in place of the one before it, whose viewers stay
// where the coding is the same. It returns the one before, nil if there was none.
func (p *path) attach(ctx context.Context, pub *publisher) (before *publisher) {
	p.mu.Lock()
	defer p.mu.Unlock()
	before = p.publisher
	if p.live != nil && !pub.ingest.CanContinue(p.live.feed) {
		p.endLive(ending("the camera's coding has changed"))
	}
	if p.live == nil {
		l := &live{feed: pub.ingest.NewFeed()}
		l.ctx, l.end = context.WithCancelCause(ctx)
		p.live = l
		p.relay.addLive(l)
	}
	pub.live, p.publisher = p.live, pub
	if p.start != nil {
		p.start.live = p.live
		close(p.start.done)
		p.start = nil
	}
	p.linger()
	return before
}

// detach ends what pub filled, unless another publisher has taken it over.
func (p *path) detach(pub *publisher, cause error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.publisher == pub {
		p.publisher = nil
		p.endLive(cause)
	}
}

// endLive ends what is live, and so its viewers. mu is held.
func (p *path) endLive(cause error) {
	p.live.end(cause)
	p.relay.removeLive(p.live)
	p.live = nil
}

// watched reports whether anybody watches or waits to, and whether the publisher came on our
// command.
func (p *path) watched() (wanted, commanded bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.users > 0, p.commanded
}
