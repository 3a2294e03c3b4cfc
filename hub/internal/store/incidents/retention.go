package incidents

import (
	"context"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// FileKind is a kind of files that is kept by a bound of its own.
type FileKind string

// The kinds of files.
const (
	Pictures FileKind = "content_type != 'video/mp4'" // and all that is no clip
	Clips    FileKind = "content_type = 'video/mp4'"
)

// keyColumns are what scanKey reads.
const keyColumns = `incident, name, size * complete, CASE WHEN content_type = 'video/mp4' THEN 1 ELSE 0 END`

// keyColumnsOf are the same of a table that is called v.
const keyColumnsOf = `v.incident, v.name, v.size * v.complete, CASE WHEN v.content_type = 'video/mp4' THEN 1 ELSE 0 END`

// DeleteEvidenceBefore deletes the rows of at most limit files of a kind that were announced before a time: of
// incidents that are closed and not held, and of incidents that never came. It returns the files, which
// the caller removes. The incidents get a new version without an entry of the change feed.
func (r *Repository) DeleteEvidenceBefore(ctx context.Context, kind FileKind, before time.Time, limit int) (deleted []EvidenceKey, err error) {
	// Looked for outside of the transaction: files of incidents that are not closed may be many.
	found, err := db.Collect(scanKey)(r.db.Read(ctx).Rows(`SELECT `+keyColumnsOf+` FROM evidence v LEFT JOIN incidents i ON i.id = v.incident
		WHERE v.`+string(kind)+` AND v.recorded_at < ? AND (i.id IS NULL OR (i.state = 'closed' AND i.held = 0)) ORDER BY v.recorded_at LIMIT ?`, db.Millis(before), limit))
	if err != nil {
		return nil, fmt.Errorf("looking for old evidence: %w", err)
	}
	return r.deleteEvidence(ctx, found, `recorded_at < ? AND NOT EXISTS
		(SELECT 1 FROM incidents i WHERE i.id = evidence.incident AND (i.state != 'closed' OR i.held = 1))`, db.Millis(before))
}

func scanKey(scan func(...any) error) (k EvidenceKey, err error) {
	var clip int
	err = scan(&k.Incident, &k.Name, &k.Size, &clip)
	k.Clip = clip != 0
	return k, err
}

// DeleteIncidentsBefore deletes at most limit incidents that are closed, not held and unchanged since a
// time, with all that belongs to them, the longest unchanged first. It returns how many, and the files
// that went with them, which the caller removes.
func (r *Repository) DeleteIncidentsBefore(ctx context.Context, before time.Time, limit int) (deleted int, files []EvidenceKey, err error) {
	err = r.db.Update(ctx, "delete_incidents", func(tx *db.Tx) error {
		files = nil
		rows, err := db.Collect(scanRow)(tx.Rows(`SELECT `+columns+` FROM incidents i WHERE i.state = 'closed' AND i.held = 0 AND i.updated_at < ?
			ORDER BY i.updated_at, i.number LIMIT ?`+tx.ForUpdate(), db.Millis(before), limit))
		if err != nil {
			return fmt.Errorf("looking for old incidents: %w", err)
		}
		deleted = len(rows)
		for _, inc := range rows {
			keys, err := deleteIncident(tx, inc)
			if err != nil {
				return fmt.Errorf("deleting incident %s: %w", inc.ID, err)
			}
			files = append(files, keys...)
		}
		// The sums come last, under the lock of the change feed, as with every other change: see publish.
		var last int64
		if err := tx.One(`SELECT last FROM feed WHERE id = 1` + tx.ForUpdate())(&last); err != nil {
			return fmt.Errorf("locking the change feed: %w", err)
		}
		for _, inc := range rows {
			if err := uncount(tx, inc.Incident, before); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return 0, nil, err
	}
	return deleted, files, nil
}

// deleteIncident deletes an incident with all that belongs to it, but for what it was counted in.
func deleteIncident(tx *db.Tx, inc row) (files []EvidenceKey, err error) {
	if files, err = db.Collect(scanKey)(tx.Rows(`DELETE FROM evidence WHERE incident = ? RETURNING `+keyColumns, inc.ID)); err != nil {
		return nil, err
	}
	search := `DELETE FROM incident_search WHERE number = ?`
	if tx.Engine() == db.SQLite {
		search = `DELETE FROM incident_search WHERE rowid = ?`
	}
	for _, step := range []struct {
		text string
		arg  any
	}{
		{`DELETE FROM facts WHERE incident = ?`, inc.ID},
		{`DELETE FROM reports WHERE incident = ?`, inc.ID},
		{search, inc.Number},
		{`DELETE FROM incidents WHERE number = ?`, inc.Number},
	} {
		if _, err := tx.Exec(step.text, step.arg); err != nil {
			return nil, err
		}
	}
	return files, nil
}

// uncount takes a deleted incident out of the counters and of its group, which goes with its last incident
// unless a new one could still join it. first_at of a group stays: groups must not begin to overlap.
func uncount(tx *db.Tx, inc Incident, before time.Time) error {
	if err := count(tx, inc, -1); err != nil {
		return err
	}
	open, acknowledged, closed, holding := tally(inc)
	if _, err := tx.Exec(`UPDATE group_summaries SET open = open - ?, acknowledged = acknowledged - ?, closed = closed - ?, holding = holding - ?
		WHERE id = ?`, open, acknowledged, closed, holding, inc.Group); err != nil {
		return fmt.Errorf("taking incident %s out of its group: %w", inc.ID, err)
	}
	if _, err := tx.Exec(`DELETE FROM group_summaries WHERE id = ? AND open + acknowledged + closed <= 0`, inc.Group); err != nil {
		return fmt.Errorf("deleting group %s: %w", inc.Group, err)
	}
	if _, err := tx.Exec(`DELETE FROM incident_groups WHERE id = ? AND active_at < ?
		AND NOT EXISTS (SELECT 1 FROM incidents i WHERE i.group_id = incident_groups.id)`, inc.Group, db.Millis(before)); err != nil {
		return fmt.Errorf("deleting group %s: %w", inc.Group, err)
	}
	if _, err := tx.Exec(`UPDATE group_summaries SET newest = coalesce((SELECT n.id FROM incidents n WHERE n.group_id = group_summaries.id
		ORDER BY n.occurred_at DESC, n.number DESC LIMIT 1), newest) WHERE id = ? AND newest = ?`, inc.Group, inc.ID); err != nil {
		return fmt.Errorf("changing group %s: %w", inc.Group, err)
	}
	return nil
}
