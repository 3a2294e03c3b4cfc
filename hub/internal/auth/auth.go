// Package auth authenticates requests and says what their principals may do.
//
// Users log in with a name and a password (argon2id) and get a session cookie; programs send a token.
// Both are stored by their SHA-256 only. Guessing is slowed down by account and origin, exactly also
// under concurrent attempts, and without a write to the database. A refusal never says what was
// wrong. The package must not import the web package.
package auth

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

// Role says what a principal may do. Each role may do what those before it may.
type Role string

// The roles, least first.
const (
	Monitor       Role = "monitor"       // sees incidents and devices, no video
	Dispatcher    Role = "dispatcher"    // handles incidents and views cameras, which is audited
	Administrator Role = "administrator" // manages users, tokens, edges and webhooks
)

func (r Role) rank() int {
	switch r {
	case Monitor:
		return 1
	case Dispatcher:
		return 2
	case Administrator:
		return 3
	}
	return 0
}

// Allows reports whether r may do what need may. An unknown role may do nothing.
func (r Role) Allows(need Role) bool { return need.rank() > 0 && r.rank() >= need.rank() }

// ParseRole returns the role of a name.
func ParseRole(s string) (Role, error) {
	if r := Role(s); r.rank() > 0 {
		return r, nil
	}
	return "", fmt.Errorf("role %q is not one of monitor, dispatcher, administrator", s)
}

// ErrDenied is what callers branch on.
var ErrDenied = errors.New("denied") // no, wrong or expired credentials; which, is not said on purpose

// CookieName is the session cookie's name.
const CookieName = "gridpost_session"

// SessionLife is how long a session lasts.
const SessionLife = 12 * time.Hour

// Principal is who sends a request.
type Principal struct {
	ID      string // of a user, UUIDv7; empty for a token
	Token   string // ID of a token, UUIDv7; empty for a user
	Name    string // a user's name, or "token " and the token's name; two tokens may have one name
	Role    Role
	Scope   scope.Scope // of the role: the sites that the principal may see
	Session bool        // logged in by cookie
	Expires time.Time   // of the session or the token; zero: never

	hash []byte // SHA-256 of the cookie or the token
}

// Key identifies the principal: "user:" or "token:" and the ID, which never change. Names do, and tokens
// may share one.
func (p Principal) Key() string {
	if p.Token != "" {
		return "token:" + p.Token
	}
	return "user:" + p.ID
}

// SessionKey identifies the session of a user: the SHA-256 of its cookie in hexadecimal digits. It is empty
// for a token.
func (p Principal) SessionKey() string {
	if !p.Session {
		return ""
	}
	return hex.EncodeToString(p.hash)
}

// Options say what a Service works with. People is required.
type Options struct {
	People *people.Repository
	Logger *slog.Logger     // nil: slog.Default
	Now    func() time.Time // nil: time.Now
	Params Params           // of new passwords; DefaultParams unless set

	Failures *Failures // records failed log-ins; nil: nobody does
}

// Service authenticates users and tokens. Its methods may be called from any goroutine.
type Service struct {
	o        Options
	throttle *throttle
	gate     *gate
	uses     *uses
	dummy    string // checked for names that do not exist, so that they take as long
}

// New returns a Service.
func New(o Options) (*Service, error) {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Params == (Params{}) {
		o.Params = DefaultParams()
	}
	dummy, err := hashPassword(rand.Text(), o.Params)
	if err != nil {
		return nil, err
	}
	return &Service{o: o, throttle: newThrottle(o.Now), gate: newGate(), uses: newUses(), dummy: dummy}, nil
}

// Stats returns what the throttle of log-ins did since the start.
func (s *Service) Stats() ThrottleStats { return s.throttle.stats() }

// Authenticate returns the principal of a request, by bearer token or session cookie; ErrDenied if there is
// none. The cookie of a request with a token is ignored.
func (s *Service) Authenticate(r *http.Request) (Principal, error) {
	if header := r.Header.Get("Authorization"); header != "" {
		kind, token, _ := strings.Cut(header, " ")
		if !strings.EqualFold(kind, "Bearer") {
			return Principal{}, ErrDenied
		}
		return s.byToken(r.Context(), strings.TrimSpace(token))
	}
	cookie, err := r.Cookie(CookieName)
	if err != nil {
		return Principal{}, ErrDenied
	}
	hash := sha256.Sum256([]byte(cookie.Value))
	user, expires, err := s.o.People.Session(r.Context(), hash[:])
	if errors.Is(err, db.ErrNotFound) {
		return Principal{}, ErrDenied
	}
	if err != nil {
		return Principal{}, err
	}
	return session(user, expires, hash[:]), nil
}

// session returns the principal of a session.
func session(user people.User, expires time.Time, hash []byte) Principal {
	p := ofUser(user)
	p.Session, p.Expires, p.hash = true, expires, hash
	return p
}
