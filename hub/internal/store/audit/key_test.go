package audit_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/secrets"
)

// open opens the log of a database as a hub does.
func open(t *testing.T, d *db.DB, o audit.Options) *audit.Repository {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	r, err := audit.Open(t.Context(), d, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// broken verifies the whole log as hub audit verify does, and returns the first entry that was found.
func broken(t *testing.T, r *audit.Repository, heads ...audit.Head) int64 {
	t.Helper()
	report, err := r.Verify(t.Context(), "test", heads...)
	if err != nil {
		t.Fatal(err)
	}
	for _, h := range report.Heads {
		if h.State.Bad() && report.Broken == 0 {
			t.Errorf("the head of entry %d is %s, and no entry is broken", h.Entry, h.State)
		}
	}
	return report.Broken
}

// forger rewrites a log as somebody can who may change everything in the database but has no key.
type forger struct {
	d      *db.DB
	random *rand.Rand
}

type forged struct {
	id, at                           int64
	who, action, object, detail, key string
	user                             *string
	keyed                            bool
	hash                             []byte
}

func (f forger) read(t *testing.T) []forged {
	t.Helper()
	all, err := db.Collect(func(scan func(...any) error) (v forged, err error) {
		var key *string
		err = scan(&v.id, &v.at, &v.who, &v.user, &v.action, &v.object, &v.detail, &v.hash, &key)
		if key != nil {
			v.key, v.keyed = *key, true
		}
		return v, err
	})(f.d.Read(t.Context()).Rows(`SELECT id, at, who, user_id, action, object, detail, hash, key_id FROM audit ORDER BY id`))
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// tamper changes, deletes, inserts or cuts off entries at random, and returns what was done.
func (f forger) tamper(all []forged) (string, []forged) {
	at := f.random.IntN(len(all))
	switch f.random.IntN(6) {
	case 0:
		all[at].who += "x"
		return fmt.Sprintf("who of %d", all[at].id), all
	case 1:
		all[at].detail += "x"
		return fmt.Sprintf("detail of %d", all[at].id), all
	case 2:
		all[at].at++
		return fmt.Sprintf("time of %d", all[at].id), all
	case 3:
		n := min(1+f.random.IntN(5), len(all)-at)
		return fmt.Sprintf("%d deleted at %d", n, all[at].id), append(all[:at], all[at+n:]...)
	case 4:
		one := all[at]
		one.object = "inserted"
		return fmt.Sprintf("inserted at %d", one.id), append(all[:at], append([]forged{one}, all[at:]...)...)
	default:
		return fmt.Sprintf("cut off at %d", all[at].id), all[:at]
	}
}

// write replaces the log, with numbers that are dense and a chain that fits as far as that can be had
// without the key: with none, or with a wrong one under the right name, and everything that the database says about
// earlier verifications.
func (f forger) write(t *testing.T, all []forged, base int64) string {
	t.Helper()
	how := f.random.IntN(3)
	unkey, rehash, reseal := how == 1, how > 0, f.random.IntN(2) == 0
	var prev []byte
	exec(t, f.d, `DELETE FROM audit`)
	key, keyedFrom := "", int64(0)
	for i, e := range all {
		e.id = base + int64(i) + 1
		if unkey {
			e.keyed = false
		}
		if rehash {
			fields := []any{prev, e.at, e.who, e.action, e.object, e.detail, e.id, ""}
			if e.user != nil {
				fields[7] = *e.user
			}
			if e.keyed {
				fields = append(fields, e.key)
			}
			text, err := json.Marshal(fields)
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(text)
			e.hash = sum[:]
		}
		prev = e.hash
		var id *string
		if key = ""; e.keyed {
			id, key = &e.key, e.key
			if keyedFrom == 0 {
				keyedFrom = e.id
			}
		}
		exec(t, f.d, `INSERT INTO audit(id, at, who, user_id, action, object, detail, hash, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			e.id, e.at, e.who, e.user, e.action, e.object, e.detail, e.hash, id)
	}
	if prev == nil {
		prev = []byte{}
	}
	last := base + int64(len(all))
	exec(t, f.d, `UPDATE audit_head SET last = ?, hash = ?, key_id = ?`, last, prev, key)
	if reseal {
		exec(t, f.d, `UPDATE audit_head SET keyed_from = ?, seal = ?`, keyedFrom, key)
	}
	exec(t, f.d, `UPDATE audit_check SET verified = ?, verified_hash = ?, broken = 0, missing = 0, pass = ?, pass_hash = ?, pass_began_at = 1, full_at = ?`,
		last, prev, last, prev, 1<<50)
	return fmt.Sprintf("unkeyed %v, rehashed %v, resealed %v", unkey, rehash, reseal)
}

// TestForgeriesAreFound changes a log at random as somebody can who owns the database and knows the program, and has no
// key.
func TestForgeriesAreFound(t *testing.T) {
	const entries, rounds = 20, 20
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			d := dbtest.Open(t, e, db.Options{})
			r := open(t, d, audit.Options{})
			add(t, d, entries)
			head, err := r.Head(t.Context(), "test")
			if err != nil {
				t.Fatal(err)
			}
			f := forger{d: d, random: rand.New(rand.NewPCG(11, uint64(e)))}
			original := f.read(t)
			var seal string
			if err := d.Read(t.Context()).One(`SELECT seal FROM audit_head`)(&seal); err != nil {
				t.Fatal(err)
			}
			restore := func() {
				exec(t, d, `DELETE FROM audit`)
				f.random = rand.New(rand.NewPCG(f.random.Uint64(), 1))
				for _, v := range original {
					exec(t, d, `INSERT INTO audit(id, at, who, user_id, action, object, detail, hash, key_id) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)`,
						v.id, v.at, v.who, v.user, v.action, v.object, v.detail, v.hash, v.key)
				}
				exec(t, d, `UPDATE audit_head SET last = ?, hash = ?, key_id = ?, keyed_from = 1, seal = ?`, len(original), original[len(original)-1].hash, r.KeyID(), seal)
				exec(t, d, `UPDATE audit_check SET verified = 0, verified_hash = ?, broken = 0, missing = 0, pass = 0, pass_hash = ?, pass_began_at = NULL, full_at = NULL`, []byte{}, []byte{})
			}
			for range rounds {
				done, all := f.tamper(f.read(t))
				how := f.write(t, all, 0)
				if broken(t, r, head) == 0 {
					t.Errorf("%s, %s: nothing was found", done, how)
				}
				restore()
				if n := broken(t, r, head); n != 0 {
					t.Fatalf("entry %d of the log as it was does not fit", n)
				}
				restore()
			}
		})
	}
}

// TestBeginningCutOff: who deletes the oldest entries, as only their age may, cannot seal the new beginning.
func TestBeginningCutOff(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := open(t, d, audit.Options{})
		add(t, d, 10)
		exec(t, d, `UPDATE audit_head SET base = 4, base_hash = (SELECT hash FROM audit WHERE id = 4)`)
		exec(t, d, `DELETE FROM audit WHERE id <= 4`)
		if n := broken(t, r); n != 5 {
			t.Errorf("entry %d", n)
		}
	})
}

// TestUnkeyedEntriesStayVerifiable: a log of the version before goes on, and what it had is covered by the first entry
// with a key.
func TestUnkeyedEntriesStayVerifiable(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		add(t, d, 5)
		dir := t.TempDir()
		r := open(t, d, audit.Options{Dir: dir})
		add(t, d, 5)
		if n := broken(t, r); n != 0 {
			t.Fatalf("entry %d", n)
		}
		open(t, d, audit.Options{Dir: dir}) // writes nothing
		all, err := r.List(t.Context(), audit.Query{Limit: 100})
		if err != nil || len(all) != 12 || all[6].Action != "audit key" || all[6].Object != r.KeyID() {
			t.Fatalf("%+v, %v", all, err)
		}
		// An entry without a key is changed together with all that follow without one.
		f := forger{d: d, random: rand.New(rand.NewPCG(1, 1))}
		rows := f.read(t)
		var prev []byte
		for i := range rows[:5] {
			if i == 2 {
				rows[i].who = "wang"
			}
			text, err := json.Marshal([]any{prev, rows[i].at, rows[i].who, rows[i].action, rows[i].object, rows[i].detail, rows[i].id, *rows[i].user})
			if err != nil {
				t.Fatal(err)
			}
			sum := sha256.Sum256(text)
			prev = sum[:]
			exec(t, d, `UPDATE audit SET who = ?, hash = ? WHERE id = ?`, rows[i].who, prev, rows[i].id)
		}
		if n := broken(t, r); n != 6 {
			t.Errorf("entry %d was found, want the first with a key", n)
		}
	})
}

// TestTwoHubsShareTheKey: hubs on one database make one key, and each verifies what the other has written.
func TestTwoHubsShareTheKey(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			both := twice(t, e)
			var hubs [2]*audit.Repository
			for i, d := range both {
				hubs[i] = open(t, d, audit.Options{})
				add(t, d, 3)
			}
			add(t, both[0], 3)
			for _, r := range hubs {
				if n := broken(t, r); n != 0 || r.KeyID() != hubs[0].KeyID() {
					t.Errorf("entry %d, key %s", n, r.KeyID())
				}
			}
			want := map[db.Engine]audit.KeyPlace{db.SQLite: audit.KeyInFolder, db.Postgres: audit.KeyInDatabase}[e]
			if got := hubs[1].KeyPlace(); got != want {
				t.Errorf("the key is in the %s", got)
			}
		})
	}
}

func keyFile(t *testing.T, keys ...audit.Keys) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	var text []byte
	for _, k := range keys {
		text = append(text, k.Text()...)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// TestConfiguredKey: a key in a file, its replacement, and what happens without it.
func TestConfiguredKey(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		first, second := audit.NewKeys(), audit.NewKeys()
		r := open(t, d, audit.Options{KeyFile: keyFile(t, first)})
		add(t, d, 3)
		if r.KeyID() != first.ID() || r.KeyPlace() != audit.KeyInFile {
			t.Errorf("key %s in the %s", r.KeyID(), r.KeyPlace())
		}
		var stored int
		if err := d.Read(t.Context()).One(`SELECT count(*) FROM audit_keys`)(&stored); err != nil || stored != 0 {
			t.Errorf("%d keys in the database, %v", stored, err)
		}
		for name, o := range map[string]audit.Options{
			"another": {KeyFile: keyFile(t, second), Dir: t.TempDir()}, "none": {Dir: t.TempDir()},
		} {
			if _, err := audit.Open(t.Context(), d, o); !errors.Is(err, audit.ErrKey) || !strings.Contains(err.Error(), first.ID()) {
				t.Errorf("%s: %v", name, err)
			}
		}
		r = open(t, d, audit.Options{KeyFile: keyFile(t, second, first)})
		add(t, d, 3)
		if n := broken(t, r); n != 0 || r.KeyID() != second.ID() {
			t.Errorf("entry %d, key %s", n, r.KeyID())
		}
		r = open(t, d, audit.Options{KeyFile: keyFile(t, second)}) // the former key is gone
		report, err := r.Verify(t.Context(), "test")
		if err != nil || report.Broken != 0 || report.Missing != 1 {
			t.Errorf("%+v, %v", report, err)
		}
		r = open(t, d, audit.Options{KeyFile: keyFile(t, second, first)}) // and back
		if report, err = r.Verify(t.Context(), "test"); err != nil || report.Missing != 0 || report.Broken != 0 {
			t.Errorf("%+v, %v", report, err)
		}
		third := audit.NewKeys()
		r = open(t, d, audit.Options{KeyFile: keyFile(t, third), Replace: true})
		if report, err = r.Verify(t.Context(), "test"); err != nil || report.Missing != 1 || report.Broken != 0 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestLostKeyIsReplaced: a hub starts without its key file, and says which entries it cannot verify.
func TestLostKeyIsReplaced(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	lost := open(t, d, audit.Options{}).KeyID()
	add(t, d, 3)
	path := filepath.Join(d.Dir(), secrets.AuditKeys().File)
	if info, err := os.Stat(path); err != nil || info.Mode() != 0o600 {
		t.Fatalf("%v, %v", info, err)
	}
	old, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r := open(t, d, audit.Options{})
	report, err := r.Verify(t.Context(), "test")
	if err != nil || report.Broken != 0 || report.Missing != 1 || r.KeyID() == lost {
		t.Errorf("%+v, %v", report, err)
	}
	all, err := r.List(t.Context(), audit.Query{Limit: 2})
	if err != nil || !strings.Contains(all[1].Detail, lost) {
		t.Errorf("%+v, %v", all, err)
	}
	present, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, append(present, old...), 0o600); err != nil { // found again
		t.Fatal(err)
	}
	if report, err = open(t, d, audit.Options{}).Verify(t.Context(), "test"); err != nil || report.Missing != 0 || report.Broken != 0 {
		t.Errorf("%+v, %v", report, err)
	}
}

// TestProgramWithoutKeyCannotWrite: a log with a key does not go on without one.
func TestProgramWithoutKeyCannotWrite(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		open(t, d, audit.Options{})
		audit.Use(d, audit.Keys{})
		err := audit.New(d).Record(t.Context(), audit.Entry{Who: "li", Action: "test"})
		if !errors.Is(err, audit.ErrKey) {
			t.Errorf("%v", err)
		}
	})
}

func TestParseKeys(t *testing.T) {
	k := audit.NewKeys()
	again, err := audit.ParseKeys(k.Text())
	if err != nil || again.ID() != k.ID() || len(k.ID()) != 16 {
		t.Errorf("%s, %v", again.ID(), err)
	}
	good := hex.EncodeToString(make([]byte, 32))
	for _, bad := range []string{"", "# only a comment\n", good[:62], good + "00", good + "\nx", strings.Repeat(good+"\n", 65), "SECRET" + good} {
		_, err := audit.ParseKeys([]byte(bad))
		if err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%.20q: %v", bad, err)
		}
	}
}

func FuzzParseKeys(f *testing.F) {
	f.Add(audit.NewKeys().Text())
	f.Fuzz(func(t *testing.T, text []byte) {
		k, err := audit.ParseKeys(text)
		if err != nil {
			return
		}
		if again, err := audit.ParseKeys(k.Text()); err != nil || again.ID() != k.ID() {
			t.Errorf("%v", err)
		}
	})
}
