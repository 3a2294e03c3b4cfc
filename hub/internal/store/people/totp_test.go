package people_test

import (
	"errors"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/people"
)

// TestSecondFactor: what is stored of a second factor, what ends with it, and what the audit log has of it.
func TestSecondFactor(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		li := addUser(t, r, "li", "administrator")
		expires := time.Now().Add(time.Hour)
		session := func(hash string, f people.Factor) error {
			return r.AddPasswordSession(ctx, people.Session{Hash: []byte(hash), UserID: li.ID, Origin: "x", Expires: expires}, people.Proof{Password: "hash of li", Factor: f})
		}
		must := func(what string, err, want error) {
			t.Helper()
			if !errors.Is(err, want) {
				t.Errorf("%s: %v, want %v", what, err, want)
			}
		}
		must("a log-in without a second factor", session("own", people.Factor{}), nil)
		must("another log-in", session("other", people.Factor{}), nil)
		must("removing what is off", r.RemoveTOTP(ctx, "boss", "li"), db.ErrConflict)
		must("removing it of nobody", r.RemoveTOTP(ctx, "boss", "none"), db.ErrNotFound)
		must("beginning", r.BeginTOTP(ctx, li.ID, []byte("first")), nil)
		must("beginning anew", r.BeginTOTP(ctx, li.ID, []byte("secret")), nil)
		must("confirming the former secret", r.EnableTOTP(ctx, li.ID, people.Factor{Secret: []byte("first"), Step: 7}, nil, nil), db.ErrNotFound)
		code := func(step int64) people.Factor { return people.Factor{Secret: []byte("secret"), Step: step} }
		must("confirming", r.EnableTOTP(ctx, li.ID, code(7), [][]byte{[]byte("a"), []byte("b")}, []byte("own")), nil)
		must("confirming again", r.EnableTOTP(ctx, li.ID, code(8), nil, nil), problem.New("totp_on"))
		must("beginning when it is on", r.BeginTOTP(ctx, li.ID, []byte("x")), problem.New("totp_on"))
		for hash, want := range map[string]error{"own": nil, "other": db.ErrNotFound} {
			_, _, err := r.Session(ctx, []byte(hash))
			must("the session "+hash, err, want)
		}
		if got, err := r.TOTP(ctx, li.ID); err != nil || got.On == nil || string(got.Secret) != "secret" || got.LastStep != 7 || got.Recovery != 2 {
			t.Errorf("%+v, %v", got, err)
		}
		if u, err := r.User(ctx, "li"); err != nil || u.TOTP == nil {
			t.Errorf("%+v, %v", u, err)
		}
		must("a log-in without a code", session("1", people.Factor{}), db.ErrNotFound)
		must("with the code that confirmed", session("2", code(7)), db.ErrNotFound)
		must("with a code of another secret", session("3", people.Factor{Secret: []byte("first"), Step: 9}), db.ErrNotFound)
		must("with the next code", session("4", code(8)), nil)
		must("with a recovery code", session("5", people.Factor{Recovery: []byte("a")}), nil)
		must("with the same one", session("6", people.Factor{Recovery: []byte("a")}), db.ErrNotFound)
		must("at the identity provider", r.AddSession(ctx, []byte("7"), li.ID, "x", expires), nil)
		must("turning it off without proof", r.DisableTOTP(ctx, li.ID, people.Factor{}), db.ErrNotFound)
		must("turning it off", r.DisableTOTP(ctx, li.ID, people.Factor{Recovery: []byte("b")}), nil)
		must("turning it off again", r.DisableTOTP(ctx, li.ID, code(20)), problem.New("totp_off"))
		if got, err := r.TOTP(ctx, li.ID); err != nil || got.On != nil || got.Secret != nil || got.Recovery != 0 {
			t.Errorf("something is left: %+v, %v", got, err)
		}
		must("beginning after it was off", r.BeginTOTP(ctx, li.ID, []byte("secret")), nil)
		must("confirming it", r.EnableTOTP(ctx, li.ID, code(21), nil, nil), nil)
		must("an administrator removes it", r.RemoveTOTP(ctx, "boss", "li"), nil)
		must("a log-in after that", session("8", people.Factor{}), nil)

		entries, err := audit.New(d).List(ctx, audit.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, e := range entries {
			got = append(got, e.Who+": "+e.Action+" "+e.Object+": "+e.Detail)
		}
		want := []string{
			"li: log in li: ", "boss: user totp remove li: ", "li: user totp enable li: ", "li: user totp remove li: own, recovery code, 0 left",
			"li: log in li: ", "li: log in li: recovery code, 1 left", "li: log in li: code", "li: user totp enable li: ", "li: log in li: ", "li: log in li: ",
		}
		if len(got) != len(want)+1 { // and the one of the user
			t.Fatalf("%q", got)
		}
		for i := range want {
			if got[i] != want[i] {
				t.Errorf("entry %d is %q, want %q", i, got[i], want[i])
			}
		}
	})
}
