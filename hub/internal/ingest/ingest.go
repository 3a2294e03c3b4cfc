// Package ingest is the hub's edge port: it receives events and evidence of edges, and sends commands.
//
// What always holds: except for enrolment, every request is of an edge whose certificate the hub
// issued and has not revoked, looked up anew for each request; an answer that acknowledges
// events is sent after their commit; what is received is checked here and nowhere behind. It must
// import neither the web package nor the relay, which is handed to it.
package ingest

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/body"
	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/credential"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
)

// Media receives the video of edges. It is called for admitted edges only, with their own names.
type Media interface {
	ServeWHIP(w http.ResponseWriter, r *http.Request, p Publication)
	ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string)
}

// Access holds what publications and streams of commands stand on; see access.Registry.
type Access interface {
	Hold(ctx context.Context, g access.Grant) (held context.Context, release func(), err error)
}

// Publication is a camera's stream that an edge publishes.
type Publication struct {
	Edge, Device string
	Stream       string // "": the main stream; api.StreamSub

	// Access ends when the edge may publish no longer; Release is called once when the publication has ended.
	// Both may be nil.
	Access  context.Context
	Release func()
}

// Bounds of bodies in bytes; events and evidence have theirs in package api.
const (
	maxEnrol  = 16 << 10
	maxResult = 64 << 10
	maxOffer  = 256 << 10
	maxCheck  = 256 << 10
)

// Options say what a Server works with. All but Credentials, RelayOf, Logger and Now are required.
type Options struct {
	DB        *db.DB
	Edges     *edges.Repository
	Presence  *edges.Presence
	Incidents *incidents.Repository
	Telemetry Telemetry
	Evidence  Evidence

	// Full says that the disk has no room but for alerts: evidence is refused with 507; nil: there is room.
	Full func(ctx context.Context) bool

	// EvidenceQuota is how many bytes of evidence the hub stores of one edge, and how many an edge may have announced
	// without uploading them; 0: no bound.
	EvidenceQuota int64
	maxPending    int64 // files; maxPending unless set by a test

	// Commands carries commands to the edges that are connected to this hub.
	Commands *commands.Channel

	Authority *authority.Authority
	Access    Access
	Media     Media

	// Credentials makes the credentials of commands to publish, and checks them; nil: commands have none, and none is
	// accepted.
	Credentials *credential.Authority

	// RelayOf returns the origin of the relay to which an edge publishes; "": to this hub. nil: all publish to this hub.
	RelayOf func(edge string) string

	Logger *slog.Logger
	Now    func() time.Time

	// Bodies are the limits of the bodies of edges' requests; 30 s and 10 minutes unless set, because a thin
	// line takes long. Those of enrolments, which anybody may send, are bounded by body.Default too.
	Bodies body.Limits

	// KeepAlive is how often a comment line goes down an idle stream of commands, and so how
	// soon a dead one is noticed; 10 s unless set.
	KeepAlive time.Duration
}

// Stats count since the start.
type Stats struct {
	Batches, Applied, Known, Refused uint64 // batches of events, and events by what came of them
	Denied                           uint64 // requests without an accepted certificate
	EvidenceBytes                    uint64
	Panics                           uint64 // of requests and transactions
}

// Server answers on the edge port. Handler may be used from any goroutine.
type Server struct {
	o       Options
	checks  checks
	clocks  *clocks
	signing *signing
	usage   *usage

	batches, applied, known, refused, denied, evidenceBytes, panics atomic.Uint64

	mu        sync.Mutex
	uploading map[string]bool // files that are being written just now
}

// New returns a server that has not begun to listen.
func New(o Options) *Server {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.KeepAlive == 0 {
		o.KeepAlive = 10 * time.Second
	}
	if o.Bodies == (body.Limits{}) {
		o.Bodies = body.Limits{Pause: 30 * time.Second, Total: 10 * time.Minute}
	}
	if o.maxPending == 0 {
		o.maxPending = maxPending
	}
	return &Server{
		o: o, usage: newUsage(func(ctx context.Context, edge string) (int64, error) { return o.Incidents.StoredEvidence(ctx, edge) }, o.Now),
		checks: newChecks(), clocks: newClocks(), signing: newSigning(), uploading: make(map[string]bool),
	}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	return Stats{
		Batches: s.batches.Load(), Applied: s.applied.Load(), Known: s.known.Load(), Refused: s.refused.Load(),
		Denied: s.denied.Load(), EvidenceBytes: s.evidenceBytes.Load(),
		Panics: s.panics.Load(),
	}
}

// edgeHandler answers a request of an edge that has been let in.
type edgeHandler func(w http.ResponseWriter, r *http.Request, edge string)

// Handler returns what the edge port serves. Streams of commands end with their request.
func (s *Server) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc(api.PathEnrol, s.enrol)
	mux.Handle(api.PathRenew, s.admit(s.renew, true))
	mux.Handle(api.PathEvents, s.admit(s.events, false))
	mux.Handle(api.PathCheck, s.admit(s.check, false))
	mux.Handle(api.PathCommands, s.admit(s.commands, false))
	mux.Handle(api.PathResult, s.admit(s.result, false))
	mux.Handle("HEAD "+api.PathEvidence, s.admit(s.evidenceHead, false))
	mux.Handle("PATCH "+api.PathEvidence, s.admit(s.evidencePatch, false))
	mux.Handle("/whip/{edge}/{device}", s.admitPublisher())
	mux.Handle("/whip/{edge}/{device}/{id}", s.admitPublisher())
	mux.Handle("/", s.admit(func(w http.ResponseWriter, _ *http.Request, _ string) {
		problem.Write(w, http.StatusNotFound, "")
	}, false))
	return body.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer s.recovered(w, r)
		w.Header().Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
		mux.ServeHTTP(w, r)
	}), s.bodies)
}

// bodies returns the limits of a request's body. Only an enrolment's body is read before the edge is admitted.
func (s *Server) bodies(r *http.Request) body.Limits {
	if strings.HasSuffix(api.PathEnrol, " "+r.URL.Path) {
		strict := body.Default()
		return body.Limits{Pause: min(s.o.Bodies.Pause, strict.Pause), Total: min(s.o.Bodies.Total, strict.Total)}
	}
	return s.o.Bodies
}

// recovered answers a request whose handler has panicked. The edge sends it again.
func (s *Server) recovered(w http.ResponseWriter, r *http.Request) {
	v := recover()
	if v == nil {
		return
	}
	if err, ok := v.(error); ok && errors.Is(err, http.ErrAbortHandler) {
		panic(v)
	}
	s.panics.Add(1)
	s.o.Logger.Error("a request panicked", "path", r.URL.Path, "panic", v, "stack", string(debug.Stack()))
	// When the answer has begun already, this ends it in a way that the edge cannot mistake for a whole one.
	problem.Write(w, http.StatusInternalServerError, "the hub could not do it; its log says why")
}

// admit lets only known edges through; an expired certificate only where it may be renewed, and not long after its
// expiry. The connection of a refused certificate is closed, so that an edge that has renewed it meanwhile connects
// with the new one.
func (s *Server) admit(next edgeHandler, renewal bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := s.o.Authority.Peer(r.TLS)
		if !ok {
			s.denied.Add(1)
			problem.Write(w, http.StatusUnauthorized, "")
			return
		}
		if peer.Expired && (!renewal || !peer.Renewable) {
			s.denied.Add(1)
			w.Header().Set("Connection", "close")
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		switch err := s.o.Edges.CheckCertificate(r.Context(), peer.Edge, peer.Serial); {
		case errors.Is(err, db.ErrNotFound):
			s.denied.Add(1)
			w.Header().Set("Connection", "close")
			problem.Write(w, http.StatusForbidden, "")
			return
		case err != nil:
			s.fail(w, r, "checking a certificate", err)
			return
		}
		next(w, r, peer.Edge)
	})
}

// fail answers that the hub itself is in trouble, and logs why.
func (s *Server) fail(w http.ResponseWriter, r *http.Request, doing string, err error) {
	if r.Context().Err() != nil {
		return // the edge has gone; it comes again
	}
	s.o.Logger.Error(doing, "path", r.URL.Path, "error", err)
	if errors.Is(err, db.ErrFull) || errors.Is(err, syscall.ENOSPC) {
		problem.Write(w, http.StatusInsufficientStorage, "the hub's disk is full")
		return
	}
	problem.Write(w, http.StatusInternalServerError, "the hub could not do it; its log says why")
}

// refuse answers that the access of an edge has ended since the request was admitted, or that the hub itself is
// in trouble.
func (s *Server) refuse(w http.ResponseWriter, r *http.Request, doing string, err error) {
	var refused *problem.Error
	if errors.As(err, &refused) {
		s.denied.Add(1)
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	s.fail(w, r, doing, err)
}

// read decodes a JSON body of at most limit bytes, also when it is compressed. It has answered when
// it returns false.
func read(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	text, err := inflate(http.MaxBytesReader(w, r.Body, limit), r.Header.Get("Content-Encoding"), limit)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errEncoding):
		problem.Write(w, http.StatusUnsupportedMediaType, "the only Content-Encoding is gzip")
		return false
	case errors.As(err, &large), errors.Is(err, errLarge):
		problem.Write(w, http.StatusRequestEntityTooLarge, "")
		return false
	case errors.Is(err, os.ErrDeadlineExceeded):
		problem.Write(w, http.StatusRequestTimeout, "the body came too slowly")
		return false
	case err != nil:
		problem.Write(w, http.StatusBadRequest, "the body did not come whole")
		return false
	}
	if err := json.Unmarshal(text, into); err != nil {
		problem.Write(w, http.StatusBadRequest, "the body is not the JSON expected: "+err.Error())
		return false
	}
	return true
}

var (
	errEncoding = errors.New("unknown encoding")
	errLarge    = errors.New("inflates to more than is allowed")
)

// inflate reads a body that may be compressed, up to limit bytes of what it inflates to.
func inflate(raw io.Reader, encoding string, limit int64) ([]byte, error) {
	switch encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(raw)
		if err != nil {
			return nil, err
		}
		raw = z
	default:
		return nil, errEncoding
	}
	out, err := io.ReadAll(io.LimitReader(raw, limit+1))
	if err == nil && int64(len(out)) > limit {
		return nil, errLarge
	}
	return out, err
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the edge may be gone; it asks again
}
