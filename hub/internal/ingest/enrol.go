package ingest

import (
	"crypto/sha256"
	"errors"
	"net/http"
	"sync/atomic"

	"gridpost/hub/api"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// Certificate requests are checked and signed few at a time, so that many at once leave the processor to
// the requests that deliver alerts.
const (
	maxSigning        = 2
	maxWaitingSigning = 64 // further requests are answered 503
)

// signing bounds how many certificate requests are handled at the same time.
type signing struct {
	places  chan struct{}
	waiting atomic.Int32
}

func newSigning() *signing { return &signing{places: make(chan struct{}, maxSigning)} }

// enter waits for a place, which the caller must leave again. It answers and returns false if too many wait,
// or the edge has gone.
func (g *signing) enter(w http.ResponseWriter, r *http.Request) bool {
	defer g.waiting.Add(-1)
	if g.waiting.Add(1) > maxWaitingSigning {
		w.Header().Set("Retry-After", "5")
		problem.Write(w, http.StatusServiceUnavailable, "too many certificates are being requested")
		return false
	}
	select {
	case g.places <- struct{}{}:
		return true
	case <-r.Context().Done():
		return false
	}
}

func (g *signing) leave() { <-g.places }

// enrol trades a one-time token for a certificate. It is the only request without one, so the token is looked
// up before anything else is done for it.
func (s *Server) enrol(w http.ResponseWriter, r *http.Request) {
	var in api.EnrolRequest
	if !read(w, r, maxEnrol, &in) {
		return
	}
	hash := sha256.Sum256([]byte(in.Token))
	if err := s.o.Edges.CheckToken(r.Context(), hash[:]); err != nil {
		s.notEnrolled(w, r, err)
		return
	}
	if !s.signing.enter(w, r) {
		return
	}
	defer s.signing.leave()
	// The request next: a token is not spent on something that cannot be signed.
	csr, err := authority.ParseRequest(in.CSR)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	edge, err := s.o.Edges.Redeem(r.Context(), hash[:], csr.KeyHash)
	if err != nil {
		s.notEnrolled(w, r, err)
		return
	}
	s.issue(w, r, edge, csr, hash[:])
}

// notEnrolled answers a request for enrolment that failed.
func (s *Server) notEnrolled(w http.ResponseWriter, r *http.Request, err error) {
	if errors.Is(err, db.ErrNotFound) || errors.Is(err, db.ErrConflict) {
		s.denied.Add(1)
		s.o.Logger.Warn("enrolment refused", "remote", r.RemoteAddr, "cause", err)
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	s.fail(w, r, "enrolling an edge", err)
}

// renew gives an edge a new certificate for the old one.
func (s *Server) renew(w http.ResponseWriter, r *http.Request, edge string) {
	var in api.RenewRequest
	if !read(w, r, maxEnrol, &in) || !s.signing.enter(w, r) {
		return
	}
	defer s.signing.leave()
	csr, err := authority.ParseRequest(in.CSR)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	s.issue(w, r, edge, csr, nil)
}

func (s *Server) issue(w http.ResponseWriter, r *http.Request, edge string, csr authority.Request, tokenHash []byte) {
	cert, err := s.o.Authority.Issue(edge, csr)
	if err == nil {
		err = s.o.Edges.AddCertificate(r.Context(), edge, cert.Serial, tokenHash, cert.NotAfter)
	}
	if errors.Is(err, db.ErrConflict) {
		problem.Write(w, http.StatusForbidden, "")
		return
	}
	if err != nil {
		s.fail(w, r, "issuing a certificate", err)
		return
	}
	s.o.Logger.Info("certificate issued", "edge", edge, "serial", cert.Serial, "not_after", cert.NotAfter, "renewal", tokenHash == nil)
	answer(w, api.EnrolResponse{Edge: edge, Certificate: cert.PEM, Authority: s.o.Authority.PEM()})
}
