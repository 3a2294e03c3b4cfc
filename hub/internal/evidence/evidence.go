// Package evidence keeps the bytes of the files that belong to incidents: in a folder when the hub's
// database is a file beside it, and in the database when that is PostgreSQL, so that several hubs on
// one database need no file system in common.
//
// Which files there are, how much of each has come and whether it is complete is recorded by the
// repository of incidents. What it records follows what is here, never the other way round: bytes that
// are not recorded are overwritten by the next piece.
package evidence

import (
	"context"
	"io"
	"time"

	"gridpost/hub/internal/db"
)

// Key names a file. Both parts have been checked to be safe as file names.
type Key struct{ Incident, Name string }

// File is an open file.
type File interface {
	io.ReadSeeker
	io.Closer
}

// Store keeps files. Its methods may be called from any goroutine, but for one file only one Write at a
// time. Errors of files that are not there match fs.ErrNotExist.
type Store interface {
	// Write writes what r reads at an offset of an upload. It returns how many bytes are on the disk, also
	// when r fails half-way.
	Write(ctx context.Context, k Key, offset int64, r io.Reader) (int64, error)
	// Sum returns the SHA-256 of an upload of size bytes, in hexadecimal.
	Sum(ctx context.Context, k Key, size int64) (string, error)
	// Publish turns an upload into a file. Publishing again changes nothing.
	Publish(ctx context.Context, k Key) error
	// Open opens a published file.
	Open(ctx context.Context, k Key) (File, error)
	// Remove removes a file, published or not. Removing one that is not there is no error.
	Remove(ctx context.Context, k Key) error
	// Sweep removes files and uploads that were written before a time and have no record, and returns how many. A record is there
	// before the first byte and is deleted before the file, so such files are left over from a deletion that was interrupted.
	Sweep(ctx context.Context, before time.Time, known Known) (removed int, err error)
}

// Known returns which of at most sweepKeys files have a record.
type Known func(ctx context.Context, keys []Key) (map[Key]bool, error)

// sweepKeys is how many files Sweep looks at together.
const sweepKeys = 200

// removeUnknown removes those of keys that have no record.
func removeUnknown(ctx context.Context, s Store, keys []Key, known Known) (removed int, err error) {
	if len(keys) == 0 {
		return 0, nil
	}
	recorded, err := known(ctx, keys)
	if err != nil {
		return 0, err
	}
	for _, k := range keys {
		if recorded[k] {
			continue
		}
		if err := s.Remove(ctx, k); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// Of returns the store that belongs to a database: dir on SQLite, the database itself on PostgreSQL.
func Of(d *db.DB, dir string) Store {
	if d.Engine() == db.Postgres {
		return NewDatabase(d)
	}
	return NewFolder(dir)
}
