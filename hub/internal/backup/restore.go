package backup

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gridpost/devices/durable"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/store/secrets"
)

// RestoreOptions of a restore.
type RestoreOptions struct {
	From     string // a backup, or a folder of backups: then the newest complete one
	To       Place
	Force    bool   // sets what is there aside
	AuditKey string // file with the key of the audit log; empty: the one in the backup, if it is there
	Progress Progress
	Logger   *slog.Logger
	Now      func() time.Time
}

// Restored is what came of a restore.
type Restored struct {
	Backup   string // the folder that was restored
	Manifest Manifest
	Aside    string // where what was there before is now; empty: nothing was there
}

// Restore puts a backup in the place of a hub that does not run. It checks every file of the backup before it
// touches anything. Readers of the live stream learn that the numbers they know are of another history, and
// edges deliver again what the backup does not have.
func Restore(ctx context.Context, o RestoreOptions) (out Restored, err error) {
	shared := Options{Progress: o.Progress, Logger: o.Logger, Now: o.Now}
	shared.setDefaults()
	o.Progress, o.Logger, o.Now = shared.Progress, shared.Logger, shared.Now
	if out.Backup, out.Manifest, err = Find(o.From); err != nil {
		return out, err
	}
	r := &restorer{o: o, from: out.Backup, m: out.Manifest}
	if err := r.check(ctx); err != nil {
		return out, fmt.Errorf("checking the backup %s: %w", out.Backup, err)
	}
	if o.To.URL == "" {
		if err := os.MkdirAll(o.To.Dir, 0o700); err != nil {
			return out, fmt.Errorf("making the data folder: %w", err)
		}
	}
	unlock, err := o.To.lock(ctx)
	if err != nil {
		return out, err
	}
	aside, err := r.makeRoom(ctx)
	unlock()
	if err != nil {
		return out, err
	}
	out.Aside = aside
	if err := r.run(ctx); err != nil {
		return out, fmt.Errorf("restoring %s: %w", out.Backup, err)
	}
	return out, nil
}

// restorer restores one backup.
type restorer struct {
	o    RestoreOptions
	from string
	m    Manifest
	sums sums
}

// check reads every file of the backup.
func (r *restorer) check(ctx context.Context) (err error) {
	for _, d := range databases() {
		newest, err := d.version(db.SQLite)
		if err != nil {
			return err
		}
		if have := r.m.Schema[d.name]; have > newest {
			return fmt.Errorf("its database %s has schema %d, of a later version of this program; this one knows up to %d", d.name, have, newest)
		}
	}
	if r.sums, err = readSums(r.from, r.m); err != nil {
		return err
	}
	for _, name := range []string{"hub.db", "telemetry.db"} {
		if r.sums[name] == "" {
			return fmt.Errorf("it has no %s", name)
		}
	}
	report := reporter(r.o.Progress, "checking files")
	for i, path := range slices.Sorted(maps.Keys(r.sums)) {
		got, err := hashFile(ctx, filepath.Join(r.from, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		if got != r.sums[path] {
			return fmt.Errorf("the file %s is damaged: its SHA-256 is %s instead of %s", path, got, r.sums[path])
		}
		report(int64(i+1), false)
	}
	return nil
}

// makeRoom makes sure that the target is empty, or sets what is there aside.
func (r *restorer) makeRoom(ctx context.Context) (aside string, err error) {
	to := r.o.To
	empty, err := r.empty(ctx)
	if err != nil || empty {
		return "", err
	}
	if !r.o.Force {
		return "", fmt.Errorf("%w: %s has a hub's data already; --force sets it aside", ErrNotEmpty, to)
	}
	aside = "before_restore_" + r.o.Now().UTC().Format("20060102t150405z")
	for _, d := range databases() {
		if err := db.SetAside(ctx, to.options(d, r.o.Logger), aside); err != nil {
			return "", err
		}
	}
	if to.URL == "" {
		for _, name := range []string{"evidence", "uploads", "ca", secrets.AuditKeys().File} {
			if err := os.Rename(filepath.Join(to.Dir, name), filepath.Join(to.Dir, aside, name)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				return "", fmt.Errorf("setting %s aside: %w", name, err)
			}
		}
		return filepath.Join(to.Dir, aside), nil
	}
	return "the schemas hub_" + aside + " and telemetry_" + aside, nil
}

// empty says whether the target has nothing that a restore would replace.
func (r *restorer) empty(ctx context.Context) (bool, error) {
	to := r.o.To
	if to.URL == "" {
		for _, name := range []string{"hub.db", "telemetry.db", "evidence", "ca", secrets.AuditKeys().File} {
			if _, err := os.Stat(filepath.Join(to.Dir, name)); !errors.Is(err, fs.ErrNotExist) {
				return false, err
			}
		}
		return true, nil
	}
	h, err := to.open(ctx, true, r.o.Logger)
	if err != nil {
		return false, err
	}
	for _, d := range databases() {
		if err = d.checkEmpty(h.dbs[d.name].Read(ctx), db.Postgres); err != nil {
			break
		}
	}
	if cerr := h.close(); cerr != nil {
		return false, cerr
	}
	if errors.Is(err, ErrNotEmpty) {
		return false, nil
	}
	return err == nil, err
}

// run restores into the empty target. The databases of the backup are opened as copies, because opening
// one changes its file.
func (r *restorer) run(ctx context.Context) (err error) {
	work := filepath.Join(r.o.To.Dir, "restoring")
	if r.o.To.URL != "" {
		if work, err = os.MkdirTemp("", "gridpost-restore-"); err != nil {
			return err
		}
	} else if err := errors.Join(os.RemoveAll(work), os.Mkdir(work, 0o700)); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(work)) }()
	for _, d := range databases() {
		r.o.Progress("restoring the database " + d.name)
		if err := r.copyOut(ctx, d.name+".db", filepath.Join(work, d.name+".db")); err != nil {
			return err
		}
	}
	source, err := Place{Dir: work}.open(ctx, false, r.o.Logger) // migrates
	if err != nil {
		return err
	}
	err = r.prepare(ctx, source.dbs["hub"])
	if err == nil && r.o.To.URL != "" {
		err = r.intoDatabase(ctx, source)
	}
	if err = errors.Join(err, source.close()); err != nil || r.o.To.URL != "" {
		return err
	}
	return r.intoFolder(ctx, work)
}

func (r *restorer) copyOut(ctx context.Context, name, path string) error {
	f, err := os.Open(filepath.Join(r.from, filepath.FromSlash(name)))
	if err != nil {
		return err
	}
	defer f.Close() //nolint:errcheck // only read
	hash, _, err := copyFile(ctx, path, f)
	if err == nil && hash != r.sums[name] {
		err = fmt.Errorf("the file %s has changed since it was checked", name)
	}
	return err
}

// prepare makes the records of evidence agree with the files of the backup, so that edges send what is not
// there, and begins a history.
func (r *restorer) prepare(ctx context.Context, d *db.DB) error {
	all, err := records(d.Read(ctx))
	if err != nil {
		return err
	}
	err = d.Update(ctx, "restore", func(t *db.Tx) error {
		if _, err := t.Exec(`UPDATE evidence SET received = 0 WHERE complete = 0`); err != nil {
			return err
		}
		for _, v := range all {
			if r.sums[v.path()] == v.sha256 {
				continue
			}
			if _, err := t.Exec(`UPDATE evidence SET received = 0, complete = 0 WHERE incident = ? AND name = ?`, v.Incident, v.Name); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("comparing the records of evidence with the files: %w", err)
	}
	if err := r.recordRestore(ctx, d); err != nil {
		return err
	}
	return d.NewHistory(ctx)
}

// secrets puts the secrets that the backup has into their places.
func (r *restorer) secrets(ctx context.Context, place func(secrets.Secret) secrets.Store) error {
	for _, one := range secrets.All() {
		if r.sums[one.File] == "" {
			continue
		}
		text, err := os.ReadFile(filepath.Join(r.from, filepath.FromSlash(one.File)))
		if err == nil {
			err = place(one).Create(ctx, text)
		}
		if err != nil {
			return fmt.Errorf("restoring %s: %w", one.Name, err)
		}
	}
	return nil
}

// intoFolder moves the prepared databases to their place, the hub's last: a folder without it holds no hub.
func (r *restorer) intoFolder(ctx context.Context, work string) error {
	dir := r.o.To.Dir
	if err := r.files(ctx, evidence.NewFolder(dir)); err != nil {
		return err
	}
	if err := r.secrets(ctx, func(one secrets.Secret) secrets.Store { return secrets.InFolder(dir, one) }); err != nil {
		return err
	}
	for _, name := range []string{"telemetry.db", "hub.db"} {
		if err := os.Rename(filepath.Join(work, name), filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return durable.SyncDir(dir)
}

// intoDatabase copies the prepared databases into PostgreSQL.
func (r *restorer) intoDatabase(ctx context.Context, source *hub) (err error) {
	target, err := r.o.To.open(ctx, true, r.o.Logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, target.close()) }()
	if err := r.files(ctx, target.evidence()); err != nil {
		return err
	}
	if err := r.secrets(ctx, target.secret); err != nil {
		return err
	}
	if err := copyAll(ctx, source, target, r.o.Progress); err != nil {
		return err
	}
	return target.dbs["hub"].NewHistory(ctx)
}

// files copies the evidence of the backup into a store.
func (r *restorer) files(ctx context.Context, to evidence.Store) error {
	report, n := reporter(r.o.Progress, "evidence"), int64(0)
	for _, path := range slices.Sorted(maps.Keys(r.sums)) {
		rest, ok := strings.CutPrefix(path, "evidence/")
		if !ok {
			continue
		}
		incident, name, _ := strings.Cut(rest, "/")
		f, err := os.Open(filepath.Join(r.from, filepath.FromSlash(path)))
		if err != nil {
			return err
		}
		err = putFile(ctx, to, evidence.Key{Incident: incident, Name: name}, f, r.sums[path])
		if err = errors.Join(err, f.Close()); err != nil {
			return fmt.Errorf("restoring evidence %s: %w", rest, err)
		}
		n++
		report(n, false)
	}
	report(n, true)
	return nil
}

// putFile writes a whole file into a store, in the pieces in which edges send them.
func putFile(ctx context.Context, to evidence.Store, k evidence.Key, f evidence.File, want string) error {
	size := int64(0)
	for {
		n, err := to.Write(ctx, k, size, io.LimitReader(contextReader{ctx, f}, api.MaxEvidencePiece))
		if err != nil {
			return err
		}
		if size += n; n < api.MaxEvidencePiece {
			break
		}
	}
	got, err := to.Sum(ctx, k, size)
	if err == nil && got != want {
		err = fmt.Errorf("its SHA-256 is %s instead of %s", got, want)
	}
	if err != nil {
		return err
	}
	return to.Publish(ctx, k)
}
