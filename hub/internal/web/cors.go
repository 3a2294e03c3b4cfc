package web

import (
	"net/http"
	"slices"
	"strings"
)

// Headers of CORS (Fetch standard, section 3.2). Cookies are never allowed: pages of other origins send a token.
const (
	corsMethods = "GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS"
	corsAllowed = "Authorization, Content-Type, If-Match, Last-Event-ID"
	corsExposed = "Location, ETag, Link, Accept-Patch, Accept-Post, Retry-After"
	corsMaxAge  = "600" // seconds, for which a browser keeps the answer to a preflight
)

// allowOrigin adds the CORS headers for a page of a configured origin. It reports whether the response is complete:
// preflights are answered here, because browsers send them without credentials.
func (s *Server) allowOrigin(w http.ResponseWriter, r *http.Request) (complete bool) {
	if len(s.o.Origins) == 0 {
		return false
	}
	header := w.Header()
	header.Add("Vary", "Origin")
	origin := r.Header.Get("Origin")
	if origin == "" || !slices.Contains(s.o.Origins, strings.ToLower(origin)) {
		return false
	}
	header.Set("Access-Control-Allow-Origin", origin)
	header.Set("Access-Control-Expose-Headers", corsExposed)
	header.Set("Cross-Origin-Resource-Policy", "cross-origin")
	if r.Method != http.MethodOptions || r.Header.Get("Access-Control-Request-Method") == "" {
		return false
	}
	header.Set("Access-Control-Allow-Methods", corsMethods)
	header.Set("Access-Control-Allow-Headers", corsAllowed)
	header.Set("Access-Control-Max-Age", corsMaxAge)
	w.WriteHeader(http.StatusNoContent)
	return true
}

// foreign reports whether a request comes from a page that may not use the hub. A page of another origin must not use
// the browser's cookie; one of a configured origin may send a token.
func (s *Server) foreign(r *http.Request) bool {
	if s.origin.Check(r) == nil {
		return false
	}
	return r.Header.Get("Authorization") == "" || !slices.Contains(s.o.Origins, strings.ToLower(r.Header.Get("Origin")))
}
