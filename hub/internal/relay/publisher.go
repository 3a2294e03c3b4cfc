package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// publisher is an edge's WHIP session.
type publisher struct {
	id     string
	tag    tag
	path   *path
	ingest *webrtc.Ingest
	live   *live // set by attach
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has ended
}

// ServeWHIP answers /whip/{edge}/{device}, every method: POST takes a publisher's offer. The
// resource in its Location is the same path and an ID: serve it with ServeWHIPSession.
func (r *Relay) ServeWHIP(w http.ResponseWriter, q *http.Request, edge, device string) {
	offer, ok := r.endpoint(w, q)
	if !ok {
		return
	}
	running := r.context()
	if running == nil {
		r.refuse(w, hubStops)
		return
	}
	ingest, err := r.o.Engine.NewIngest(offer)
	if err != nil {
		r.refuse(w, err)
		return
	}
	p := &publisher{id: rand.Text(), tag: newTag(), path: r.path(edge, device), ingest: ingest, done: make(chan struct{})}
	ctx, cancel := context.WithCancelCause(running)
	p.cancel = cancel
	r.mu.Lock()
	r.pubs[p.id] = p
	r.mu.Unlock()
	before := p.path.attach(running, p)
	if !r.spawn(func(context.Context) { r.publish(ctx, p, before) }) {
		ingest.Close()
		close(p.done)
		p.path.detach(p, hubStops)
		r.refuse(w, hubStops)
		return
	}
	r.created(w, q, p.id, p.tag.String(), ingest.Answer())
}

// publish fills what is live until p ends.
func (r *Relay) publish(ctx context.Context, p *publisher, before *publisher) {
	defer close(p.done)
	if before != nil {
		before.cancel(ending("a new session of the edge took over"))
		<-before.done
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	tending := make(chan struct{})
	go func() {
		defer close(tending)
		p.tend(ctx)
	}()
	err := p.ingest.Run(ctx, p.live.feed)
	p.path.detach(p, ending("the picture from the edge ended: "+err.Error()))
	cancel()
	<-tending
	r.mu.Lock()
	delete(r.pubs, p.id)
	r.mu.Unlock()
	r.o.Logger.Info("upstream ended", "device", p.path.key.String(), "cause", err)
}

// tend repeats the command while somebody watches, because the edge stops at its Until, and
// ends a publisher that nobody commanded and nobody watches, such as one left over from before
// the hub was started.
func (p *publisher) tend(ctx context.Context) {
	limit := p.path.relay.o.Unattended
	tick := time.NewTicker(limit / 8)
	defer tick.Stop()
	commanded, watched := time.Now(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			wanted, ours := p.path.watched()
			if wanted || ours {
				watched = now
			}
			switch {
			case wanted && ours && now.Sub(commanded) > publishFor/2:
				commanded = now
				if err := p.path.tell(ctx, api.CommandPublish); err != nil {
					p.path.relay.o.Logger.Warn("renewing a live picture", "device", p.path.key.String(), "error", err)
				}
			case now.Sub(watched) > limit:
				p.path.stop(ctx) // or it would come again
				p.cancel(nobodyWatches)
			}
		}
	}
}

// ServeWHIPSession answers /whip/{edge}/{device}/{id}, every method.
func (r *Relay) ServeWHIPSession(w http.ResponseWriter, q *http.Request, edge, device, id string) {
	r.mu.Lock()
	p := r.pubs[id]
	r.mu.Unlock()
	if p == nil || p.path.key != (pathKey{edge, device}) {
		problem.Write(w, http.StatusNotFound, "there is no such session")
		return
	}
	r.resource(w, q, &p.tag, p.ingest.Trickle, func() {
		p.cancel(ending("the edge ended it"))
		<-p.done
	})
}

// refuse answers a POST that cannot be served.
func (r *Relay) refuse(w http.ResponseWriter, err error) {
	var refused Refused
	var stopping ending
	switch {
	case errors.Is(err, webrtc.ErrOffer):
		problem.Write(w, http.StatusBadRequest, err.Error())
	case errors.Is(err, webrtc.ErrCodec):
		problem.Write(w, http.StatusNotAcceptable, err.Error())
	case errors.As(err, &refused):
		problem.WriteCause(w, http.StatusServiceUnavailable, refused.Cause.Text, refused.Cause)
	case errors.As(err, &stopping):
		problem.Write(w, http.StatusServiceUnavailable, stopping.Error())
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		problem.Write(w, http.StatusServiceUnavailable, "the request ended before the picture came")
	default:
		r.o.Logger.Error("serving a session", "error", fmt.Errorf("making a session: %w", err))
		problem.Write(w, http.StatusInternalServerError, "")
	}
}
