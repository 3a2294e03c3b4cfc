package relay

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/http"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// view is a viewer's WHEP session.
type view struct {
	id     string
	tag    tag
	who    string
	key    pathKey
	viewer *webrtc.Viewer
	cancel context.CancelCauseFunc
	done   chan struct{} // closed when it has ended and why is set
	why    string        // in words
}

const endedByViewer = ending("the viewer ended it")

func (v *view) alive() bool {
	select {
	case <-v.done:
		return false
	default:
		return true
	}
}

// ServeWHEP answers /whep/{edge}/{device}, every method: POST takes a viewer's offer, waits for
// the edge to send, records the Lease and answers. The resource in its Location is the same
// path and an ID: serve it with ServeWHEPSession. The caller has checked that the device exists.
func (r *Relay) ServeWHEP(w http.ResponseWriter, q *http.Request, edge, device string, who Viewer) {
	offer, ok := r.endpoint(w, q)
	if !ok {
		return
	}
	v, err := r.view(q.Context(), offer, r.path(edge, device), who)
	if err != nil {
		r.refuse(w, err)
		return
	}
	r.created(w, q, v.id, v.tag.String(), v.viewer.Answer())
}

// view begins a view.
func (r *Relay) view(ctx context.Context, offer string, p *path, who Viewer) (v *view, err error) {
	if err := webrtc.CheckOffer(offer); err != nil {
		return nil, err // before an edge is troubled with it
	}
	if !r.admit() {
		return nil, Refused{Cause: devices.Cause{Text: fmt.Sprintf("the hub serves its limit of %d viewers", r.o.MaxViewers)}}
	}
	l, err := p.acquire(ctx)
	if err != nil {
		r.dismiss()
		return nil, err
	}
	leave := func() { p.release(); r.dismiss() }
	viewer, err := r.o.Engine.NewViewer(l.feed, offer)
	if err != nil {
		leave()
		return nil, err
	}
	lease, err := r.lease(ctx, p.key, who)
	if err != nil {
		viewer.Close()
		leave()
		return nil, err
	}
	v = &view{id: rand.Text(), tag: newTag(), who: who.Who, key: p.key, viewer: viewer, done: make(chan struct{})}
	watching, cancel := context.WithCancelCause(l.ctx)
	v.cancel = cancel
	r.mu.Lock()
	r.views[v.id] = v
	r.total.Views++
	r.mu.Unlock()
	run := func(context.Context) {
		r.watch(watching, v, lease)
		leave()
	}
	if !r.spawn(run) { // the hub stops this very moment; l.ctx has ended, so it is short
		run(watching)
		return nil, hubStops
	}
	return v, nil
}

// lease records that who watches.
func (r *Relay) lease(ctx context.Context, key pathKey, who Viewer) (string, error) {
	now := time.Now().UTC()
	l := Lease{
		Edge: key.edge, Device: key.device, Who: who.Who, Incident: who.Incident, Reason: who.Reason,
		From: now, Until: now.Add(r.o.MaxView),
	}
	if l.Incident == "" && l.Reason == "" {
		l.Reason = "unspecified"
	}
	id, err := r.o.Leases.Begin(ctx, l)
	if err != nil {
		return "", fmt.Errorf("recording a view of %s: %w", key, err)
	}
	return id, nil
}

// watch sends until the view ends, and records why.
func (r *Relay) watch(ctx context.Context, v *view, lease string) {
	limit := ending(fmt.Sprintf("the time limit of %s was reached", r.o.MaxView))
	ctx, cancel := context.WithTimeoutCause(ctx, r.o.MaxView, limit)
	defer cancel()
	v.why = reason(v.viewer.Run(ctx))

	// The record must be ended also when it is the hub that stops.
	record, done := context.WithTimeout(context.WithoutCancel(ctx), stopWithin)
	defer done()
	if err := r.o.Leases.End(record, lease, v.why); err != nil {
		r.o.Logger.Error("recording the end of a view", "lease", lease, "error", err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	close(v.done)
	r.total.add(v.viewer.Stats())
	if v.why == endedByViewer.Error() {
		delete(r.views, v.id)
		return
	}
	r.gone = append(r.gone, v.id)
	if len(r.gone) > keepGone {
		delete(r.views, r.gone[0])
		r.gone = append(r.gone[:0], r.gone[1:]...)
	}
}

// reason puts a session's end in a person's words.
func reason(err error) string {
	switch {
	case errors.Is(err, webrtc.ErrClosedByPeer):
		return "the viewer closed the connection"
	case errors.Is(err, webrtc.ErrLost):
		return "the connection to the viewer was lost"
	case errors.Is(err, webrtc.ErrNoConnection):
		return "the viewer could not be reached: " + webrtc.ErrNoConnection.Error()
	}
	return err.Error()
}

// admit counts a viewer in, up to the limit.
func (r *Relay) admit() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.viewers >= r.o.MaxViewers {
		return false
	}
	r.viewers++
	return true
}

func (r *Relay) dismiss() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.viewers--
}

// ServeWHEPSession answers /whep/{edge}/{device}/{id}, every method. Only the viewer that began
// the session, by Who, finds it. A session that has ended otherwise than by DELETE is 410 with the
// cause, for as long as it is remembered.
func (r *Relay) ServeWHEPSession(w http.ResponseWriter, q *http.Request, edge, device, id string, who Viewer) {
	r.mu.Lock()
	v := r.views[id]
	r.mu.Unlock()
	switch {
	case v == nil || v.key != (pathKey{edge, device}) || v.who != who.Who:
		problem.Write(w, http.StatusNotFound, "there is no such session")
	case !v.alive():
		problem.Write(w, http.StatusGone, v.why)
	default:
		r.resource(w, q, &v.tag, v.viewer.Trickle, func() {
			v.cancel(endedByViewer)
			<-v.done
		})
	}
}
