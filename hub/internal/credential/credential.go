// Package credential makes and checks the short-lived credentials with which edges publish and viewers watch where
// neither the certificate of an edge nor the session of a user is seen: at a relay elsewhere.
//
// A credential is a JSON Web Token in compact form (RFC 7519), signed with Ed25519 (RFC 8037) under one fixed header,
// so that a token of another kind or algorithm is never accepted (RFC 8725, section 3.11). It names one principal, one
// use and one camera, and it begins a session for Life at most. It grants nothing by itself: who accepts it asks, at
// each request, whether the principal is still allowed. A relay needs the public key only.
//
// The package must import nothing of Gridpost.
package credential

import (
	"crypto/ed25519"
	"encoding/base64"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
	"time"
)

// Life is how long after it was made a credential begins a session.
const Life = 90 * time.Second

// maxLength bounds the text of a credential in bytes.
const maxLength = 2048

// Use is what a credential is for.
type Use string

// The uses.
const (
	Publish Use = "publish" // the stream of a camera, by its edge
	View    Use = "view"    // a camera, by a user or a token
)

// Claims are what a credential says.
type Claims struct {
	Use    Use    `json:"use"`
	Edge   string `json:"edge"`
	Device string `json:"device"`
	Stream string `json:"stream,omitempty"` // of Publish; "": the main stream

	Principal   string `json:"sub"`            // "user:", "token:" or "edge:", and the ID or the name
	Session     string `json:"sid,omitempty"`  // of View: key of the session in which a user asked for it
	Certificate string `json:"cert,omitempty"` // of Publish: serial number of the edge's certificate

	Expires int64 `json:"exp"` // Unix time in s; set by Issue
}

// Of reports whether the credential is for a camera.
func (c Claims) Of(edge, device string) bool { return c.Edge == edge && c.Device == device }

// ErrInvalid is the error of a credential that is malformed, not signed by this authority, for another use or
// expired. Which of these, is not said on purpose.
var ErrInvalid = errors.New("the credential is not valid")

// Authority makes and checks credentials. Its methods may be called from any goroutine.
type Authority struct {
	key ed25519.PrivateKey
	now func() time.Time
}

// New returns the authority of a seed of ed25519.SeedSize bytes. Hubs with the same seed accept each other's
// credentials. now is time.Now unless set.
func New(seed []byte, now func() time.Time) *Authority {
	if now == nil {
		now = time.Now
	}
	return &Authority{key: ed25519.NewKeyFromSeed(seed), now: now}
}

// header is the beginning of every credential: {"alg":"EdDSA","typ":"gridpost-media+jwt"}.
const header = "eyJhbGciOiJFZERTQSIsInR5cCI6ImdyaWRwb3N0LW1lZGlhK2p3dCJ9."

var encoding = base64.RawURLEncoding.Strict()

// Issue returns a credential that expires after Life, and when that is.
func (a *Authority) Issue(c Claims) (text string, expires time.Time) {
	expires = a.now().Add(Life).Truncate(time.Second)
	c.Expires = expires.Unix()
	payload, _ := json.Marshal(c) // strings and a number: it does not fail
	text = header + encoding.EncodeToString(payload)
	return text + "." + encoding.EncodeToString(ed25519.Sign(a.key, []byte(text))), expires
}

// Begin returns the claims of a credential that may begin a session now; otherwise ErrInvalid.
func (a *Authority) Begin(text string, use Use) (Claims, error) {
	c, err := a.Continue(text, use)
	if left := time.Unix(c.Expires, 0).Sub(a.now()); err != nil || left <= 0 || left > Life { // more than Life: the clock was set back
		return Claims{}, ErrInvalid
	}
	return c, nil
}

// Continue returns the claims of a credential for requests about a session that it has begun: sessions outlast their
// credentials, so the expiry does not matter. Otherwise it returns ErrInvalid.
func (a *Authority) Continue(text string, use Use) (Claims, error) {
	if !Is(text) || len(text) > maxLength {
		return Claims{}, ErrInvalid
	}
	at := strings.LastIndexByte(text, '.')
	signature, err := encoding.DecodeString(text[at+1:])
	if err != nil || at < len(header) || !ed25519.Verify(a.key.Public().(ed25519.PublicKey), []byte(text[:at]), signature) {
		return Claims{}, ErrInvalid
	}
	payload, err := encoding.DecodeString(text[len(header):at])
	if err != nil {
		return Claims{}, ErrInvalid
	}
	var c Claims
	if err := json.Unmarshal(payload, &c); err != nil || c.Use != use {
		return Claims{}, ErrInvalid
	}
	return c, nil
}

// Is reports whether a bearer token is a credential of this package, valid or not.
func Is(token string) bool { return strings.HasPrefix(token, header) }

// FromRequest returns the bearer token of a request (RFC 6750) if it is a credential of this package, valid or not;
// otherwise "".
func FromRequest(r *http.Request) string {
	kind, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if token = strings.TrimSpace(token); !strings.EqualFold(kind, "Bearer") || !Is(token) {
		return ""
	}
	return token
}
