package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// output sends an upstream to one viewer: a webrtc.Viewer, or an httpOutput. Run sends until its ctx ends, and returns
// why it ended; Close ends one whose Run was not called, and Close or Dismiss one whose Run has returned.
type output interface {
	Run(ctx context.Context) error
	Close()
	Dismiss(ctx context.Context)
	Trickle(fragment string) (reply string, err error)
	Stats() webrtc.SenderStats
}

// viewerSession is the session of a viewer, by WHEP or over HTTP.
type viewerSession struct {
	id     string
	etag   etag
	user   string // Viewer.identity of who started it
	key    pathKey
	viewer output
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when the session has ended; cause is set before
	cause  devices.Cause

	released chan struct{} // closed after done, once nothing counts the session any more
}

func errEndedByViewer() *problem.Error { return problem.New("video_viewer_ended") }

func (v *viewerSession) running() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

// ServeWHEP serves all methods of /whep/{edge}/{device} (draft-ietf-wish-whep). POST accepts a
// viewer's offer, waits until the edge publishes, stores the Lease and responds with the answer. The
// Location of the response is the request's path followed by an ID; serve that resource with
// ServeWHEPSession. The caller must check first that the device exists.
func (r *Relay) ServeWHEP(w http.ResponseWriter, q *http.Request, edge, device string, who Viewer) {
	offer, ok := r.serveEndpoint(w, q)
	if !ok {
		release(who.Release)
		return
	}
	if err := webrtc.CheckOffer(offer); err != nil { // before the edge is commanded to publish
		release(who.Release)
		r.refuse(w, err)
		return
	}
	var viewer *webrtc.Viewer
	v, err := r.startViewer(q.Context(), pathKey{edge: edge, device: device}, who, func(_ *viewerSession, feed *webrtc.Feed) (_ output, err error) {
		viewer, err = r.o.Engine.NewViewer(feed, offer)
		return viewer, err
	})
	if err != nil {
		release(who.Release)
		r.refuse(w, err)
		return
	}
	if q.Context().Err() != nil { // the viewer has left while it waited, and does not get the address at which it would end the session
		v.cancel(errEndedByViewer())
		return
	}
	r.writeCreated(w, q, v.id, v.etag.String(), viewer.Answer())
}

// startViewer starts a viewer's session with the output that open returns. The session runs in its own goroutine.
func (r *Relay) startViewer(
	ctx context.Context, key pathKey, who Viewer, open func(*viewerSession, *webrtc.Feed) (output, error),
) (v *viewerSession, err error) {
	if who.Incident == "" && who.Reason == "" {
		return nil, problem.New("video_reason_missing")
	}
	if !r.reserveViewer() {
		return nil, problem.New("video_viewers_full", "count", strconv.Itoa(r.o.MaxViewers))
	}
	l, leavePath, err := r.acquire(ctx, key)
	if err != nil {
		r.releaseViewer()
		return nil, err
	}
	stream := &rungs{relay: r, key: key, upstream: l, release: leavePath}
	leave := func() { stream.release(); r.releaseViewer() }
	v = &viewerSession{id: rand.Text(), etag: newETag(), user: who.identity(), key: key, done: make(chan struct{}), released: make(chan struct{})}
	if v.viewer, err = open(v, l.feed); err != nil {
		leave()
		return nil, err
	}
	lease, held, err := r.beginLease(ctx, key, who)
	if err != nil {
		v.viewer.Close()
		leave()
		return nil, err
	}
	watching, cancel := context.WithCancelCause(context.WithoutCancel(l.ctx)) // stream ends it with the upstream
	v.cancel, stream.end = cancel, cancel
	stream.viewer, _ = v.viewer.(laddered)
	r.mu.Lock()
	r.sessions[v.id] = v
	r.total.Views++
	r.mu.Unlock()
	unwatch, unhold := endWithAccess(who.Access, cancel), endWithAccess(held, cancel)
	out := v.viewer
	run := func(hub context.Context) {
		var stepping sync.WaitGroup
		stepping.Go(func() { stream.run(watching) })
		err := r.runViewer(watching, v, lease)
		cancel(nil)
		stepping.Wait()
		unwatch()
		unhold()
		stream.release()
		dismiss(hub, out, err)
		r.releaseViewer()
	}
	if !r.spawn(func(hub context.Context) {
		defer close(v.released)
		run(hub)
		release(who.Release)
	}) {
		run(l.ctx) // the hub is stopping: l.ctx has ended, so run returns at once
		close(v.released)
		return nil, errHubStopping()
	}
	return v, nil
}

// beginLease stores the lease of a viewer; its results are those of Leases.Begin.
func (r *Relay) beginLease(ctx context.Context, key pathKey, who Viewer) (string, context.Context, error) {
	now := time.Now().UTC()
	l := Lease{
		Edge: key.edge, Device: key.device, User: who.User, Incident: who.Incident, Reason: who.Reason,
		From: now, Until: now.Add(r.o.MaxViewTime),
	}
	id, held, err := r.o.Leases.Begin(ctx, l)
	if err != nil {
		return "", nil, fmt.Errorf("storing a lease for %s: %w", key, err)
	}
	return id, held, nil
}

// runViewer sends to the viewer until the session ends, ends its lease with the cause, and returns it.
func (r *Relay) runViewer(ctx context.Context, v *viewerSession, lease string) error {
	limit := problem.New("video_time_limit", "seconds", devices.Seconds(r.o.MaxViewTime))
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.MaxViewTime, limit)
	defer cancel()
	err := v.viewer.Run(ctx)
	v.cause = endCause(err)
	r.o.Leases.End(lease, v.cause)
	r.mu.Lock()
	defer r.mu.Unlock()
	close(v.done)
	r.total.add(v.viewer.Stats())
	if v.cause.Code == errEndedByViewer().Reason.Code {
		delete(r.sessions, v.id)
		return err
	}
	// What is remembered is small: without the output, which holds the peer connection.
	r.sessions[v.id] = &viewerSession{id: v.id, user: v.user, key: v.key, done: v.done, cause: v.cause}
	r.ended = append(r.ended, v.id)
	if len(r.ended) > maxEndedSessions {
		delete(r.sessions, r.ended[0])
		r.ended = append(r.ended[:0], r.ended[1:]...)
	}
	return err
}

// endCause returns the cause for the error with which a viewer's session ended.
func endCause(err error) devices.Cause {
	var coded *problem.Error
	switch {
	case errors.As(err, &coded):
		return coded.Reason
	case errors.Is(err, webrtc.ErrClosedByPeer):
		return problem.NewCause("video_viewer_closed")
	case errors.Is(err, webrtc.ErrLost):
		return problem.NewCause("video_viewer_lost")
	case errors.Is(err, webrtc.ErrNoConnection):
		return problem.New("video_viewer_unreachable").BecauseOf(err).Reason
	}
	return problem.NewCause("video_ended", "reason", err.Error())
}

// reserveViewer adds a viewer. It returns false if there are MaxViewers already.
func (r *Relay) reserveViewer() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.viewerCount >= r.o.MaxViewers {
		return false
	}
	r.viewerCount++
	return true
}

func (r *Relay) releaseViewer() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.viewerCount--
}

// ServeWHEPSession serves all methods of /whep/{edge}/{device}/{id}. The response is 404 for any user
// but the one that started the session, and 410 with the cause for a session that has ended without a
// DELETE, as long as the relay remembers it.
func (r *Relay) ServeWHEPSession(w http.ResponseWriter, q *http.Request, edge, device, id string, who Viewer) {
	r.mu.Lock()
	v := r.sessions[id]
	r.mu.Unlock()
	switch {
	case v == nil || v.key != (pathKey{edge: edge, device: device}) || v.user != who.identity():
		problem.New("video_session_unknown").Write(w)
	case !v.running():
		(&problem.Error{Status: http.StatusGone, Reason: v.cause}).Write(w)
	default:
		r.serveSession(w, q, &v.etag, v.viewer.Trickle, func() {
			v.cancel(errEndedByViewer())
			await(q.Context(), v.released)
		})
	}
}
