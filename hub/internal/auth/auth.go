// Package auth says who asks, and what that one may do.
//
// People log in with a name and a password (argon2id) and get a session cookie; programs carry a
// token. Both are known to the store by their SHA-256 only. Guessing is slowed down by account
// and by address, exactly also under concurrent attempts and across restarts. A refusal
// never says what was wrong. The package must not import the web package.
package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/google/uuid"

	"gridpost/hub/internal/store"
)

// Role is what somebody may do. Each role may do what those before it may.
type Role string

// The roles, least first.
const (
	Monitor       Role = "monitor"       // sees incidents and devices, no video
	Dispatcher    Role = "dispatcher"    // deals with incidents and watches cameras, on record
	Administrator Role = "administrator" // says who may do what
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

// Allows says whether r may do what need may. An unknown role may do nothing.
func (r Role) Allows(need Role) bool { return need.rank() > 0 && r.rank() >= need.rank() }

// ParseRole reads a role's name.
func ParseRole(s string) (Role, error) {
	if r := Role(s); r.rank() > 0 {
		return r, nil
	}
	return "", fmt.Errorf("role %q is not one of monitor, dispatcher, administrator", s)
}

// Errors that callers branch on.
var (
	ErrDenied = errors.New("denied") // no, wrong or expired credentials; deliberately not said which
	ErrInput  = errors.New("not usable")
)

// CookieName is the session cookie's name.
const CookieName = "gridpost_session"

// SessionLife is how long a log-in lasts.
const SessionLife = 12 * time.Hour

// tokenPrefix makes tokens recognisable, for people and for scanners of leaked secrets.
const tokenPrefix = "gp_"

// Principal is who asks.
type Principal struct {
	Name    string // a user's name, or "token " and the token's name
	Role    Role
	Session bool      // logged in by cookie
	Expires time.Time // of the session

	hash []byte
}

// Options say what a Service works with. Store is required.
type Options struct {
	Store  *store.Store
	Logger *slog.Logger
	Now    func() time.Time
	Params Params // of new passwords; DefaultParams unless set
}

// Service knows people and tokens. Its methods may be called from any goroutine.
type Service struct {
	o     Options
	slots chan struct{} // held while a password is hashed: bounds memory
	dummy string        // checked for names that do not exist, so that they take as long
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
	return &Service{o: o, slots: make(chan struct{}, 2), dummy: dummy}, nil
}

// Authenticate returns who sent a request, by bearer token or session cookie; ErrDenied if nobody
// known. A request with a token is never taken for its cookie's.
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
	user, expires, err := s.o.Store.SessionUser(r.Context(), hash[:])
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, ErrDenied
	}
	if err != nil {
		return Principal{}, err
	}
	return Principal{Name: user.Name, Role: Role(user.Role), Session: true, Expires: expires, hash: hash[:]}, nil
}

func (s *Service) byToken(ctx context.Context, token string) (Principal, error) {
	if !strings.HasPrefix(token, tokenPrefix) {
		return Principal{}, ErrDenied
	}
	hash := sha256.Sum256([]byte(token))
	t, err := s.o.Store.TokenByHash(ctx, hash[:])
	if errors.Is(err, store.ErrNotFound) {
		return Principal{}, ErrDenied
	}
	if err != nil {
		return Principal{}, err
	}
	return Principal{Name: "token " + t.Name, Role: Role(t.Role), hash: hash[:]}, nil
}

// Login checks a password and begins a session; cookie is what the browser keeps. It gives
// ErrDenied or a *ThrottledError.
func (s *Service) Login(ctx context.Context, name, password, remote string) (cookie string, p Principal, err error) {
	keys := throttleKeys(name, remote)
	if err := s.countAttempt(ctx, keys); err != nil {
		return "", Principal{}, err
	}
	user, err := s.o.Store.User(ctx, name)
	hash := user.Password
	switch {
	case errors.Is(err, store.ErrNotFound):
		hash = s.dummy
	case err != nil:
		return "", Principal{}, err
	}
	ok, cerr := s.check(ctx, password, hash)
	if cerr != nil {
		return "", Principal{}, cerr
	}
	if !ok || err != nil || user.Disabled != nil {
		s.o.Logger.Warn("log-in refused", "remote", remote)
		return "", Principal{}, ErrDenied
	}
	if err := s.forgive(ctx, keys); err != nil {
		return "", Principal{}, err
	}
	cookie = rand.Text() + rand.Text()
	sum := sha256.Sum256([]byte(cookie))
	p = Principal{Name: user.Name, Role: Role(user.Role), Session: true, Expires: s.o.Now().Add(SessionLife), hash: sum[:]}
	if err := s.o.Store.AddSession(ctx, sum[:], user.Name, p.Expires); err != nil {
		return "", Principal{}, err
	}
	return cookie, p, nil
}

// check compares a password with a hash, two at a time: each takes tens of megabytes.
func (s *Service) check(ctx context.Context, password, hash string) (bool, error) {
	select {
	case s.slots <- struct{}{}:
		defer func() { <-s.slots }()
	case <-ctx.Done():
		return false, fmt.Errorf("waiting to check a password: %w", ctx.Err())
	}
	return checkPassword(password, hash)
}

// Logout ends the principal's session.
func (s *Service) Logout(ctx context.Context, p Principal) error {
	if !p.Session {
		return nil
	}
	return s.o.Store.RemoveSession(ctx, p.Name, p.hash)
}

// AddUser adds a person. It gives ErrInput, or store.ErrConflict if the name is taken.
func (s *Service) AddUser(ctx context.Context, who, name, password string, role Role) error {
	if err := checkName(name); err != nil {
		return err
	}
	if role.rank() == 0 {
		return fmt.Errorf("%w: the role is not known", ErrInput)
	}
	hash, err := s.newHash(password)
	if err != nil {
		return err
	}
	return s.o.Store.AddUser(ctx, who, store.User{Name: name, Role: string(role), Password: hash})
}

// SetPassword gives a person another password and ends all of that person's sessions.
func (s *Service) SetPassword(ctx context.Context, who, name, password string) error {
	hash, err := s.newHash(password)
	if err != nil {
		return err
	}
	return s.o.Store.SetPassword(ctx, who, name, hash)
}

// Bounds of passwords, in characters and bytes. NIST SP 800-63B: length, not composition.
const (
	minPassword = 8
	maxPassword = 1024
)

func (s *Service) newHash(password string) (string, error) {
	if utf8.RuneCountInString(password) < minPassword || len(password) > maxPassword {
		return "", fmt.Errorf("%w: a password must have %d characters or more, and %d bytes at most", ErrInput, minPassword, maxPassword)
	}
	s.slots <- struct{}{}
	defer func() { <-s.slots }()
	return hashPassword(password, s.o.Params)
}

// checkName accepts letters and digits of any script and ._@-, so that no name looks like a
// token's or carries a control character into a log.
func checkName(name string) error {
	n := 0
	for _, r := range name {
		if !unicode.IsLetter(r) && !unicode.IsDigit(r) && !strings.ContainsRune("._@-", r) {
			return fmt.Errorf("%w: a name has letters, digits and . _ @ - only", ErrInput)
		}
		n++
	}
	if n < 1 || n > 40 || !utf8.ValidString(name) {
		return fmt.Errorf("%w: a name has 1 to 40 characters", ErrInput)
	}
	return nil
}

// CreateToken makes a token for a program. The text is returned once and kept nowhere.
func (s *Service) CreateToken(ctx context.Context, who, name string, role Role) (text string, t store.Token, err error) {
	if err := checkName(name); err != nil {
		return "", t, err
	}
	if role.rank() == 0 {
		return "", t, fmt.Errorf("%w: the role is not known", ErrInput)
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", t, fmt.Errorf("naming a token: %w", err)
	}
	text = tokenPrefix + Secret()
	hash := sha256.Sum256([]byte(text))
	t = store.Token{ID: id.String(), Name: name, Role: string(role), CreatedBy: who, Created: s.o.Now().UTC()}
	if err := s.o.Store.AddToken(ctx, t, hash[:]); err != nil {
		return "", t, err
	}
	return text, t, nil
}

// Secret returns 256 random bits as text.
func Secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}
