// Package diskspace keeps a store usable on a full disk: it recognizes that a disk is full, and
// sets room aside that is given up when something must be written to go on.
//
// It must not import other packages of Gridpost.
package diskspace

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// Reserve is a file whose room is given up when the disk is full and something must be written
// to go on, and taken again when there is room. It is safe for concurrent use.
type Reserve struct {
	path string
	size int64

	mu sync.Mutex // serializes two short system calls; there is nothing to wait for
}

// NewReserve returns the reserve of size bytes at path. It takes no room yet.
func NewReserve(path string, size int64) *Reserve { return &Reserve{path: path, size: size} }

// Release gives the room up. It returns false when there is none to give.
func (r *Reserve) Release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return os.Remove(r.path) == nil
}

// Acquire takes the room, if it is not taken yet and as much again is left for others.
func (r *Reserve) Acquire() error { return r.take(r.size, r.size) }

// Retake takes back what Release gave up and what was not needed: all that is free, up to the size
// of the reserve.
func (r *Reserve) Retake() error { return r.take(1, 0) }

// take makes the file as large as the free room allows, up to r.size, if it gets to least bytes
// and so many others are left.
func (r *Reserve) take(least, others int64) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	var have int64
	if fi, err := os.Stat(r.path); err == nil {
		have = fi.Size()
	}
	free, err := Free(filepath.Dir(r.path))
	if err != nil {
		return err
	}
	size := min(r.size, have+free-others)
	if have >= r.size || size <= have || size < least {
		return nil // taken, or later
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("reserving room on the disk: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, size)) // a file system without fallocate
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reserving room on the disk: %w", errors.Join(err, os.Remove(r.path)))
	}
	return nil
}

// Free returns how many bytes an unprivileged process can still write to the file system of dir.
func Free(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// IsFull says whether err means that the file system of dir has no room. sqliteCode is the extended
// result code of SQLite in err (https://www.sqlite.org/rescode.html), or 0: SQLite reports some
// full disks as input/output errors or as files that cannot be opened.
func IsFull(dir string, err error, sqliteCode int) bool {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return true
	}
	const (
		ioErr    = 10
		full     = 13
		cantOpen = 14
		shmSize  = 4874 // SQLITE_IOERR_SHMSIZE: no room to grow the -shm file
	)
	switch primary := sqliteCode & 0xff; {
	case primary == full || sqliteCode == shmSize:
		return true
	case primary == ioErr || primary == cantOpen:
		free, ferr := Free(dir)
		return ferr == nil && free < 64<<10
	}
	return false
}
