package backup

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/audit"
)

// auditOf opens the audit log of a place as a hub does.
func auditOf(t *testing.T, h *hub, keyFile, dir string) *audit.Repository {
	t.Helper()
	r, err := audit.Open(t.Context(), h.dbs["hub"], audit.Options{KeyFile: keyFile, Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// enginePairs are the engines of a source and of a target.
func enginePairs() [][2]db.Engine {
	return [][2]db.Engine{{db.SQLite, db.SQLite}, {db.SQLite, db.Postgres}, {db.Postgres, db.SQLite}, {db.Postgres, db.Postgres}}
}

// TestAuditKeyAndLogAreRestored: after a restore the log goes on with its key, can be verified as a whole, and explains why a
// head from after the backup does not fit.
func TestAuditKeyAndLogAreRestored(t *testing.T) {
	for _, engines := range enginePairs() {
		for _, configured := range []bool{false, true} {
			if configured && engines != [2]db.Engine{db.Postgres, db.SQLite} {
				continue // the place of the key makes no difference between engines
			}
			name := engines[0].String() + " to " + engines[1].String()
			if configured {
				name += ", key in a file"
			}
			t.Run(name, func(t *testing.T) {
				from, to, dir := place(t, engines[0]), place(t, engines[1]), filepath.Join(t.TempDir(), "backups")
				keyFile := ""
				if configured {
					keyFile = filepath.Join(t.TempDir(), "key")
					if err := os.WriteFile(keyFile, audit.NewKeys().Text(), 0o600); err != nil {
						t.Fatal(err)
					}
				}
				populate(t, from)
				var later audit.Head
				var lines []string
				progress := func(text string) { lines = append(lines, text) }
				with(t, from, func(h *hub) {
					r := auditOf(t, h, keyFile, "")
					if err := r.Record(t.Context(), audit.Entry{Who: "li", Action: "before"}); err != nil {
						t.Fatal(err)
					}
					made := mustBackup(t, Options{From: from, Dir: dir, AuditKey: keyFile, Now: clock(), Progress: progress})
					if all, err := r.List(t.Context(), audit.Query{Limit: 1}); err != nil || all[0].Action != "backup" || all[0].Object != filepath.Base(made) {
						t.Errorf("the backup is not on record: %+v, %v", all, err)
					}
					if err := r.Record(t.Context(), audit.Entry{Who: "li", Action: "after"}, audit.Entry{Who: "li", Action: "after"}); err != nil {
						t.Fatal(err)
					}
					var err error
					if later, err = r.Head(t.Context(), "h"); err != nil {
						t.Fatal(err)
					}
				})
				if missing := strings.Contains(strings.Join(lines, "\n"), "the key "+later.Key+" of the audit log is not in this backup"); missing != configured {
					t.Errorf("%q", lines)
				}
				out, err := Restore(t.Context(), RestoreOptions{From: dir, To: to, AuditKey: keyFile, Progress: progress})
				if err != nil {
					t.Fatal(err)
				}
				if out.Manifest.AuditKey != later.Key || out.Manifest.AuditKeyIncluded == configured {
					t.Errorf("%+v", out.Manifest)
				}
				with(t, to, func(h *hub) {
					r := auditOf(t, h, keyFile, "")
					report, err := r.Verify(t.Context(), "test", later)
					if err != nil || report.Broken != 0 || report.Missing != 0 || report.Heads[0].State != audit.HeadRestored || r.KeyID() != later.Key {
						t.Errorf("%+v, %v", report, err)
					}
				})
			})
		}
	}
}

// TestRestoreWithoutTheAuditKey: a backup whose log has its key elsewhere is restored, and what that means is said.
func TestRestoreWithoutTheAuditKey(t *testing.T) {
	from, to, dir := place(t, db.SQLite), place(t, db.SQLite), filepath.Join(t.TempDir(), "backups")
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, audit.NewKeys().Text(), 0o600); err != nil {
		t.Fatal(err)
	}
	populate(t, from)
	with(t, from, func(h *hub) { auditOf(t, h, keyFile, "") })
	mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
	var lines []string
	if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: to, Progress: func(text string) { lines = append(lines, text) }}); err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(strings.Join(lines, "\n"), "the restore is not recorded in the audit log") {
		t.Errorf("%q", lines)
	}
	with(t, to, func(h *hub) {
		if report, err := auditOf(t, h, keyFile, "").Verify(t.Context(), "test"); err != nil || report.Broken != 0 {
			t.Errorf("%+v, %v", report, err)
		}
	})
}

// TestMigrateCopiesTheAuditKey in both directions.
func TestMigrateCopiesTheAuditKey(t *testing.T) {
	for _, engines := range enginePairs()[1:3] {
		t.Run(engines[0].String()+" to "+engines[1].String(), func(t *testing.T) {
			from, to := place(t, engines[0]), place(t, engines[1])
			populate(t, from)
			var key string
			with(t, from, func(h *hub) { key = auditOf(t, h, "", "").KeyID() })
			if err := Migrate(t.Context(), MigrateOptions{From: from, To: to}); err != nil {
				t.Fatal(err)
			}
			with(t, to, func(h *hub) {
				r := auditOf(t, h, "", "")
				if report, err := r.Verify(t.Context(), "test"); err != nil || report.Broken != 0 || r.KeyID() != key {
					t.Errorf("%+v, key %s instead of %s, %v", report, r.KeyID(), key, err)
				}
			})
		})
	}
}
