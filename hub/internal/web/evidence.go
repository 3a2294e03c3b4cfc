package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"

	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/problem"
)

// Evidence opens files of incidents; see evidence.Store.
type Evidence interface {
	Open(ctx context.Context, k evidence.Key) (evidence.File, error)
}

// getEvidence serves a file under a policy that lets it run nothing, whatever an edge has called it.
func (s *Server) getEvidence(w http.ResponseWriter, r *http.Request) {
	incident, name := r.PathValue("incident"), r.PathValue("name")
	f, err := s.o.Incidents.File(r.Context(), who(r.Context()).Scope, incident, name)
	if err != nil {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	allowed, err := s.maySeeEvidence(r.Context(), who(r.Context()), incident)
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	if !allowed {
		s.trouble(w, r, problem.New("evidence_not_for_monitors"))
		return
	}
	if f.IsClip() {
		if err := s.mayWatch(r.Context(), who(r.Context()), f, r.URL.Query().Get("view")); err != nil {
			s.trouble(w, r, err)
			return
		}
	}
	// The store knows the two names, so they are ones that ingest has checked.
	file, err := s.o.Evidence.Open(r.Context(), evidence.Key{Incident: incident, Name: name})
	if errors.Is(err, fs.ErrNotExist) { // expired just now
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	defer file.Close() //nolint:errcheck // only read
	if err := s.recordRead(r.Context(), who(r.Context()), incident, name); err != nil {
		s.trouble(w, r, err)
		return
	}
	h := w.Header()
	switch f.ContentType {
	case "image/jpeg", "image/png", "video/mp4", "application/json", "text/plain; charset=utf-8":
		h.Set("Content-Type", f.ContentType)
	default:
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", "attachment")
	}
	if r.URL.Query().Has("download") {
		h.Set("Content-Disposition", `attachment; filename="`+incident+"-"+name+`"`)
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", f.Time, file)
}
