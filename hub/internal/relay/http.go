package relay

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strings"
	"sync"

	"gridpost/hub/internal/problem"
)

// Bounds of bodies, in bytes.
const (
	maxOffer    = 64 << 10
	maxFragment = 16 << 10
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// tag is a session's ETag: it names its ICE session (RFC 9725 section 4.3.1).
type tag struct {
	mu    sync.Mutex
	value string
}

func newTag() tag { return tag{value: rand.Text()} }

func (t *tag) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return `"` + t.value + `"`
}

func (t *tag) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = rand.Text()
}

// endpoint answers every method of a WHIP or WHEP endpoint but a good POST, whose offer it
// returns.
func (r *Relay) endpoint(w http.ResponseWriter, q *http.Request) (offer string, ok bool) {
	switch q.Method {
	case http.MethodPost:
		return r.body(w, q, typeSDP, maxOffer)
	case http.MethodOptions:
		w.Header().Set("Accept-Post", typeSDP)
		w.Header().Set("Allow", "POST, OPTIONS, GET, HEAD")
		r.links(w)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead: // reserved, and answered without content (RFC 9725 section 4)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "POST, OPTIONS, GET, HEAD")
		problem.Write(w, http.StatusMethodNotAllowed, q.Method+" is not for this resource; send an offer with POST")
	}
	return "", false
}

// links names the servers that a client may use for its candidates.
func (r *Relay) links(w http.ResponseWriter) {
	for _, server := range r.o.ICEServers {
		w.Header().Add("Link", "<"+server+`>; rel="ice-server"`)
	}
}

// body reads a body of one type and a bounded size, or answers why not.
func (r *Relay) body(w http.ResponseWriter, q *http.Request, want string, limit int64) (string, bool) {
	if got, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || got != want {
		problem.Write(w, http.StatusUnsupportedMediaType, "the content type must be "+want)
		return "", false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, q.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have %d bytes", limit))
		return "", false
	case err != nil:
		problem.Write(w, http.StatusBadRequest, "the body could not be read")
		return "", false
	}
	return string(b), true
}

// created answers a good POST.
func (r *Relay) created(w http.ResponseWriter, q *http.Request, id, etag, answer string) {
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", strings.TrimSuffix(q.URL.Path, "/")+"/"+id)
	h.Set("ETag", etag)
	h.Set("Accept-Patch", typeFragment)
	h.Set("Cache-Control", "no-store")
	r.links(w)
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, answer); err != nil {
		r.o.Logger.Debug("writing an answer", "error", err) // the session ends for want of a connection
	}
}

// resource answers every method of a session that is alive.
func (r *Relay) resource(w http.ResponseWriter, q *http.Request, t *tag, trickle func(string) (string, error), end func()) {
	switch q.Method {
	case http.MethodDelete:
		end()
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		r.patch(w, q, t, trickle)
	case http.MethodOptions:
		w.Header().Set("Allow", "DELETE, PATCH, OPTIONS, GET, HEAD")
		w.Header().Set("Accept-Patch", typeFragment)
		r.links(w)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("ETag", t.String())
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "DELETE, PATCH, OPTIONS, GET, HEAD")
		problem.Write(w, http.StatusMethodNotAllowed, q.Method+" is not for this resource")
	}
}

// patch takes candidates (204) or restarts ICE (200 with a new ETag), RFC 9725 section 4.3.
func (r *Relay) patch(w http.ResponseWriter, q *http.Request, t *tag, trickle func(string) (string, error)) {
	text, ok := r.body(w, q, typeFragment, maxFragment)
	if !ok {
		return
	}
	switch match := q.Header.Get("If-Match"); match {
	case "":
		problem.Write(w, http.StatusPreconditionRequired, "name the ETag in If-Match")
		return
	case "*", t.String():
	default:
		problem.Write(w, http.StatusPreconditionFailed, "the ETag is not the session's any more")
		return
	}
	reply, err := trickle(text)
	if err != nil {
		r.refuse(w, err)
		return
	}
	if reply == "" {
		w.WriteHeader(http.StatusNoContent)
		return
	}
	t.renew()
	w.Header().Set("Content-Type", typeFragment)
	w.Header().Set("ETag", t.String())
	if _, err := io.WriteString(w, reply); err != nil {
		r.o.Logger.Debug("writing a fragment", "error", err)
	}
}
