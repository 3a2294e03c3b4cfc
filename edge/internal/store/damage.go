package store

import (
	"context"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gridpost/devices/durable"
)

// A damaged file is handled in steps, each of which can be interrupted and taken up again by the
// next opening:
//
//  1. it is renamed to NAME.damaged, with its log;
//  2. what can be read of it is copied into NAME.new, which is then renamed to NAME;
//  3. what was lost is recorded in the new file, as a gap;
//  4. NAME.damaged is renamed to NAME.damaged-TIME and kept for a person to look at.
//
// A log that SQLite would ignore takes the same way as NAME-wal.damaged, as a copy.
const (
	suffixNew     = ".new"
	suffixDamaged = ".damaged"
	suffixWAL     = "-wal"
	suffixShm     = "-shm"

	keptDamaged = 2 // copies of damaged files that are kept of each file; older ones are removed
)

// The reasons of gaps and problems that damage causes.
const (
	reasonDamaged    = "store_damaged"
	reasonWALDamaged = "wal_damaged"
)

// loss says what damage may have cost.
type loss struct {
	reason   string
	from, to time.Time
	copy     string // file name of the damaged original
}

// open opens the file, after repairing it if it is damaged; known is damage that was met while
// it was in use. The caller holds access.
func (f *file) open(ctx context.Context, known error) error {
	if err := removeFiles(f.path() + suffixNew); err != nil {
		return err
	}
	err := known
	if err == nil {
		err = f.examine()
	}
	var h *handles
	if err == nil {
		h, err = f.connect(ctx)
	}
	if damaged(err) {
		f.logger.Error("a database file is damaged; what can be read of it is copied into a new one", "file", f.name, "error", err)
		if err = f.setAside(); err == nil {
			err = f.rebuild(ctx)
		}
		if err == nil {
			h, err = f.connect(ctx)
		}
	}
	if err != nil {
		return err
	}
	if err := f.use(ctx, h); err != nil {
		return errors.Join(err, h.close())
	}
	return nil
}

// use starts to work with h: it reads what is known by heart and records what was lost.
func (f *file) use(ctx context.Context, h *handles) error {
	// Numbers that were given in this run are not given again, whatever the repaired file says: the
	// hub would take what is new for old.
	before := f.known()
	state, err := f.load(ctx, h.write, before.sent)
	if err != nil {
		return err
	}
	state.next, state.sent = max(state.next, before.next), max(state.sent, before.sent)
	final := map[string]string{}
	for _, suffix := range []string{suffixDamaged, suffixWAL + suffixDamaged} {
		final[suffix] = f.finalName(suffix)
	}
	losses := f.losses(final)
	if len(losses) > 0 {
		state, err = h.transact(state, func(t *tx) error {
			for _, l := range losses {
				if err := f.lost(t, l); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	if err := f.renameAside(final); err != nil {
		return err
	}
	h.inode = inode(f.path())
	f.h, f.gen = h, f.gen+1
	f.mu.Lock()
	f.state = state
	f.mu.Unlock()
	return nil
}

// losses returns what unfinished repairs, of this opening or of an interrupted one, have cost.
// What was lost when is not known: it is between the oldest that the store keeps and the repair.
func (f *file) losses(final map[string]string) []loss {
	var out []loss
	if _, err := os.Stat(f.path() + suffixDamaged); err == nil {
		out = append(out, loss{reasonDamaged, f.now().Add(-keepIncidents), f.now(), final[suffixDamaged]})
	}
	if fi, err := os.Stat(f.path() + suffixWAL + suffixDamaged); err == nil {
		from := fi.ModTime() // of the last checkpoint: its commits are in the database
		if from.After(f.now()) {
			from = f.now()
		}
		out = append(out, loss{reasonWALDamaged, from, f.now(), final[suffixWAL+suffixDamaged]})
	}
	return out
}

// examine looks at the files before SQLite does. It makes a new database if there was none.
func (f *file) examine() error {
	path := f.path()
	fi, err := os.Stat(path)
	_, asideErr := os.Stat(path + suffixDamaged)
	switch {
	case errors.Is(err, os.ErrNotExist) && asideErr == nil:
		return fmt.Errorf("%w: its repair was interrupted", errDamaged)
	case errors.Is(err, os.ErrNotExist):
		_, walErr := os.Stat(path + suffixWAL)
		if walErr == nil || f.existed {
			return fmt.Errorf("%w: it is gone", errDamaged)
		}
		return f.rebuild(context.Background())
	case err != nil:
		return err
	case fi.Size() == 0:
		return fmt.Errorf("%w: it is empty", errDamaged) // new databases get their name when they are complete
	}
	if err := f.checkLog(fi.ModTime()); err != nil {
		return err
	}
	return checkHeader(path, fi.Size())
}

// checkLog keeps a copy of a log that SQLite is going to ignore.
func (f *file) checkLog(checkpoint time.Time) error {
	path := f.path() + suffixWAL
	_, err := checkWAL(path, f.path()+suffixShm)
	if !errors.Is(err, errWAL) {
		return err
	}
	f.logger.Error("a write-ahead log is damaged", "file", f.name, "error", err)
	aside := path + suffixDamaged
	if err := copyFile(path, aside); errors.Is(err, os.ErrNotExist) {
		if err := os.WriteFile(aside, nil, 0o600); err != nil { // the log is gone: a mark for losses
			return err
		}
	} else if err != nil {
		if !full(f.dir, err) {
			return err
		}
		f.logger.Error("there is no room for a whole copy of the damaged log", "file", f.name)
	}
	return os.Chtimes(aside, time.Time{}, checkpoint)
}

// checkHeader finds files that are no databases, or shorter than they say. When there is a log,
// the length is not judged: it may hold the rest.
func checkHeader(path string, size int64) error {
	want, err := claimedSize(path)
	if err != nil || size >= want {
		return err
	}
	if fi, err := os.Stat(path + suffixWAL); err == nil && fi.Size() > 0 {
		return nil
	}
	return fmt.Errorf("%w: it has %d bytes of %d", errDamaged, size, want)
}

// claimedSize returns how long a database file is by its header, or 0 if that does not say
// (https://www.sqlite.org/fileformat2.html#the_database_header). It returns errDamaged when the
// file is no database.
func claimedSize(path string) (int64, error) {
	r, err := os.Open(path)
	if err != nil {
		return 0, err
	}
	defer func() { _ = r.Close() }()
	var h [100]byte
	if _, err := io.ReadFull(r, h[:]); err != nil || string(h[:16]) != "SQLite format 3\x00" {
		return 0, fmt.Errorf("%w: it is no database", errDamaged)
	}
	if string(h[24:28]) != string(h[92:96]) {
		return 0, nil // the number of pages is from an earlier change
	}
	page := int64(binary.BigEndian.Uint16(h[16:]))
	if page == 1 {
		page = 65536
	}
	return page * int64(binary.BigEndian.Uint32(h[28:])), nil
}

// connect opens the connections and brings the schema up to date.
func (f *file) connect(ctx context.Context) (_ *handles, err error) {
	h := &handles{prepared: map[string]*sql.Stmt{}}
	defer func() {
		if err != nil {
			err = errors.Join(err, h.close())
		}
	}()
	if h.pool, err = connect(f.path(), f.synchronous, 1, f.pages); err != nil {
		return nil, err
	}
	if h.write, err = h.pool.Conn(ctx); err != nil {
		return nil, err
	}
	if err = migrate(ctx, h.write, f.migrations, len(f.migrations)); err != nil {
		return nil, err
	}
	// The whole check reads the whole file. A large one is checked later, by Maintain.
	if fi, serr := os.Stat(f.path()); serr != nil || fi.Size() < f.checkBelow {
		if err = quickCheck(ctx, h.write); err != nil {
			return nil, err
		}
	}
	h.read, err = connect(f.path(), f.synchronous, readers, 0)
	return h, err
}

// readers is the number of connections that read.
const readers = 3

// setAside gives the damaged file its name for the time of the repair.
func (f *file) setAside() error {
	path, aside := f.path(), f.path()+suffixDamaged
	_, err := os.Stat(path)
	switch {
	case err == nil:
		if _, err := os.Stat(aside); err == nil { // of an earlier repair that was not finished
			if err := f.finishAside(); err != nil {
				return err
			}
		}
		if err := os.Rename(path, aside); err != nil {
			return err
		}
	case errors.Is(err, os.ErrNotExist):
		marker, err := os.OpenFile(aside, os.O_CREATE|os.O_WRONLY, 0o600)
		if err != nil {
			return err
		}
		if err := marker.Close(); err != nil {
			return err
		}
	default:
		return err
	}
	if err := os.Rename(path+suffixWAL, aside+suffixWAL); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	if err := os.Remove(path + suffixShm); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return durable.SyncDir(f.dir)
}

// finishAside ends a repair of which nothing was lost, or was recorded.
func (f *file) finishAside() error {
	return f.renameAside(map[string]string{suffixDamaged: f.finalName(suffixDamaged)})
}

// renameAside gives damaged originals their last names and removes the oldest of them.
func (f *file) renameAside(final map[string]string) error {
	for suffix, name := range final {
		if _, err := os.Stat(f.path() + suffix); err != nil {
			continue
		}
		for _, tail := range []string{suffixShm, suffixWAL, ""} {
			if err := os.Rename(f.path()+suffix+tail, filepath.Join(f.dir, name+tail)); err != nil && !errors.Is(err, os.ErrNotExist) {
				return err
			}
		}
		if err := f.removeOld(suffix); err != nil {
			return err
		}
	}
	return nil
}

// finalName is the name of a damaged original after its repair, relative to the directory.
func (f *file) finalName(suffix string) string {
	for at := f.now().UnixMilli(); ; at++ {
		name := fmt.Sprintf("%s%s-%013d", f.name, suffix, at)
		if _, err := os.Stat(filepath.Join(f.dir, name)); err != nil {
			return name
		}
	}
}

func (f *file) removeOld(suffix string) error {
	old, err := filepath.Glob(f.path() + suffix + "-[0-9]*")
	if err != nil {
		return err
	}
	old = slices.DeleteFunc(old, func(p string) bool { return strings.HasSuffix(p, suffixWAL) || strings.HasSuffix(p, suffixShm) })
	slices.Sort(old)
	for _, path := range old[:max(0, len(old)-keptDamaged)] {
		if err := removeFiles(path); err != nil {
			return err
		}
	}
	return nil
}

// removeFiles removes a database and its companions.
func removeFiles(path string) error {
	for _, tail := range []string{"", suffixWAL, suffixShm, "-journal"} {
		if err := os.Remove(path + tail); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
