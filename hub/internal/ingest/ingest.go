// Package ingest is the hub's edge port: what edges say comes in here, and commands go out.
//
// What always holds: but for enrolment, every request is of an edge whose certificate the hub
// issued, knows and has not revoked, looked up anew for each request; an answer that
// acknowledges events is sent after they are on the disk; what is received is checked here and
// nowhere behind. It must not import the web package or the relay, which it is handed.
package ingest

import (
	"compress/gzip"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store"
)

// Media takes an edge's pictures. It is called for known edges only, with their own names.
type Media interface {
	ServeWHIP(w http.ResponseWriter, r *http.Request, edge, device string)
	ServeWHIPSession(w http.ResponseWriter, r *http.Request, edge, device, id string)
}

// Bounds of bodies in bytes; events and evidence have theirs in package api.
const (
	maxEnrol  = 64 << 10
	maxResult = 64 << 10
	maxOffer  = 256 << 10
	maxCheck  = 256 << 10
)

// Options say what a Server works with. All but Logger and Now are required.
type Options struct {
	Store     *store.Store
	Authority *authority.Authority
	Media     Media
	Logger    *slog.Logger
	Now       func() time.Time

	// KeepAlive is how often a comment line goes down an idle stream of commands, and so how
	// soon a dead one is noticed; 10 s unless set.
	KeepAlive time.Duration
}

// Stats count since the start.
type Stats struct {
	Batches, Applied, Known, Refused uint64 // batches of events, and events by what came of them
	Denied                           uint64 // requests without an accepted certificate
	EvidenceBytes                    uint64
}

// Server answers on the edge port. Handler may be used from any goroutine.
type Server struct {
	o        Options
	checks   checks
	evidence string // folder
	run      string // names this run of the hub, so that edges learn of a restart

	batches, applied, known, refused, denied, evidenceBytes atomic.Uint64

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
	return &Server{
		o: o, checks: newChecks(), evidence: filepath.Join(o.Store.Dir(), "evidence"), run: rand.Text(), uploading: make(map[string]bool),
	}
}

// Stats returns the counters.
func (s *Server) Stats() Stats {
	return Stats{
		Batches: s.batches.Load(), Applied: s.applied.Load(), Known: s.known.Load(), Refused: s.refused.Load(),
		Denied: s.denied.Load(), EvidenceBytes: s.evidenceBytes.Load(),
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
	mux.Handle("/whip/{edge}/{device}", s.admit(s.whip, false))
	mux.Handle("/whip/{edge}/{device}/{id}", s.admit(s.whip, false))
	mux.Handle("/", s.admit(func(w http.ResponseWriter, _ *http.Request, _ string) {
		problem.Write(w, http.StatusNotFound, "")
	}, false))
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(api.HeaderProtocol, strconv.Itoa(api.ProtocolVersion))
		mux.ServeHTTP(w, r)
	})
}

// admit lets only known edges through; an expired certificate only where it may be renewed.
func (s *Server) admit(next edgeHandler, expired bool) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		peer, ok := s.o.Authority.Peer(r.TLS)
		if !ok {
			s.denied.Add(1)
			problem.Write(w, http.StatusUnauthorized, "")
			return
		}
		if peer.Expired && !expired {
			s.denied.Add(1)
			problem.Write(w, http.StatusForbidden, "")
			return
		}
		switch err := s.o.Store.CheckCertificate(r.Context(), peer.Edge, peer.Serial); {
		case errors.Is(err, store.ErrNotFound):
			s.denied.Add(1)
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
	if errors.Is(err, store.ErrFull) || errors.Is(err, syscall.ENOSPC) {
		problem.Write(w, http.StatusInsufficientStorage, "the hub's disk is full")
		return
	}
	problem.Write(w, http.StatusInternalServerError, "the hub could not do it; its log says why")
}

// read decodes a JSON body of at most limit bytes, also when it is compressed. It has answered when
// it returns false.
func read(w http.ResponseWriter, r *http.Request, limit int64, into any) bool {
	raw, done := steady(w, http.MaxBytesReader(w, r.Body, limit))
	defer done()
	body, err := inflate(raw, r.Header.Get("Content-Encoding"), limit)
	var large *http.MaxBytesError
	switch {
	case errors.Is(err, errEncoding):
		problem.Write(w, http.StatusUnsupportedMediaType, "the only Content-Encoding is gzip")
		return false
	case errors.As(err, &large), errors.Is(err, errLarge):
		problem.Write(w, http.StatusRequestEntityTooLarge, "")
		return false
	case err != nil:
		problem.Write(w, http.StatusBadRequest, "the body did not come whole")
		return false
	}
	if err := json.Unmarshal(body, into); err != nil {
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
func inflate(body io.Reader, encoding string, limit int64) ([]byte, error) {
	switch encoding {
	case "", "identity":
	case "gzip":
		z, err := gzip.NewReader(body)
		if err != nil {
			return nil, err
		}
		body = z
	default:
		return nil, errEncoding
	}
	out, err := io.ReadAll(io.LimitReader(body, limit+1))
	if err == nil && int64(len(out)) > limit {
		return nil, errLarge
	}
	return out, err
}

const (
	bodyPause = 30 * time.Second // without a byte of a body, it is given up
	bodyLimit = 10 * time.Minute // of a whole body: a thin line takes long
)

// steady bounds the reading of a body: it must make progress. done lifts the bound again,
// because the same deadline would end a stream that follows. A server without deadlines (in
// tests) has none.
func steady(w http.ResponseWriter, body io.Reader) (bounded io.Reader, done func()) {
	c := http.NewResponseController(w)
	return &steadyReader{body: body, control: c, end: time.Now().Add(bodyLimit)}, func() { _ = c.SetReadDeadline(time.Time{}) }
}

type steadyReader struct {
	body    io.Reader
	control *http.ResponseController
	end     time.Time
}

func (r *steadyReader) Read(p []byte) (int, error) {
	next := time.Now().Add(bodyPause)
	if next.After(r.end) {
		next = r.end
	}
	_ = r.control.SetReadDeadline(next) // a server without deadlines has none
	return r.body.Read(p)
}

func answer(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v) // the edge may be gone; it asks again
}

func (s *Server) whip(w http.ResponseWriter, r *http.Request, edge string) {
	if r.PathValue("edge") != edge {
		s.denied.Add(1)
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxOffer)
	if id := r.PathValue("id"); id != "" {
		s.o.Media.ServeWHIPSession(w, r, edge, r.PathValue("device"), id)
		return
	}
	s.o.Media.ServeWHIP(w, r, edge, r.PathValue("device"))
}

// seen keeps an edge online while it holds a stream open.
func (s *Server) seen(ctx context.Context, edge string) error {
	return s.o.Store.Seen(ctx, edge)
}
