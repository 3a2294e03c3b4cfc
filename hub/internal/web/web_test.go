package web

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// media writes down what the relay would have been asked for.
type media struct{ asked []string }

func (m *media) note(w http.ResponseWriter, r *http.Request, parts ...string) {
	if _, err := io.ReadAll(r.Body); err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	m.asked = append(m.asked, strings.Join(parts, " "))
	w.WriteHeader(http.StatusCreated)
}

func (m *media) ServeWHIP(w http.ResponseWriter, r *http.Request, edge, device string) {
	m.note(w, r, "whip", edge, device)
}

func (m *media) ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string) {
	m.note(w, r, "whip", edge, device, id)
}

func (m *media) ServeWHEP(w http.ResponseWriter, r *http.Request, edge, device string, v relay.Viewer) {
	m.note(w, r, "whep", edge, device, v.Who, v.Incident, v.Reason)
}

func (m *media) ServeWHEPSession(w http.ResponseWriter, r *http.Request, edge, device, id string, _ relay.Viewer) {
	m.note(w, r, "whep", edge, device, id)
}

func (m *media) Live(edge, _ string) bool { return edge == "live" }

// port is a running public port with one token for each role.
type port struct {
	*httptest.Server
	store  *store.Store
	auth   *auth.Service
	media  *media
	tokens map[auth.Role]string
	server *Server
}

func newPort(t *testing.T) *port {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	st, err := store.Open(store.Options{Dir: t.TempDir(), Logger: log})
	if err != nil {
		t.Fatal(err)
	}
	people, err := auth.New(auth.Options{Store: st, Logger: log, Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	p := &port{store: st, auth: people, media: &media{}, tokens: map[auth.Role]string{}}
	for _, role := range []auth.Role{auth.Monitor, auth.Dispatcher, auth.Administrator} {
		if p.tokens[role], _, err = people.CreateToken(t.Context(), "test", string(role), role); err != nil {
			t.Fatal(err)
		}
	}
	files := fstest.MapFS{
		"index.html":           {Data: []byte("<!doctype html>")},
		"app.js":               {Data: []byte("'use strict'")},
		"assets/large-abc.css": {Data: bytes.Repeat([]byte("a{}"), 2000)},
	}
	p.server, err = New(Options{
		Store: st, Auth: people, Media: p.media, Files: files, Policy: "default-src 'self'", Logger: log, Version: "test",
		AllowPrivateWebhooks: true, KeepAlive: 50 * time.Millisecond,
	})
	if err != nil {
		t.Fatal(err)
	}
	p.Server = httptest.NewServer(p.server.Handler())
	t.Cleanup(func() {
		p.Server.Close()
		if err := st.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

type answer struct {
	status int
	header http.Header
	body   []byte
}

func (a answer) decode(t *testing.T, into any) {
	t.Helper()
	if err := json.Unmarshal(a.body, into); err != nil {
		t.Fatalf("%s: %v", a.body, err)
	}
}

// call sends a request as a role; an empty role sends no credentials.
func (p *port) call(t *testing.T, role auth.Role, method, path string, body any, header ...string) answer {
	t.Helper()
	if role != "" {
		header = append(header, "Authorization", "Bearer "+p.tokens[role])
	}
	return p.send(t, method, path, body, header...)
}

func (p *port) send(t *testing.T, method, path string, body any, header ...string) answer {
	t.Helper()
	var r io.Reader
	kind := ""
	switch b := body.(type) {
	case nil:
	case []byte:
		r, kind = bytes.NewReader(b), "application/sdp"
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r, kind = bytes.NewReader(text), "application/json"
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	if kind != "" {
		req.Header.Set("Content-Type", kind)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below
	out := answer{status: res.StatusCode, header: res.Header}
	if out.body, err = io.ReadAll(res.Body); err != nil {
		t.Fatal(err)
	}
	return out
}

const incidentID = "0190f000-0000-7000-8000-000000000001"

// fill gives the hub an edge with two devices and an incident.
func (p *port) fill(t *testing.T) {
	t.Helper()
	if err := p.store.AddEdge(t.Context(), "test", "gate-7", []byte("x"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	p.apply(t, 1, api.Inventory{Version: "1", Devices: []api.Device{
		{Name: "yard", Kind: devices.Camera, Place: &devices.Place{Lat: 30.92, Lon: 120.93, Heading: 0, FOV: 90, Range: 60}},
		{Name: "river", Kind: devices.Sensor, Unit: "m"},
	}})
	now := time.Now()
	p.apply(t, 2, store.Alert{Title: "motion in the yard", Incident: detection.Incident{
		ID: incidentID, Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate, State: detection.Open,
		Opened: now, Updated: now, Version: 1, Class: detection.Motion, Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}, Count: 1,
	}})
	dir := filepath.Join(p.store.Dir(), "evidence", incidentID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.jpg"), []byte("picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	ev := api.Evidence{Incident: incidentID, Name: "a.jpg", ContentType: "image/jpeg", Size: 7, SHA256: strings.Repeat("a", 64), Time: now}
	p.apply(t, 3, ev)
	if err := p.store.CompleteEvidence(t.Context(), "gate-7", store.Upload{Evidence: ev}); err != nil {
		t.Fatal(err)
	}
}

func (p *port) apply(t *testing.T, seq uint64, value any) {
	t.Helper()
	got, err := p.store.Apply(context.WithoutCancel(t.Context()), store.Batch{Edge: "gate-7", Epoch: "a", Events: []store.Event{{Lane: api.LaneAlerts, Seq: seq, Value: value}}})
	if err != nil || len(got.Ack.Refused) > 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

// contract is what scripts outside the repository rely on.
func contract() []string {
	return []string{
		"POST /whip/{edge}/{device}", "POST /whep/{edge}/{device}", "GET /api/v1/incidents", "GET /api/v1/incidents/{id}",
		"GET /api/v1/devices", "GET /api/v1/nearby", "GET /api/v1/stream", "POST /api/v1/reports", "GET /openapi.json",
		"GET /metrics", "GET /healthz", "GET /readyz",
	}
}

// routes reads every route out of the description that the hub serves.
func (p *port) routes(t *testing.T) map[string]operation {
	t.Helper()
	var doc struct {
		OpenAPI string                          `json:"openapi"`
		Paths   map[string]map[string]operation `json:"paths"`
	}
	res := p.call(t, auth.Monitor, "GET", "/openapi.json", nil)
	res.decode(t, &doc)
	if !strings.HasPrefix(doc.OpenAPI, "3.1") {
		t.Errorf("OpenAPI %q", doc.OpenAPI)
	}
	all := map[string]operation{}
	for path, methods := range doc.Paths {
		for method, op := range methods {
			all[strings.ToUpper(method)+" "+path] = op
		}
	}
	return all
}

type operation struct {
	ID          string                     `json:"operationId"`
	Description string                     `json:"description"`
	Responses   map[string]json.RawMessage `json:"responses"`
	Parameters  []struct {
		Name string `json:"name"`
		In   string `json:"in"`
	} `json:"parameters"`
}

func TestDescriptionIsWholeAndHasTheContract(t *testing.T) {
	p := newPort(t)
	routes := p.routes(t)
	for _, want := range contract() {
		if _, ok := routes[want]; !ok {
			t.Errorf("%s is not described", want)
		}
	}
	seen := map[string]string{}
	for route, op := range routes {
		if op.ID == "" || seen[op.ID] != "" {
			t.Errorf("%s has the operation ID %q, as %s", route, op.ID, seen[op.ID])
		}
		seen[op.ID] = route
		if len(op.Responses) == 0 {
			t.Errorf("%s has no responses", route)
		}
		named := map[string]bool{}
		for _, param := range op.Parameters {
			named[param.In+" "+param.Name] = true
		}
		for _, part := range strings.Split(route, "/") {
			if name, ok := strings.CutPrefix(part, "{"); ok && !named["path "+strings.TrimSuffix(name, "}")] {
				t.Errorf("%s does not describe its parameter %s", route, name)
			}
		}
	}
	var doc map[string]any
	p.call(t, auth.Monitor, "GET", "/openapi.json", nil).decode(t, &doc)
	refs(t, doc, doc)
}

// refs checks that every reference leads somewhere.
func refs(t *testing.T, doc map[string]any, at any) {
	t.Helper()
	switch v := at.(type) {
	case map[string]any:
		if ref, ok := v["$ref"].(string); ok {
			var to any = doc
			for _, part := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
				m, _ := to.(map[string]any)
				to = m[part]
			}
			if to == nil {
				t.Errorf("%s leads nowhere", ref)
			}
		}
		for _, inner := range v {
			refs(t, doc, inner)
		}
	case []any:
		for _, inner := range v {
			refs(t, doc, inner)
		}
	}
}
