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
	"syscall"
	"time"

	"github.com/danielgtaylor/huma/v2"

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
	register(s, huma.Operation{
		OperationID: "list-map-layers", Tags: []string{"map"},
		Summary: "The files beside the hub that the map is drawn on",
	}, s.mapLayers)
	s.handle("get-map-layer", "A layer of the map as GeoJSON (RFC 7946)", s.mapLayer)
	s.handle("get-map-base", "The map's base as a PMTiles archive, with byte ranges", func(w http.ResponseWriter, r *http.Request) {
		s.serveMap(w, r, mapBase, "application/vnd.pmtiles")
	})
}

func (s *Server) mapLayers(context.Context, *struct{}) (*mapLayersOutput, error) {
	out := &mapLayersOutput{}
	out.Body.Layers = []mapFile{}
	root, err := os.OpenRoot(s.mapDir())
	if errors.Is(err, fs.ErrNotExist) {
		return out, nil
	}
	if err != nil {
		return nil, err
	}
	defer root.Close()                         //nolint:errcheck // only read
	entries, err := fs.ReadDir(root.FS(), ".") // in the order of their names
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		info, err := root.Stat(e.Name())
		if err != nil || !info.Mode().IsRegular() {
			continue // taken away just now, no file, or a link out of the folder
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

func (s *Server) mapDir() string { return filepath.Join(s.o.DB.Dir(), mapFolder) }

// isLayer reports whether a name can be that of a layer: a file of the folder that is not hidden.
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

// serveMap serves a file of the folder. The name is one that isLayer has let through, or our own. Links are followed
// within the folder only: whoever may put files there must not publish others of the machine. The folder itself may
// be a link.
func (s *Server) serveMap(w http.ResponseWriter, r *http.Request, name, contentType string) {
	file, err := openMap(s.mapDir(), name)
	if errors.Is(err, fs.ErrNotExist) {
		problem.New("map_file_unknown").Write(w)
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

// openMap opens a file of a folder. It returns fs.ErrNotExist for a name that is not there, or leads out of the folder.
func openMap(dir, name string) (*os.File, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, err
	}
	defer root.Close() //nolint:errcheck // the file stays open
	// A pipe would block without O_NONBLOCK until somebody writes to it.
	file, err := root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil || errors.Is(err, fs.ErrNotExist) {
		return file, err
	}
	if _, serr := os.Lstat(filepath.Join(dir, name)); serr == nil {
		if _, serr := root.Stat(name); serr != nil && !errors.Is(serr, fs.ErrPermission) {
			return nil, fs.ErrNotExist // os.Root has no error of its own for a link that leads out of it
		}
	}
	return nil, err
}
