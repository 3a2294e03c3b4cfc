package web

import (
	"io"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// handle adds a route whose bodies are not JSON, and its entry in the API's description.
func (s *Server) handle(id, summary string, handler http.HandlerFunc) {
	r := s.plan.take(id)
	s.mux.HandleFunc(r.pattern(), handler)
	op := huma.Operation{
		OperationID: id, Summary: summary, Tags: []string{"streams"},
		Responses: map[string]*huma.Response{"default": {Description: "see the summary; errors are application/problem+json (RFC 9457)"}},
	}
	for part := range strings.SplitSeq(r.path, "/") {
		if name, ok := strings.CutPrefix(part, "{"); ok {
			op.Parameters = append(op.Parameters, &huma.Param{
				Name: strings.TrimSuffix(name, "}"), In: "path", Required: true, Schema: &huma.Schema{Type: huma.TypeString},
			})
		}
	}
	describe(&op, r)
	s.api.OpenAPI().AddOperation(&op)
}

func (s *Server) registerHandlers() {
	s.handle("healthz", "Answers while the hub runs", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		_, _ = io.WriteString(w, "ok\n")
	})
	s.handle("readyz", "200 when the hub can do its work, else 503 with the cause", s.ready)
	s.handle("openapi", "This description", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(s.openapi)
	})
	s.handle("incident-event-schema", "JSON Schema of the data of events that are sent to webhooks", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/schema+json")
		_, _ = w.Write(s.eventSchema)
	})
	metrics := promhttp.HandlerFor(s.o.Registry, promhttp.HandlerOpts{})
	s.handle("metrics", "Figures for Prometheus", metrics.ServeHTTP)
	s.handle("stream",
		"Live updates as server-sent events: incident, mute, device, edge, view and reset; Last-Event-ID goes on where a stream broke off", s.stream)
	s.handle("get-evidence", "A file of an incident, with byte ranges", s.getEvidence)

	viewer := "?incident=ID or ?reason=TEXT says what it is for"
	s.handle("live",
		"Watch a camera as fragmented MP4 where WebRTC does not get through: one fragment for each frame; Location is the view's resource; "+viewer, s.live)
	for _, m := range []string{"POST", "OPTIONS", "GET"} {
		s.handle("whep-"+strings.ToLower(m), "Watch a camera: SDP offer in, 201 with the answer and a Location; "+viewer, s.whep)
		s.handle("whip-"+strings.ToLower(m), "Send a camera's picture (RFC 9725); edges do it on their own port", s.whip)
	}
	for _, m := range []string{"DELETE", "PATCH", "OPTIONS", "GET"} {
		s.handle("whep-session-"+strings.ToLower(m), "A view that has begun: PATCH its candidates, DELETE ends it", s.whep)
		s.handle("whip-session-"+strings.ToLower(m), "A publication that has begun", s.whip)
	}
}
