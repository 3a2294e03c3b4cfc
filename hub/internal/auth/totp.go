package auth

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"errors"
	"strings"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/totp"
)

const (
	issuer         = "Gridpost" // in authenticator apps
	recoveryCodes  = 10
	recoveryLength = 16 // characters of base32: 80 random bits, so that their SHA-256 cannot be searched

	ofTOTP = " totp" // purpose of attempts
)

// TOTPState is a user's own second factor.
type TOTPState struct {
	Available bool       // the user has a password; the log-in of others is the identity provider's matter
	On        *time.Time // since when; nil: it is off
	Recovery  int        // recovery codes that are left
}

// TOTP returns the second factor of a user who is logged in.
func (s *Service) TOTP(ctx context.Context, p Principal) (TOTPState, error) {
	if !p.Session {
		return TOTPState{}, nil
	}
	login, err := s.o.People.Login(ctx, p.Name, "")
	if err != nil {
		return TOTPState{}, err
	}
	t, err := s.o.People.TOTP(ctx, p.ID)
	if err != nil {
		return TOTPState{}, err
	}
	return TOTPState{Available: login.Password != "", On: t.On, Recovery: t.Recovery}, nil
}

// Enrolment is a new secret of a second factor, which is shown once.
type Enrolment struct {
	Secret string // base32
	URI    string // otpauth://, for a QR code
}

// BeginTOTP makes a secret for a user who is logged in. The second factor is on when EnableTOTP has confirmed it. It returns
// ErrDenied if the password is wrong, a *ThrottledError after too many, or a *problem.Error if the second factor is on.
func (s *Service) BeginTOTP(ctx context.Context, p Principal, password, remote string) (Enrolment, error) {
	if !p.Session {
		return Enrolment{}, problem.New("token_without_password")
	}
	a := ownAttempt(p, "")
	if _, err := s.provePassword(ctx, a, p, password, remote); err != nil {
		return Enrolment{}, err
	}
	s.throttle.succeed(a)
	secret := totp.NewSecret()
	if err := s.o.People.BeginTOTP(ctx, p.ID, secret); err != nil {
		return Enrolment{}, err
	}
	return Enrolment{Secret: totp.Text(secret), URI: totp.URI(issuer, p.Name, secret)}, nil
}

// EnableTOTP turns the second factor of a user who is logged in on, which BeginTOTP has made a secret for, and ends the
// user's other sessions. It returns the recovery codes, which are shown once; or a *problem.Error if there is no such secret
// or the code is wrong, and a *ThrottledError after too many.
func (s *Service) EnableTOTP(ctx context.Context, p Principal, code, remote string) (recovery []string, err error) {
	if !p.Session {
		return nil, problem.New("token_without_password")
	}
	a := ownAttempt(p, ofTOTP)
	if err := s.throttle.begin(a); err != nil {
		return nil, err
	}
	t, err := s.o.People.TOTP(ctx, p.ID)
	if err == nil && t.On != nil {
		err = problem.New("totp_on")
	} else if err == nil && t.Secret == nil {
		err = problem.New("totp_not_begun")
	}
	if err != nil {
		s.throttle.cancel(a)
		return nil, err
	}
	step, ok := totp.Match(t.Secret, plain(code), s.o.Now(), t.LastStep)
	if !ok {
		return nil, s.codeWrong(p.Name, remote)
	}
	var hashes [][]byte
	for range recoveryCodes {
		text := rand.Text()[:recoveryLength]
		recovery = append(recovery, strings.Join([]string{text[:4], text[4:8], text[8:12], text[12:]}, "-"))
		hashes = append(hashes, recoveryHash(text))
	}
	err = s.o.People.EnableTOTP(ctx, p.ID, people.Factor{Secret: t.Secret, Step: step}, hashes, p.hash)
	if errors.Is(err, db.ErrNotFound) { // used, or made anew, just now
		return nil, s.codeWrong(p.Name, remote)
	}
	if err != nil {
		s.throttle.cancel(a)
		return nil, err
	}
	s.throttle.succeed(a)
	return recovery, nil
}

// DisableTOTP turns the second factor of a user who is logged in off, who proves both the password and the second factor,
// by a code or a recovery code. It returns ErrDenied if the password is wrong, a *problem.Error if the code is wrong or the
// second factor is off, and a *ThrottledError after too many.
func (s *Service) DisableTOTP(ctx context.Context, p Principal, password, code, remote string) error {
	if !p.Session {
		return problem.New("token_without_password")
	}
	a := ownAttempt(p, ofTOTP)
	if _, err := s.provePassword(ctx, a, p, password, remote); err != nil {
		return err
	}
	factor, err := s.prove(ctx, p.ID, code)
	if err == nil {
		err = s.o.People.DisableTOTP(ctx, p.ID, factor)
	}
	switch {
	case errors.Is(err, db.ErrNotFound):
		return s.codeWrong(p.Name, remote)
	case err != nil:
		s.throttle.cancel(a)
		return err
	}
	s.throttle.succeed(a)
	return nil
}

// proveLogin checks the second factor of an attempt to log in whose password was right, if the user has one.
func (s *Service) proveLogin(ctx context.Context, a attempt, user people.User, code string) (people.Factor, error) {
	switch {
	case user.TOTP == nil:
		return people.Factor{}, nil
	case code == "":
		// Neither a failure nor a success: who knows the password only must not make the hub forget wrong codes.
		s.throttle.cancel(a)
		return people.Factor{}, problem.New("totp_required")
	}
	factor, err := s.prove(ctx, user.ID, code)
	switch {
	case errors.Is(err, db.ErrNotFound):
		return people.Factor{}, s.codeWrong(user.Name, a.from())
	case err != nil:
		s.throttle.cancel(a)
		return people.Factor{}, err
	}
	return factor, nil
}

// codeWrong records a wrong code of a user and returns the refusal.
func (s *Service) codeWrong(name, remote string) error {
	s.o.Logger.Warn("code of a second factor refused", "remote", remote)
	origin, _ := originOf(remote)
	s.o.Failures.note(ByCode, name, origin, false)
	return problem.New("totp_wrong")
}

// prove returns what a code or a recovery code proves; db.ErrNotFound if it is neither now, or a *problem.Error if the
// second factor is off. It uses nothing up.
func (s *Service) prove(ctx context.Context, userID, code string) (people.Factor, error) {
	text := plain(code)
	t, err := s.o.People.TOTP(ctx, userID)
	if err != nil {
		return people.Factor{}, err
	}
	if t.On == nil { // a secret that waits for its first code proves nothing
		return people.Factor{}, problem.New("totp_off")
	}
	if step, ok := totp.Match(t.Secret, text, s.o.Now(), t.LastStep); ok {
		return people.Factor{Secret: t.Secret, Step: step}, nil
	}
	if text = letters.Replace(text); len(text) == recoveryLength {
		hash := recoveryHash(text)
		if there, err := s.o.People.HasRecoveryCode(ctx, userID, hash); err != nil || there {
			return people.Factor{Recovery: hash}, err
		}
	}
	return people.Factor{}, db.ErrNotFound
}

func recoveryHash(text string) []byte {
	sum := sha256.Sum256([]byte(text))
	return sum[:]
}

// plain returns a code without what people type between its parts.
func plain(code string) string {
	return strings.ToUpper(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' {
			return -1
		}
		return r
	}, code))
}

// letters corrects digits that base32 does not have, which people read for letters.
var letters = strings.NewReplacer("0", "O", "1", "I", "8", "B")
