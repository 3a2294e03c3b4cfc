package incidents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

// Pending is what an edge has announced and not uploaded yet.
type Pending struct {
	Files int64
	Bytes int64 // as announced
}

// PendingEvidence returns what an edge has announced and not uploaded yet.
func (r *Repository) PendingEvidence(tx *db.Tx, edge string) (p Pending, err error) {
	if err := tx.One(pendingOfEdge, edge)(&p.Files, &p.Bytes); err != nil {
		return p, fmt.Errorf("counting the uploads of edge %s: %w", edge, err)
	}
	return p, nil
}

const pendingOfEdge = `SELECT count(*), CAST(coalesce(sum(size), 0) AS BIGINT) FROM evidence WHERE edge = ? AND complete = 0`

// Announced reports whether a file has been announced, with this checksum.
func (r *Repository) Announced(tx *db.Tx, ev api.Evidence) (bool, error) {
	var one int
	err := tx.One(`SELECT 1 FROM evidence WHERE incident = ? AND name = ? AND sha256 = ?`, ev.Incident, ev.Name, ev.SHA256)(&one)
	if errors.Is(err, db.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("looking for evidence %s/%s: %w", ev.Incident, ev.Name, err)
	}
	return true, nil
}

// StoredEvidence returns how many bytes of evidence of an edge are stored, of complete files and of uploads.
func (r *Repository) StoredEvidence(ctx context.Context, edge string) (n int64, err error) {
	if err := r.db.Read(ctx).One(storedOfEdge, edge)(&n); err != nil {
		return 0, fmt.Errorf("measuring the evidence of edge %s: %w", edge, err)
	}
	return n, nil
}

const storedOfEdge = `SELECT CAST(coalesce(sum(received), 0) AS BIGINT) FROM evidence WHERE edge = ?`

// StoredFiles returns how many bytes the complete files of a kind have. It reads every record.
func (r *Repository) StoredFiles(ctx context.Context, kind FileKind) (n int64, err error) {
	if err := r.db.Read(ctx).One(`SELECT coalesce(CAST(sum(size) AS BIGINT), 0) FROM evidence WHERE complete = 1 AND ` + string(kind))(&n); err != nil {
		return 0, fmt.Errorf("measuring evidence: %w", err)
	}
	return n, nil
}

// KnownEvidence returns those of a few files that have a row.
func (r *Repository) KnownEvidence(ctx context.Context, keys []EvidenceKey) ([]EvidenceKey, error) {
	if len(keys) == 0 {
		return nil, nil
	}
	pairs, args := strings.Repeat(", (?, ?)", len(keys))[2:], make([]any, 0, 2*len(keys))
	for _, k := range keys {
		args = append(args, k.Incident, k.Name)
	}
	known, err := db.Collect(scanKey)(r.db.Read(ctx).Rows(`SELECT `+keyColumns+` FROM evidence WHERE (incident, name) IN (VALUES `+pairs+`)`, args...))
	if err != nil {
		return nil, fmt.Errorf("looking for evidence: %w", err)
	}
	return known, nil
}

// DeleteEvidenceOver deletes the rows of at most limit files of the edge that has stored the most, if that is more than max
// bytes: the oldest complete ones of incidents that are closed and not held, and of incidents that never came. It returns the
// files, which the caller removes.
func (r *Repository) DeleteEvidenceOver(ctx context.Context, max int64, limit int) ([]EvidenceKey, error) {
	var edge string
	var stored int64
	err := r.db.Read(ctx).One(`SELECT edge, CAST(sum(received) AS BIGINT) FROM evidence GROUP BY edge HAVING sum(received) > ?
		ORDER BY 2 DESC LIMIT 1`, max)(&edge, &stored)
	if errors.Is(err, db.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("measuring evidence: %w", err)
	}
	found, err := db.Collect(scanKey)(r.db.Read(ctx).Rows(`SELECT `+keyColumnsOf+` FROM evidence v
		LEFT JOIN incidents i ON i.id = v.incident WHERE v.edge = ? AND v.complete = 1 AND (i.id IS NULL OR (i.state = 'closed' AND i.held = 0))
		ORDER BY v.recorded_at LIMIT ?`, edge, limit))
	if err != nil {
		return nil, fmt.Errorf("looking for evidence of edge %s: %w", edge, err)
	}
	return r.deleteEvidence(ctx, found, `NOT EXISTS (SELECT 1 FROM incidents i WHERE i.id = evidence.incident AND (i.state != 'closed' OR i.held = 1))`)
}

// DeleteAbandonedBefore deletes the rows of at most limit uploads that were announced before a time and have not ended, also of
// open incidents. It returns the files, which the caller removes. An edge that still has such a file announces it again.
func (r *Repository) DeleteAbandonedBefore(ctx context.Context, before time.Time, limit int) ([]EvidenceKey, error) {
	found, err := db.Collect(scanKey)(r.db.Read(ctx).Rows(abandoned, db.Millis(before), limit))
	if err != nil {
		return nil, fmt.Errorf("looking for abandoned uploads: %w", err)
	}
	return r.deleteEvidence(ctx, found, `complete = 0 AND recorded_at < ?`, db.Millis(before))
}

const abandoned = `SELECT incident, name, 0, 0 FROM evidence WHERE complete = 0 AND recorded_at < ? ORDER BY recorded_at LIMIT ?`

// deleteEvidence deletes the rows of files for which a condition still holds. Their incidents get a new version without an entry
// of the change feed.
func (r *Repository) deleteEvidence(ctx context.Context, found []EvidenceKey, condition string, args ...any) (deleted []EvidenceKey, err error) {
	if len(found) == 0 {
		return nil, nil
	}
	err = r.db.Update(ctx, "delete_evidence", func(tx *db.Tx) error {
		deleted = nil
		for _, key := range found {
			n, err := tx.Count(`DELETE FROM evidence WHERE incident = ? AND name = ? AND `+condition, append([]any{key.Incident, key.Name}, args...)...)
			if err != nil {
				return fmt.Errorf("deleting evidence %s/%s: %w", key.Incident, key.Name, err)
			}
			if n == 0 {
				continue // reopened, held, completed or announced anew meanwhile
			}
			if _, err := tx.Exec(`UPDATE incidents SET version = version + 1 WHERE id = ?`, key.Incident); err != nil {
				return fmt.Errorf("deleting evidence %s/%s: %w", key.Incident, key.Name, err)
			}
			deleted = append(deleted, key)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return deleted, nil
}
