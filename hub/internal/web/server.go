// Package web is the hub's public port: the HTTP API, the live stream, video signalling and the
// console's files.
//
// What always holds: nothing but health, log-in and the console's files answers without
// credentials; every other route names the least role that may use it; a refusal carries
// no detail; every body has a limit; errors are RFC 9457. OpenAPI is made from the Go types
// that are served. The package decides who may do what, and leaves the doing to others.
package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"math"
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store"
)

// Media is the relay. Roles have been checked before it is called.
type Media interface {
	ServeWHIP(w http.ResponseWriter, r *http.Request, edge, device string)
	ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string)
	ServeWHEP(w http.ResponseWriter, r *http.Request, edge, device string, who relay.Viewer)
	ServeWHEPSession(w http.ResponseWriter, r *http.Request, edge, device, id string, who relay.Viewer)
	Live(edge, device string) bool
}

// Options say what a Server works with. Store, Auth and Media are required.
type Options struct {
	Store    *store.Store
	Auth     *auth.Service
	Media    Media
	Files    fs.FS // the console; nil: none
	Policy   string
	Registry *prometheus.Registry
	Logger   *slog.Logger
	Version  string

	EnrolToken  func(name, secret string) string // what a person carries to a box; nil: boxes are added elsewhere
	EdgeAddress func() string                    // where the hub listens for edges
	TestWebhook func(ctx context.Context, t notify.Target, who string) (notify.Tested, error)

	AllowPrivateWebhooks bool
	KeepAlive            time.Duration // of idle live streams; 15 s unless set
}

// Server answers on the public port. Handler may be used from any goroutine.
type Server struct {
	o       Options
	desk    *desk.Desk
	api     huma.API
	mux     *http.ServeMux
	files   map[string]file // the console's, by path
	origin  *http.CrossOriginProtection
	openapi []byte

	streams atomic.Int64 // live streams that are open
	duty    duty
}

// maxBody bounds every body in bytes; the API's own are bounded tighter.
const (
	maxBody  = 1 << 20
	maxInput = 64 << 10
)

// New makes a server that has not begun to listen.
func New(o Options) (*Server, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 15 * time.Second
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s := &Server{o: o, desk: desk.New(o.Store), mux: http.NewServeMux(), origin: http.NewCrossOriginProtection()}
	var err error
	if s.files, err = readFiles(o.Files); err != nil {
		return nil, fmt.Errorf("reading the console's files: %w", err)
	}
	s.api = humago.New(s.mux, apiConfig(o.Version))
	s.registerSession()
	s.registerIncidents()
	s.registerDevices()
	s.registerMap()
	s.registerAdmin()
	s.registerWebhooks()
	s.registerTargets()
	s.registerBoxes()
	s.registerPeople()
	s.registerSeries()
	s.registerRaw()
	if s.openapi, err = s.api.OpenAPI().MarshalJSON(); err != nil {
		return nil, fmt.Errorf("writing the API's description: %w", err)
	}
	return s, nil
}

func apiConfig(version string) huma.Config {
	c := huma.DefaultConfig("Gridpost hub", version)
	// The description is served by openAPI behind credentials, and there are no other pages.
	c.OpenAPIPath, c.DocsPath, c.SchemasPath = "", "", ""
	c.CreateHooks = nil // no "$schema" links in answers
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "hub token create --role ROLE prints one"},
		"session": {Type: "apiKey", In: "cookie", Name: auth.CookieName, Description: "set by POST /api/v1/session"},
	}
	return c
}

type key int

const (
	keyPrincipal key = iota
	keyPeer
)

// who returns who asks; only behind Handler's check.
func who(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(keyPrincipal).(auth.Principal)
	return p
}

// Handler returns what the public port serves.
func (s *Server) Handler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.survive(w, r)
		header := w.Header()
		header.Set("X-Content-Type-Options", "nosniff")
		header.Set("Referrer-Policy", "no-referrer")
		header.Set("Cross-Origin-Resource-Policy", "same-origin")
		header.Set("Cross-Origin-Opener-Policy", "same-origin")
		header.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		r.Body = http.MaxBytesReader(w, r.Body, maxBody)
		if s.serveFile(w, r) {
			return
		}
		header.Set("Cache-Control", "no-store")
		// A page of another origin must not use a browser's cookie.
		if err := s.origin.Check(r); err != nil {
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		ctx := context.WithValue(r.Context(), keyPeer, peerOf(r))
		if !open(r) {
			p, err := s.o.Auth.Authenticate(r)
			if errors.Is(err, auth.ErrDenied) {
				problem.Write(w, http.StatusUnauthorized, "")
				return
			}
			if err != nil {
				s.trouble(w, r, err)
				return
			}
			ctx = context.WithValue(ctx, keyPrincipal, p)
		}
		s.route(w, r.WithContext(ctx))
	})
}

// open says whether a request needs no credentials.
func open(r *http.Request) bool {
	switch r.URL.Path {
	case "/healthz", "/readyz":
		return r.Method == http.MethodGet || r.Method == http.MethodHead
	case "/api/v1/session":
		return r.Method == http.MethodPost
	}
	return false
}

// route finds the handler, and says in the API's own form when there is none.
func (s *Server) route(w http.ResponseWriter, r *http.Request) {
	h, pattern := s.mux.Handler(r)
	if pattern != "" {
		s.mux.ServeHTTP(w, r)
		return
	}
	probe := &header{h: http.Header{}, status: http.StatusNotFound}
	h.ServeHTTP(probe, r) // net/http's own: not found, or method not allowed with its Allow
	if allow := probe.h.Get("Allow"); allow != "" {
		w.Header().Set("Allow", allow)
	}
	if location := probe.h.Get("Location"); location != "" {
		w.Header().Set("Location", location)
	}
	problem.Write(w, probe.status, "")
}

// header is a response without a body.
type header struct {
	h      http.Header
	status int
}

func (h *header) Header() http.Header         { return h.h }
func (h *header) Write(b []byte) (int, error) { return len(b), nil }
func (h *header) WriteHeader(status int)      { h.status = status }

// need lets a role and those above it through.
func need(role auth.Role, next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if !who(r.Context()).Role.Allows(role) {
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		next(w, r)
	}
}

// register adds an operation that needs a role; an empty role needs none.
func register[I, O any](s *Server, role auth.Role, op huma.Operation, handle func(context.Context, *I) (*O, error)) {
	op.MaxBodyBytes = maxInput
	describe(&op, role)
	if role != "" {
		op.Middlewares = append(op.Middlewares, func(c huma.Context, next func(huma.Context)) {
			if !who(c.Context()).Role.Allows(role) {
				_, w := humago.Unwrap(c)
				problem.Write(w, http.StatusForbidden, "")
				return
			}
			next(c)
		})
	}
	huma.Register(s.api, op, func(ctx context.Context, in *I) (*O, error) {
		out, err := handle(ctx, in)
		if err != nil {
			return nil, s.humaError(ctx, op.OperationID, err)
		}
		return out, nil
	})
}

// describe adds to an operation what all operations of a role have.
func describe(op *huma.Operation, role auth.Role) {
	if role == "" {
		op.Security = []map[string][]string{}
		return
	}
	op.Security = []map[string][]string{{"token": {}}, {"session": {}}}
	op.Errors = append(op.Errors, http.StatusUnauthorized, http.StatusForbidden)
	op.Description = strings.TrimSpace(op.Description + " Needs the role " + string(role) + ".")
}

// humaError turns what the hub's parts say into an answer.
func (s *Server) humaError(ctx context.Context, doing string, err error) error {
	var status huma.StatusError
	var slow *auth.ThrottledError
	switch {
	case errors.As(err, &status):
		return err
	case errors.As(err, &slow):
		after := strconv.Itoa(int(math.Ceil(slow.After.Seconds())))
		return huma.ErrorWithHeaders(huma.Error429TooManyRequests("too many attempts"), http.Header{"Retry-After": {after}})
	case errors.Is(err, store.ErrNotFound):
		return huma.Error404NotFound("there is no such thing")
	case errors.Is(err, desk.ErrInput), errors.Is(err, auth.ErrInput):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, desk.ErrClosed):
		return huma.Error409Conflict(desk.ErrClosed.Error())
	case errors.Is(err, desk.ErrTooLate):
		return huma.Error409Conflict(desk.ErrTooLate.Error())
	case errors.Is(err, store.ErrConflict):
		return huma.Error409Conflict(err.Error())
	case errors.Is(err, store.ErrFull):
		s.o.Logger.Error("answering a request", "operation", doing, "error", err)
		return huma.NewError(http.StatusInsufficientStorage, store.ErrFull.Error())
	case ctx.Err() != nil:
		return huma.Error503ServiceUnavailable("the hub is stopping, or the request was given up")
	}
	s.o.Logger.Error("answering a request", "operation", doing, "error", err)
	return huma.Error500InternalServerError("the hub could not do it; its log says why")
}

func (s *Server) trouble(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	s.o.Logger.Error("answering a request", "path", r.URL.Path, "error", err)
	problem.Write(w, http.StatusInternalServerError, "the hub could not do it; its log says why")
}

// survive keeps one request's panic from ending the hub, and says where it was.
func (s *Server) survive(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.o.Logger.Error("panic while answering a request", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	problem.Write(w, http.StatusInternalServerError, "")
}
