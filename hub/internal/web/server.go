// Package web is the hub's public port: the HTTP API, the live stream, video signalling and the
// console's files.
//
// What always holds: nothing but health, log-in and the console's files answers without
// credentials; the table of routes names the least role that may use a route, and what its scope
// means there; a refusal carries no detail; every body has a limit; errors are RFC 9457. OpenAPI is made from the Go types
// that are served. The package decides who may do what, and leaves the doing to others.
package web

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/http"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"
	"github.com/prometheus/client_golang/prometheus"

	"gridpost/hub/internal/access"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/body"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/desk"
	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/headexport"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/leases"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/store/telemetry"
)

// Media is the relay. Roles have been checked before it is called.
type Media interface {
	ServeWHIP(w http.ResponseWriter, r *http.Request, p relay.Publication)
	ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string)
	ServeWHEP(w http.ResponseWriter, r *http.Request, edge, device string, who relay.Viewer)
	ServeWHEPSession(w http.ResponseWriter, r *http.Request, edge, device, id string, who relay.Viewer)
	ServeFMP4(w http.ResponseWriter, r *http.Request, edge, device, sessions string, who relay.Viewer)
}

// Access holds what streams, views and publications stand on; see access.Registry.
type Access interface {
	Hold(ctx context.Context, g access.Grant) (held context.Context, release func(), err error)
	Check(ctx context.Context, g access.Grant) error
}

// Options are the dependencies and settings of a Server. Store, Incidents, Evidence, Auth, Access, People, Leases, Audit and Media are required.
type Options struct {
	DB        *db.DB
	Incidents *incidents.Repository
	Edges     *edges.Repository
	Telemetry *telemetry.Repository
	Alerts    *alerts.Repository
	Evidence  Evidence
	Auth      *auth.Service
	Access    Access
	People    *people.Repository
	Leases    *leases.Repository
	Views     relay.Leases // begins and ends the leases of those who watch clips
	Audit     *audit.Repository
	Media     Media
	OpenID    OpenID // nil: users log in by password only
	Files     fs.FS  // the console; nil: none
	Policy    string
	Origins   []string // origins of other pages that may use the API with a token, in small letters; see cors.go

	// RelayOf returns the origin of the relay to which an edge publishes; "": this hub. nil: all publish to this hub.
	RelayOf     func(edge string) string
	Credentials *credential.Authority // of relays elsewhere; nil: there are none, and none is accepted

	Registry *prometheus.Registry
	Logger   *slog.Logger
	Version  string

	Feed      *feed.Tail          // the change feed, for live streams
	Hub       string              // names the run of the hub
	StreamLag func(time.Duration) // called with the time from a change to its write to a console; nil: not

	EnrolToken  func(name, secret string) string // returns an enrolment token as text; nil: this hub creates no tokens
	EdgeAddress func() string                    // where the hub listens for edges
	TestWebhook func(ctx context.Context, t notify.Target, who string) (notify.TestResult, error)

	Bodies               body.Limits // of requests; body.Default unless set
	AllowPrivateWebhooks bool
	MonitorEvidence      MonitorEvidence           // which evidence monitors see; empty: all
	Heads                func() []headexport.State // where heads of the audit log are written; nil: nowhere
	Demo                 bool                      // the devices are simulated
	KeepAlive            time.Duration             // of idle live streams; 15 s unless set
}

// Server answers on the public port. Handler may be used from any goroutine.
type Server struct {
	o       Options
	desk    *desk.Desk
	api     huma.API
	plan    *plan
	mux     *http.ServeMux
	files   map[string]file // the console's, by path
	origin  *http.CrossOriginProtection
	openapi []byte

	eventSchema []byte // of the data of events

	streams  atomic.Int64 // live streams that are open
	presence presence
	reads    reads // of evidence

	clipViews clipViews
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
	if o.Bodies == (body.Limits{}) {
		o.Bodies = body.Default()
	}
	if o.Registry == nil {
		o.Registry = prometheus.NewRegistry()
	}
	s := &Server{o: o, desk: desk.New(o.Incidents, time.Now), plan: newPlan(), mux: http.NewServeMux(), reads: reads{now: time.Now}, origin: http.NewCrossOriginProtection()}
	var err error
	if s.eventSchema, err = announce.Schema(); err != nil {
		return nil, err
	}
	if s.files, err = readFiles(o.Files); err != nil {
		return nil, fmt.Errorf("reading the console's files: %w", err)
	}
	s.api = humago.New(s.mux, apiConfig(o.Version))
	s.registerSession()
	s.registerTOTP()
	s.registerOpenID()
	s.registerIncidents()
	s.registerDevices()
	s.registerMap()
	s.registerUsers()
	s.registerTokens()
	s.registerLeases()
	s.registerAudit()
	s.registerWebhooks()
	s.registerEdges()
	s.registerPresence()
	s.registerSeries()
	s.registerLive()
	s.registerClips()
	s.registerHandlers()
	if err := s.plan.check(); err != nil {
		return nil, fmt.Errorf("checking the table of routes: %w", err)
	}
	describeProblems(s.api.OpenAPI())
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
	c.Transformers = append(c.Transformers, codeOfValidation)
	c.Components.SecuritySchemes = map[string]*huma.SecurityScheme{
		"token":   {Type: "http", Scheme: "bearer", Description: "hub token create --role ROLE prints one"},
		"session": {Type: "apiKey", In: "cookie", Name: auth.CookieName, Description: "set by POST /api/v1/session"},
	}
	return c
}

type key int

const (
	keyPrincipal key = iota
	keyRemote
	keyClaims
)

func withPrincipal(ctx context.Context, p auth.Principal) context.Context {
	return context.WithValue(ctx, keyPrincipal, p)
}

// who returns who asks; only behind Handler's check.
func who(ctx context.Context) auth.Principal {
	p, _ := ctx.Value(keyPrincipal).(auth.Principal)
	return p
}

// Handler returns what the public port serves.
func (s *Server) Handler() http.Handler {
	return body.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
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
		if s.allowOrigin(w, r) {
			return
		}
		if s.foreign(r) {
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		ctx := context.WithValue(r.Context(), keyRemote, remoteOf(r))
		if r = s.admit(w, r.WithContext(ctx)); r != nil {
			s.route(w, r)
		}
	}), func(*http.Request) body.Limits { return s.o.Bodies })
}

// route serves a request by its handler. If there is none, the response is a problem document.
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

// survive recovers from a panic of a handler, so that it does not end the hub, and logs it with the stack.
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
