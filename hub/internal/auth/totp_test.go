package auth

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/people"
	"gridpost/hub/internal/totp"
)

// enrolled adds the user li, with a second factor, and returns the secret and the recovery codes. The code of the step of
// now is used.
func enrolled(t *testing.T, s *Service, now func() time.Time) (secret []byte, recovery []string) {
	t.Helper()
	ctx := t.Context()
	if _, err := s.AddUser(ctx, "test", "li", modelPassword, Dispatcher); err != nil {
		t.Fatal(err)
	}
	_, p, err := s.Login(ctx, "li", modelPassword, "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	made, err := s.BeginTOTP(ctx, p, modelPassword, "10.0.0.1:1")
	if err != nil || !strings.HasPrefix(made.URI, "otpauth://totp/Gridpost:li?secret="+made.Secret+"&") {
		t.Fatalf("%+v, %v", made, err)
	}
	m := &factorModel{t: t}
	m.newSecret(made.Secret)
	// Until it is confirmed, nothing has changed.
	if _, _, err := s.Login(ctx, "li", modelPassword, "10.0.0.1:1"); err != nil {
		t.Errorf("before the secret is confirmed: %v", err)
	}
	recovery, err = s.EnableTOTP(ctx, p, totp.Code(m.secret, totp.Step(now())), "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	return m.secret, recovery
}

// TestReplayOfACode: a code is accepted once only, also when it comes many times at once, at two hubs on one database, and
// also the one that confirmed the secret.
func TestReplayOfACode(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		now := time.Unix(1_800_000_000, 0)
		clock := func() time.Time { return now }
		one, two := serviceOn(t, d, clock), serviceOn(t, d, clock)
		secret, recovery := enrolled(t, one, clock)
		logIn := func(s *Service, code string) error {
			_, _, err := s.LoginWithCode(t.Context(), "li", modelPassword, code, "10.0.0.1:1")
			return err
		}
		confirmed := totp.Code(secret, totp.Step(now))
		if err := logIn(one, confirmed); !errors.Is(err, problem.New("totp_wrong")) {
			t.Errorf("the code that confirmed the secret: %v", err)
		}
		for _, code := range []string{totp.Code(secret, totp.Step(now)+1), recovery[0]} {
			var accepted, refused atomic.Int32
			var wg sync.WaitGroup
			for i := range 4 {
				wg.Go(func() {
					err := logIn([]*Service{one, two}[i%2], code)
					switch {
					case err == nil:
						accepted.Add(1)
					case errors.Is(err, problem.New("totp_wrong")), errors.Is(err, ErrDenied):
						refused.Add(1)
					default:
						t.Error(err)
					}
				})
			}
			wg.Wait()
			if accepted.Load() != 1 || refused.Load() != 3 {
				t.Errorf("%s: accepted %d times, refused %d times", code, accepted.Load(), refused.Load())
			}
			if err := logIn(one, code); !errors.Is(err, problem.New("totp_wrong")) {
				t.Errorf("%s again: %v", code, err)
			}
			now = now.Add(2 * time.Hour)
		}
		if err := logIn(one, strings.ToLower(strings.ReplaceAll(recovery[1], "-", " "))); err != nil {
			t.Errorf("a recovery code as people type it: %v", err)
		}
	})
}

// TestWrongCodesAreThrottled: wrong codes count like wrong passwords, and the password alone takes nothing back.
func TestWrongCodesAreThrottled(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	s := newService(t, clock)
	f := NewFailures(nil, slog.New(slog.DiscardHandler))
	s.o.Failures = f
	secret, _ := enrolled(t, s, clock)
	var slow *ThrottledError
	logIn := func(code string) error {
		_, _, err := s.LoginWithCode(t.Context(), "li", modelPassword, code, "10.0.0.9:1") // a stranger who knows the password
		return err
	}
	for i := range freeOfPair {
		if err := logIn(""); !errors.Is(err, problem.New("totp_required")) {
			t.Errorf("attempt %d without a code: %v", i, err)
		}
		if err := logIn(fmt.Sprintf("%06d", i)); !errors.Is(err, problem.New("totp_wrong")) {
			t.Errorf("wrong code %d: %v", i, err)
		}
	}
	if err := logIn(totp.Code(secret, totp.Step(now)+1)); !errors.As(err, &slow) {
		t.Errorf("the right code after %d wrong ones: %v", freeOfPair, err)
	}
	if _, _, err := s.LoginWithCode(t.Context(), "li", modelPassword, totp.Code(secret, totp.Step(now)+1), "10.0.0.1:1"); err != nil {
		t.Errorf("where the user has logged in before: %v", err)
	}
	byCode := 0
	for _, one := range f.take() {
		if one.Way == ByCode && one.User == "li" && one.Origin == "10.0.0.9" {
			byCode += one.Count
		}
	}
	if byCode != freeOfPair {
		t.Errorf("%d wrong codes are recorded", byCode)
	}
}

// TestOwnAttemptsAreThrottled: who finds an unlocked desk and knows the password cannot guess codes, and wrong codes are
// not forgotten when the password is proven elsewhere.
func TestOwnAttemptsAreThrottled(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	s := newService(t, clock)
	secret, _ := enrolled(t, s, clock)
	_, p, err := s.LoginWithCode(t.Context(), "li", modelPassword, totp.Code(secret, totp.Step(now)+1), "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range freeOfPair {
		if err := s.DisableTOTP(t.Context(), p, modelPassword, "000000", "10.0.0.1:1"); !errors.Is(err, problem.New("totp_wrong")) {
			t.Errorf("wrong code %d: %v", i, err)
		}
		if err := s.ChangePassword(t.Context(), p, modelPassword, modelPassword, "10.0.0.1:1"); err != nil {
			t.Error(err)
		}
	}
	now = now.Add(time.Second / 2)
	var slow *ThrottledError
	if err := s.DisableTOTP(t.Context(), p, modelPassword, totp.Code(secret, totp.Step(now)+1), "10.0.0.1:1"); !errors.As(err, &slow) {
		t.Errorf("after %d wrong codes: %v", freeOfPair, err)
	}
	if err := s.DisableTOTP(t.Context(), Principal{Token: "x"}, modelPassword, "", ""); !errors.Is(err, problem.New("token_without_password")) {
		t.Errorf("a token: %v", err)
	}
}

// TestEnabledWhileLoggingIn: a log-in whose password was read before the second factor was turned on, or before the
// password was changed, gets no session.
func TestEnabledWhileLoggingIn(t *testing.T) {
	now := time.Unix(1_800_000_000, 0)
	clock := func() time.Time { return now }
	s := newService(t, clock)
	ctx := t.Context()
	u, err := s.AddUser(ctx, "test", "wang", modelPassword, Monitor)
	if err != nil {
		t.Fatal(err)
	}
	stale, err := s.o.People.Login(ctx, "wang", "x")
	if err != nil || stale.User.ID != u.ID {
		t.Fatal(err)
	}
	if err := s.SetPassword(ctx, "test", "wang", "another heron"); err != nil {
		t.Fatal(err)
	}
	begin := func() error {
		a := attempt{account: "wang", origin: "x", address: "x", known: true}
		_, _, err := s.begin(ctx, a, stale, people.Factor{})
		return err
	}
	if err := begin(); !errors.Is(err, ErrDenied) {
		t.Errorf("with the former password: %v", err)
	}
	if stale, err = s.o.People.Login(ctx, "wang", "x"); err != nil {
		t.Fatal(err)
	}
	secret := totp.NewSecret()
	if err := s.o.People.BeginTOTP(ctx, u.ID, secret); err != nil {
		t.Fatal(err)
	}
	if err := s.o.People.EnableTOTP(ctx, u.ID, people.Factor{Secret: secret, Step: 5}, nil, nil); err != nil {
		t.Fatal(err)
	}
	if err := begin(); !errors.Is(err, ErrDenied) {
		t.Errorf("without the second factor that is on now: %v", err)
	}
}
