package web

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
)

// maxOffer bounds a session description in bytes.
const maxOffer = 256 << 10

// raw adds a route that is not JSON in and JSON out, with its line in the API's description.
func (s *Server) raw(role auth.Role, method, path, id, summary string, handle http.HandlerFunc) {
	if role != "" {
		handle = need(role, handle)
	}
	s.mux.HandleFunc(method+" "+path, handle)
	op := huma.Operation{
		OperationID: id, Method: method, Path: path, Summary: summary, Tags: []string{"streams"},
		Responses: map[string]*huma.Response{"default": {Description: "see the summary; errors are application/problem+json (RFC 9457)"}},
	}
	for part := range strings.SplitSeq(path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			})
		}
	}
	describe(&op, role)
	s.api.OpenAPI().AddOperation(&op)
}

func (s *Server) registerRaw() {
	s.raw("", "GET", "/healthz", "healthz", "Answers while the hub runs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	s.raw("", "GET", "/readyz", "readyz", "200 when the hub can do its work, else 503 with the cause", s.ready)
	s.raw(auth.Monitor, "GET", "/openapi.json", "openapi", "This description", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.openapi)
	})
	metrics := promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{})
	s.raw(auth.Monitor, "GET", "/metrics", "metrics", "Figures for Prometheus", metrics.ServeHTTP)
	s.raw(auth.Monitor, "GET", "/api/v1/stream", "stream",
		"Live updates as server-sent events: incident, device, edge, view and reset; Last-Event-ID goes on where a stream broke off", s.stream)
	s.raw(auth.Monitor, "GET", "/api/v1/evidence/{incident}/{name}", "get-evidence", "A file of an incident, with byte ranges", s.evidence)

	viewer := "?incident=ID or ?reason=TEXT says what it is for"
	for _, m := range []string{"POST", "OPTIONS", "GET"} {
		s.raw(auth.Dispatcher, m, "/whep/{edge}/{device}", "whep-"+strings.ToLower(m), "Watch a camera: SDP offer in, 201 with the answer and a Location; "+viewer, s.whep)
		s.raw(auth.Administrator, m, "/whip/{edge}/{device}", "whip-"+strings.ToLower(m), "Send a camera's picture (RFC 9725); edges do it on their own port", s.whip)
	}
	for _, m := range []string{"DELETE", "PATCH", "OPTIONS", "GET"} {
		s.raw(auth.Dispatcher, m, "/whep/{edge}/{device}/{id}", "whep-session-"+strings.ToLower(m), "A view that has begun: PATCH its candidates, DELETE ends it", s.whep)
		s.raw(auth.Administrator, m, "/whip/{edge}/{device}/{id}", "whip-session-"+strings.ToLower(m), "A publication that has begun", s.whip)
	}
}

// whep lets dispatchers watch. A camera is one that an edge has told of, or one that an
// administrator sends just now.
func (s *Server) whep(w http.ResponseWriter, r *http.Request) {
	edge, device := r.PathValue("edge"), r.PathValue("device")
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	q := r.URL.Query()
	viewer := relay.Viewer{Who: who(r.Context()).Name, Incident: clip(q.Get("incident"), 80), Reason: clip(q.Get("reason"), 200)}
	if id := r.PathValue("id"); id != "" {
		s.o.Media.ServeWHEPSession(w, r, edge, device, id, viewer)
		return
	}
	if !s.o.Media.Live(edge, device) {
		d, err := s.o.Store.Device(r.Context(), edge, device)
		if err != nil || d.Kind != "camera" {
			problem.Write(w, http.StatusNotFound, "there is no such camera")
			return
		}
	}
	if viewer.Incident != "" {
		if _, err := s.o.Store.Incident(r.Context(), viewer.Incident); err != nil {
			problem.Write(w, http.StatusNotFound, "there is no such incident")
			return
		}
	}
	s.o.Media.ServeWHEP(w, r, edge, device, viewer)
}

func clip(text string, limit int) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if runes := []rune(text); len(runes) > limit {
		return string(runes[:limit])
	}
	return text
}

// whip takes pictures from programs of an administrator; an edge sends them on its own port.
func (s *Server) whip(w http.ResponseWriter, r *http.Request) {
	edge, device := r.PathValue("edge"), r.PathValue("device")
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	if !isName(edge) || !isName(device) {
		problem.Write(w, http.StatusNotFound, "names of edges and devices are of [a-z0-9-]{1,40}")
		return
	}
	if id := r.PathValue("id"); id != "" {
		s.o.Media.ServeWHIPSession(w, r, edge, device, id)
		return
	}
	s.o.Media.ServeWHIP(w, r, edge, device)
}

func isName(s string) bool {
	return s != "" && len(s) <= 40 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// evidence serves a file under a policy that lets it run nothing, whatever an edge has called it.
func (s *Server) evidence(w http.ResponseWriter, r *http.Request) {
	incident, name := r.PathValue("incident"), r.PathValue("name")
	f, err := s.o.Store.Evidence(r.Context(), incident, name)
	if err != nil {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	// The store knows the two names, so they are ones that ingest has checked.
	file, err := os.Open(filepath.Join(s.o.Store.Dir(), "evidence", incident, name))
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	defer file.Close() //nolint:errcheck // only read
	h := w.Header()
	switch f.ContentType {
	case "image/jpeg", "image/png", "video/mp4", "application/json", "text/plain; charset=utf-8":
		h.Set("Content-Type", f.ContentType)
	default:
		h.Set("Content-Type", "application/octet-stream")
		h.Set("Content-Disposition", "attachment")
	}
	h.Set("Content-Security-Policy", "default-src 'none'; sandbox")
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+f.SHA256+`"`)
	http.ServeContent(w, r, "", f.Time, file)
}

// lowDisk is the room in bytes below which the hub says that it is not ready.
const lowDisk = 64 << 20

func (s *Server) ready(w http.ResponseWriter, r *http.Request) {
	problems := []string{}
	if err := s.o.Store.Ping(r.Context()); err != nil {
		s.o.Logger.Error("checking readiness", "error", err)
		problems = append(problems, "the database does not answer")
	}
	if room, err := diskRoom(s.o.Store.Dir()); err == nil && room < lowDisk {
		problems = append(problems, "the disk is full")
	}
	if len(problems) > 0 {
		problem.Write(w, http.StatusServiceUnavailable, strings.Join(problems, "; "))
		return
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = io.WriteString(w, "ready\n")
}

func diskRoom(dir string) (uint64, error) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil {
		return 0, err
	}
	return st.Bavail * uint64(st.Bsize), nil
}

// visible says whether a role sees a kind of change: who watches what is for administrators.
func visible(kind string, role auth.Role) bool {
	return kind != api.ChangeView || role.Allows(auth.Administrator)
}
