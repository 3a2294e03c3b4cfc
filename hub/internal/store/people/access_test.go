package people_test

import (
	"errors"
	"slices"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/people"
)

// TestAccessIsPublished: live connections of a principal end at once when its rights do.
func TestAccessIsPublished(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		li := addUser(t, r, "li", "dispatcher")
		if _, err := r.AddToken(ctx, people.Token{ID: "t", Name: "x", Role: "monitor", CreatedBy: "li"}, []byte("token")); err != nil {
			t.Fatal(err)
		}
		if err := r.AddSession(ctx, []byte("a"), li.ID, "x", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		if err := r.BeginTOTP(ctx, li.ID, []byte("secret")); err != nil {
			t.Fatal(err)
		}
		user, token := people.UserKey(li.ID), people.TokenKey("t")
		for i, step := range []struct {
			do   func() error
			keys []string
		}{
			{func() error { return r.RemoveSession(ctx, "li", []byte("a")) }, []string{user}},
			{func() error { return r.SetRole(ctx, "test", "li", "monitor") }, []string{user, token}},
			{func() error { return r.SetPassword(ctx, "test", "li", "y", "", nil) }, []string{user}},
			{func() error {
				return r.EnableTOTP(ctx, li.ID, people.Factor{Secret: []byte("secret"), Step: 1}, nil, nil)
			}, []string{user}},
			{func() error { return r.SetDisabled(ctx, "test", "li", true) }, []string{user, token}},
			{func() error { return r.RenameUser(ctx, "test", "li", "lee") }, []string{user}},
			{func() error { return r.RemoveUser(ctx, "test", "lee") }, []string{user, token}},
		} {
			before, err := d.LastChange(ctx)
			if err != nil {
				t.Fatal(err)
			}
			wake := d.Wait(db.Access, "")
			if err := step.do(); err != nil {
				t.Fatal(err)
			}
			changes, _, err := d.ChangesAfter(ctx, before, 10)
			keys := []string{}
			for _, c := range changes {
				if c.Kind == people.Access {
					keys = append(keys, c.Key)
				}
			}
			if err != nil || !slices.Equal(keys, step.keys) {
				t.Errorf("step %d: %+v, %v; want %q", i, changes, err, step.keys)
			}
			<-wake
		}
	})
}

// TestTokensEndWithTheirMaker: a token allows no more than the user who created it may do, and nothing once it has
// expired, was revoked, or its maker is disabled or gone. Two tokens of one name are two principals.
func TestTokensEndWithTheirMaker(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		addUser(t, r, "wang", "administrator")
		addUser(t, r, "li", "administrator")
		past, future := time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
		for _, k := range []people.Token{
			{ID: "own", CreatedBy: "li"},
			{ID: "same", CreatedBy: "li"},
			{ID: "other", CreatedBy: "wang"},
			{ID: "command", CreatedBy: "command line"},
			{ID: "expired", CreatedBy: "wang", Expires: &past},
			{ID: "later", CreatedBy: "wang", Expires: &future},
		} {
			k.Name, k.Role = "x", "administrator"
			if _, err := r.AddToken(ctx, k, []byte(k.ID)); err != nil {
				t.Fatal(err)
			}
		}
		valid := func(step string, want ...string) {
			t.Helper()
			byHash := []string{}
			for _, id := range []string{"command", "expired", "later", "other", "own", "same"} {
				switch _, err := r.TokenByHash(ctx, []byte(id)); {
				case err == nil:
					byHash = append(byHash, id)
				case !errors.Is(err, db.ErrNotFound):
					t.Error(err)
				}
			}
			all, err := r.TokensByID(ctx, []string{"own", "same", "other", "command", "expired", "later"})
			byID := []string{}
			for _, k := range all {
				byID = append(byID, k.ID)
			}
			slices.Sort(byID)
			if err != nil || !slices.Equal(byHash, want) || !slices.Equal(byID, want) {
				t.Errorf("%s: %q are valid by hash and %q by ID, want %q; %v", step, byHash, byID, want, err)
			}
		}
		valid("at first", "command", "later", "other", "own", "same")
		if err := r.RevokeToken(ctx, "test", "same"); err != nil {
			t.Error(err)
		}
		valid("one of a name revoked", "command", "later", "other", "own")
		if err := r.SetRole(ctx, "test", "li", "monitor"); err != nil {
			t.Error(err)
		}
		if k, err := r.TokenByHash(ctx, []byte("own")); err != nil || k.MakerRole != "monitor" || k.Role != "administrator" {
			t.Errorf("%+v, %v", k, err)
		}
		if err := r.SetDisabled(ctx, "test", "li", true); err != nil {
			t.Error(err)
		}
		valid("maker disabled", "command", "later", "other")
		if err := r.SetDisabled(ctx, "test", "li", false); err != nil {
			t.Error(err)
		}
		valid("maker enabled", "command", "later", "other", "own")
		if err := r.RemoveUser(ctx, "test", "li"); err != nil {
			t.Error(err)
		}
		valid("maker removed", "command", "later", "other")
		if got := log(t, d, 2); !slices.Equal(got, []string{"test token revoke own removed with li", "test user remove li"}) {
			t.Errorf("%q", got)
		}
		at := time.Now().UTC().Truncate(time.Millisecond)
		for _, used := range []time.Time{at, at.Add(-time.Hour)} { // an earlier use of another hub
			if err := r.NoteTokensUsed(ctx, map[string]time.Time{"later": used, "none": used}); err != nil {
				t.Error(err)
			}
		}
		if k, err := r.TokenByHash(ctx, []byte("later")); err != nil || k.LastUsed == nil || !k.LastUsed.Equal(at) || !k.Expires.Equal(future.Truncate(time.Millisecond)) {
			t.Errorf("%+v, %v", k, err)
		}
	})
}

// TestStandingByID: what an access stands on is read for many principals at once.
func TestStandingByID(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		li, wang := addUser(t, r, "li", "dispatcher"), addUser(t, r, "wang", "monitor")
		for hash, user := range map[string]people.User{"\x00\xff": li, "b": wang, "c": wang} {
			expires := time.Now().Add(time.Hour)
			if hash == "c" {
				expires = time.Now().Add(-time.Second)
			}
			if err := r.AddSession(ctx, []byte(hash), user.ID, "x", expires); err != nil {
				t.Fatal(err)
			}
		}
		check := func(users, sessions []string) {
			t.Helper()
			all, err := r.UsersByID(ctx, []string{li.ID, wang.ID, "none"})
			got := []string{}
			for _, u := range all {
				got = append(got, u.Name+" "+u.Role)
			}
			slices.Sort(got)
			valid, verr := r.ValidSessions(ctx, []string{"00ff", "62", "63", "ee"})
			slices.Sort(valid)
			if err != nil || verr != nil || !slices.Equal(got, users) || !slices.Equal(valid, sessions) {
				t.Errorf("%q, %v; %q, %v", got, err, valid, verr)
			}
		}
		check([]string{"li dispatcher", "wang monitor"}, []string{"00ff", "62"})
		if err := r.SetDisabled(ctx, "test", "li", true); err != nil {
			t.Fatal(err)
		}
		check([]string{"wang monitor"}, []string{"62"})
	})
}
