package web

import (
	"context"
	"errors"
	"net/http"
	"strings"

	"gridpost/devices"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/scope"
)

// maxOffer bounds a session description in bytes.
const maxOffer = 256 << 10

// whep serves viewers by WebRTC.
func (s *Server) whep(w http.ResponseWriter, r *http.Request) { s.view(w, r, s.o.Media.ServeWHEP) }

// live serves viewers that WebRTC does not reach. What it begins is a view as those of WHEP are: its Location is a
// resource of /whep.
func (s *Server) live(w http.ResponseWriter, r *http.Request) {
	s.view(w, r, func(w http.ResponseWriter, r *http.Request, edge, device string, viewer relay.Viewer) {
		s.o.Media.ServeFMP4(w, r, edge, device, "/whep/"+edge+"/"+device, viewer)
	})
}

// view checks a viewer's request and lets begin serve it, unless it concerns a view that has begun. The camera must be
// in the inventory of its edge.
func (s *Server) view(
	w http.ResponseWriter, r *http.Request, begin func(w http.ResponseWriter, r *http.Request, edge, device string, viewer relay.Viewer),
) {
	edge, device, ok := camera(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	q := r.URL.Query()
	p := who(r.Context())
	viewer := relay.Viewer{Principal: p.Key(), User: p.Name, Incident: clip(q.Get("incident"), 80), Reason: clip(q.Get("reason"), 200)}
	if id := r.PathValue("id"); id != "" {
		s.o.Media.ServeWHEPSession(w, r, edge, device, id, viewer)
		return
	}
	if err := s.findCamera(r.Context(), p.Scope, edge, device); err != nil {
		s.trouble(w, r, err)
		return
	}
	grant := access.Of(p, access.View, auth.Dispatcher)
	grant.Edge = edge
	if viewer.Incident != "" {
		_, err := s.o.Incidents.Get(r.Context(), p.Scope, viewer.Incident)
		if errors.Is(err, db.ErrNotFound) {
			err = problem.New("incident_unknown")
		}
		if err != nil {
			s.trouble(w, r, err)
			return
		}
		grant.Incident = viewer.Incident
	}
	if s.hold(w, r, grant, &viewer.Access, &viewer.Release) {
		begin(w, r, edge, device, viewer)
	}
}

// hold holds the grant of a session that outlives its request. When it returns false, it has answered.
func (s *Server) hold(w http.ResponseWriter, r *http.Request, g access.Grant, held *context.Context, release *func()) bool {
	var err error
	*held, *release, err = s.o.Access.Hold(context.WithoutCancel(r.Context()), g)
	if err != nil {
		s.trouble(w, r, err)
	}
	return err == nil
}

// findCamera returns an error unless the camera is in the inventory of its edge, and in a scope. So the relay's paths are
// bounded by the cameras that exist.
func (s *Server) findCamera(ctx context.Context, in scope.Scope, edge, device string) error {
	d, err := s.o.Edges.Device(ctx, in, edge, device)
	if errors.Is(err, db.ErrNotFound) || err == nil && d.Kind != devices.Camera {
		return problem.New("video_camera_unknown")
	}
	return err
}

func clip(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit])
	}
	return text
}

// whip serves publishers that an administrator runs, and edges with the credential of a command. With their certificate,
// edges publish on the edge port.
func (s *Server) whip(w http.ResponseWriter, r *http.Request) {
	edge, device, ok := camera(w, r)
	if !ok {
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	claims, byEdge := claimsOf(r.Context())
	in := who(r.Context()).Scope
	if byEdge {
		in = scope.All()
	}
	if err := s.findCamera(r.Context(), in, edge, device); err != nil {
		s.trouble(w, r, err)
		return
	}
	if id := r.PathValue("id"); id != "" {
		s.o.Media.ServeWHIPSession(w, r, edge, device, id)
		return
	}
	stream, ok := streamOf(w, r)
	if !ok {
		return
	}
	p := who(r.Context())
	grant := access.Of(p, access.Publication, auth.Administrator)
	grant.Edge = edge
	pub := relay.Publication{Edge: edge, Device: device, Stream: stream, By: p.Key(), User: p.Name}
	if byEdge {
		if claims.Stream != stream {
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		grant, pub.By = publicationOf(claims), claims.Principal
	}
	if s.hold(w, r, grant, &pub.Access, &pub.Release) {
		s.o.Media.ServeWHIP(w, r, pub)
	}
}

// streamOf returns the stream of a camera that a request names: the main one unless it names another.
func streamOf(w http.ResponseWriter, r *http.Request) (stream string, ok bool) {
	switch stream = r.URL.Query().Get("stream"); stream {
	case "", relay.SubStream:
		return stream, true
	}
	problem.New("input_invalid", "field", "stream").Write(w)
	return "", false
}
