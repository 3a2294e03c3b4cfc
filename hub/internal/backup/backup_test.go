package backup

import (
	"bytes"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/secrets"
)

func (opened) Close() error { return nil }

// TestBackupAndRestore: a backup of a hub that runs, on either engine, restored to either engine, has all of
// that time and nothing newer, and the numbers of the live stream that came afterwards are not valid.
func TestBackupAndRestore(t *testing.T) {
	for _, engines := range [][2]db.Engine{{db.SQLite, db.SQLite}, {db.SQLite, db.Postgres}, {db.Postgres, db.SQLite}, {db.Postgres, db.Postgres}} {
		t.Run(engines[0].String()+" to "+engines[1].String(), func(t *testing.T) {
			from, to, dir := place(t, engines[0]), place(t, engines[1]), filepath.Join(t.TempDir(), "backups")
			key := populate(t, from)
			var history string
			with(t, from, func(h *hub) { // it runs meanwhile
				mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
				var err error
				if history, err = h.dbs["hub"].History(t.Context()); err != nil {
					t.Fatal(err)
				}
				publish(t, h, 3)
				addReading(t, h, 2)
				addPicture(t, h, "incident-2", []byte("later"))
			})
			checkPrivate(t, dir)
			var lines []string
			out, err := Restore(t.Context(), RestoreOptions{From: dir, To: to, Progress: func(text string) { lines = append(lines, text) }})
			if err != nil {
				t.Fatal(err)
			}
			if out.Manifest.LastChange != 5 || out.Manifest.Rows["hub"]["edges"] != 1 || out.Manifest.Rows["telemetry"]["readings"] != 1 || len(lines) == 0 {
				t.Errorf("%+v, %q", out.Manifest, lines)
			}
			with(t, to, func(h *hub) {
				if got, err := h.secret(secrets.Authority()).Load(t.Context()); err != nil || !bytes.Equal(got, key) {
					t.Errorf("the authority has another key, %v", err)
				}
				if n := stored(t, h); n != 1 {
					t.Errorf("%d readings", n)
				}
				if got := picture(t, h, "incident-1"); got != strings.Repeat("picture 1 ", 300_000) {
					t.Errorf("the picture has %d bytes", len(got))
				}
				d := h.dbs["hub"]
				for number, want := range map[int64]bool{5: true, 6: false, 8: false} {
					if ok, err := d.Valid(t.Context(), history, number); err != nil || ok != want {
						t.Errorf("position %d of the history before: %v, %v", number, ok, err)
					}
				}
				var place int
				if err := d.Read(t.Context()).One(`SELECT count(*) FROM device_places`)(&place); err != nil || place != 1 {
					t.Errorf("%d places are indexed, %v", place, err)
				}
			})
		})
	}
}

// checkPrivate makes sure that nobody else reads a backup.
func checkPrivate(t *testing.T, dir string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, e os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := e.Info()
		if err == nil && fi.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %s", path, fi.Mode())
		}
		return err
	})
	if err != nil {
		t.Error(err)
	}
}

// TestIncremental: a picture that the backup before has is linked, not copied, and each backup stands alone.
func TestIncremental(t *testing.T) {
	from, dir := place(t, db.SQLite), t.TempDir()
	populate(t, from)
	now := clock()
	first := mustBackup(t, Options{From: from, Dir: dir, Now: now})
	with(t, from, func(h *hub) { addPicture(t, h, "incident-2", []byte("later")) })
	second := mustBackup(t, Options{From: from, Dir: dir, Now: now})
	a, err1 := os.Stat(filepath.Join(first, "evidence", "incident-1", "snapshot.jpg"))
	b, err2 := os.Stat(filepath.Join(second, "evidence", "incident-1", "snapshot.jpg"))
	if err := errors.Join(err1, err2); err != nil || !os.SameFile(a, b) {
		t.Errorf("the picture was copied again, %v", err)
	}
	if err := os.RemoveAll(first); err != nil {
		t.Fatal(err)
	}
	to := place(t, db.SQLite)
	out, err := Restore(t.Context(), RestoreOptions{From: dir, To: to})
	if err != nil || out.Backup != second || out.Manifest.Evidence != 2 {
		t.Fatalf("%+v, %v", out, err)
	}
	with(t, to, func(h *hub) {
		if got := picture(t, h, "incident-2"); got != "later" {
			t.Error(got)
		}
	})
}

// TestIncompleteBackups: whatever file of a backup is missing or damaged, it is not restored, and the target
// stays as it was. A backup without its manifest is none.
func TestIncompleteBackups(t *testing.T) {
	from, dir := place(t, db.SQLite), t.TempDir()
	populate(t, from)
	made := mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
	var files []string
	if err := filepath.WalkDir(made, func(path string, e os.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			files = append(files, path)
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if len(files) != 6 { // two databases, key, picture, sums, manifest
		t.Errorf("the backup has %q", files)
	}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		changed := slices.Clone(text)
		changed[len(changed)/2] ^= 0x40
		for name, break_ := range map[string]func() error{
			"missing":   func() error { return os.Remove(path) },
			"truncated": func() error { return os.WriteFile(path, text[:len(text)/2], 0o600) },
			"changed":   func() error { return os.WriteFile(path, changed, 0o600) },
		} {
			if err := break_(); err != nil {
				t.Fatal(err)
			}
			to := place(t, db.SQLite)
			_, err := Restore(t.Context(), RestoreOptions{From: dir, To: to})
			_, there := os.Stat(filepath.Join(to.Dir, "hub.db"))
			if manifest := filepath.Base(path) == manifestFile && name == "changed"; err == nil && !manifest {
				t.Errorf("a backup whose %s is %s was restored", filepath.Base(path), name)
			} else if err != nil && there == nil {
				t.Errorf("a backup whose %s is %s left something behind", filepath.Base(path), name)
			}
			if err := os.WriteFile(path, text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: place(t, db.SQLite)}); err != nil {
		t.Errorf("mended: %v", err)
	}
}

// TestInterruptedBackup: what an interrupted backup left is removed by the next one and restored by none.
func TestInterruptedBackup(t *testing.T) {
	from, dir := place(t, db.SQLite), t.TempDir()
	populate(t, from)
	left := filepath.Join(dir, "20990101T000000.000Z"+partial)
	if err := os.Mkdir(left, 0o700); err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: place(t, db.SQLite)}); err == nil {
		t.Error("nothing was restored")
	}
	mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
	if _, err := os.Stat(left); err == nil {
		t.Error("the incomplete backup is still there")
	}
}

// TestRestoreNeedsAnEmptyTarget: a hub's data is not overwritten, and with force it is set aside whole. A hub
// that runs is not touched.
func TestRestoreNeedsAnEmptyTarget(t *testing.T) {
	from, dir := place(t, db.SQLite), t.TempDir()
	populate(t, from)
	mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		to := place(t, e)
		with(t, to, func(h *hub) {
			execute(t, h.dbs["hub"], `INSERT INTO edges(name, created_at, site) VALUES ('old', 1, 'old')`)
			addPicture(t, h, "incident-old", []byte("old"))
			if e == db.Postgres {
				if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: to, Force: true}); err == nil {
					t.Error("a hub was replaced while it runs")
				}
			}
		})
		if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: to}); !errors.Is(err, ErrNotEmpty) {
			t.Errorf("%s: %v", e, err)
		}
		out, err := Restore(t.Context(), RestoreOptions{From: dir, To: to, Force: true})
		if err != nil || out.Aside == "" {
			t.Fatalf("%s: %+v, %v", e, out, err)
		}
		with(t, to, func(h *hub) {
			names, err := db.Collect(db.ScanText)(h.dbs["hub"].Read(t.Context()).Rows(`SELECT name FROM edges`))
			if err != nil || fmt.Sprint(names) != "[weir]" {
				t.Errorf("%s: %v, %v", e, names, err)
			}
		})
		if e == db.SQLite {
			with(t, Place{Dir: out.Aside}, func(h *hub) {
				if got := picture(t, h, "incident-old"); got != "old" {
					t.Errorf("what was set aside has lost its picture: %s", got)
				}
			})
		}
	}
}

// TestRunningHubIsNotReplaced: the lock of a hub that runs on a folder stops a restore.
func TestRunningHubIsNotReplaced(t *testing.T) {
	from, dir := place(t, db.SQLite), t.TempDir()
	populate(t, from)
	mustBackup(t, Options{From: from, Dir: dir, Now: clock()})
	d := hubDatabase()
	running, err := db.Open(t.Context(), d.options(db.Options{Dir: from.Dir, Exclusive: true}))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Restore(t.Context(), RestoreOptions{From: dir, To: from, Force: true}); err == nil {
		t.Error("a hub was replaced while it runs")
	}
	if err := Migrate(t.Context(), MigrateOptions{From: from, To: place(t, db.SQLite)}); err == nil {
		t.Error("a hub was migrated while it runs")
	}
	if err := running.Close(); err != nil {
		t.Fatal(err)
	}
}

// TestMissingPicture: a picture that the hub has lost does not stop a backup; after a restore its record says
// that it is missing, so that the edge sends it.
func TestMissingPicture(t *testing.T) {
	from, dir, to := place(t, db.SQLite), t.TempDir(), place(t, db.SQLite)
	populate(t, from)
	with(t, from, func(h *hub) {
		addPicture(t, h, "incident-2", []byte("damaged later"))
		addPicture(t, h, "incident-3", []byte("gone later"))
	})
	if err := errors.Join(os.WriteFile(filepath.Join(from.Dir, "evidence", "incident-2", "snapshot.jpg"), []byte("damaged"), 0o600),
		os.Remove(filepath.Join(from.Dir, "evidence", "incident-3", "snapshot.jpg"))); err != nil {
		t.Fatal(err)
	}
	mustBackup(t, Options{From: from, Dir: dir, Now: clock(), Logger: slog.New(slog.DiscardHandler)})
	out, err := Restore(t.Context(), RestoreOptions{From: dir, To: to})
	if err != nil || out.Manifest.Missing != 2 || out.Manifest.Evidence != 1 {
		t.Fatalf("%+v, %v", out, err)
	}
	with(t, to, func(h *hub) {
		names, err := db.Collect(db.ScanText)(h.dbs["hub"].Read(t.Context()).Rows(`SELECT incident FROM evidence WHERE complete = 0 AND received = 0 ORDER BY incident`))
		if err != nil || fmt.Sprint(names) != "[incident-2 incident-3]" {
			t.Errorf("%v, %v", names, err)
		}
	})
}

// TestMigrate: a hub moves to PostgreSQL and back with its evidence and its key, and a target with data is
// refused.
func TestMigrate(t *testing.T) {
	from, between, to := place(t, db.SQLite), place(t, db.Postgres), place(t, db.SQLite)
	key := populate(t, from)
	for _, step := range [][2]Place{{from, between}, {between, to}} {
		if err := Migrate(t.Context(), MigrateOptions{From: step[0], To: step[1]}); err != nil {
			t.Fatal(err)
		}
	}
	with(t, to, func(h *hub) {
		if got, err := h.secret(secrets.Authority()).Load(t.Context()); err != nil || !bytes.Equal(got, key) {
			t.Errorf("the authority has another key, %v", err)
		}
		if got := picture(t, h, "incident-1"); len(got) != 3_000_000 || stored(t, h) != 1 {
			t.Errorf("the picture has %d bytes; %d readings", len(got), stored(t, h))
		}
		publish(t, h, 1)
		if last, err := h.dbs["hub"].LastChange(t.Context()); err != nil || last != 6 {
			t.Errorf("the next change has number %d, %v", last, err)
		}
	})
	if err := Migrate(t.Context(), MigrateOptions{From: from, To: between}); !errors.Is(err, ErrNotEmpty) {
		t.Errorf("a target with data: %v", err)
	}
}

func TestParsePlace(t *testing.T) {
	for text, want := range map[string]Place{"sqlite:/var/lib/hub": {Dir: "/var/lib/hub"}, "postgres://u:p@h/d": {URL: "postgres://u:p@h/d"}} {
		if got, err := ParsePlace(text); err != nil || got != want || strings.Contains(got.String(), ":p@") {
			t.Errorf("%s: %+v, %v", text, got, err)
		}
	}
	for _, text := range []string{"", "sqlite:", "/var/lib/hub", "mysql://x"} {
		if _, err := ParsePlace(text); err == nil {
			t.Errorf("%q is a place", text)
		}
	}
}
