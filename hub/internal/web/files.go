package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

// file is one file of the console.
type file struct {
	body   []byte
	packed func() []byte // body by gzip; nil for what gains nothing by it
	mime   string
	etag   string // without its quotes
	cache  string
}

// entrance is the console's page, which answers for every address of the console.
const entrance = "/index.html"

// worthPacking is the size in bytes from which a file is sent by gzip.
const worthPacking = 1 << 10

func readFiles(files fs.FS) (map[string]file, error) {
	all := map[string]file{}
	if files == nil {
		return all, nil
	}
	err := fs.WalkDir(files, ".", func(name string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		body, err := fs.ReadFile(files, name)
		if err != nil {
			return err
		}
		all["/"+name] = newFile(name, body)
		return nil
	})
	return all, err
}

func newFile(name string, body []byte) file {
	sum := sha256.Sum256(body)
	f := file{body: body, mime: mimeOf(name), etag: hex.EncodeToString(sum[:8]), cache: "no-cache"}
	if strings.HasPrefix(name, "assets/") {
		// Their names carry a hash of what is in them: another version is another file.
		f.cache = "public, max-age=31536000, immutable"
	}
	if len(body) >= worthPacking && !strings.HasPrefix(f.mime, "font/") {
		f.packed = sync.OnceValue(func() []byte { return pack(body) })
	}
	return f
}

func pack(body []byte) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	// Writing to memory does not fail.
	_, _ = w.Write(body)
	_ = w.Close()
	return out.Bytes()
}

// mimeOf does not ask the machine's own tables for what the console is made of: they differ.
func mimeOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".js", ".mjs":
		return "text/javascript; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".txt":
		return "text/plain; charset=utf-8"
	case ".json":
		return "application/json"
	case ".svg":
		return "image/svg+xml"
	case ".woff2":
		return "font/woff2"
	}
	if t := mime.TypeByExtension(path.Ext(name)); t != "" {
		return t
	}
	return "application/octet-stream"
}

// serveFile answers for the console's files, which hold nothing secret.
func (s *Server) serveFile(w http.ResponseWriter, r *http.Request) bool {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return false
	}
	f, ok := s.files[r.URL.Path]
	if !ok && s.isView(r) {
		f, ok = s.files[entrance]
	}
	if !ok {
		return false
	}
	h := w.Header()
	h.Set("Content-Type", f.mime)
	h.Set("Content-Security-Policy", s.o.Policy)
	h.Set("Cache-Control", f.cache)
	h.Add("Vary", "Accept-Encoding")
	body, etag := f.body, f.etag
	if f.packed != nil && takesGzip(r) {
		body, etag = f.packed(), f.etag+"-gzip"
		h.Set("Content-Encoding", "gzip")
	}
	h.Set("ETag", `"`+etag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	return true
}

// isView reports whether a browser requests an address within the console. The console's own router
// handles it, including unknown addresses.
func (s *Server) isView(r *http.Request) bool {
	if r.URL.Path == "/" {
		return true
	}
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		return false
	}
	for _, other := range []string{"/api/", "/whep/", "/whip/", "/edge/", "/assets/"} {
		if strings.HasPrefix(r.URL.Path, other) {
			return false
		}
	}
	_, pattern := s.mux.Handler(r)
	return pattern == ""
}

func takesGzip(r *http.Request) bool {
	for part := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(part), ";")
		if name == "gzip" {
			return strings.ReplaceAll(weight, " ", "") != "q=0"
		}
	}
	return false
}
