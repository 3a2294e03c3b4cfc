package people_test

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/leases"
	"gridpost/hub/internal/store/people"
)

// oldEntry adds an entry to the audit log as the previous version does.
func oldEntry(tx *db.Tx, id, at int64, who, action, object string, prev []byte) ([]byte, error) {
	text, err := json.Marshal([]any{prev, at, who, action, object, ""})
	if err != nil {
		return nil, err
	}
	sum := sha256.Sum256(text)
	_, err = tx.Exec(`INSERT INTO audit(id, at, who, action, object, detail, hash) VALUES (?, ?, ?, ?, ?, '', ?)`, id, at, who, action, object, sum[:])
	return sum[:], err
}

// TestPreviousVersion opens a database of the version before users had IDs.
func TestPreviousVersion(t *testing.T) {
	for _, c := range []struct {
		engine db.Engine
		newest int
	}{{db.SQLite, 10}, {db.SQLite, 13}, {db.Postgres, 13}} {
		t.Run(fmt.Sprint(c.engine, c.newest), func(t *testing.T) {
			o := db.Options{Name: "hub", Dir: t.TempDir(), Schema: dbtest.Before(t, c.newest+1)}
			if c.engine == db.Postgres {
				o.URL = dbtest.URL(t)
			}
			fill(t, o, c.newest)
			o.Schema = schema.Hub()
			d, err := db.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer func() {
				if err := d.Close(); err != nil {
					t.Error(err)
				}
			}()
			checkMigrated(t, d)
		})
	}
}

// fill writes rows of the previous version.
func fill(t *testing.T, o db.Options, newest int) {
	t.Helper()
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	user := "user_name"
	if newest < 11 {
		user = "user"
	}
	later := db.Millis(time.Now().Add(time.Hour))
	err = d.Update(t.Context(), "test", func(tx *db.Tx) error {
		for _, text := range []string{
			`INSERT INTO users(name, password, role, created_at) VALUES ('王芳', 'hash 1', 'administrator', 1700000000123)`,
			`INSERT INTO users(name, password, role, created_at, disabled_at) VALUES ('li', 'hash 2', 'dispatcher', 1, 2)`,
			`INSERT INTO tokens(id, hash, name, role, created_at, created_by) VALUES ('t1', ?1, 'x', 'monitor', 5, '王芳'), ('t2', ?2, 'y', 'monitor', 6, 'command line')`,
			`INSERT INTO sessions(hash, ` + user + `, created_at, expires_at) VALUES (?1, '王芳', 5, ?3)`,
			`INSERT INTO login_failures(key, failures, last_at, blocked_to) VALUES ('account li', 3, 4, 5)`,
			`INSERT INTO views(id, edge, device, who, incident, reason, began_at, until) VALUES ('v1', 'gate-7', 'yard', '王芳', 'i', 'a look', 7, 8)`,
			`INSERT INTO views(id, edge, device, who, incident, reason, began_at, until, ended_at, ended_why) VALUES ('v2', 'gate-7', 'yard', 'token x', '', 'b', 9, 10, 11, 'done')`,
		} {
			args := []any{[]byte("one"), []byte("two"), later}
			n := 0
			for i := range args {
				if strings.Contains(text, fmt.Sprint("?", i+1)) {
					n = i + 1
				}
			}
			if n == 3 {
				text = strings.ReplaceAll(text, "?3", fmt.Sprint(later))
				n = 1
			}
			if _, err := tx.Exec(text, args[:n]...); err != nil {
				return fmt.Errorf("%s: %w", text, err)
			}
		}
		var prev []byte
		for i, who := range []string{"command line", "王芳", "li"} {
			var err error
			if prev, err = oldEntry(tx, int64(i+1), 100, who, "log in", who, prev); err != nil {
				return err
			}
		}
		return nil
	})
	if err := d.Close(); err != nil {
		t.Error(err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func checkMigrated(t *testing.T, d *db.DB) {
	t.Helper()
	ctx := t.Context()
	r := people.New(d, people.Hooks{})
	users, err := r.Users(ctx, "", 10)
	if err != nil || len(users) != 2 || users[0].Name != "li" || users[1].Name != "王芳" || users[0].Disabled == nil {
		t.Fatalf("%+v, %v", users, err)
	}
	for _, u := range users {
		id, err := uuid.Parse(u.ID)
		if err != nil || id.Version() != 7 || id.Variant() != uuid.RFC4122 || id.String() != u.ID {
			t.Errorf("%q is not a UUIDv7: %v", u.ID, err)
		}
		if sec, ns := id.Time().UnixTime(); time.Unix(sec, ns).UnixMilli() != u.Created.UnixMilli() {
			t.Errorf("the ID of %s has another time than %v", u.Name, u.Created)
		}
	}
	wang := users[1]
	if l, err := r.Login(ctx, "王芳", "x"); err != nil || l.Password != "hash 1" || l.Known || l.User.ID != wang.ID {
		t.Errorf("%+v, %v", l, err)
	}
	if u, _, err := r.Session(ctx, []byte("one")); err != nil || u.ID != wang.ID {
		t.Errorf("the session: %+v, %v", u, err)
	}
	tokens, err := r.Tokens(ctx, time.Time{}, "", 10)
	if err != nil || len(tokens) != 2 || tokens[0].CreatedByID != wang.ID || tokens[1].CreatedByID != "" {
		t.Errorf("%+v, %v", tokens, err)
	}
	all, err := leases.New(d, func(leases.Lease) any { return nil }).List(ctx, leases.Query{Scope: scope.Sites("gate-7"), Limit: 10})
	if err != nil || len(all) != 2 || all[0].ID != "v2" || all[0].Why.Text != "done" || all[0].UserID != "" || all[1].UserID != wang.ID || all[1].Ended != nil {
		t.Errorf("%+v, %v", all, err)
	}
	// The log goes on where it was, and what was in it is still covered.
	log := audit.New(d)
	if err := r.RenameUser(ctx, "test", "王芳", "wang"); err != nil {
		t.Fatal(err)
	}
	if s, err := log.Verify(ctx, "test"); err != nil || s.Broken != 0 || s.Last != 5 {
		t.Errorf("%+v, %v", s, err)
	}
	err = d.Update(ctx, "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE audit SET user_id = ? WHERE id = 2`, wang.ID)
		return err
	})
	if s, verr := log.Verify(ctx, "test"); err != nil || verr != nil || s.Broken != 2 {
		t.Errorf("an old entry was given a user: %+v, %v, %v", s, err, verr)
	}
}
