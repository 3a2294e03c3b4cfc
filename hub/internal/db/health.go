package db

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"
)

// Reads count as failing after so many failures in a row, for so long after the last one.
const (
	failingReads = 3
	failingFor   = 30 * time.Second
)

// readHealth is how the reads of callers went. The database may answer SELECT 1 from memory while its file
// cannot be read.
type readHealth struct {
	failed atomic.Int64 // in a row
	last   atomic.Int64 // time of the last failure: Unix time in nanoseconds by the machine's clock
}

// note counts a read. One whose caller has gone says nothing.
func (h *readHealth) note(ctx context.Context, err error) {
	switch {
	case err == nil, errors.Is(err, ErrNotFound):
		if h.failed.Load() != 0 { // not a write to shared memory for each read
			h.failed.Store(0)
		}
	case ctx.Err() == nil:
		h.last.Store(time.Now().UnixNano())
		h.failed.Add(1)
	}
}

func (h *readHealth) check() error {
	n := h.failed.Load()
	if since := time.Since(time.Unix(0, h.last.Load())); n < failingReads || since > failingFor {
		return nil
	}
	return fmt.Errorf("the last %d reads of the database failed", n)
}

// Ping returns an error unless the database answers, and what callers read of late did not fail.
func (d *DB) Ping(ctx context.Context) error {
	var one int
	if err := (Reader{ctx: ctx, q: d.read, d: d}).One("SELECT 1")(&one); err != nil {
		return fmt.Errorf("asking the database: %w", err)
	}
	return d.reads.check()
}
