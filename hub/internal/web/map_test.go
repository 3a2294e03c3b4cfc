package web

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"gridpost/hub/internal/auth"
)

type layersBody struct {
	Layers []mapFile `json:"layers"`
	Base   *mapFile  `json:"base"`
}

func TestMapWithoutFiles(t *testing.T) {
	p := newPort(t)
	var got layersBody
	p.call(t, auth.Monitor, "GET", "/api/v1/map/layers", nil).decode(t, &got)
	if got.Layers == nil || len(got.Layers) != 0 || got.Base != nil {
		t.Errorf("%+v without files, want an empty list and no base", got)
	}
	for _, path := range []string{"/api/v1/map/layers/town", "/api/v1/map/base.pmtiles"} {
		if a := p.call(t, auth.Monitor, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, a.status)
		}
	}
}

func TestMapFiles(t *testing.T) {
	p := newPort(t)
	dir := filepath.Join(p.dir, "map")
	if err := os.MkdirAll(filepath.Join(dir, "folder.geojson"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"b.geojson": "{}", "城区.geojson": `{"type":"FeatureCollection","features":[]}`, "base.pmtiles": "PMTiles and more",
		".hidden.geojson": "{}", "notes.txt": "secret",
	} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(filepath.Join(dir, "b.geojson"), maxLayer+1); err != nil {
		t.Fatal(err)
	}
	var got layersBody
	p.call(t, auth.Monitor, "GET", "/api/v1/map/layers", nil).decode(t, &got)
	if len(got.Layers) != 2 || got.Layers[0].Name != "b" || got.Layers[1].Name != "城区" {
		t.Fatalf("layers %+v, want b and 城区", got.Layers)
	}
	if !got.Layers[0].TooLarge || got.Layers[1].TooLarge {
		t.Errorf("too large: %v and %v, want only the first", got.Layers[0].TooLarge, got.Layers[1].TooLarge)
	}
	if got.Base == nil || got.Base.Bytes != 16 {
		t.Fatalf("base %+v, want 16 bytes", got.Base)
	}

	town := p.call(t, auth.Monitor, "GET", got.Layers[1].URL, nil)
	if town.status != http.StatusOK || town.header.Get("Content-Type") != "application/geo+json" || len(town.body) != 42 {
		t.Errorf("a layer: %d, %s, %d bytes", town.status, town.header.Get("Content-Type"), len(town.body))
	}
	again := p.call(t, auth.Monitor, "GET", got.Layers[1].URL, nil, "If-None-Match", town.header.Get("ETag"))
	if again.status != http.StatusNotModified {
		t.Errorf("a layer that has not changed: %d, want 304", again.status)
	}
	part := p.call(t, auth.Monitor, "GET", got.Base.URL, nil, "Range", "bytes=0-6")
	if part.status != http.StatusPartialContent || string(part.body) != "PMTiles" {
		t.Errorf("a part of the base: %d %q, want 206 and its first bytes", part.status, part.body)
	}

	for _, path := range []string{
		"/api/v1/map/layers/b", "/api/v1/map/layers/folder", "/api/v1/map/layers/.hidden", "/api/v1/map/layers/notes.txt",
		"/api/v1/map/layers/..%2Fmap%2Fb", "/api/v1/map/layers/%2e%2e",
	} {
		if a := p.call(t, auth.Monitor, "GET", path, nil); a.status != http.StatusNotFound {
			t.Errorf("%s: %d, want 404", path, a.status)
		}
	}
	if a := p.call(t, "", "GET", got.Layers[1].URL, nil); a.status != http.StatusUnauthorized {
		t.Errorf("without credentials: %d, want 401", a.status)
	}
}

// TestLinksOfTheMap: links are followed within the map folder only, and what is no file is not opened.
func TestLinksOfTheMap(t *testing.T) {
	p := newPort(t)
	dir := filepath.Join(p.dir, "map")
	secret := filepath.Join(p.dir, "ca.geojson")
	if err := errors.Join(
		os.MkdirAll(filepath.Join(dir, "2026"), 0o700), os.WriteFile(secret, []byte(`"secret"`), 0o600),
		os.WriteFile(filepath.Join(dir, "2026", "town.geojson"), []byte("{}"), 0o600),
		os.Symlink(secret, filepath.Join(dir, "absolute.geojson")), os.Symlink("../ca.geojson", filepath.Join(dir, "relative.geojson")),
		os.Symlink(secret, filepath.Join(dir, "base.pmtiles")), os.Symlink("2026/town.geojson", filepath.Join(dir, "town.geojson")),
		os.Symlink("loop.geojson", filepath.Join(dir, "loop.geojson")), os.Symlink("nothing", filepath.Join(dir, "dangling.geojson")),
		syscall.Mkfifo(filepath.Join(dir, "pipe.geojson"), 0o600),
	); err != nil {
		t.Fatal(err)
	}
	var got layersBody
	p.call(t, auth.Monitor, "GET", "/api/v1/map/layers", nil).decode(t, &got)
	if len(got.Layers) != 1 || got.Layers[0].Name != "town" || got.Base != nil {
		t.Errorf("%+v, want town alone", got)
	}
	for name, want := range map[string]int{"town": 200, "absolute": 404, "relative": 404, "loop": 404, "dangling": 404, "pipe": 404} {
		if a := p.call(t, auth.Monitor, "GET", "/api/v1/map/layers/"+name, nil); a.status != want || strings.Contains(string(a.body), "secret") {
			t.Errorf("%s: %d %s, want %d", name, a.status, a.body, want)
		}
	}
	if a := p.call(t, auth.Monitor, "GET", "/api/v1/map/base.pmtiles", nil); a.status != http.StatusNotFound {
		t.Errorf("the base: %d", a.status)
	}
}
