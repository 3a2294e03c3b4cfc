package auth

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"gridpost/hub/internal/problem"
)

// TestCommonPasswordsAreRefused: wherever a user gets a password, one that attackers try first is refused.
func TestCommonPasswordsAreRefused(t *testing.T) {
	for password, common := range map[string]bool{
		"password": true, "Password1": true, "PASSWORD2026!": true, "12345678": true, "qwertyuiop": true, "Gridpost2026": true, "Administrator1": true,
		"aaaaaaaa": true, "hgfedcba": true, "56789:;<": true, "lena.weber": true, "Lena.Weber1": true,
		"long enough": false, "correct horse": false, "password manager": false, "12345 horses": false, "password-9274651": false, "ab12cd34ef": false,
	} {
		err := checkNewPassword("lena.weber", password)
		if errors.Is(err, problem.New("password_common")) != common || err != nil && !common {
			t.Errorf("%q: %v", password, err)
		}
	}

	s, ctx := newService(t, nil), t.Context()
	if _, err := s.AddUser(ctx, "test", "li", "password1", Dispatcher); !errors.Is(err, problem.New("password_common")) {
		t.Errorf("adding a user: %v", err)
	}
	if _, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	if err := s.SetPassword(ctx, "test", "li", "password1"); !errors.Is(err, problem.New("password_common")) {
		t.Errorf("setting a password: %v", err)
	}
	_, p, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(ctx, p, "long enough", "password1", "10.0.0.1:1"); !errors.Is(err, problem.New("password_common")) {
		t.Errorf("changing one's own: %v", err)
	}
}

// TestListOfCommonPasswords: the list can be searched.
func TestListOfCommonPasswords(t *testing.T) {
	lines := strings.Split(strings.TrimSpace(commonPasswords), "\n")
	if !slices.IsSorted(lines) || len(lines) < 300 {
		t.Errorf("%d lines, in order: %t", len(lines), slices.IsSorted(lines))
	}
	for _, line := range lines {
		if line != strings.ToLower(line) || utf8.RuneCountInString(line) < minPassword {
			t.Errorf("%q cannot be found", line)
		}
	}
}
