package web

import (
	"compress/gzip"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
)

// TestViews: every address of the console answers with its entrance, so that deep links and the
// browser's reload work; nothing of the API does.
func TestViews(t *testing.T) {
	p := newPort(t)
	browser := []string{"Accept", "text/html,application/xhtml+xml,*/*;q=0.8"}
	for _, path := range []string{"/", "/incidents", "/incidents/0198-abc?x=1", "/map?at=1,2,3", "/devices/yard/cam-1", "/no/such/view"} {
		got := p.call(t, "", http.MethodGet, path, nil, browser...)
		if got.status != http.StatusOK || string(got.body) != "<!doctype html>" || got.header.Get("Content-Security-Policy") != "default-src 'self'" {
			t.Errorf("%s: %d %q %v", path, got.status, got.body, got.header)
		}
	}
	for _, path := range []string{"/api/v1/incidents", "/api/v1/nothing", "/openapi.json", "/metrics", "/whep/yard/cam-1", "/assets/gone-123.js"} {
		if got := p.call(t, "", http.MethodGet, path, nil, browser...); got.status != http.StatusUnauthorized {
			t.Errorf("%s without credentials: %d", path, got.status)
		}
	}
	if got := p.call(t, "", http.MethodPost, "/incidents", nil, browser...); got.status != http.StatusUnauthorized {
		t.Errorf("POST to a view: %d", got.status)
	}
	if got := p.call(t, "", http.MethodGet, "/incidents", nil, "Accept", "application/json"); got.status != http.StatusUnauthorized {
		t.Errorf("a program asking for a view: %d", got.status)
	}
	if got := p.call(t, "", http.MethodGet, "/healthz", nil, browser...); string(got.body) != "ok\n" {
		t.Errorf("/healthz by a browser: %q", got.body)
	}
}

// TestAssets: what is named by its content is kept by browsers and sent packed, once each.
func TestAssets(t *testing.T) {
	p := newPort(t)
	const path = "/assets/large-abc.css"
	plain := p.call(t, "", http.MethodGet, path, nil, "Accept-Encoding", "identity")
	if plain.status != http.StatusOK || len(plain.body) != 6000 || !strings.Contains(plain.header.Get("Cache-Control"), "immutable") {
		t.Fatalf("%d, %d bytes, %v", plain.status, len(plain.body), plain.header)
	}
	packed := p.call(t, "", http.MethodGet, path, nil, "Accept-Encoding", "br, gzip;q=1.0")
	if packed.header.Get("Content-Encoding") != "gzip" || len(packed.body) > 1000 || packed.header.Get("ETag") == plain.header.Get("ETag") {
		t.Fatalf("%d bytes, %v", len(packed.body), packed.header)
	}
	r, err := gzip.NewReader(strings.NewReader(string(packed.body)))
	if err != nil {
		t.Fatal(err)
	}
	if text, err := io.ReadAll(r); err != nil || string(text) != string(plain.body) {
		t.Fatalf("%d bytes unpacked, error %v", len(text), err)
	}
	if got := p.call(t, "", http.MethodGet, path, nil, "Accept-Encoding", "gzip", "If-None-Match", packed.header.Get("ETag")); got.status != http.StatusNotModified {
		t.Errorf("with its ETag: %d", got.status)
	}
	if got := p.call(t, "", http.MethodGet, path, nil, "Accept-Encoding", "gzip;q=0"); got.header.Get("Content-Encoding") != "" {
		t.Error("gzip to a client that refuses it")
	}
}

var update = flag.Bool("update", false, "write hub/ui/src/api/openapi.json")

// TestDescription: the console's types are made from what the hub serves. After a change of the API:
// go test ./hub/internal/web -run TestDescription -update, then npm run types in hub/ui.
func TestDescription(t *testing.T) {
	const path = "../../ui/src/api/openapi.json"
	s, err := New(Options{Version: "of the console"})
	if err != nil {
		t.Fatal(err)
	}
	var description any
	if err := json.Unmarshal(s.openapi, &description); err != nil {
		t.Fatal(err)
	}
	want, err := json.MarshalIndent(description, "", " ")
	if err != nil {
		t.Fatal(err)
	}
	want = append(want, '\n')
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	have, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(have) != string(want) {
		t.Errorf("%s is not what the hub serves: go test ./hub/internal/web -run TestDescription -update, then npm run types in hub/ui", path)
	}
}
