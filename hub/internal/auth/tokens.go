package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/people"
)

// tokenPrefix marks tokens, for people and for scanners of leaked secrets.
const tokenPrefix = "gp_"

func (s *Service) byToken(ctx context.Context, token string) (Principal, error) {
	if !strings.HasPrefix(token, tokenPrefix) {
		return Principal{}, ErrDenied
	}
	hash := sha256.Sum256([]byte(token))
	t, err := s.o.People.TokenByHash(ctx, hash[:])
	if errors.Is(err, db.ErrNotFound) {
		return Principal{}, ErrDenied
	}
	if err != nil {
		return Principal{}, err
	}
	s.uses.note(t.ID, s.o.Now())
	p := ofToken(t)
	p.hash = hash[:]
	return p, nil
}

// NewToken says what token is to be created.
type NewToken struct {
	By      string // name of the principal that creates it; the token ends with that user
	Name    string
	Role    Role
	Scope   *scope.Scope // nil: all sites
	Expires time.Time    // zero: never
}

// CreateToken creates a token for a program. The text is returned once and not stored. It returns a
// *problem.Error for a name, a role, a scope or a time that a token cannot have.
func (s *Service) CreateToken(ctx context.Context, n NewToken) (text string, t people.Token, err error) {
	in := scope.All()
	if n.Scope != nil {
		in = *n.Scope
	}
	if err := errors.Join(checkUser(n.Name, n.Role), checkScope(in)); err != nil {
		return "", t, err
	}
	t = people.Token{Name: n.Name, Role: string(n.Role), Scope: in, CreatedBy: n.By}
	if !n.Expires.IsZero() {
		if !n.Expires.After(s.o.Now()) {
			return "", t, problem.New("token_expired_at_once")
		}
		at := n.Expires.UTC().Truncate(time.Millisecond)
		t.Expires = &at
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", t, fmt.Errorf("generating the ID of a token: %w", err)
	}
	text = tokenPrefix + Secret()
	hash := sha256.Sum256([]byte(text))
	t.ID = id.String()
	t, err = s.o.People.AddToken(ctx, t, hash[:])
	if err != nil {
		return "", people.Token{}, err
	}
	return text, t, nil
}

// Secret returns 256 random bits as text.
func Secret() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, by its documentation
	return base64.RawURLEncoding.EncodeToString(b[:])
}
