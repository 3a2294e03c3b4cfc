package telemetry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// expireSeries is how many series one transaction deletes readings of at most.
const expireSeries = 256

// DeleteReadingsBefore deletes at most limit of the oldest readings that were both measured and received before
// a time, in one transaction, with their summaries: what arrives from an edge whose clock is years behind
// is kept as long as everything else. Only whole ten minutes expire: a reading may stay for longer, until the
// last of its ten minutes was received before the time. It returns how many were deleted; 0 when there is
// none left.
func (r *Repository) DeleteReadingsBefore(ctx context.Context, before time.Time, limit int) (deleted int, err error) {
	received := db.Millis(before)
	end := received / bucketMillis // not included
	// One step in the index for each series: that is read before the transaction begins.
	expired, err := db.Collect(func(scan func(...any) error) (id int64, err error) {
		var oldest int64
		err = scan(&id, &oldest)
		return id, err
	})(r.d.Read(ctx).Rows(`SELECT id, oldest FROM (SELECT s.id, (SELECT min(m.bucket) FROM summaries m WHERE m.series = s.id AND m.received < ?) AS oldest FROM series s) AS x
		WHERE oldest < ? ORDER BY oldest, id LIMIT ?`, received, end, expireSeries))
	if err != nil || len(expired) == 0 {
		return 0, wrap(err, "looking for old readings")
	}
	err = r.d.Update(ctx, "delete_readings", func(t *db.Tx) error {
		deleted = 0
		for _, id := range expired {
			n, err := expire(t, id, received, limit-deleted)
			if err != nil {
				return err
			}
			if deleted += n; deleted >= limit {
				break
			}
		}
		return nil
	})
	return deleted, wrap(err, "deleting readings")
}

// expire deletes at most limit of the oldest readings of a series. A bucket of which some readings stay
// keeps its summary until they are deleted too.
func expire(t *db.Tx, id, received int64, limit int) (int, error) {
	end := received / bucketMillis
	type row struct{ bucket, stored int64 }
	scan := func(scan func(...any) error) (b row, err error) {
		err = scan(&b.bucket, &b.stored)
		return b, err
	}
	var one int
	if err := t.One(`SELECT 1 FROM series WHERE id = ?`+t.ForUpdate(), id)(&one); err != nil {
		if errors.Is(err, db.ErrNotFound) {
			err = nil
		}
		return 0, err
	}
	oldest, err := db.Collect(scan)(t.Rows(`SELECT bucket, stored FROM summaries WHERE series = ? AND bucket < ? AND received < ? ORDER BY bucket LIMIT ?`,
		id, end, received, limit))
	if err != nil || len(oldest) == 0 {
		return 0, err
	}
	if oldest[0].stored > int64(limit) {
		return expirePart(t, id, oldest[0].bucket, limit)
	}
	// Buckets in a row are deleted together, up to the first one that is to stay.
	var stays int64
	first, last, n := oldest[0].bucket, oldest[0].bucket, oldest[0].stored
	if err := t.One(`SELECT coalesce(min(bucket), ?1) FROM summaries WHERE series = ?2 AND bucket > ?3 AND bucket < ?1 AND received >= ?4`,
		end, id, first, received)(&stays); err != nil {
		return 0, err
	}
	for _, b := range oldest[1:] {
		if n+b.stored > int64(limit) || b.bucket > stays {
			break
		}
		last, n = b.bucket, n+b.stored
	}
	gone, err := t.Count(`DELETE FROM readings WHERE series = ? AND at >= ? AND at < ?`, id, first*bucketMillis, (last+1)*bucketMillis)
	if err != nil {
		return 0, err
	}
	if _, err := t.Exec(`DELETE FROM summaries WHERE series = ? AND bucket >= ? AND bucket <= ?`, id, first, last); err != nil {
		return 0, err
	}
	_, err = t.Exec(`UPDATE series SET stored = stored - ? WHERE id = ?`, gone, id)
	return max(gone, 1), err
}

func expirePart(t *db.Tx, id, bucket int64, limit int) (int, error) {
	gone, err := t.Count(`DELETE FROM readings WHERE series = ?1 AND (at, value) IN
		(SELECT at, value FROM readings WHERE series = ?1 AND at >= ?4 AND at < ?2 ORDER BY at, value LIMIT ?3)`,
		id, (bucket+1)*bucketMillis, limit, bucket*bucketMillis)
	if err != nil {
		return 0, err
	}
	if _, err := t.Exec(`UPDATE summaries SET stored = stored - ? WHERE series = ? AND bucket = ?`, gone, id, bucket); err != nil {
		return 0, err
	}
	_, err = t.Exec(`UPDATE series SET stored = stored - ? WHERE id = ?`, gone, id)
	return gone, err
}

// DeleteSeriesBefore deletes series without readings whose newest one was received before a time: their
// devices are gone, or silent for so long that the last value says nothing.
func (r *Repository) DeleteSeriesBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.d.DeleteBefore(ctx, "delete_series", `DELETE FROM series WHERE stored = 0 AND id IN
		(SELECT id FROM series WHERE newest_received < ? AND stored = 0 ORDER BY newest_received, id LIMIT ?)`, before, limit)
}

// DeleteGapsBefore deletes gaps that the hub last heard of before a time.
func (r *Repository) DeleteGapsBefore(ctx context.Context, before time.Time, limit int) (int, error) {
	return r.d.DeleteBefore(ctx, "delete_gaps", `DELETE FROM gaps WHERE (edge, id) IN (SELECT edge, id FROM gaps WHERE received_at < ? ORDER BY received_at LIMIT ?)`, before, limit)
}

// ReleasePages gives at most so many unused pages of a SQLite file back to the disk. It does nothing on
// PostgreSQL, and for a file of a version that did not keep track of unused pages.
func (r *Repository) ReleasePages(ctx context.Context, pages int) error {
	if r.d.Engine() != db.SQLite {
		return nil
	}
	err := r.d.Update(ctx, "release_pages", func(t *db.Tx) error {
		_, err := db.Collect(func(scan func(...any) error) (struct{}, error) { return struct{}{}, nil })(
			t.Rows(fmt.Sprintf(`PRAGMA incremental_vacuum(%d)`, pages)))
		return err
	})
	return wrap(err, "giving unused pages back")
}

// Stored returns how many readings are stored.
func (r *Repository) Stored(ctx context.Context) (n int64, err error) {
	err = r.d.Read(ctx).One(`SELECT coalesce(CAST(sum(stored) AS BIGINT), 0) FROM series`)(&n)
	return n, wrap(err, "counting readings")
}

// OldestReading returns the beginning of the ten minutes of the oldest reading, or db.ErrNotFound.
func (r *Repository) OldestReading(ctx context.Context) (time.Time, error) {
	var bucket *int64
	err := r.d.Read(ctx).One(`SELECT min((SELECT min(m.bucket) FROM summaries m WHERE m.series = s.id)) FROM series s`)(&bucket)
	if err == nil && bucket == nil {
		err = db.ErrNotFound
	}
	if err != nil {
		return time.Time{}, wrap(err, "looking for the oldest reading")
	}
	return db.FromMillis(*bucket * bucketMillis), nil
}
