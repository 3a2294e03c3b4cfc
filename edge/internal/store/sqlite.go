package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"

	sqlite "modernc.org/sqlite"

	"gridpost/devices/diskspace"
)

// pageSize is SQLite's page size in bytes.
const pageSize = 4096

// connect opens a pool of connections to the file at path. A writer has one connection, because
// SQLite has one writer; readers only read.
func connect(path, synchronous string, connections int, pages int64) (*sql.DB, error) {
	pragmas := []string{
		"busy_timeout(5000)", "journal_mode(WAL)", "synchronous(" + synchronous + ")", "mmap_size(0)",
		// The log is written back after 1,000 pages (4 MiB) and cut to that size, so that it does
		// not grow as long as readers are short.
		"wal_autocheckpoint(1000)", "journal_size_limit(4194304)", "cache_size(-4000)",
	}
	if connections > 1 {
		pragmas = []string{"busy_timeout(5000)", "query_only(1)", "mmap_size(0)", "cache_size(-1000)"}
	}
	if pages > 0 {
		pragmas = append(pragmas, fmt.Sprintf("max_page_count(%d)", pages))
	}
	q := url.Values{"_pragma": pragmas}
	db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: path}).EscapedPath()+"?"+q.Encode())
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(connections)
	db.SetMaxIdleConns(connections) // connections are kept: pragmas are per connection
	return db, nil
}

// quickCheck returns errDamaged when SQLite finds the file's structure broken.
func quickCheck(ctx context.Context, q querier) error {
	var verdict string
	if err := q.QueryRowContext(ctx, "PRAGMA quick_check(1)").Scan(&verdict); err != nil {
		return err
	}
	if verdict != "ok" {
		return fmt.Errorf("%w: %s", errDamaged, verdict)
	}
	return nil
}

// querier is a database, a connection or a transaction that can be read from.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

var (
	errDamaged  = errors.New("the file is damaged")
	errReplaced = errors.New("the file was deleted or replaced while it was in use")
)

// Result codes of SQLite (https://www.sqlite.org/rescode.html); the low byte is the primary one.
const (
	codeError      = 1
	codeCorrupt    = 11
	codeConstraint = 19
	codeNotADB     = 26
	codeShortRead  = 522 // SQLITE_IOERR_SHORT_READ: the file is shorter than it says
)

// sqliteCode returns the extended result code in err's chain, or 0.
func sqliteCode(err error) int {
	var e *sqlite.Error
	if errors.As(err, &e) {
		return e.Code()
	}
	return 0
}

// damaged says whether err means that a file's content cannot be trusted.
func damaged(err error) bool {
	if err == nil {
		return false
	}
	code := sqliteCode(err)
	return code&0xff == codeCorrupt || code&0xff == codeNotADB || code == codeShortRead ||
		errors.Is(err, errDamaged) || errors.Is(err, errReplaced)
}

// wrap says what was being done, and translates a full disk into ErrFull. dir is where the file
// lies: SQLite reports some full disks as input/output errors or as files that cannot be opened.
func wrap(dir, doing string, err error) error {
	if err == nil {
		return nil
	}
	if !errors.Is(err, ErrFull) && full(dir, err) {
		return fmt.Errorf("%s: %w (%w)", doing, ErrFull, err)
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func full(dir string, err error) bool {
	return errors.Is(err, ErrFull) || diskspace.IsFull(dir, err, sqliteCode(err))
}
