package web

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/devices"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/incidents"
)

const (
	clipViewsPath = "/api/v1/evidence/{incident}/{name}/views"

	// clipViewTime is how long a view of a clip lasts, as the longest view of live video.
	clipViewTime = 10 * time.Minute
)

type clipInput struct {
	Incident string `path:"incident" maxLength:"80"`
	Name     string `path:"name" maxLength:"80"`
	Body     struct {
		Reason string `json:"reason,omitempty" maxLength:"200" doc:"what it is for; needed where the incident is closed"`
	}
}

type clipOutput struct{ Body public.ClipView }

type clipViewInput struct {
	Incident string `path:"incident" maxLength:"80"`
	Name     string `path:"name" maxLength:"80"`
	ID       string `path:"id" maxLength:"80"`
}

func (s *Server) registerClips() {
	register(s, huma.Operation{
		OperationID: "watch-clip", Tags: []string{"streams"}, DefaultStatus: http.StatusCreated,
		Summary: "Watch a clip of an incident: a view as those of live video, with a purpose, on record, for ten minutes",
		Errors:  []int{http.StatusBadRequest, http.StatusNotFound},
	}, s.watchClip)
	registerRemoval(s, huma.Operation{
		OperationID: "end-clip-view", Tags: []string{"streams"}, Summary: "End a view of a clip that one has begun oneself",
	}, s.endClipView)
}

// clipViews are the views of clips that this hub serves. There are at most as many as the limits of package access allow.
type clipViews struct {
	mu   sync.Mutex
	open map[string]func(cause devices.Cause) // what ends one, by its ID
}

func (v *clipViews) add(id string, end func(devices.Cause)) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.open == nil {
		v.open = map[string]func(devices.Cause){}
	}
	v.open[id] = end
}

// take returns what ends a view, once.
func (v *clipViews) take(id string) func(devices.Cause) {
	v.mu.Lock()
	defer v.mu.Unlock()
	end := v.open[id]
	delete(v.open, id)
	return end
}

// watchClip begins a view of a clip.
func (s *Server) watchClip(ctx context.Context, in *clipInput) (*clipOutput, error) {
	p := who(ctx)
	f, err := s.o.Incidents.File(ctx, p.Scope, in.Incident, in.Name)
	if err == nil && !f.IsClip() {
		err = db.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	inc, err := s.o.Incidents.Get(ctx, p.Scope, in.Incident)
	if err != nil {
		return nil, err
	}
	reason := clip(in.Body.Reason, 200)
	if inc.State == incidents.Closed && reason == "" {
		return nil, problem.New("video_reason_missing")
	}
	grant := access.Of(p, access.View, auth.Dispatcher)
	grant.Edge = inc.Edge
	held, release, err := s.o.Access.Hold(context.WithoutCancel(ctx), grant)
	if err != nil {
		return nil, err
	}
	now := time.Now().UTC()
	until := now.Add(clipViewTime)
	id, lease, err := s.o.Views.Begin(ctx, relay.Lease{
		Edge: inc.Edge, Device: inc.Device, User: p.Name, Incident: inc.ID, Reason: reason, File: f.Name, From: now, Until: until,
	})
	if err != nil {
		release()
		return nil, err
	}
	s.followClipView(id, held, lease, release)
	return &clipOutput{Body: public.ClipView{ID: id, URL: present.EvidenceURL(f) + "?view=" + url.QueryEscape(id), Until: until}}, nil
}

// followClipView ends a view when its time is over, or its access or its lease ends.
func (s *Server) followClipView(id string, held, lease context.Context, release func()) {
	end := func(cause devices.Cause) {
		if end := s.clipViews.take(id); end != nil {
			end(cause)
		}
	}
	limit := time.AfterFunc(clipViewTime, func() {
		end(problem.NewCause("video_time_limit", "seconds", strconv.Itoa(int(clipViewTime/time.Second))))
	})
	s.clipViews.add(id, func(cause devices.Cause) {
		limit.Stop()
		s.o.Views.End(id, cause)
		release()
	})
	for _, c := range []context.Context{held, lease} {
		if c != nil {
			context.AfterFunc(c, func() { end(whyEnded(context.Cause(c))) })
		}
	}
}

// whyEnded returns the cause of the end of a grant.
func whyEnded(err error) devices.Cause {
	var known *problem.Error
	if errors.As(err, &known) {
		return known.Cause()
	}
	return problem.NewCause("video_viewer_ended")
}

// endClipView ends a view that its caller has begun, on whichever hub.
func (s *Server) endClipView(ctx context.Context, in *clipViewInput) error {
	p := who(ctx)
	l, err := s.o.Leases.Get(ctx, in.ID)
	if err == nil && (l.Who != p.Name || l.Incident != in.Incident || l.File != in.Name) {
		err = db.ErrNotFound
	}
	if err != nil {
		return err
	}
	if end := s.clipViews.take(in.ID); end != nil {
		end(problem.NewCause("video_viewer_ended"))
		return nil
	}
	return s.o.Leases.EndBy(ctx, p.Scope, p.Name, in.ID)
}

// mayWatch returns an error unless a principal has a view of a clip that goes on.
func (s *Server) mayWatch(ctx context.Context, p auth.Principal, f incidents.File, view string) error {
	if !p.Role.Allows(auth.Dispatcher) {
		return problem.New("clip_not_for_monitors")
	}
	l, err := s.o.Leases.Get(ctx, view)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return problem.New("clip_view_missing")
	case err != nil:
		return err
	case l.Who != p.Name || l.Incident != f.Incident || l.File != f.Name || l.Ended != nil || time.Now().After(l.Until):
		return problem.New("clip_view_missing")
	}
	return nil
}
