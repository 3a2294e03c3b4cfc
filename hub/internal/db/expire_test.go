package db_test

import (
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestOldChangesAreDeleted: the oldest entries go, no more than asked for, and the numbers go on.
func TestOldChangesAreDeleted(t *testing.T) {
	at := time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
	dbtest.EachWith(t, db.Options{Now: func() time.Time { return at }}, func(t *testing.T, d *db.DB) {
		at = time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC)
		add(t, d, 10)
		at = at.Add(time.Hour)
		add(t, d, 5)
		for _, step := range []struct {
			limit, deleted int
			kept           int64
		}{{4, 4, 11}, {100, 6, 5}, {100, 0, 5}} {
			n, err := d.DeleteChangesBefore(t.Context(), at, step.limit)
			if err != nil || n != step.deleted {
				t.Errorf("%d of at most %d were deleted, %v", n, step.limit, err)
			}
			if kept, err := d.ChangesKept(t.Context()); err != nil || kept != step.kept {
				t.Errorf("%d are kept, %v", kept, err)
			}
		}
		if _, err := d.DeleteChangesBefore(t.Context(), at.Add(time.Second), 100); err != nil {
			t.Fatal(err)
		}
		add(t, d, 1)
		if last, err := d.LastChange(t.Context()); err != nil || last != 16 {
			t.Errorf("the next number is %d, %v", last, err)
		}
	})
}
