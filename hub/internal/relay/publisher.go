package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"

	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// publisher is a WHIP session.
type publisher struct {
	id     string
	etag   etag
	key    pathKey
	own    bool // it is a session of the edge itself, which can be commanded
	ingest *webrtc.Ingest
	source source // ingest
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the session has ended

	released chan struct{} // closed after done, once nothing counts the session any more

	path     *path // nil until the publisher is attached; both belong to who attaches it
	upstream *upstream
}

// maxPublishers is the number of sessions of one stream that publish or connect at the same time.
const maxPublishers = 4

// ServeWHIP serves all methods of /whip/{edge}/{device}; the query parameter stream names the stream. POST accepts a publisher's offer (RFC 9725).
// The Location of its response is the request's path followed by an ID; serve that resource with
// ServeWHIPSession.
func (r *Relay) ServeWHIP(w http.ResponseWriter, q *http.Request, pub Publication) {
	offer, ok := r.serveEndpoint(w, q)
	if !ok {
		release(pub.Release)
		return
	}
	p, err := r.startPublisher(q.Context(), offer, pub)
	if err != nil {
		release(pub.Release)
		r.refuse(w, err)
		return
	}
	r.writeCreated(w, q, p.id, p.etag.String(), p.ingest.Answer())
}

// startPublisher starts a publisher's session. The session runs in its own goroutine.
func (r *Relay) startPublisher(q context.Context, offer string, pub Publication) (*publisher, error) {
	running := r.context()
	if running == nil {
		return nil, errHubStopping()
	}
	p := &publisher{
		id: rand.Text(), etag: newETag(), key: pathKey{pub.Edge, pub.Device, pub.Stream}, own: pub.ByEdge(), done: make(chan struct{}), released: make(chan struct{}),
	}
	if !r.reservePublisher(p.key) {
		return nil, problem.New("video_publishers_full", "count", strconv.Itoa(maxPublishers))
	}
	ingest, err := r.o.Engine.NewIngest(offer)
	if err != nil {
		r.releasePublisher(p.key)
		return nil, err
	}
	p.ingest, p.source = ingest, ingest
	end, err := r.recordPublication(q, pub)
	if err != nil {
		ingest.Close()
		r.releasePublisher(p.key)
		return nil, err
	}
	ctx, cancel := context.WithCancelCause(running)
	p.cancel = cancel
	unwatch := endWithAccess(pub.Access, cancel)
	r.mu.Lock()
	r.publishers[p.id] = p
	r.mu.Unlock()
	// The session of the edge itself need not wait for the connection when it replaces none: viewers that wait
	// can connect at the same time.
	if p.own {
		_, err = r.attach(p, true)
	}
	if err == nil && r.spawn(func(hub context.Context) {
		defer close(p.released)
		defer release(pub.Release)
		defer r.releasePublisher(p.key)
		err := r.publish(ctx, p)
		unwatch()
		end(err)
		dismiss(hub, p.ingest, err)
	}) {
		return p, nil
	}
	unwatch()
	cancel(nil)
	end(errHubStopping())
	ingest.Close()
	close(p.done)
	r.removePublisher(p)
	r.releasePublisher(p.key)
	close(p.released)
	return nil, errHubStopping()
}

// dismiss closes the connection of a session that has ended with err. Who ended the session by itself does not
// wait for the close.
func dismiss(hub context.Context, connection interface {
	Close()
	Dismiss(ctx context.Context)
}, err error,
) {
	var coded *problem.Error
	if errors.As(err, &coded) && (coded.Reason.Code == errEndedByPublisher().Reason.Code || coded.Reason.Code == errEndedByViewer().Reason.Code) {
		connection.Close()
		return
	}
	connection.Dismiss(hub)
}

func errEndedByPublisher() *problem.Error { return problem.New("video_edge_ended") }

// reservePublisher adds a publisher of a stream. It returns false if there are maxPublishers already, with those
// whose connections are still to be closed.
func (r *Relay) reservePublisher(key pathKey) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishing[key] >= maxPublishers {
		return false
	}
	r.publishing[key]++
	return true
}

func (r *Relay) releasePublisher(key pathKey) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.publishing[key]--; r.publishing[key] == 0 {
		delete(r.publishing, key)
	}
}

// removePublisher removes a publisher whose session has ended.
func (r *Relay) removePublisher(p *publisher) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.publishers, p.id)
}

// recordPublication records that a publication begins. end records why it ended.
func (r *Relay) recordPublication(ctx context.Context, pub Publication) (end func(error), err error) {
	if r.o.Publications == nil {
		return func(error) {}, nil
	}
	ended, err := r.o.Publications.Begin(ctx, pub)
	if err != nil {
		return nil, fmt.Errorf("recording a publication of %s/%s: %w", pub.Edge, pub.Device, err)
	}
	return func(err error) {
		ended(problem.New("video_upstream_ended").BecauseOf(err).Reason)
	}, nil
}

// publish sends the publisher's frames to the upstream until the session ends, and returns why it ended.
func (r *Relay) publish(ctx context.Context, p *publisher) error {
	defer close(p.done)
	defer r.removePublisher(p)
	err := p.ingest.Run(ctx, func(context.Context) (*webrtc.Feed, error) { return r.connected(p) })
	p.detach(problem.New("video_upstream_ended").BecauseOf(err))
	p.cancel(nil)
	r.o.Logger.Info("upstream ended", "device", p.key.String(), "cause", err)
	return err
}

// connected returns the feed of a publisher that is connected. It replaces the previous publisher, whose
// session has ended when it returns. A publisher that does not get this far replaces none.
func (r *Relay) connected(p *publisher) (*webrtc.Feed, error) {
	if p.upstream != nil {
		return p.upstream.feed, nil
	}
	a, err := r.attach(p, false)
	if err != nil {
		return nil, err
	}
	if a.before != nil {
		// Also when ctx ends: the publisher that replaces p waits for p only, and before may still write.
		<-a.before.done
	}
	return a.upstream.feed, nil
}

// ServeWHIPSession serves all methods of /whip/{edge}/{device}/{id}.
func (r *Relay) ServeWHIPSession(w http.ResponseWriter, q *http.Request, edge, device, id string) {
	r.mu.Lock()
	p := r.publishers[id]
	r.mu.Unlock()
	if p == nil || p.key.edge != edge || p.key.device != device {
		problem.New("video_session_unknown").Write(w)
		return
	}
	r.serveSession(w, q, &p.etag, p.ingest.Trickle, func() {
		p.cancel(errEndedByPublisher())
		await(q.Context(), p.released)
	})
}

// await waits until c is closed or ctx ends. The place of a session that was deleted is free when the DELETE is answered,
// unless the connection ended by another cause just before and still waits for its close.
func await(ctx context.Context, c <-chan struct{}) {
	select {
	case <-c:
	case <-ctx.Done():
	}
}

// refuse writes the error response of a request that cannot be served.
func (r *Relay) refuse(w http.ResponseWriter, err error) {
	var refused Refused
	var coded *problem.Error
	var codec webrtc.CodecError
	switch {
	case errors.As(err, &coded):
		coded.Write(w)
	case errors.Is(err, webrtc.ErrOffer):
		problem.New("video_offer_invalid", "reason", err.Error()).Write(w)
	case errors.As(err, &codec):
		problem.Because(http.StatusNotAcceptable, codec.Cause()).Write(w)
	case errors.Is(err, webrtc.ErrCodec):
		problem.New("video_codec_missing", "reason", err.Error()).Write(w)
	case errors.As(err, &refused):
		problem.Because(http.StatusServiceUnavailable, refused.Cause).Write(w)
	case errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		problem.New("video_request_ended").Write(w)
	default:
		r.o.Logger.Error("creating a session", "error", err)
		problem.Write(w, http.StatusInternalServerError, "")
	}
}
