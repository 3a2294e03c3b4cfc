package store

import (
	"errors"
	"strings"
	"testing"
	"time"
)

func addUser(t *testing.T, s *Store, name, role string) {
	t.Helper()
	if err := s.AddUser(t.Context(), "test", User{Name: name, Role: role, Password: "hash"}); err != nil {
		t.Fatal(err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	addUser(t, s, "wang", "administrator")
	addUser(t, s, "li", "dispatcher")
	for name, err := range map[string]error{
		"role":    s.SetRole(ctx, "test", "wang", "dispatcher"),
		"disable": s.SetDisabled(ctx, "test", "wang", true),
		"remove":  s.RemoveUser(ctx, "test", "wang"),
	} {
		if !errors.Is(err, ErrConflict) {
			t.Errorf("%s of the last administrator: %v", name, err)
		}
	}
	if err := s.SetRole(ctx, "test", "li", "administrator"); err != nil {
		t.Fatal(err)
	}
	if err := s.SetDisabled(ctx, "test", "li", true); err != nil {
		t.Fatal(err)
	}
	// One who is kept out does not count.
	if err := s.SetRole(ctx, "test", "wang", "monitor"); !errors.Is(err, ErrConflict) {
		t.Errorf("%v", err)
	}
	if err := s.SetDisabled(ctx, "test", "li", false); err != nil {
		t.Fatal(err)
	}
	if err := s.SetRole(ctx, "test", "wang", "monitor"); err != nil {
		t.Errorf("%v", err)
	}
	for name, err := range map[string]error{
		"role":    s.SetRole(ctx, "test", "none", "monitor"),
		"disable": s.SetDisabled(ctx, "test", "none", true),
		"remove":  s.RemoveUser(ctx, "test", "none"),
	} {
		if !errors.Is(err, ErrNotFound) {
			t.Errorf("%s of nobody: %v", name, err)
		}
	}
}

func TestKeepingSomebodyOut(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	addUser(t, s, "li", "dispatcher")
	for _, hash := range []string{"a", "b"} {
		if err := s.AddSession(ctx, []byte(hash), "li", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
	there := func(hash string) bool {
		_, _, err := s.SessionUser(ctx, []byte(hash))
		return err == nil
	}
	if err := s.ChangeOwnPassword(ctx, "li", "other", []byte("a")); err != nil {
		t.Fatal(err)
	}
	if !there("a") || there("b") {
		t.Error("a change of the own password must end the other sessions, and only those")
	}
	if err := s.SetDisabled(ctx, "test", "li", true); err != nil {
		t.Fatal(err)
	}
	u, err := s.User(ctx, "li")
	if err != nil || u.Disabled == nil || there("a") {
		t.Errorf("%+v, %v", u, err)
	}
}

func TestSwitchingAWebhook(t *testing.T) {
	s, ctx := newStore(t), t.Context()
	const secret = "https://receiver.example/hooks/very-secret?key=1"
	if err := s.AddWebhook(ctx, "test", Webhook{ID: "w", URL: secret, Secrets: []string{"x"}}); err != nil {
		t.Fatal(err)
	}
	if err := s.SwitchWebhook(ctx, "wang", "w", false); err != nil {
		t.Fatal(err)
	}
	if w, err := s.Webhook(ctx, "w"); err != nil || w.Disabled != "switched off by wang" || w.URL != secret {
		t.Errorf("%+v, %v", w, err)
	}
	if targets, err := s.WebhookTargets(ctx); err != nil || len(targets) != 0 {
		t.Errorf("%v, %v", targets, err)
	}
	if err := s.SwitchWebhook(ctx, "wang", "w", true); err != nil {
		t.Fatal(err)
	}
	if targets, err := s.WebhookTargets(ctx); err != nil || len(targets) != 1 {
		t.Errorf("%v, %v", targets, err)
	}
	if err := s.SwitchWebhook(ctx, "wang", "none", true); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	audit, err := s.Audit(ctx, 0, 10)
	if err != nil || len(audit) != 3 {
		t.Fatalf("%+v, %v", audit, err)
	}
	for _, e := range audit {
		if strings.Contains(e.Detail+e.Object, "secret") {
			t.Errorf("the record tells the target's secret: %+v", e)
		}
	}
	if audit[2].Detail != "https://receiver.example" {
		t.Errorf("%+v", audit[2])
	}
}
