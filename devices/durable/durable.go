// Package durable writes small files so that they survive a power cut: what it has written is on the disk
// when it returns, and a reader finds the old content or the new one, whole.
//
// A file's name is an entry of its folder: without SyncDir, a rename may be lost although the file is on
// the disk (rename(2), fsync(2)). The package must not import other packages of Gridpost.
package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Write writes a file that only its owner can read, or replaces its content. After a power cut before it
// returns, the file may be cut short; its name is on the disk after SyncDir.
func Write(path string, data []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	return errors.Join(err, f.Sync(), f.Close())
}

// Replace replaces a file by one that only its owner can read. It writes path+".new" first and leaves
// nothing there when it fails. One caller at a time may replace a path.
func Replace(path string, data []byte) error {
	next := path + ".new"
	err := Write(next, data)
	if err == nil {
		err = Rename(next, path)
	}
	if err == nil {
		return nil
	}
	if rerr := os.Remove(next); !errors.Is(rerr, fs.ErrNotExist) {
		err = errors.Join(err, rerr)
	}
	return err
}

// Create makes a file that only its owner can read, and its folder. It fails with an error that matches
// fs.ErrExist when there is one already; of several concurrent calls, one makes the file.
func Create(path string, data []byte) error {
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	tmp, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*") // mode 0600
	if err != nil {
		return err
	}
	defer os.Remove(tmp.Name()) //nolint:errcheck // what is left over does no harm
	_, err = tmp.Write(data)
	if err := errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return err
	}
	if err := os.Link(tmp.Name(), path); err != nil {
		return err
	}
	return SyncDir(dir)
}

// Rename gives a file that is on the disk another name in the same folder or in another one.
func Rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	return SyncDir(filepath.Dir(to))
}

// SyncDir writes the names in a folder to the disk.
func SyncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
