package auth

import (
	"errors"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newService(t *testing.T, now func() time.Time) *Service {
	t.Helper()
	return serviceOn(t, dbtest.Open(t, db.SQLite, db.Options{Now: now}), now)
}

func serviceOn(t *testing.T, d *db.DB, now func() time.Time) *Service {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	s, err := New(Options{People: people.New(d, people.Hooks{}), Now: now, Logger: log, Params: Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestParametersAreThoseOfTheRFC(t *testing.T) {
	if p := DefaultParams(); p.Memory != 65536 || p.Time != 3 || p.Threads != 4 {
		t.Errorf("%+v", p)
	}
	hash, err := hashPassword("correct horse", DefaultParams())
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=65536,t=3,p=4$") {
		t.Errorf("hash %s", hash)
	}
	for password, want := range map[string]bool{"correct horse": true, "Correct horse": false, "": false} {
		if got, err := checkPassword(password, hash); got != want || err != nil {
			t.Errorf("%q: %v, %v", password, got, err)
		}
	}
	again, err := hashPassword("correct horse", DefaultParams())
	if err != nil || again == hash {
		t.Error("two hashes of one password are equal")
	}
	for _, bad := range []string{"", "plain", "$argon2i$v=19$m=64,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=4000000000,t=1,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA", "$argon2id$v=19$m=64,t=0,p=1$c2FsdHNhbHQ$AAAAAAAAAAAAAAAAAAAAAA"} {
		if ok, err := checkPassword("x", bad); ok || err == nil {
			t.Errorf("%q was taken for a hash", bad)
		}
	}
}

func TestSessions(t *testing.T) {
	now := time.Now()
	s := newService(t, func() time.Time { return now })
	ctx := t.Context()
	if _, err := s.AddUser(ctx, "test", "王芳", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	if _, err := s.AddUser(ctx, "test", "王芳", "long enough", Dispatcher); !errors.Is(err, db.ErrConflict) {
		t.Errorf("the same name again: %v", err)
	}
	for name, password := range map[string]string{"token x": "long enough", "": "long enough", "a": "short", "a\nb": "long enough"} {
		if _, err := s.AddUser(ctx, "test", name, password, Monitor); !errors.As(err, new(*problem.Error)) {
			t.Errorf("%q %q: %v", name, password, err)
		}
	}
	cookie, p, err := s.Login(ctx, "王芳", "long enough", "10.0.0.1:1234")
	if err != nil || p.Role != Dispatcher || !p.Session {
		t.Fatalf("%+v, %v", p, err)
	}
	ask := func(cookie string) error {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.AddCookie(&http.Cookie{Name: CookieName, Value: cookie})
		_, err = s.Authenticate(r)
		return err
	}
	if err := ask(cookie); err != nil {
		t.Error(err)
	}
	if err := ask(cookie + "x"); !errors.Is(err, ErrDenied) {
		t.Errorf("another cookie: %v", err)
	}
	if err := s.SetPassword(ctx, "test", "王芳", "another one"); err != nil {
		t.Fatal(err)
	}
	if err := ask(cookie); !errors.Is(err, ErrDenied) {
		t.Errorf("after the password was changed: %v", err)
	}
	if cookie, p, err = s.Login(ctx, "王芳", "another one", "10.0.0.1:1234"); err != nil {
		t.Fatal(err)
	}
	if err := s.Logout(ctx, p); err != nil {
		t.Fatal(err)
	}
	if err := ask(cookie); !errors.Is(err, ErrDenied) {
		t.Errorf("after logging out: %v", err)
	}
	if cookie, _, err = s.Login(ctx, "王芳", "another one", "10.0.0.1:1234"); err != nil {
		t.Fatal(err)
	}
	now = now.Add(SessionLife + time.Second)
	if err := ask(cookie); !errors.Is(err, ErrDenied) {
		t.Errorf("after its life: %v", err)
	}
}

func TestTokens(t *testing.T) {
	s := newService(t, time.Now)
	ctx := t.Context()
	text, token, err := s.CreateToken(ctx, NewToken{By: "test", Name: "smoke", Role: Monitor})
	if err != nil || !strings.HasPrefix(text, "gp_") {
		t.Fatalf("%s, %v", text, err)
	}
	ask := func(header string) (Principal, error) {
		r, err := http.NewRequestWithContext(ctx, http.MethodGet, "/", nil)
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", header)
		return s.Authenticate(r)
	}
	if p, err := ask("Bearer " + text); err != nil || p.Role != Monitor || p.Name != "token smoke" {
		t.Errorf("%+v, %v", p, err)
	}
	for _, bad := range []string{"Bearer", "Bearer gp_", "Bearer x" + text, "Basic " + text, text} {
		if _, err := ask(bad); !errors.Is(err, ErrDenied) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if err := s.o.People.RevokeToken(ctx, "test", token.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := ask("Bearer " + text); !errors.Is(err, ErrDenied) {
		t.Errorf("a revoked one: %v", err)
	}
}

func TestGuessingIsSlowedDown(t *testing.T) {
	now := time.Now()
	s := newService(t, func() time.Time { return now })
	ctx := t.Context()
	if _, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	// Many at once: no more than the free ones are looked at.
	var denied, throttled atomic.Int32
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			var slow *ThrottledError
			switch _, _, err := s.Login(ctx, "li", "a guess", "10.0.0.1:1"); {
			case errors.Is(err, ErrDenied):
				denied.Add(1)
			case errors.As(err, &slow):
				throttled.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if denied.Load() != 5 || throttled.Load() != 15 {
		t.Errorf("%d looked at, %d not", denied.Load(), throttled.Load())
	}
	var slow *ThrottledError
	if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.1:2"); !errors.As(err, &slow) {
		t.Errorf("the right password while blocked: %v", err)
	}
	if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.2:1"); err != nil {
		t.Errorf("from another address: %v", err)
	}
	for i := range 12 { // each wait doubles
		now = now.Add(maxBlock)
		if _, _, err := s.Login(ctx, "li", "a guess", "10.0.0.1:1"); !errors.Is(err, ErrDenied) {
			t.Fatalf("guess %d: %v", i, err)
		}
		if i == 3 {
			if _, _, err := s.Login(ctx, "li", "a guess", "10.0.0.1:1"); !errors.As(err, &slow) || slow.After < 10*time.Second {
				t.Errorf("after %d more guesses: %v", i+1, err)
			}
		}
	}
	now = now.Add(maxBlock)
	if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1"); err != nil {
		t.Errorf("the right password after waiting: %v", err)
	}
}

func TestRoles(t *testing.T) {
	for _, c := range []struct {
		have, need Role
		want       bool
	}{{Monitor, Monitor, true}, {Monitor, Dispatcher, false}, {Administrator, Monitor, true}, {"", Monitor, false}, {Administrator, "", false}, {"root", Monitor, false}} {
		if got := c.have.Allows(c.need); got != c.want {
			t.Errorf("%q allows %q: %v", c.have, c.need, got)
		}
	}
	if _, err := ParseRole("root"); err == nil {
		t.Error("root is a role")
	}
}
