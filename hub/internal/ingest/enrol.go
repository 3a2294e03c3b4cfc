package ingest

import (
	"crypto/sha256"
	"errors"
	"net/http"

	"gridpost/hub/api"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store"
)

// enrol trades a one-time token for a certificate. It is the only request without one.
func (s *Server) enrol(w http.ResponseWriter, r *http.Request) {
	var in api.EnrolRequest
	if !read(w, r, maxEnrol, &in) {
		return
	}
	// The request first: a token is not spent on something that cannot be signed.
	csr, err := authority.ParseRequest(in.CSR)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, err.Error())
		return
	}
	hash := sha256.Sum256([]byte(in.Token))
	edge, err := s.o.Store.Redeem(r.Context(), hash[:], csr.KeyHash)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		s.denied.Add(1)
		s.o.Logger.Warn("enrolment refused", "remote", r.RemoteAddr, "cause", err)
		problem.Write(w, http.StatusForbidden, "")
		return
	case err != nil:
		s.fail(w, r, "enrolling an edge", err)
		return
	}
	s.issue(w, r, edge, csr, hash[:])
}

// renew gives an edge a new certificate for the old one.
func (s *Server) renew(w http.ResponseWriter, r *http.Request, edge string) {
	var in api.RenewRequest
	if !read(w, r, maxEnrol, &in) {
		return
	}
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
		err = s.o.Store.AddCertificate(r.Context(), edge, cert.Serial, tokenHash, cert.NotAfter)
	}
	if errors.Is(err, store.ErrConflict) {
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
