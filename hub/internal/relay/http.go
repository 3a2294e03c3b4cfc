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

// Limits of request bodies, in bytes.
const (
	maxOffer    = 64 << 10
	maxFragment = 16 << 10
)

const (
	typeSDP      = "application/sdp"
	typeFragment = "application/trickle-ice-sdpfrag"
)

// etag is the ETag of a session. It identifies the ICE session (RFC 9725 section 4.3.1) and changes
// with each ICE restart.
type etag struct {
	mu    sync.Mutex
	value string
}

func newETag() etag { return etag{value: rand.Text()} }

func (t *etag) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return `"` + t.value + `"`
}

func (t *etag) renew() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.value = rand.Text()
}

// serveEndpoint serves a request to a WHIP or WHEP endpoint. It returns the offer of a valid POST,
// which the caller must respond to; to any other request it responds itself and returns false.
func (r *Relay) serveEndpoint(w http.ResponseWriter, q *http.Request) (offer string, ok bool) {
	switch q.Method {
	case http.MethodPost:
		return r.readBody(w, q, typeSDP, maxOffer)
	case http.MethodOptions:
		w.Header().Set("Accept-Post", typeSDP)
		w.Header().Set("Allow", "POST, OPTIONS, GET, HEAD")
		r.addICEServerLinks(w, q)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead: // reserved: respond without content (RFC 9725 section 4)
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "POST, OPTIONS, GET, HEAD")
		problem.Write(w, http.StatusMethodNotAllowed, "this resource does not support "+q.Method+"; send an offer with POST")
	}
	return "", false
}

// addICEServerLinks adds the TURN servers that clients may use (RFC 9725 section 4.6).
func (r *Relay) addICEServerLinks(w http.ResponseWriter, q *http.Request) {
	if r.o.ICEServers == nil {
		return
	}
	for _, s := range r.o.ICEServers(q.Host) {
		w.Header().Add("Link", fmt.Sprintf(`<%s>; rel="ice-server"; username="%s"; credential="%s"; credential-type="password"`, s.URL, s.Username, s.Credential))
	}
}

// readBody returns the request's body if it has the type want and at most limit bytes. Otherwise it
// responds with an error and returns false.
func (r *Relay) readBody(w http.ResponseWriter, q *http.Request, want string, limit int64) (string, bool) {
	if got, _, err := mime.ParseMediaType(q.Header.Get("Content-Type")); err != nil || got != want {
		problem.Write(w, http.StatusUnsupportedMediaType, "the content type must be "+want)
		return "", false
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, q.Body, limit))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		problem.Write(w, http.StatusRequestEntityTooLarge, fmt.Sprintf("the body may have at most %d bytes", limit))
		return "", false
	case err != nil:
		problem.Write(w, http.StatusBadRequest, "the body could not be read")
		return "", false
	}
	return string(b), true
}

// writeCreated writes the response to a POST that created a session.
func (r *Relay) writeCreated(w http.ResponseWriter, q *http.Request, id, etag, answer string) {
	h := w.Header()
	h.Set("Content-Type", typeSDP)
	h.Set("Location", strings.TrimSuffix(q.URL.Path, "/")+"/"+id)
	h.Set("ETag", etag)
	h.Set("Accept-Patch", typeFragment)
	h.Set("Cache-Control", "no-store")
	r.addICEServerLinks(w, q)
	w.WriteHeader(http.StatusCreated)
	if _, err := io.WriteString(w, answer); err != nil {
		r.o.Logger.Debug("writing an SDP answer", "error", err) // the session will end because the client cannot connect
	}
}

// serveSession serves all methods of the resource of a session that has not ended.
func (r *Relay) serveSession(w http.ResponseWriter, q *http.Request, t *etag, trickle func(string) (string, error), end func()) {
	switch q.Method {
	case http.MethodDelete:
		end()
		w.WriteHeader(http.StatusOK)
	case http.MethodPatch:
		r.servePatch(w, q, t, trickle)
	case http.MethodOptions:
		w.Header().Set("Allow", "DELETE, PATCH, OPTIONS, GET, HEAD")
		w.Header().Set("Accept-Patch", typeFragment)
		r.addICEServerLinks(w, q)
		w.WriteHeader(http.StatusNoContent)
	case http.MethodGet, http.MethodHead:
		w.Header().Set("ETag", t.String())
		w.WriteHeader(http.StatusNoContent)
	default:
		w.Header().Set("Allow", "DELETE, PATCH, OPTIONS, GET, HEAD")
		problem.Write(w, http.StatusMethodNotAllowed, "this resource does not support "+q.Method)
	}
}

// servePatch adds candidates (204), or restarts ICE (200 with a new ETag); RFC 9725 section 4.3.
func (r *Relay) servePatch(w http.ResponseWriter, q *http.Request, t *etag, trickle func(string) (string, error)) {
	text, ok := r.readBody(w, q, typeFragment, maxFragment)
	if !ok {
		return
	}
	switch match := q.Header.Get("If-Match"); match {
	case "":
		problem.Write(w, http.StatusPreconditionRequired, "the request needs the session's ETag in If-Match")
		return
	case "*", t.String():
	default:
		problem.Write(w, http.StatusPreconditionFailed, "the ETag is not that of the session: ICE was restarted meanwhile")
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
		r.o.Logger.Debug("writing an SDP fragment", "error", err)
	}
}
