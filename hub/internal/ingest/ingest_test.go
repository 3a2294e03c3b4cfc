package ingest

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/secrets"
	"gridpost/hub/internal/store/telemetry"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type media struct{}

func (media) ServeWHIP(w http.ResponseWriter, _ *http.Request, p Publication) {
	_, _ = io.WriteString(w, p.Edge+"/"+p.Device)
}

func (media) ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string) {
	_, _ = io.WriteString(w, edge+"/"+device+"/"+id)
}

// parts are what an edge port works with, on new databases, and the clock that all of it goes by.
type parts struct {
	full      atomic.Bool // the disk has room for alerts only
	server    *Server
	db        *db.DB
	edges     *edges.Repository
	presence  *edges.Presence
	incidents *incidents.Repository
	telemetry *telemetry.Repository
	authority *authority.Authority
	access    *access.Registry
	dir       string

	credentials *credential.Authority
	relays      map[string]string // by edge

	mu  sync.Mutex
	now time.Time
}

func (p *parts) clock() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.now
}

// panicRule is a rule whose incidents cannot be presented: they stand for a fault of the hub.
const panicRule = "panic"

func present(inc incidents.Incident) any {
	if inc.Rule == panicRule {
		panic("this incident cannot be presented")
	}
	return inc.ID
}

func newParts(t testing.TB, e db.Engine) *parts {
	t.Helper()
	p := &parts{now: time.Now(), dir: t.TempDir()}
	log := slog.New(slog.DiscardHandler)
	p.db = dbtest.Open(t, e, db.Options{Dir: p.dir, Now: p.clock, Logger: log})
	if err := p.db.BeginHistory(t.Context()); err != nil {
		t.Fatal(err)
	}
	p.edges = edges.New(p.db, edges.Options{})
	p.presence = edges.NewPresence(p.edges, log)
	p.incidents = incidents.New(p.db, incidents.Hooks{Present: present})
	p.telemetry = telemetry.New(dbtest.Open(t, e, telemetry.Options(db.Options{Dir: p.dir, Now: p.clock, Logger: log})), log)
	var err error
	if p.authority, err = authority.Open(t.Context(), secrets.InFolder(p.dir, secrets.Authority()), p.clock); err != nil {
		t.Fatal(err)
	}
	p.access = access.New(access.Options{Edges: p.edges, Wake: func() <-chan struct{} { return p.db.Wait(db.Access, "") }, Logger: log})
	p.credentials = credential.New(bytes.Repeat([]byte{1}, 32), p.clock)
	p.server = New(Options{
		Commands: commands.New(), Credentials: p.credentials, RelayOf: func(edge string) string { return p.relays[edge] },
		DB: p.db, Edges: p.edges, Presence: p.presence, Incidents: p.incidents, Telemetry: p.telemetry,
		Evidence: evidence.NewFolder(p.dir), Full: func(context.Context) bool { return p.full.Load() }, Authority: p.authority, Access: p.access, Media: media{}, Logger: log, Now: p.clock, KeepAlive: 20 * time.Millisecond,
	})
	return p
}

// port is a running edge port.
type port struct {
	*httptest.Server
	*parts
}

func newPort(t testing.TB) *port {
	t.Helper()
	p := &port{parts: newParts(t, db.SQLite)}
	p.Server = httptest.NewUnstartedServer(p.server.Handler())
	p.TLS = p.authority.TLS()
	p.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	p.StartTLS()
	t.Cleanup(p.Server.Close)
	return p
}

// pass lets time pass.
func (p *parts) pass(d time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.now = p.now.Add(d)
}

func (p *port) token(t testing.TB, edge, secret string) {
	t.Helper()
	hash := sha256.Sum256([]byte(secret))
	if err := p.edges.Add(t.Context(), "test", edge, hash[:], p.now.Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
}

func newKey(t testing.TB) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func newCSR(t testing.TB, key *ecdsa.PrivateKey) string {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}))
}

// client speaks with a certificate; with none if text is empty.
func (p *port) client(t testing.TB, key *ecdsa.PrivateKey, text string) *http.Client {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(p.authority.PEM()))
	cfg := &tls.Config{RootCAs: roots, ServerName: authority.ServerName}
	if text != "" {
		block, _ := pem.Decode([]byte(text))
		cfg.Certificates = []tls.Certificate{{Certificate: [][]byte{block.Bytes}, PrivateKey: key}}
	}
	// HTTP/1.1, as edges speak it.
	c := &http.Client{Transport: &http.Transport{TLSClientConfig: cfg}, Timeout: 20 * time.Second}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// call sends a request and decodes the answer's body into out, if there is one.
func (p *port) call(t testing.TB, c *http.Client, method, path string, body any, out any, header ...string) reply {
	t.Helper()
	var r io.Reader
	switch b := body.(type) {
	case nil:
	case []byte:
		r = bytes.NewReader(b)
	default:
		text, err := json.Marshal(b)
		if err != nil {
			t.Fatal(err)
		}
		r = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(t.Context(), method, p.URL+path, r)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i+1 < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if out != nil && res.StatusCode == http.StatusOK {
		if err := json.Unmarshal(text, out); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
	return reply{res.StatusCode, res.Status, res.Header, res.Close}
}

// reply is what is left of an answer when its body has been read.
type reply struct {
	StatusCode int
	Status     string
	Header     http.Header
	Close      bool // the hub closes the connection
}

func (p *port) enrol(t testing.TB, edge string) *http.Client {
	t.Helper()
	p.token(t, edge, "secret of "+edge)
	key := newKey(t)
	var out api.EnrolResponse
	res := p.call(t, p.client(t, nil, ""), "POST", "/edge/v1/enrol", api.EnrolRequest{Token: "secret of " + edge, CSR: newCSR(t, key)}, &out)
	if res.StatusCode != http.StatusOK || out.Edge != edge {
		t.Fatalf("enrolling: %s %+v", res.Status, out)
	}
	return p.client(t, key, out.Certificate)
}

func TestEnrolmentBurnsTheTokenAtFirstContact(t *testing.T) {
	p := newPort(t)
	p.token(t, "gate-7", "secret")
	key, other := newKey(t), newKey(t)
	anonymous := p.client(t, nil, "")
	redeem := func(secret string, key *ecdsa.PrivateKey) (api.EnrolResponse, int) {
		var out api.EnrolResponse
		res := p.call(t, anonymous, "POST", "/edge/v1/enrol", api.EnrolRequest{Token: secret, CSR: newCSR(t, key)}, &out)
		return out, res.StatusCode
	}
	if _, status := redeem("another", key); status != http.StatusForbidden {
		t.Errorf("a wrong secret: %d", status)
	}
	first, status := redeem("secret", key)
	if status != http.StatusOK {
		t.Fatalf("the first time: %d", status)
	}
	if _, status := redeem("secret", key); status != http.StatusOK {
		t.Errorf("again with the same key: %d", status)
	}
	if _, status := redeem("secret", other); status != http.StatusForbidden {
		t.Errorf("with another key: %d", status)
	}
	if res := p.call(t, p.client(t, key, first.Certificate), "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("the first contact: %s", res.Status)
	}
	if _, status := redeem("secret", key); status != http.StatusForbidden {
		t.Errorf("after the first contact: %d", status)
	}
	p.token(t, "gate-8", "late")
	p.pass(2 * time.Hour)
	if _, status := redeem("late", other); status != http.StatusForbidden {
		t.Errorf("an expired token: %d", status)
	}
}

func TestWhoIsLetIn(t *testing.T) {
	p := newPort(t)
	good := p.enrol(t, "gate-7")
	paths := []struct{ method, path string }{
		{"POST", "/edge/v1/renew"},
		{"POST", "/edge/v1/events"},
		{"GET", "/edge/v1/commands"},
		{"POST", "/edge/v1/commands/1"},
		{"HEAD", "/edge/v1/evidence/0190f000-0000-7000-8000-000000000000/a.jpg"},
		{"PATCH", "/edge/v1/evidence/0190f000-0000-7000-8000-000000000000/a.jpg"},
		{"POST", "/whip/gate-7/yard"},
		{"DELETE", "/whip/gate-7/yard/1"},
		{"GET", "/anything"},
	}
	for _, path := range paths {
		if res := p.call(t, p.client(t, nil, ""), path.method, path.path, nil, nil); res.StatusCode != http.StatusUnauthorized {
			t.Errorf("%s %s without a certificate: %s", path.method, path.path, res.Status)
		}
	}
	if res := p.call(t, good, "POST", "/whip/gate-7/yard", nil, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("a camera that does not exist: %s", res.Status)
	}
	p.session(t, "gate-7", "a").greet().send(stated(api.Inventory{Version: "1", Devices: []api.Device{
		{Name: "yard", Kind: devices.Camera}, {Name: "river", Kind: devices.Sensor},
	}}))
	if res := p.call(t, good, "POST", "/whip/gate-7/yard", nil, nil); res.StatusCode != http.StatusOK {
		t.Errorf("its own camera: %s", res.Status)
	}
	if res := p.call(t, good, "POST", "/whip/gate-7/river", nil, nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("a device that is no camera: %s", res.Status)
	}
	if res := p.call(t, good, "POST", "/whip/gate-8/yard", nil, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("another edge's device: %s", res.Status)
	}

	// A certificate of the authority that the store does not know: from a stolen backup, say.
	key := newKey(t)
	req, err := authority.ParseRequest(newCSR(t, key))
	if err != nil {
		t.Fatal(err)
	}
	unknown, err := p.authority.Issue("gate-7", req)
	if err != nil {
		t.Fatal(err)
	}
	if res := p.call(t, p.client(t, key, unknown.PEM), "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("an unknown certificate: %s", res.Status)
	}

	if err := p.edges.Revoke(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		if res := p.call(t, good, path.method, path.path, nil, nil); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s %s of a revoked edge: %s", path.method, path.path, res.Status)
		}
	}
}

func TestForeignCertificateEndsTheHandshake(t *testing.T) {
	p := newPort(t)
	p.enrol(t, "gate-7")
	foreign, err := authority.Open(t.Context(), secrets.InFolder(t.TempDir(), secrets.Authority()), nil)
	if err != nil {
		t.Fatal(err)
	}
	key := newKey(t)
	req, err := authority.ParseRequest(newCSR(t, key))
	if err != nil {
		t.Fatal(err)
	}
	cert, err := foreign.Issue("gate-7", req)
	if err != nil {
		t.Fatal(err)
	}
	res, err := p.client(t, key, cert.PEM).Post(p.URL+"/edge/v1/events", "application/json", bytes.NewReader([]byte(`{"epoch":"a"}`)))
	if err == nil {
		_ = res.Body.Close()
		t.Fatalf("a foreign certificate was let in: %s", res.Status)
	}
}

func TestExpiredCertificateMayOnlyBeRenewed(t *testing.T) {
	p := newPort(t)
	p.token(t, "gate-7", "secret")
	key := newKey(t)
	var out api.EnrolResponse
	p.call(t, p.client(t, nil, ""), "POST", "/edge/v1/enrol", api.EnrolRequest{Token: "secret", CSR: newCSR(t, key)}, &out)
	old := p.client(t, key, out.Certificate)
	p.call(t, old, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil)
	p.pass(authority.EdgeLife + time.Hour)
	if res := p.call(t, old, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("events: %s", res.Status)
	}
	next := newKey(t)
	if res := p.call(t, old, "POST", "/edge/v1/renew", api.RenewRequest{CSR: newCSR(t, next)}, &out); res.StatusCode != http.StatusOK {
		t.Fatalf("renewal: %s", res.Status)
	}
	late := p.client(t, next, out.Certificate)
	if res := p.call(t, late, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil); res.StatusCode != http.StatusOK {
		t.Errorf("events with the new one: %s", res.Status)
	}
	// The old one is of no use any more, however it is used.
	for _, path := range []string{"/edge/v1/events", "/edge/v1/renew"} {
		if res := p.call(t, old, "POST", path, api.RenewRequest{CSR: newCSR(t, next)}, nil); res.StatusCode != http.StatusForbidden {
			t.Errorf("%s with the superseded one: %s", path, res.Status)
		}
	}
	// One that expired long ago cannot be renewed.
	p.pass(authority.EdgeLife + authority.RenewGrace - time.Hour)
	if res := p.call(t, late, "POST", "/edge/v1/renew", api.RenewRequest{CSR: newCSR(t, newKey(t))}, nil); res.StatusCode != http.StatusOK {
		t.Errorf("renewal at the end of the grace: %s", res.Status)
	}
	p.pass(2 * time.Hour)
	if res := p.call(t, late, "POST", "/edge/v1/renew", api.RenewRequest{CSR: newCSR(t, newKey(t))}, nil); res.StatusCode != http.StatusForbidden {
		t.Errorf("renewal after the grace: %s", res.Status)
	}
}
