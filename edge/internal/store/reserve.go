package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// reserveBytes is room that is set aside on the disk: enough to open both databases, whose
// shared-memory files SQLite makes anew at each start, and to delete what the hub has.
const reserveBytes = 4 << 20

// reserve is a file whose room is given up when the disk is full and something must be written
// to go on, and taken again when there is room.
type reserve struct {
	path string
	size int64

	mu sync.Mutex // serialises two short system calls; there is nothing to wait for
}

// release gives the room up. It returns false when there is none to give.
func (r *reserve) release() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return os.Remove(r.path) == nil
}

// acquire takes the room, if it is not taken yet and as much again is left for others.
func (r *reserve) acquire() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if fi, err := os.Stat(r.path); err == nil && fi.Size() >= r.size {
		return nil
	}
	free, err := freeBytes(filepath.Dir(r.path))
	if err != nil {
		return err
	}
	if free < 2*r.size {
		return nil // later
	}
	f, err := os.OpenFile(r.path, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return fmt.Errorf("reserving room on the disk: %w", err)
	}
	err = unix.Fallocate(int(f.Fd()), 0, 0, r.size)
	if errors.Is(err, unix.EOPNOTSUPP) {
		_, err = f.Write(make([]byte, r.size)) // a file system without fallocate
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("reserving room on the disk: %w", errors.Join(err, os.Remove(r.path)))
	}
	return nil
}

func freeBytes(dir string) (int64, error) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return 0, fmt.Errorf("asking for the free space of %s: %w", dir, err)
	}
	return int64(st.Bavail) * st.Bsize, nil
}

// fullDisk translates the operating system's errors of a full disk into ErrFull.
func fullDisk(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) {
		return fmt.Errorf("%w (%w)", ErrFull, err)
	}
	return err
}
