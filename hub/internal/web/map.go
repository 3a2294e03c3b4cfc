package web

import (
	"context"
	"errors"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
)

// What the map is drawn on lies beside the hub's data: DATA/map/*.geojson, drawn in the order of
// their names, and DATA/map/base.pmtiles. Both are optional, and are looked for at each request,
// so that a file can be put there while the hub runs.
const (
	mapFolder  = "map"
	mapBase    = "base.pmtiles"
	mapSuffix  = ".geojson"
	maxLayers  = 16       // more would slow every map down; the first by name are taken
	maxLayer   = 32 << 20 // bytes; a browser reads a layer whole
	layersPath = "/api/v1/map/layers"
	basePath   = "/api/v1/map/base.pmtiles"
)

// mapFile is one file that the map is drawn on.
type mapFile struct {
	Name     string    `json:"name" doc:"without its suffix"`
	URL      string    `json:"url" doc:"where it is served, on this hub"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	TooLarge bool      `json:"too_large,omitempty" doc:"a layer of more than 32 MiB is not served"`
}

type mapLayersOutput struct {
	Body struct {
		Layers []mapFile `json:"layers" doc:"GeoJSON, in the order in which they are drawn"`
		Base   *mapFile  `json:"base" doc:"one PMTiles archive under the layers; null without one"`
	}
}

func (s *Server) registerMap() {
	register(s, auth.Monitor, huma.Operation{
		OperationID: "list-map-layers", Method: http.MethodGet, Path: layersPath, Tags: []string{"map"},
		Summary: "The files beside the hub that the map is drawn on",
	}, s.mapLayers)
	s.raw(auth.Monitor, "GET", layersPath+"/{name}", "get-map-layer", "A layer of the map as GeoJSON (RFC 7946)", s.mapLayer)
	s.raw(auth.Monitor, "GET", basePath, "get-map-base", "The map's base as a PMTiles archive, with byte ranges", func(w http.ResponseWriter, r *http.Request) {
		s.serveMap(w, r, mapBase, "application/vnd.pmtiles")
	})
}

func (s *Server) mapLayers(context.Context, *struct{}) (*mapLayersOutput, error) {
	out := &mapLayersOutput{}
	out.Body.Layers = []mapFile{}
	entries, err := os.ReadDir(s.mapDir()) // in the order of their names
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		info, err := os.Stat(filepath.Join(s.mapDir(), e.Name()))
		if err != nil || !info.Mode().IsRegular() {
			continue // taken away just now, or no file
		}
		f := mapFile{Bytes: info.Size(), Modified: info.ModTime().UTC()}
		name, layer := strings.CutSuffix(e.Name(), mapSuffix)
		switch {
		case e.Name() == mapBase:
			f.Name, f.URL = "base", basePath
			out.Body.Base = &f
		case layer && isLayer(name):
			f.Name, f.URL, f.TooLarge = name, layersPath+"/"+url.PathEscape(name), f.Bytes > maxLayer
			out.Body.Layers = append(out.Body.Layers, f)
		}
	}
	out.Body.Layers = slices.Clip(out.Body.Layers[:min(len(out.Body.Layers), maxLayers)])
	return out, nil
}

func (s *Server) mapDir() string { return filepath.Join(s.o.Store.Dir(), mapFolder) }

// isLayer says whether a name can be a layer's: one file of the folder, and none that is hidden.
func isLayer(name string) bool {
	return name != "" && len(name) <= 80 && filepath.IsLocal(name) && !strings.ContainsAny(name, `/\`) && name[0] != '.'
}

func (s *Server) mapLayer(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	if !isLayer(name) {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	s.serveMap(w, r, name+mapSuffix, "application/geo+json")
}

// serveMap serves a file of the folder. The name is one that isLayer has let through, or our own; a
// link is followed, for who put it there may have the archive elsewhere.
func (s *Server) serveMap(w http.ResponseWriter, r *http.Request, name, contentType string) {
	file, err := os.Open(filepath.Join(s.mapDir(), name))
	if errors.Is(err, fs.ErrNotExist) {
		problem.Write(w, http.StatusNotFound, "the hub has no such file beside it")
		return
	}
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	defer file.Close() //nolint:errcheck // only read
	info, err := file.Stat()
	if err != nil {
		s.trouble(w, r, err)
		return
	}
	if !info.Mode().IsRegular() || (contentType == "application/geo+json" && info.Size() > maxLayer) {
		problem.Write(w, http.StatusNotFound, "")
		return
	}
	h := w.Header()
	h.Set("Content-Type", contentType)
	h.Set("Cache-Control", "private, no-cache")
	h.Set("ETag", `"`+strconv.FormatInt(info.ModTime().UnixNano(), 36)+"-"+strconv.FormatInt(info.Size(), 36)+`"`)
	http.ServeContent(w, r, "", info.ModTime(), file)
}
