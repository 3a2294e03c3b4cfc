package audit_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/audit"
)

func headOf(t *testing.T, r *audit.Repository) audit.Head {
	t.Helper()
	h, err := r.Head(t.Context(), "hub-1")
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// cut removes the end of a log together with everything in the database that knows of it.
func cut(t *testing.T, d *db.DB, last int64) {
	t.Helper()
	exec(t, d, `DELETE FROM audit WHERE id > ?`, last)
	exec(t, d, `UPDATE audit_head SET last = ?, hash = (SELECT hash FROM audit WHERE id = ?)`, last, last)
	exec(t, d, `UPDATE audit_check SET verified = 0, verified_hash = ?, broken = 0, pass = 0, pass_hash = ?, pass_began_at = NULL, full_at = NULL`, []byte{}, []byte{})
}

// TestHeadsFindATruncation: a log that was cut off in all of the database is found by a head that was kept.
func TestHeadsFindATruncation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := open(t, d, audit.Options{})
		add(t, d, 10)
		kept := headOf(t, r)
		cut(t, d, 6)
		if n := broken(t, r); n != 0 {
			t.Fatalf("entry %d: the test cuts off too little", n)
		}
		cut(t, d, 6)
		if n := broken(t, r, kept); n != 7 {
			t.Errorf("entry %d", n)
		}
		cut(t, d, 6)
		add(t, d, 10) // the log has an entry of the number again
		if n := broken(t, r, kept); n != 11 {
			t.Errorf("entry %d", n)
		}
	})
}

// TestMemoryFindsATruncation: the data folder remembers the newest head, which the background compares too, and which
// a later one does not hide.
func TestMemoryFindsATruncation(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		dir := t.TempDir()
		r := open(t, d, audit.Options{Dir: dir})
		add(t, d, 10)
		if err := r.Remember(t.Context(), headOf(t, r)); err != nil {
			t.Fatal(err)
		}
		if s := settle(t, r); s.Broken != 0 {
			t.Fatalf("%+v", s)
		}
		cut(t, d, 6)
		if s := settle(t, r); s.Broken != 7 {
			t.Errorf("%+v", s)
		}
		cut(t, d, 6)
		add(t, d, 1)
		if err := r.Remember(t.Context(), headOf(t, r)); err != nil {
			t.Fatal(err)
		}
		if s := settle(t, r); s.Broken != 8 {
			t.Errorf("%+v", s)
		}
	})
}

func TestStatesOfHeads(t *testing.T) {
	now := time.Now()
	dbtest.EachWith(t, db.Options{Now: func() time.Time { return now }}, func(t *testing.T, d *db.DB) {
		r := open(t, d, audit.Options{})
		add(t, d, 10)
		good := headOf(t, r)
		other, err := audit.Open(t.Context(), dbtest.Open(t, db.SQLite, db.Options{}), audit.Options{})
		if err != nil {
			t.Fatal(err)
		}
		forged, later := good, good
		forged.Entry = 5
		later.At = later.At.Add(time.Second)
		for name, c := range map[string]struct {
			head audit.Head
			want audit.HeadState
		}{
			"as it was": {good, audit.HeadFits}, "another entry": {forged, audit.HeadForged}, "another time": {later, audit.HeadForged}, "another log": {headOf(t, other), audit.HeadUnknown},
		} {
			got, err := r.CheckHead(t.Context(), c.head)
			if err != nil || got.State != c.want || got.State.Bad() != (c.want != audit.HeadFits) {
				t.Errorf("%s: %s, %v", name, got.State, err)
			}
		}
		settle(t, r)
		add(t, d, 5)
		if n, err := r.DeleteBefore(t.Context(), now.Add(time.Hour), 11); n != 11 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if got, err := r.CheckHead(t.Context(), good); err != nil || got.State != audit.HeadFits {
			t.Errorf("of the newest entry that was deleted: %s, %v", got.State, err)
		}
		settle(t, r)
		if n, err := r.DeleteBefore(t.Context(), now.Add(time.Hour), 2); n != 2 || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
		if got, err := r.CheckHead(t.Context(), good); err != nil || got.State != audit.HeadOld {
			t.Errorf("of an older entry that was deleted: %s, %v", got.State, err)
		}
		if n := broken(t, r); n != 0 {
			t.Errorf("entry %d", n)
		}
	})
}

// TestRestoreExplainsAHead: a log that goes on from a backup says so, with the key.
func TestRestoreExplainsAHead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := open(t, d, audit.Options{})
		add(t, d, 10)
		kept := headOf(t, r)
		cut(t, d, 6)
		err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			audit.AppendRestore(tx, "command line", "20300101T000000.000Z")
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if got, err := r.CheckHead(t.Context(), kept); err != nil || got.State != audit.HeadRestored {
			t.Errorf("%s, %v", got.State, err)
		}
		if n := broken(t, r, kept); n != 0 {
			t.Errorf("entry %d", n)
		}
	})
}

func TestHeadFile(t *testing.T) {
	r := open(t, dbtest.Open(t, db.SQLite, db.Options{}), audit.Options{})
	h := headOf(t, r)
	f := audit.HeadFile{Path: filepath.Join(t.TempDir(), "heads"), MaxSize: 2000}
	if last, err := f.Last(); last != nil || err != nil {
		t.Errorf("%v, %v", last, err)
	}
	for i := range 40 {
		h.Entry = int64(i)
		if err := f.Append(h); err != nil {
			t.Fatal(err)
		}
		if last, err := f.Last(); err != nil || last.Entry != int64(i) {
			t.Fatalf("%v, %v", last, err)
		}
	}
	for _, path := range []string{f.Path, f.Path + ".1"} {
		info, err := os.Stat(path)
		if err != nil || info.Size() > 3000 || info.Mode() != 0o600 {
			t.Errorf("%v, %v", info, err)
		}
	}
	all, unread, err := audit.ReadHeads(f.Path)
	if err != nil || unread != 0 || all[len(all)-1].Entry != 39 {
		t.Errorf("%v, %v", all, err)
	}
	file, err := os.OpenFile(f.Path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.WriteString(`{"entry":40,"ha`); err != nil { // a power cut
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
	if last, err := f.Last(); err != nil || last.Entry != 39 {
		t.Errorf("%v, %v", last, err)
	}
	h.Entry = 41
	if err := f.Append(h); err != nil {
		t.Fatal(err)
	}
	if last, err := f.Last(); err != nil || last.Entry != 41 {
		t.Errorf("%v, %v", last, err)
	}
	mixed := filepath.Join(t.TempDir(), "syslog")
	line, err := json.Marshal(h)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(mixed, []byte("Nov 30 sshd: hello\nNov 30 gridpost-hub[1]: "+string(line)+"\n{\"entry\":4\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if all, unread, err = audit.ReadHeads(mixed); err != nil || unread != 2 || len(all) != 1 || all[0].Entry != 41 {
		t.Errorf("%v, %d lines that cannot be read, %v", all, unread, err)
	}
}

func FuzzParseHead(f *testing.F) {
	f.Add([]byte(`{"entry":1,"hash":"00","at":"2030-01-01T00:00:00Z","hub":"h","key":"k","signature":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA=="}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		h, err := audit.ParseHead(text)
		if err != nil {
			return
		}
		out, err := json.Marshal(h)
		if err != nil {
			return // a year that JSON cannot have
		}
		if again, err := audit.ParseHead(out); err != nil || again.Entry != h.Entry {
			t.Errorf("%s: %v", out, err)
		}
	})
}
