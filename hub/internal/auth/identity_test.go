package auth

import (
	"errors"
	"log/slog"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
)

// TestFailedLoginsByIdentityAreNoted: what the provider or the hub refuses is a failed log-in; what goes wrong is not.
func TestFailedLoginsByIdentityAreNoted(t *testing.T) {
	s := newService(t, time.Now)
	f := NewFailures(nil, slog.New(slog.DiscardHandler))
	s.o.Failures = f
	ctx := t.Context()
	id := Identity{Subject: "idp 1", Name: "li", Role: Dispatcher, Scope: scope.All()}
	if _, _, err := s.LoginIdentity(ctx, id, "192.0.2.1:1"); err != nil || len(f.take()) != 0 {
		t.Fatalf("a log-in: %v", err)
	}
	if err := s.o.People.SetDisabled(ctx, "test", "li", true); err != nil {
		t.Fatal(err)
	}
	id.Name = "li.at.the.provider"
	if _, _, err := s.LoginIdentity(ctx, id, "192.0.2.1:1"); !errors.Is(err, ErrDenied) {
		t.Errorf("a disabled user: %v", err)
	}
	if _, _, err := s.LoginIdentity(ctx, Identity{Subject: "idp 2", Name: "li", Role: Monitor, Scope: scope.All()}, "192.0.2.2:1"); !errors.Is(err, db.ErrConflict) {
		t.Errorf("the name of another user: %v", err)
	}
	s.IdentityRefused("", "192.0.2.3:1", problem.New("oidc_refused"))
	s.IdentityRefused("", "192.0.2.4:1", &ThrottledError{})
	s.IdentityRefused("", "192.0.2.5:1", problem.New("oidc_unavailable"))
	s.IdentityRefused("", "192.0.2.5:1", errors.New("the disk is full"))
	s.IdentityRefused("", "192.0.2.5:1", nil)
	got := map[string]Failure{}
	for _, one := range f.take() {
		got[one.Origin] = one
	}
	for origin, want := range map[string]Failure{"192.0.2.1": {User: "li"}, "192.0.2.2": {User: "li"}, "192.0.2.3": {}, "192.0.2.4": {Refused: 1}} {
		if one := got[origin]; one.Way != ByProvider || one.Count != 1 || one.User != want.User || one.Refused != want.Refused {
			t.Errorf("%s: %+v", origin, one)
		}
	}
	if len(got) != 4 {
		t.Errorf("%+v", got)
	}
}
