package evidence

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"gridpost/devices/durable"
)

// Folder keeps files in a folder: uploads/INCIDENT/NAME while they come, evidence/INCIDENT/NAME afterwards.
type Folder struct{ dir string }

// NewFolder returns the store in a folder. It touches nothing yet.
func NewFolder(dir string) *Folder { return &Folder{dir: dir} }

func (f *Folder) upload(k Key) string    { return filepath.Join(f.dir, "uploads", k.Incident, k.Name) }
func (f *Folder) published(k Key) string { return filepath.Join(f.dir, "evidence", k.Incident, k.Name) }

// inFolder makes the folder of a path and calls do. It does so again when the folder was removed in
// between, because it was empty.
func inFolder(path string, do func() error) error {
	for attempt := 0; ; attempt++ {
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			return err
		}
		if err := do(); !errors.Is(err, fs.ErrNotExist) || attempt == 2 {
			return err
		}
	}
}

// Write implements Store. It removes what is behind the offset.
func (f *Folder) Write(_ context.Context, k Key, offset int64, r io.Reader) (n int64, err error) {
	path := f.upload(k)
	var file *os.File
	err = inFolder(path, func() (err error) {
		file, err = os.OpenFile(path, os.O_WRONLY|os.O_CREATE, 0o600)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("writing evidence: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	if err := file.Truncate(offset); err != nil { // an earlier file of the name may have been longer
		return 0, fmt.Errorf("writing evidence: %w", err)
	}
	n, err = io.Copy(io.NewOffsetWriter(file, offset), r)
	if n == 0 {
		return 0, err
	}
	if serr := file.Sync(); serr != nil {
		return 0, errors.Join(err, serr)
	}
	return n, err
}

// Sum implements Store.
func (f *Folder) Sum(_ context.Context, k Key, size int64) (string, error) {
	file, err := os.Open(f.upload(k))
	if errors.Is(err, fs.ErrNotExist) {
		file, err = os.Open(f.published(k)) // the hub stopped between Publish and recording it
	}
	if err != nil {
		return "", fmt.Errorf("reading evidence: %w", err)
	}
	defer file.Close() //nolint:errcheck // only read
	return sum(file, size)
}

// sum returns the SHA-256 of size bytes. It fails when there are fewer.
func sum(r io.Reader, size int64) (string, error) {
	h := sha256.New()
	if _, err := io.CopyN(h, r, size); err != nil {
		return "", fmt.Errorf("reading evidence: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil)), nil
}

// Publish implements Store. The file keeps its name after a power cut.
func (f *Folder) Publish(_ context.Context, k Key) error {
	from, to := f.upload(k), f.published(k)
	err := inFolder(to, func() error { return os.Rename(from, to) })
	if errors.Is(err, fs.ErrNotExist) {
		if _, serr := os.Stat(to); serr == nil {
			return nil // published before
		}
	}
	if err != nil {
		return fmt.Errorf("publishing evidence: %w", err)
	}
	removeEmpty(filepath.Dir(from))
	if err := durable.SyncDir(filepath.Dir(to)); err != nil {
		return fmt.Errorf("publishing evidence: %w", err)
	}
	return nil
}

// Open implements Store.
func (f *Folder) Open(_ context.Context, k Key) (File, error) {
	file, err := os.Open(f.published(k))
	if err != nil {
		return nil, fmt.Errorf("opening evidence: %w", err)
	}
	return file, nil
}

// Remove implements Store. A folder that is empty afterwards goes too.
func (f *Folder) Remove(_ context.Context, k Key) error {
	for _, path := range []string{f.published(k), f.upload(k)} {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("removing evidence: %w", err)
		}
		removeEmpty(filepath.Dir(path))
	}
	return nil
}

// removeEmpty removes a folder if nothing is in it.
func removeEmpty(dir string) {
	_ = os.Remove(dir) // one that is not empty stays: that is what the system call is for
}

// RemoveEmpty removes the empty folders of incidents, which earlier versions left.
func (f *Folder) RemoveEmpty() error {
	for _, kind := range []string{"uploads", "evidence"} {
		dir := filepath.Join(f.dir, kind)
		entries, err := os.ReadDir(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return fmt.Errorf("looking for empty folders: %w", err)
		}
		for _, e := range entries {
			if e.IsDir() {
				removeEmpty(filepath.Join(dir, e.Name()))
			}
		}
	}
	return nil
}

// Sweep implements Store.
func (f *Folder) Sweep(ctx context.Context, before time.Time, known Known) (removed int, err error) {
	for _, kind := range []string{"uploads", "evidence"} {
		n, err := f.sweep(ctx, filepath.Join(f.dir, kind), before, known)
		removed += n
		if err != nil {
			return removed, err
		}
	}
	return removed, nil
}

// sweep sweeps a folder of incidents. It holds the names of few of them at a time.
func (f *Folder) sweep(ctx context.Context, dir string, before time.Time, known Known) (removed int, err error) {
	folder, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("listing evidence: %w", err)
	}
	defer folder.Close() //nolint:errcheck // only read
	var keys []Key
	for ctx.Err() == nil {
		incidents, err := folder.ReadDir(sweepKeys)
		if errors.Is(err, io.EOF) {
			n, err := removeUnknown(ctx, f, keys, known)
			return removed + n, err
		}
		if err != nil {
			return removed, fmt.Errorf("listing evidence: %w", err)
		}
		for _, incident := range incidents {
			old, err := oldFiles(filepath.Join(dir, incident.Name()), before)
			if err != nil {
				return removed, fmt.Errorf("listing evidence: %w", err)
			}
			for _, name := range old {
				if keys = append(keys, Key{Incident: incident.Name(), Name: name}); len(keys) < sweepKeys {
					continue
				}
				n, err := removeUnknown(ctx, f, keys, known)
				removed, keys = removed+n, keys[:0]
				if err != nil {
					return removed, err
				}
			}
		}
	}
	return removed, ctx.Err()
}

// oldFiles returns the names of the files of a folder that were written before a time.
func oldFiles(dir string, before time.Time) (names []string, err error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil // removed just now, or no folder of an incident
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil && info.Mode().IsRegular() && info.ModTime().Before(before) {
			names = append(names, e.Name())
		}
	}
	return names, err
}
