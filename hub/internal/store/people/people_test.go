package people_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func addUser(t *testing.T, r *people.Repository, name, role string) people.User {
	t.Helper()
	u, err := r.AddUser(t.Context(), "test", name, role, "hash of "+name)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// log returns the newest entries of the audit log as text, the newest first.
func log(t *testing.T, d *db.DB, n int) []string {
	t.Helper()
	all, err := audit.New(d).List(t.Context(), audit.Query{Limit: n})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, e := range all {
		out = append(out, strings.TrimSpace(strings.Join([]string{e.Who, e.Action, e.Object, e.Detail}, " ")))
	}
	return out
}

func TestNamesChangeAndIDsStay(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		li := addUser(t, r, "li", "dispatcher")
		wang := addUser(t, r, "wang", "administrator")
		if err := r.AddSession(ctx, []byte("cookie"), li.ID, "192.0.2.7", time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		token, err := r.AddToken(ctx, people.Token{ID: "t", Name: "x", Role: "monitor", CreatedBy: "li"}, []byte("token"))
		if err != nil || token.CreatedByID != li.ID {
			t.Fatalf("%+v, %v", token, err)
		}
		if err := r.RenameUser(ctx, "wang", "li", "li.wei"); err != nil {
			t.Fatal(err)
		}
		if u, _, err := r.Session(ctx, []byte("cookie")); err != nil || u.ID != li.ID || u.Name != "li.wei" {
			t.Errorf("the session after the renaming: %+v, %v", u, err)
		}
		if k, err := r.TokenByHash(ctx, []byte("token")); err != nil || k.CreatedByID != li.ID || k.CreatedBy != "li" {
			t.Errorf("the token after the renaming: %+v, %v", k, err)
		}
		if l, err := r.Login(ctx, "li.wei", "192.0.2.7"); err != nil || l.Password != "hash of li" || !l.Known || l.User.ID != li.ID {
			t.Errorf("%+v, %v", l, err)
		}
		if _, err := r.Login(ctx, "li", "192.0.2.7"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("by the former name: %v", err)
		}
		// A name means one person as long as the person is there.
		taken := problem.New("user_exists")
		if _, err := r.AddUser(ctx, "test", "li", "monitor", "x"); !errors.Is(err, taken) || !errors.Is(err, db.ErrConflict) {
			t.Errorf("a former name of another user: %v", err)
		}
		if _, err := r.AddUser(ctx, "test", "wang", "monitor", "x"); !errors.Is(err, taken) {
			t.Errorf("a name that is taken: %v", err)
		}
		if err := r.RenameUser(ctx, "test", "wang", "li"); !errors.Is(err, taken) {
			t.Errorf("to a former name of another user: %v", err)
		}
		if err := r.RenameUser(ctx, "test", "none", "x"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a user who does not exist: %v", err)
		}
		if err := r.RenameUser(ctx, "test", "li.wei", "li"); err != nil {
			t.Errorf("back to the own former name: %v", err)
		}
		all, err := audit.New(d).List(ctx, audit.Query{Limit: 100})
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range all {
			if want := map[string]string{"li": li.ID, "wang": wang.ID}[e.Who]; e.UserID != want {
				t.Errorf("the entry %+v has not the ID %q", e, want)
			}
		}
		if got := log(t, d, 2); !slices.Equal(got, []string{"test user rename li.wei li", "wang user rename li li.wei"}) {
			t.Errorf("%q", got)
		}
		if err := r.RemoveUser(ctx, "test", "li"); err != nil {
			t.Fatal(err)
		}
		if again := addUser(t, r, "li", "monitor"); again.ID == li.ID {
			t.Error("an ID was used twice")
		}
		addUser(t, r, "li.wei", "monitor")
		if s, err := audit.New(d).Verify(ctx, "test"); err != nil || s.Broken != 0 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

func TestUsersAndTokensByPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		names := []string{}
		for _, name := range []string{"b", "B", "a", "ä", "王芳", "a.b", "a-b"} {
			addUser(t, r, name, "monitor")
			names = append(names, name)
		}
		slices.Sort(names) // by bytes, on both engines
		var got []string
		for after := ""; ; {
			page, err := r.Users(ctx, after, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, u := range page {
				got = append(got, u.Name)
			}
			if len(page) < 3 {
				break
			}
			after = page[2].Name
		}
		if !slices.Equal(got, names) {
			t.Errorf("%q, want %q", got, names)
		}
		for i := range 7 {
			if _, err := r.AddToken(ctx, people.Token{ID: fmt.Sprint("t", i), Name: "x", Role: "monitor", CreatedBy: "test"}, []byte{byte(i)}); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.RevokeToken(ctx, "test", "t3"); err != nil {
			t.Fatal(err)
		}
		if err := r.RevokeToken(ctx, "test", "t3"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("revoked again: %v", err)
		}
		if _, err := r.TokenByHash(ctx, []byte{3}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a revoked token: %v", err)
		}
		got = nil
		for last := (people.Token{}); ; {
			page, err := r.Tokens(ctx, last.Created, last.ID, 3)
			if err != nil {
				t.Fatal(err)
			}
			for _, k := range page {
				got = append(got, k.ID)
			}
			if len(page) < 3 {
				break
			}
			last = page[2]
		}
		if want := "t0 t1 t2 t4 t5 t6"; strings.Join(got, " ") != want {
			t.Errorf("%q", got)
		}
	})
}

func TestTheLastAdministratorStays(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		addUser(t, r, "wang", people.Administrator)
		addUser(t, r, "li", "dispatcher")
		last := problem.New("last_administrator")
		refused := func(when string) {
			t.Helper()
			for name, err := range map[string]error{
				"role":    r.SetRole(ctx, "test", "wang", "dispatcher"),
				"disable": r.SetDisabled(ctx, "test", "wang", true),
				"remove":  r.RemoveUser(ctx, "test", "wang"),
			} {
				if !errors.Is(err, last) || !errors.Is(err, db.ErrConflict) {
					t.Errorf("%s, %s of the last administrator: %v", when, name, err)
				}
			}
		}
		refused("alone")
		if err := r.SetRole(ctx, "test", "li", people.Administrator); err != nil {
			t.Fatal(err)
		}
		if err := r.SetDisabled(ctx, "test", "li", true); err != nil {
			t.Fatal(err)
		}
		refused("with one who is disabled")
		if err := r.SetDisabled(ctx, "test", "li", false); err != nil {
			t.Fatal(err)
		}
		if err := r.SetRole(ctx, "test", "wang", "monitor"); err != nil {
			t.Errorf("%v", err)
		}
		for name, err := range map[string]error{
			"role":     r.SetRole(ctx, "test", "none", "monitor"),
			"disable":  r.SetDisabled(ctx, "test", "none", true),
			"remove":   r.RemoveUser(ctx, "test", "none"),
			"password": r.SetPassword(ctx, "test", "none", "x", "", nil),
		} {
			if !errors.Is(err, db.ErrNotFound) {
				t.Errorf("%s of nobody: %v", name, err)
			}
		}
	})
}

// TestConcurrentChangesKeepAnAdministrator is a property test: whatever is changed at the same time, an
// administrator who may log in remains.
func TestConcurrentChangesKeepAnAdministrator(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := people.New(d, people.Hooks{})
		ctx := context.WithoutCancel(t.Context())
		for round := range 6 {
			names := []string{}
			for i := range 4 {
				name := fmt.Sprintf("u%d.%d", round, i)
				addUser(t, r, name, people.Administrator)
				names = append(names, name)
			}
			var wg sync.WaitGroup
			for i, name := range names {
				wg.Go(func() {
					random := rand.New(rand.NewPCG(uint64(round), uint64(i)))
					var err error
					switch random.IntN(4) {
					case 0:
						err = r.SetRole(ctx, "test", name, "monitor")
					case 1:
						err = r.SetDisabled(ctx, "test", name, true)
					case 2:
						err = r.RemoveUser(ctx, "test", name)
					case 3:
						if err = r.RenameUser(ctx, "test", name, name+"x"); err == nil {
							err = r.SetRole(ctx, "test", name+"x", "dispatcher")
						}
					}
					if err != nil && !errors.Is(err, db.ErrConflict) {
						t.Errorf("%s: %v", name, err)
					}
				})
			}
			wg.Wait()
			all, err := r.Users(ctx, "", 1000)
			if err != nil {
				t.Fatal(err)
			}
			left := 0
			for _, u := range all {
				if u.Role == people.Administrator && u.Disabled == nil {
					left++
				}
			}
			if left != 1 {
				t.Fatalf("round %d: %d administrators are left of all who were changed", round, left)
			}
		}
	})
}

// TestOneNameOneUser adds and renames users to the same few names at the same time.
func TestOneNameOneUser(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := people.New(d, people.Hooks{})
		ctx := context.WithoutCancel(t.Context())
		var wg sync.WaitGroup
		for w := range 6 {
			own := fmt.Sprint("own", w)
			addUser(t, r, own, "monitor")
			wg.Go(func() {
				for i := range 5 {
					name := fmt.Sprint("n", i)
					if w%2 == 0 {
						if _, err := r.AddUser(ctx, "test", name, "monitor", "x"); err != nil && !errors.Is(err, db.ErrConflict) {
							t.Error(err)
						}
						continue
					}
					switch err := r.RenameUser(ctx, "test", own, name); {
					case err == nil:
						own = name
					case !errors.Is(err, db.ErrConflict):
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		owners := map[string]string{}
		rows, err := d.Read(ctx).Rows(`SELECT n.name || '=' || u.id FROM user_names n JOIN users u ON u.id = n.user_id`)
		all, err := db.Collect(db.ScanText)(rows, err)
		if err != nil {
			t.Fatal(err)
		}
		for _, pair := range all {
			name, id, _ := strings.Cut(pair, "=")
			owners[name] = id
		}
		users, err := r.Users(ctx, "", 1000)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			if owners[u.Name] != u.ID {
				t.Errorf("%s belongs to %s, not to %s", u.Name, owners[u.Name], u.ID)
			}
		}
	})
}

func TestSessionsAndOrigins(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, ctx := people.New(d, people.Hooks{}), t.Context()
		li := addUser(t, r, "li", "dispatcher")
		for i, hash := range []string{"a", "b", "c"} {
			if err := r.AddSession(ctx, []byte(hash), li.ID, fmt.Sprint("origin ", i), time.Now().Add(time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		there := func(hash string) bool {
			_, _, err := r.Session(ctx, []byte(hash))
			return err == nil
		}
		if err := r.SetPassword(ctx, "li", "li", "other", "own", []byte("a")); err != nil {
			t.Fatal(err)
		}
		if !there("a") || there("b") || there("c") {
			t.Error("a change of the own password must end the other sessions, and only those")
		}
		if err := r.RemoveSession(ctx, "li", []byte("a")); err != nil || there("a") {
			t.Errorf("logged out: %v", err)
		}
		if err := r.RemoveSession(ctx, "li", []byte("a")); err != nil {
			t.Errorf("logged out again: %v", err)
		}
		for i := range 40 { // more than are remembered
			if err := r.AddSession(ctx, []byte(fmt.Sprint(i)), li.ID, fmt.Sprint("origin ", i), time.Now().Add(-time.Hour)); err != nil {
				t.Fatal(err)
			}
		}
		known := 0
		for i := range 40 {
			l, err := r.Login(ctx, "li", fmt.Sprint("origin ", i))
			if err != nil {
				t.Fatal(err)
			}
			if l.Known {
				known++
			}
		}
		if known != 20 {
			t.Errorf("%d origins are known", known)
		}
		if n, err := r.DeleteSessionsBefore(ctx, time.Now(), 30); n != 30 || err != nil {
			t.Errorf("%d sessions were deleted, %v", n, err)
		}
		if n, err := r.DeleteSessionsBefore(ctx, time.Now(), 30); n != 10 || err != nil {
			t.Errorf("%d sessions were deleted, %v", n, err)
		}
		if n, err := r.DeleteOriginsBefore(ctx, time.Now().Add(time.Minute), 30); n != 20 || err != nil {
			t.Errorf("%d origins were deleted, %v", n, err)
		}
		if err := r.SetDisabled(ctx, "test", "li", true); err != nil {
			t.Fatal(err)
		}
		if err := r.AddSession(ctx, []byte("d"), li.ID, "x", time.Now().Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a session of a disabled user: %v", err)
		}
	})
}
