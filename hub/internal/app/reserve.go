package app

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// A hub whose disk is full must start again without a hand: SQLite and the run file need a little
// room then. The reserve holds that room while a hub runs and gives it back for the start.
const (
	reserveFile  = "reserve"
	reserveBytes = 4 << 20
)

// releaseReserve frees the reserve's room.
func releaseReserve(dir string) error {
	if err := os.Remove(filepath.Join(dir, reserveFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("releasing the reserve: %w", err)
	}
	return nil
}

// takeReserve takes the room again, as much of it as there is.
func takeReserve(dir string) (err error) {
	f, err := os.OpenFile(filepath.Join(dir, reserveFile), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return fmt.Errorf("taking the reserve: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	zeros := make([]byte, 64<<10)
	for range reserveBytes / len(zeros) {
		if _, err := f.Write(zeros); err != nil {
			return fmt.Errorf("taking the reserve: %w", err)
		}
	}
	return nil
}
