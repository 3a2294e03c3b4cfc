package ingest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/incidents"
)

// Evidence keeps the bytes of files while they come and afterwards; see evidence.Store.
type Evidence interface {
	Write(ctx context.Context, k evidence.Key, offset int64, r io.Reader) (int64, error)
	Sum(ctx context.Context, k evidence.Key, size int64) (string, error)
	Publish(ctx context.Context, k evidence.Key) error
}

// Headers of resumable uploads.
const (
	headerOffset   = "Upload-Offset"   // bytes that the hub has
	headerComplete = "Upload-Complete" // "?1" once the file is published
)

// evidenceHead tells how much of a file the hub has.
func (s *Server) evidenceHead(w http.ResponseWriter, r *http.Request, edge string) {
	if u, ok := s.upload(w, r, edge); ok {
		w.Header().Set("Cache-Control", "no-store")
		state(w, u)
		w.WriteHeader(http.StatusNoContent)
	}
}

// state sets the headers that say where an upload stands.
func state(w http.ResponseWriter, u incidents.Upload) {
	w.Header().Set(headerOffset, strconv.FormatInt(u.Received, 10))
	if u.Complete {
		w.Header().Set(headerComplete, "?1")
	}
}

func (s *Server) upload(w http.ResponseWriter, r *http.Request, edge string) (incidents.Upload, bool) {
	incident, name := r.PathValue("incident"), r.PathValue("name")
	if !s.checks.id.MatchString(incident) || !s.checks.file.MatchString(name) {
		problem.Write(w, http.StatusNotFound, "")
		return incidents.Upload{}, false
	}
	u, err := s.o.Incidents.Upload(r.Context(), edge, incident, name)
	switch {
	case errors.Is(err, db.ErrNotFound):
		problem.Write(w, http.StatusNotFound, "this file has not been announced")
		return u, false
	case err != nil:
		s.fail(w, r, "looking for evidence", err)
		return u, false
	}
	return u, true
}

// evidencePatch appends a piece of a file from Upload-Offset on. With the last piece the hash is
// checked: a right file is published, a wrong one is thrown away and begins again (422,
// Upload-Offset: 0). A piece from another offset than the hub's is refused with 409 and
// the hub's offset.
func (s *Server) evidencePatch(w http.ResponseWriter, r *http.Request, edge string) {
	key := r.PathValue("incident") + "/" + r.PathValue("name")
	if !s.claim(key) {
		problem.Write(w, http.StatusConflict, "another piece of this file is being received")
		return
	}
	defer s.release(key)
	u, ok := s.upload(w, r, edge)
	if !ok {
		return
	}
	offset, err := strconv.ParseInt(r.Header.Get(headerOffset), 10, 64)
	if err != nil {
		problem.Write(w, http.StatusBadRequest, headerOffset+" must be a number of bytes")
		return
	}
	if u.Complete {
		state(w, u)
		w.WriteHeader(http.StatusNoContent)
		return
	}
	if offset != u.Received {
		state(w, u)
		problem.Write(w, http.StatusConflict, fmt.Sprintf("the hub has %d bytes of this file", u.Received))
		return
	}
	if s.o.Full != nil && s.o.Full(r.Context()) {
		problem.Write(w, http.StatusInsufficientStorage, "the hub's disk has no room for pictures")
		return
	}
	if !s.roomFor(w, r, edge, min(int64(api.MaxEvidencePiece), u.Size-u.Received)) {
		return
	}
	n, err := s.append(w, r, u)
	s.usage.add(edge, n)
	s.evidenceBytes.Add(uint64(n))
	u.Received += n
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		state(w, u)
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("a piece has at most %d bytes, and no more than the file lacks", api.MaxEvidencePiece))
		return
	case errors.Is(err, db.ErrConflict):
		problem.Write(w, http.StatusConflict, "another file has been announced under this name")
		return
	case err != nil:
		s.fail(w, r, "receiving evidence", err)
		return
	}
	if u.Received == u.Size {
		s.finish(w, r, edge, u)
		return
	}
	state(w, u)
	w.WriteHeader(http.StatusNoContent)
}

func (s *Server) claim(key string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.uploading[key] {
		return false
	}
	s.uploading[key] = true
	return true
}

func (s *Server) release(key string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.uploading, key)
}

// append writes a piece where the last one ended. What came of a piece that was cut off is kept,
// and an interrupted upload goes on from there. The record follows the bytes, never the other way round.
func (s *Server) append(w http.ResponseWriter, r *http.Request, u incidents.Upload) (n int64, err error) {
	limit := min(int64(api.MaxEvidencePiece), u.Size-u.Received)
	n, err = s.o.Evidence.Write(r.Context(), keyOf(u), u.Received, http.MaxBytesReader(w, r.Body, limit))
	var large *http.MaxBytesError
	if errors.As(err, &large) {
		return 0, err // nothing of an oversized piece is kept
	}
	if n == 0 || u.Received+n == u.Size {
		return n, err // finish notes it together with what comes of it
	}
	// The edge may be gone in the middle of a piece; what came is noted all the same.
	if serr := s.o.Incidents.SetReceived(context.WithoutCancel(r.Context()), u, u.Received+n); serr != nil {
		return 0, errors.Join(err, serr)
	}
	return n, err
}

func keyOf(u incidents.Upload) evidence.Key { return evidence.Key{Incident: u.Incident, Name: u.Name} }

// finish checks a whole file and publishes it.
func (s *Server) finish(w http.ResponseWriter, r *http.Request, edge string, u incidents.Upload) {
	sum, err := s.o.Evidence.Sum(r.Context(), keyOf(u), u.Size)
	if err == nil && sum != u.SHA256 {
		s.o.Logger.Warn("evidence has another hash than announced", "edge", edge, "incident", u.Incident, "name", u.Name)
		if err := s.o.Incidents.SetReceived(r.Context(), u, 0); err != nil {
			s.fail(w, r, "starting evidence again", err)
			return
		}
		u.Received = 0
		state(w, u)
		problem.Write(w, http.StatusUnprocessableEntity, "the file has another SHA-256 than announced; it begins again")
		return
	}
	if err == nil {
		err = s.o.Evidence.Publish(r.Context(), keyOf(u))
	}
	if err == nil {
		err = s.o.Incidents.CompleteEvidence(r.Context(), edge, u)
	}
	if err != nil {
		s.fail(w, r, "publishing evidence", err)
		return
	}
	u.Complete = true
	state(w, u)
	w.WriteHeader(http.StatusNoContent)
}
