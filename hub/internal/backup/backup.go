package backup

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"gridpost/devices/durable"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/store/secrets"
)

// Options of a backup.
type Options struct {
	From     Place
	Dir      string // of all backups; each is a folder in it, named after its time
	AuditKey string // file with the key of the audit log; empty: it is in the hub's place
	Program  string // version of the program
	Progress Progress
	Logger   *slog.Logger
	Now      func() time.Time // nil: time.Now
}

func (o *Options) setDefaults() {
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Now == nil {
		o.Now = time.Now
	}
}

// Backup copies a hub, which may run meanwhile, and returns the folder of the copy. Evidence that the newest
// backup in the folder has already is linked from there, not copied again. A backup that is not
// complete has a name that ends in ".partial", and no manifest; the next one removes it.
func Backup(ctx context.Context, o Options) (dir string, err error) {
	o.setDefaults()
	if err := os.MkdirAll(o.Dir, 0o700); err != nil {
		return "", fmt.Errorf("making the folder of backups: %w", err)
	}
	if err := os.Chmod(o.Dir, 0o700); err != nil { // it has password hashes and the authority's key
		return "", fmt.Errorf("making the folder of backups private: %w", err)
	}
	unlock, err := lockBackups(o.Dir)
	if err != nil {
		return "", err
	}
	defer unlock()
	if err := removePartial(o.Dir); err != nil {
		return "", err
	}
	before := ""
	if path, _, err := Find(o.Dir); err == nil && path != o.Dir {
		before = path
	}
	h, err := o.From.open(ctx, false, o.Logger)
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, h.close()) }()
	name := o.Now().UTC().Format("20060102T150405.000Z")
	dir = filepath.Join(o.Dir, name)
	w := &writer{o: o, hub: h, dir: dir + partial, before: before, sums: sums{}}
	if err := w.run(ctx); err != nil {
		return "", fmt.Errorf("making a backup: %w", err)
	}
	if err := os.Rename(w.dir, dir); err != nil {
		return "", fmt.Errorf("making a backup: %w", err)
	}
	if err := durable.SyncDir(o.Dir); err != nil {
		return "", err
	}
	w.recordBackup(ctx, name)
	return dir, nil
}

// lockBackups keeps two backups out of one folder.
func lockBackups(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the folder of backups: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		return nil, errors.Join(fmt.Errorf("locking the folder of backups: another backup is being written to it: %w", err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}

func removePartial(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return fmt.Errorf("looking for incomplete backups: %w", err)
	}
	for _, e := range entries {
		if e.IsDir() && strings.HasSuffix(e.Name(), partial) {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("removing an incomplete backup: %w", err)
			}
		}
	}
	return nil
}

// writer writes one backup.
type writer struct {
	o      Options
	hub    *hub
	dir    string
	before string // the last complete backup; empty: none
	known  []record
	sums   sums
	m      Manifest
}

func (w *writer) run(ctx context.Context) error {
	if err := os.Mkdir(w.dir, 0o700); err != nil {
		return err
	}
	w.m = Manifest{
		Format: format, Created: w.o.Now().UTC(), Program: w.o.Program, Engine: w.hub.dbs["hub"].Engine().String(),
		Schema: map[string]int{}, Rows: map[string]map[string]int64{},
	}
	for _, d := range databases() {
		if err := w.database(ctx, d); err != nil {
			return fmt.Errorf("copying the database %s: %w", d.name, err)
		}
	}
	if err := w.authority(ctx); err != nil {
		return fmt.Errorf("copying the key of the certificate authority: %w", err)
	}
	if err := w.auditKey(ctx); err != nil {
		return fmt.Errorf("copying the key of the audit log: %w", err)
	}
	if err := w.evidence(ctx); err != nil {
		return fmt.Errorf("copying evidence: %w", err)
	}
	for _, name := range []string{"hub.db", "telemetry.db"} {
		if err := w.hash(ctx, name); err != nil {
			return err
		}
	}
	var err error
	if w.m.SumsSHA256, err = w.sums.write(w.dir); err != nil {
		return err
	}
	return writeManifest(w.dir, w.m)
}

// database copies a database into a SQLite file and notes what is in it.
func (w *writer) database(ctx context.Context, d database) error {
	from := w.hub.dbs[d.name]
	w.o.Progress("copying the database " + d.name)
	var err error
	if from.Engine() == db.SQLite {
		err = from.VacuumInto(ctx, filepath.Join(w.dir, d.name+".db"))
	}
	if err != nil {
		return err
	}
	to, err := db.Open(ctx, d.options(db.Options{Dir: w.dir, Logger: w.o.Logger}))
	if err != nil {
		return err
	}
	defer func() { w.removeLeftovers(d.name) }()
	err = w.fill(ctx, d, from, to)
	return errors.Join(err, to.Close())
}

func (w *writer) fill(ctx context.Context, d database, from, to *db.DB) error {
	if from.Engine() != db.SQLite {
		if _, err := copyDatabase(ctx, d, from, to, w.o.Progress); err != nil {
			return err
		}
	}
	var err error
	if w.m.Schema[d.name], err = d.version(db.SQLite); err != nil {
		return err
	}
	if w.m.Rows[d.name], err = countRows(d, to.Read(ctx)); err != nil || d.name != "hub" {
		return err
	}
	if w.known, err = records(to.Read(ctx)); err != nil {
		return err
	}
	if w.m.History, err = to.History(ctx); err != nil {
		return err
	}
	w.m.LastChange, err = to.LastChange(ctx)
	return err
}

// removeLeftovers removes what opening a database makes beside it.
func (w *writer) removeLeftovers(name string) {
	for _, file := range []string{name + ".lock", name + ".db-wal", name + ".db-shm", "reserve"} {
		if err := os.Remove(filepath.Join(w.dir, file)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			w.o.Logger.Debug("removing a leftover of the backup", "error", err)
		}
	}
}

func countRows(d database, r db.Reader) (map[string]int64, error) {
	out := map[string]int64{}
	for _, t := range d.tables {
		var n int64
		if err := r.One(`SELECT count(*) FROM ` + quoted(t.name))(&n); err != nil {
			return nil, fmt.Errorf("counting the rows of %s: %w", t.name, err)
		}
		out[t.name] = n
	}
	return out, nil
}

func (w *writer) authority(ctx context.Context) error {
	text, err := w.hub.secret(secrets.Authority()).Load(ctx)
	if err != nil || text == nil {
		return err
	}
	return w.secret(ctx, secrets.Authority(), text)
}

// secret writes a secret into the backup.
func (w *writer) secret(ctx context.Context, one secrets.Secret, text []byte) error {
	if err := secrets.InFolder(w.dir, one).Create(ctx, text); err != nil {
		return err
	}
	return w.hash(ctx, one.File)
}

// hash notes the hash of a file of the backup.
func (w *writer) hash(ctx context.Context, path string) error {
	full := filepath.Join(w.dir, filepath.FromSlash(path))
	fi, err := os.Stat(full)
	if err != nil {
		return err
	}
	w.m.Bytes += fi.Size()
	w.sums[path], err = hashFile(ctx, full)
	return err
}

// record is a file of evidence that the database knows as complete.
type record struct {
	evidence.Key
	size   int64
	sha256 string
}

func records(r db.Reader) ([]record, error) {
	return db.Collect(func(scan func(...any) error) (v record, err error) {
		err = scan(&v.Incident, &v.Name, &v.size, &v.sha256)
		return v, err
	})(r.Rows(`SELECT incident, name, size, sha256 FROM evidence WHERE complete = 1 ORDER BY incident, name`))
}

func (v record) path() string { return "evidence/" + v.Incident + "/" + v.Name }

// evidence copies the files that the copied database knows. One that is missing or damaged at the hub is
// counted, and left out: the backup is as good as the hub.
func (w *writer) evidence(ctx context.Context) error {
	var old sums
	if w.before != "" {
		m, err := readManifest(w.before)
		if err == nil {
			old, err = readSums(w.before, m)
		}
		if err != nil {
			w.o.Logger.Warn("the backup before cannot be used", "error", err)
		}
	}
	store, linked := w.hub.evidence(), 0
	report := reporter(w.o.Progress, "evidence")
	for i, v := range w.known {
		ok, link, err := w.file(ctx, store, v, old[v.path()])
		switch {
		case err != nil:
			return err
		case !ok:
			w.m.Missing++
			continue
		case link:
			linked++
		}
		w.sums[v.path()] = v.sha256
		w.m.Evidence++
		w.m.Bytes += v.size
		report(int64(i+1), false)
	}
	w.o.Progress(fmt.Sprintf("evidence: %d files, %d of them in the backup before, %d missing", w.m.Evidence, linked, w.m.Missing))
	return nil
}

// file copies one file. It returns false when the hub does not have it as it is recorded.
func (w *writer) file(ctx context.Context, store evidence.Store, v record, old string) (ok, linked bool, err error) {
	path := filepath.Join(w.dir, filepath.FromSlash(v.path()))
	if old == v.sha256 {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return false, false, err
		}
		if os.Link(filepath.Join(w.before, filepath.FromSlash(v.path())), path) == nil {
			return true, true, nil
		}
	}
	f, err := store.Open(ctx, v.Key)
	if errors.Is(err, fs.ErrNotExist) {
		return false, false, nil
	}
	if err != nil {
		return false, false, err
	}
	hash, _, err := copyFile(ctx, path, f)
	if err = errors.Join(err, f.Close()); err != nil {
		return false, false, err
	}
	if hash != v.sha256 {
		w.o.Logger.Warn("evidence is damaged at the hub and left out of the backup", "incident", v.Incident, "name", v.Name)
		return false, false, os.Remove(path)
	}
	return true, false, nil
}
