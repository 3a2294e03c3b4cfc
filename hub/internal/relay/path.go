package relay

import (
	"context"
	"time"

	"gridpost/streams/webrtc"
)

// pathKey identifies one stream of a camera; stream is as in Publication.
type pathKey struct{ edge, device, stream string }

func (k pathKey) String() string {
	if k.stream == "" {
		return k.edge + "/" + k.device
	}
	return k.edge + "/" + k.device + "/" + k.stream
}

// path connects the publisher of one stream with its viewers. One goroutine, run, owns its state and receives
// requests by channels; it never blocks on who sends them. A path is created by the first request and is
// removed when nothing is left to do: then done is closed, and a request is sent to a new path.
type path struct {
	relay *Relay
	key   pathKey

	joins    chan *user
	leaves   chan *user
	attaches chan attachRequest
	detaches chan detachRequest
	done     chan struct{}
}

// user is a viewer of a path, or a request that waits for the upstream.
type user struct {
	reply chan joined // capacity 1; receives one value, unless the user leaves before
}

// joined is the upstream, or why there is none.
type joined struct {
	upstream *upstream
	err      error
}

// attachRequest makes a publisher the one of the path.
type attachRequest struct {
	publisher *publisher
	ifFree    bool // only if the path has no publisher
	reply     chan attached
}

// attached is the upstream that a publisher sends to, nil if it was not attached, and the publisher that it
// replaces, nil if there is none: only once that has ended may the new one write to the upstream.
type attached struct {
	upstream *upstream
	before   *publisher
}

// detachRequest ends the upstream of a publisher, unless another publisher has replaced it.
type detachRequest struct {
	publisher *publisher
	cause     error
}

// upstream is the video of a stream, from one publisher or from several that followed each other without a
// change of codec. Its viewers' sessions end with it.
type upstream struct {
	feed *webrtc.Feed
	ctx  context.Context // cancelled with the cause that viewers get
	end  context.CancelCauseFunc
}

// source is the video that a publisher sends; webrtc.Ingest implements it.
type source interface {
	NewFeed() *webrtc.Feed
	CanContinue(f *webrtc.Feed) bool
}

// path returns the path of a key, nil if Run does not run.
func (r *Relay) path(key pathKey) *path {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx == nil {
		return nil
	}
	p := r.paths[key]
	if p == nil {
		p = &path{
			relay: r, key: key, joins: make(chan *user), leaves: make(chan *user),
			attaches: make(chan attachRequest), detaches: make(chan detachRequest), done: make(chan struct{}),
		}
		r.paths[key] = p
		ctx := r.ctx
		r.running.Go(func() { p.run(ctx) })
	}
	return p
}

// remove removes p from the paths; it gets no requests once done is closed.
func (r *Relay) remove(p *path) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.paths, p.key)
	close(p.done)
}

// request sends a request to the path of a key. It returns the path, nil if Run does not run.
func request[T any](r *Relay, key pathKey, channel func(*path) chan T, value T) *path {
	for {
		p := r.path(key)
		if p == nil {
			return nil
		}
		select {
		case channel(p) <- value:
			return p
		case <-p.done:
		}
	}
}

// acquire returns the upstream of a stream. If there is none, it commands the edge to publish and waits. The
// upstream goes on at least until release is called; release is nil if there is an error. It may be called
// more than once.
func (r *Relay) acquire(ctx context.Context, key pathKey) (up *upstream, release func(), err error) {
	u := &user{reply: make(chan joined, 1)}
	p := request(r, key, func(p *path) chan *user { return p.joins }, u)
	if p == nil {
		return nil, nil, errHubStopping()
	}
	leave := func() {
		select {
		case p.leaves <- u:
		case <-p.done:
		}
	}
	select {
	case j := <-u.reply:
		if j.err != nil {
			return nil, nil, j.err
		}
		return j.upstream, leave, nil
	case <-ctx.Done():
		leave()
		return nil, nil, context.Cause(ctx)
	}
}

// attach makes pub the publisher of its path. With ifFree, it does so only if the path has none.
func (r *Relay) attach(pub *publisher, ifFree bool) (attached, error) {
	reply := make(chan attached, 1)
	p := request(r, pub.key, func(p *path) chan attachRequest { return p.attaches }, attachRequest{pub, ifFree, reply})
	if p == nil {
		return attached{}, errHubStopping()
	}
	a := <-reply
	if a.upstream != nil {
		pub.path, pub.upstream = p, a.upstream
	}
	return a, nil
}

// detach says that a publisher has ended.
func (pub *publisher) detach(cause error) {
	if pub.path == nil {
		return // it was never attached
	}
	select {
	case pub.path.detaches <- detachRequest{pub, cause}:
	case <-pub.path.done:
	}
}

// run owns the path until nothing is left to do, or ctx ends.
func (p *path) run(ctx context.Context) {
	s := &pathState{ctx: ctx, relay: p.relay, key: p.key, users: make(map[*user]bool), retiring: make(map[*publisher]bool), answer: make(chan error, 1)}
	defer func() { // the last of s.stop needs no requests
		p.relay.remove(p)
		s.stop()
	}()
	timer := time.NewTimer(publishDuration)
	defer timer.Stop()
	for {
		select {
		case u := <-p.joins:
			s.join(u)
		case u := <-p.leaves:
			s.leave(u)
		case a := <-p.attaches:
			a.reply <- s.attach(a.publisher, a.ifFree)
		case d := <-p.detaches:
			s.detach(d.publisher, d.cause)
		case err := <-s.answer:
			s.answered(err)
		case <-timer.C:
			s.expire()
		case <-ctx.Done():
			return
		}
		s.sendNext()
		if s.idle() {
			return
		}
		timer.Reset(s.next())
	}
}
