package incidents

import (
	"errors"
	"fmt"
	"time"

	"gridpost/hub/internal/db"
)

// Groups. An incident of an edge joins a group of its edge, device and rule when it occurred within
// CoolDown after any incident of the group occurred or ended, or while one still holds. A report is a
// group by itself. The groups of one edge, device and rule do not overlap: each lies before the next.
//
// Incidents may arrive late, from an edge that was offline or restored. A late one joins the group before
// it if it is near enough, else the one after it if that is near enough, else it makes a group. So the order of
// arrival decides two things only. Two groups that a late incident lies between, near to both, stay two; they
// would be one if it had arrived in time. And an incident that joined a group because the end of another one
// was not known yet stays in it.

const (
	// CoolDown is how long after the last activity of a group an incident still joins it.
	CoolDown = 10 * time.Minute

	// MaxGroup is how long a group may last from its first incident on, so that what never stops
	// repeating makes one row a day.
	MaxGroup = 24 * time.Hour
)

// span is a group as assignment sees it.
type span struct {
	id            string
	first, active int64 // milliseconds
}

func scanSpan(scan func(...any) error) (s span, err error) {
	err = scan(&s.id, &s.first, &s.active)
	return s, err
}

// assignGroup returns the group of a new incident of an edge, and makes it if there is none. The caller
// has locked the edge's row, so no other transaction changes groups of the edge.
func assignGroup(tx *db.Tx, inc Incident) (string, error) {
	at := db.Millis(inc.OccurredAt)
	before, err := scanSpan(tx.One(`SELECT id, first_at, active_at FROM incident_groups WHERE edge = ? AND device = ? AND rule = ? AND first_at <= ?
		ORDER BY first_at DESC LIMIT 1`+tx.ForUpdate(), inc.Edge, inc.Device, inc.Rule, at))
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return "", fmt.Errorf("looking for a group: %w", err)
	}
	after, found, err := groupAfter(tx, inc, at)
	if err != nil {
		return "", err
	}
	if before.id != "" {
		near := at <= before.active
		if !near && at < before.first+MaxGroup.Milliseconds() {
			if near = at <= before.active+CoolDown.Milliseconds(); !near {
				if near, err = holds(tx, before.id, inc); err != nil {
					return "", err
				}
			}
		}
		if near {
			return before.id, extend(tx, before.id, before.first, max(before.active, at))
		}
	}
	if found && after.first-at <= CoolDown.Milliseconds() && after.active < at+MaxGroup.Milliseconds() {
		return after.id, extend(tx, after.id, at, after.active)
	}
	if _, err := tx.Exec(`INSERT INTO incident_groups(id, edge, device, rule, first_at, active_at) VALUES (?, ?, ?, ?, ?, ?)`,
		inc.ID, inc.Edge, inc.Device, inc.Rule, at, at); err != nil {
		return "", fmt.Errorf("making a group: %w", err)
	}
	return inc.ID, nil
}

// groupAfter returns the first group that begins after a time.
func groupAfter(tx *db.Tx, inc Incident, at int64) (s span, found bool, err error) {
	s, err = scanSpan(tx.One(`SELECT id, first_at, active_at FROM incident_groups WHERE edge = ? AND device = ? AND rule = ? AND first_at > ?
		ORDER BY first_at LIMIT 1`+tx.ForUpdate(), inc.Edge, inc.Device, inc.Rule, at))
	if errors.Is(err, db.ErrNotFound) {
		return s, false, nil
	}
	if err != nil {
		return s, false, fmt.Errorf("looking for a group: %w", err)
	}
	return s, true, nil
}

// holds says whether the condition of an incident of a group holds.
func holds(tx *db.Tx, group string, inc Incident) (bool, error) {
	var one int
	err := tx.One(`SELECT 1 FROM incidents WHERE edge = ? AND device = ? AND rule = ? AND condition = 'open' AND group_id = ? LIMIT 1`,
		inc.Edge, inc.Device, inc.Rule, group)(&one)
	if err != nil && !errors.Is(err, db.ErrNotFound) {
		return false, fmt.Errorf("looking for open incidents of a group: %w", err)
	}
	return err == nil, nil
}

func extend(tx *db.Tx, id string, first, active int64) error {
	if err := tx.Affected(`UPDATE incident_groups SET first_at = ?, active_at = ? WHERE id = ?`, first, active, id); err != nil {
		return fmt.Errorf("extending group %s: %w", id, err)
	}
	return nil
}

// endInGroup notes that the condition of an incident ended: the group is active until then, but no longer
// than until the next group begins.
func endInGroup(tx *db.Tx, inc Incident) error {
	if inc.Edge == "" || inc.EndedAt == nil {
		return nil
	}
	own, err := scanSpan(tx.One(`SELECT id, first_at, active_at FROM incident_groups WHERE id = ?`, inc.Group))
	if err != nil {
		return fmt.Errorf("reading group %s: %w", inc.Group, err)
	}
	ended := db.Millis(*inc.EndedAt)
	next, found, err := groupAfter(tx, inc, own.first)
	if err != nil {
		return err
	}
	if found {
		ended = min(ended, next.first-1)
	}
	if ended <= own.active {
		return nil
	}
	return extend(tx, own.id, own.first, ended)
}
