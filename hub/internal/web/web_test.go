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
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/leases"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/store/telemetry"
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

func (m *media) ServeWHIP(w http.ResponseWriter, r *http.Request, p relay.Publication) {
	m.note(w, r, "whip", p.Edge, p.Device)
}

func (m *media) ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string) {
	m.note(w, r, "whip", edge, device, id)
}

func (m *media) ServeWHEP(w http.ResponseWriter, r *http.Request, edge, device string, v relay.Viewer) {
	m.note(w, r, "whep", edge, device, v.User, v.Incident, v.Reason)
}

func (m *media) ServeWHEPSession(w http.ResponseWriter, r *http.Request, edge, device, id string, _ relay.Viewer) {
	m.note(w, r, "whep", edge, device, id)
}

func (m *media) ServeFMP4(w http.ResponseWriter, r *http.Request, edge, device, sessions string, v relay.Viewer) {
	m.note(w, r, "live", edge, device, sessions, v.User, v.Incident, v.Reason)
}

// port is a running public port with one token for each role.
type port struct {
	*httptest.Server
	db        *db.DB
	edges     *edges.Repository
	dir       string
	auth      *auth.Service
	people    *people.Repository
	leases    *leases.Repository
	audit     *audit.Repository
	media     *media
	tokens    map[auth.Role]string
	server    *Server
	feed      *feed.Tail
	access    *access.Registry
	incidents *incidents.Repository

	credentials *credential.Authority
	ahead       time.Duration     // of the clock of credentials; set between requests
	relays      map[string]string // by edge; set before requests
}

func newPort(t *testing.T) *port { return newPortWithRing(t, 8) }

// newPortWithRing is newPort with another number of entries in the ring of the live stream.
func newPortWithRing(t *testing.T, entries int) *port {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	dir := t.TempDir()
	d := dbtest.Open(t, db.SQLite, db.Options{Dir: dir, Logger: log})
	readings := dbtest.Open(t, db.SQLite, telemetry.Options(db.Options{Dir: dir, Logger: log}))
	users, records := people.New(d, people.Hooks{}), leases.New(d, func(l leases.Lease) any { return PresentLease(l) })
	service, err := auth.New(auth.Options{People: users, Logger: log, Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	p := &port{
		db: d, incidents: announce.Incidents(d), edges: edges.New(d, edges.Options{}), dir: dir, auth: service, people: users, leases: records, audit: audit.New(d),
		media: &media{}, tokens: map[auth.Role]string{},
	}
	for _, role := range []auth.Role{auth.Monitor, auth.Dispatcher, auth.Administrator} {
		if p.tokens[role], _, err = service.CreateToken(t.Context(), auth.NewToken{By: "test", Name: string(role), Role: role}); err != nil {
			t.Fatal(err)
		}
	}
	p.access = access.New(access.Options{
		Principals: service, Edges: p.edges, Incidents: p.incidents, Leases: records, Wake: func() <-chan struct{} { return d.Wait(db.Access, "") },
		Logger: log, Every: time.Hour, // wakes must be enough
	})
	p.feed = feed.New(feed.Options{Source: d, Histories: d, Logger: log, Entries: entries})
	files := fstest.MapFS{
		"index.html":           {Data: []byte("<!doctype html>")},
		"app.js":               {Data: []byte("'use strict'")},
		"assets/large-abc.css": {Data: bytes.Repeat([]byte("a{}"), 2000)},
	}
	p.credentials = credential.New(bytes.Repeat([]byte{1}, 32), func() time.Time { return time.Now().Add(p.ahead) })
	p.server, err = New(Options{
		Credentials: p.credentials, RelayOf: func(edge string) string { return p.relays[edge] },
		DB: d, Incidents: p.incidents, Alerts: alerts.New(d, alerts.Options{}), Edges: p.edges, Telemetry: telemetry.New(readings, log), Evidence: evidence.NewFolder(dir), Auth: service, People: users, Leases: records, Views: testViews{leases.NewKeeper(records, "run", log)}, Audit: p.audit, Media: p.media, Files: files, Policy: "default-src 'self'", Logger: log, Version: "test",
		AllowPrivateWebhooks: true, KeepAlive: 50 * time.Millisecond, Access: p.access, Feed: p.feed, Hub: "run",
	})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 2)
	go func() { ended <- p.feed.Run(ctx) }()
	go func() { ended <- p.access.Run(ctx) }()
	p.Server = httptest.NewServer(p.server.Handler())
	t.Cleanup(func() {
		cancel()
		for range cap(ended) {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		p.Server.Close()
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
	if err := p.edges.Add(t.Context(), "test", "gate-7", []byte("x"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := edges.NewPresence(p.edges, slog.New(slog.DiscardHandler)).Seen(t.Context(), "gate-7"); err != nil {
		t.Fatal(err)
	}
	yard := &devices.Place{Lat: 30.92, Lon: 120.93, Heading: 0, FOV: 90, Range: 60}
	p.inventory(t, api.Inventory{Version: "1", Devices: []api.Device{
		{Name: "yard", Kind: devices.Camera, Place: yard},
		{Name: "river", Kind: devices.Sensor, Unit: "m"},
	}})
	now := time.Now()
	p.alert(t, incidents.Alert{Title: "motion in the yard", Occurred: now, Changed: now, Place: yard, Incident: detection.Incident{
		ID: incidentID, Device: "yard", Rule: "yard", Kind: detection.Zone, Severity: detection.Moderate, State: detection.Open,
		Opened: now, Updated: now, Version: 1, Class: detection.Motion, Box: &detection.Box{X: 0.1, Y: 0.2, W: 0.3, H: 0.4}, Count: 1,
	}})
	dir := filepath.Join(p.dir, "evidence", incidentID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "a.jpg"), []byte("picture"), 0o600); err != nil {
		t.Fatal(err)
	}
	ev := api.Evidence{Incident: incidentID, Name: "a.jpg", ContentType: "image/jpeg", Size: 7, SHA256: strings.Repeat("a", 64), Time: now}
	p.update(t, func(tx *db.Tx) error { return p.incidents.AnnounceEvidence(tx, "gate-7", ev, now) })
	if err := p.incidents.CompleteEvidence(t.Context(), "gate-7", incidents.Upload{Evidence: ev}); err != nil {
		t.Fatal(err)
	}
}

func (p *port) update(t *testing.T, fn func(*db.Tx) error) {
	t.Helper()
	if err := p.db.Update(context.WithoutCancel(t.Context()), "test", fn); err != nil {
		t.Error(err)
	}
}

// inventory gives gate-7 devices.
func (p *port) inventory(t *testing.T, inv api.Inventory) {
	t.Helper()
	p.update(t, func(tx *db.Tx) error {
		w := p.edges.WriteDevices(tx, "gate-7", "gate-7")
		if _, err := w.Inventory(inv); err != nil {
			return err
		}
		return w.Flush()
	})
}

// alert applies an alert of gate-7.
func (p *port) alert(t *testing.T, a incidents.Alert) {
	t.Helper()
	p.update(t, func(tx *db.Tx) error { return p.incidents.ApplyAlert(tx, "gate-7", "gate-7", a) })
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

// testViews begins and ends leases, as the hub does.
type testViews struct{ keeper *leases.Keeper }

func (v testViews) Begin(ctx context.Context, l relay.Lease) (string, context.Context, error) {
	id, err := v.keeper.Begin(ctx, leases.Lease{
		Edge: l.Edge, Device: l.Device, Who: l.User, Incident: l.Incident, Reason: l.Reason, File: l.File, Began: l.From, Until: l.Until,
	})
	return id, nil, err
}

func (v testViews) End(id string, cause devices.Cause) { v.keeper.End(id, cause) }
