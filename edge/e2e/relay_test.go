package e2e

import (
	"context"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
	"gridpost/streams/webrtc"
)

// elsewhere stands for a relay on another machine: another origin, with a certificate of its own, behind which the hub's
// public port is reached. It notes who has published and watched.
type elsewhere struct {
	*httptest.Server

	mu     sync.Mutex
	hub    *url.URL
	bearer map[string]string // the newest bearer token, by method and path
}

func newElsewhere(t *testing.T) *elsewhere {
	t.Helper()
	e := &elsewhere{bearer: map[string]string{}}
	proxy := &httputil.ReverseProxy{FlushInterval: -1, Rewrite: func(r *httputil.ProxyRequest) {
		e.mu.Lock()
		defer e.mu.Unlock()
		r.SetURL(e.hub)
		token, _ := strings.CutPrefix(r.In.Header.Get("Authorization"), "Bearer ")
		e.bearer[r.In.Method+" "+r.In.URL.Path] = token
	}}
	e.Server = httptest.NewTLSServer(proxy)
	t.Cleanup(e.Close)
	return e
}

// lead sends what comes to the relay to a hub.
func (e *elsewhere) lead(t *testing.T, h *rig.Hub) {
	t.Helper()
	at, err := url.Parse(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.hub = at
}

// token returns the newest bearer token of a request that has come.
func (e *elsewhere) token(request string) (token string, came bool) {
	e.mu.Lock()
	defer e.mu.Unlock()
	token, came = e.bearer[request]
	return token, came
}

// certificate writes the certificate of the relay to a file.
func (e *elsewhere) certificate(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "relay.pem")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: e.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// send sends a request with a bearer token to the relay and returns the status and the first bytes of the answer.
func (e *elsewhere) send(t *testing.T, method, address, token string, bytes int64) (status int, start []byte) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := e.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }() // broken off on purpose
	if start, err = io.ReadAll(io.LimitReader(res.Body, bytes)); err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, start
}

// An edge publishes to a relay elsewhere, and viewers watch there, as the hub says, with credentials of the hub. When the
// edge is revoked, the view ends and the edge's credential admits nobody.
func TestRelayElsewhere(t *testing.T) {
	relay := newElsewhere(t)
	dir := t.TempDir()
	config := filepath.Join(dir, "hub.yml")
	if err := os.WriteFile(config, fmt.Appendf(nil, "relays: [%q]\npublic_url: https://desk.example\n", relay.URL), 0o600); err != nil {
		t.Fatal(err)
	}
	h, err := rig.StartHubWith(t.Context(), programs(t), dir, rig.HubOptions{Config: config})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		h.Close()
		if err := h.Stop(); err != nil {
			t.Error(err)
		}
	})
	relay.lead(t, h)
	startSite(t, h, rig.SiteOptions{
		Name: "gate-7", Footage: pedestrians(t), Cameras: map[string][]rig.Map{"yard": nil}, Env: []string{"SSL_CERT_FILE=" + relay.certificate(t)},
	})
	if err := h.AllOnline(t.Context(), 1, 90*time.Second); err != nil {
		t.Fatal(err)
	}
	var source public.LiveSource
	if err := h.Get(t.Context(), "/api/v1/devices/gate-7/yard/live?reason=test", &source); err != nil {
		t.Fatal(err)
	}
	if source.WHEP != relay.URL+"/whep/gate-7/yard?reason=test" || source.Credential == nil {
		t.Fatalf("the hub names %+v", source)
	}

	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	begun, ended := make(chan struct{}), make(chan error, 1)
	go func() {
		begin := sync.OnceFunc(func() { close(begun) })
		_, err := engine.Play(ctx, webrtc.PlayOptions{
			URL: source.WHEP, Header: http.Header{"Authorization": {"Bearer " + *source.Credential}}, Client: relay.Client(),
			OnFrame: func(f webrtc.Frame) {
				if f.Complete {
					begin()
				}
			},
		})
		ended <- err
	}()
	t.Cleanup(func() {
		stop()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	select {
	case <-begun:
	case err := <-ended:
		t.Fatalf("the view ended: %v", err)
	case <-time.After(90 * time.Second):
		t.Fatal("no frame has come")
	}
	credential, came := relay.token("POST /whip/gate-7/yard")
	if !came || credential == "" {
		t.Fatal("the edge has not published to the relay with a credential")
	}
	status, start := relay.send(t, http.MethodGet, source.FMP4, *source.Credential, 8)
	if status != http.StatusOK || len(start) < 8 || string(start[4:]) != "ftyp" {
		t.Errorf("fragmented MP4: %d, %q", status, start)
	}
	if status, _ := relay.send(t, http.MethodPost, relay.URL+"/whip/gate-7/other", credential, 1<<10); status != http.StatusForbidden {
		t.Errorf("the edge's credential for another camera: %d", status)
	}
	page, err := relay.Client().Get(h.URL)
	if err != nil {
		t.Fatal(err)
	}
	_ = page.Body.Close()
	if policy := page.Header.Get("Content-Security-Policy"); !strings.Contains(policy, "connect-src 'self' "+relay.URL+";") {
		t.Errorf("the policy of the console is %q", policy)
	}

	if _, err := h.Command(t.Context(), "", "edge", "revoke", "gate-7"); err != nil {
		t.Fatal(err)
	}
	if status, _ := relay.send(t, http.MethodPost, relay.URL+"/whip/gate-7/yard", credential, 1<<10); status != http.StatusForbidden {
		t.Errorf("the credential of a revoked edge: %d", status)
	}
	select {
	case err := <-ended:
		t.Logf("the view ended: %v", err)
	case <-time.After(90 * time.Second):
		t.Error("the view of a revoked edge goes on")
	}
}
