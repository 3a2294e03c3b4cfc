package incidents

import (
	"context"
	"fmt"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// countChange keeps incident_counts and group_summaries right. before is nil for a new incident. It runs
// under the lock of the change feed.
func countChange(tx *db.Tx, before *row, after row) error {
	if before == nil {
		if err := count(tx, after.Incident, 1); err != nil {
			return err
		}
		return summarize(tx, after.Incident)
	}
	if before.State != after.State || before.Severity != after.Severity {
		if err := count(tx, before.Incident, -1); err != nil {
			return err
		}
		if err := count(tx, after.Incident, 1); err != nil {
			return err
		}
	}
	if before.State != after.State || before.Condition != after.Condition || rank(after.Severity) > rank(before.Severity) {
		return resummarize(tx, before.Incident, after.Incident)
	}
	return nil
}

func count(tx *db.Tx, inc Incident, n int) error {
	if _, err := tx.Exec(`INSERT INTO incident_counts(site, state, severity, n) VALUES (?, ?, ?, ?)
		ON CONFLICT(site, state, severity) DO UPDATE SET n = incident_counts.n + excluded.n`,
		inc.Site, string(inc.State), string(inc.Severity), n); err != nil {
		return fmt.Errorf("counting incident %s: %w", inc.ID, err)
	}
	return nil
}

// rank orders severities, from 1.
func rank(s detection.Severity) int {
	switch s {
	case detection.Extreme:
		return 4
	case detection.Severe:
		return 3
	case detection.Moderate:
		return 2
	}
	return 1
}

// tally says what one incident adds to the sums of its group.
func tally(inc Incident) (open, acknowledged, closed, holding int) {
	switch inc.State {
	case Open:
		open = 1
	case Acknowledged:
		acknowledged = 1
	case Closed:
		closed = 1
	}
	if inc.Condition == detection.Open {
		holding = 1
	}
	return open, acknowledged, closed, holding
}

// summarize adds a new incident to the summary of its group.
func summarize(tx *db.Tx, inc Incident) error {
	open, acknowledged, closed, holding := tally(inc)
	at := db.Millis(inc.OccurredAt)
	if _, err := tx.Exec(`INSERT INTO group_summaries(id, edge, device, rule, kind, site, source, severity, first_at, last_at, newest,
			open, acknowledged, closed, holding) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(id) DO UPDATE SET
			severity = CASE WHEN excluded.severity > group_summaries.severity THEN excluded.severity ELSE group_summaries.severity END,
			first_at = CASE WHEN excluded.first_at < group_summaries.first_at THEN excluded.first_at ELSE group_summaries.first_at END,
			newest = CASE WHEN excluded.last_at >= group_summaries.last_at THEN excluded.newest ELSE group_summaries.newest END,
			kind = CASE WHEN excluded.last_at >= group_summaries.last_at THEN excluded.kind ELSE group_summaries.kind END,
			last_at = CASE WHEN excluded.last_at > group_summaries.last_at THEN excluded.last_at ELSE group_summaries.last_at END,
			open = group_summaries.open + excluded.open, acknowledged = group_summaries.acknowledged + excluded.acknowledged,
			closed = group_summaries.closed + excluded.closed, holding = group_summaries.holding + excluded.holding`,
		inc.Group, inc.Edge, inc.Device, inc.Rule, inc.Kind, inc.Site, string(inc.Source), rank(inc.Severity), at, at, inc.ID,
		open, acknowledged, closed, holding); err != nil {
		return fmt.Errorf("adding incident %s to group %s: %w", inc.ID, inc.Group, err)
	}
	return nil
}

// resummarize changes the summary of a group for one incident of it.
func resummarize(tx *db.Tx, before, after Incident) error {
	o1, a1, c1, h1 := tally(before)
	o2, a2, c2, h2 := tally(after)
	if err := tx.Affected(`UPDATE group_summaries SET open = open + ?, acknowledged = acknowledged + ?, closed = closed + ?, holding = holding + ?,
		severity = CASE WHEN severity < ? THEN ? ELSE severity END WHERE id = ?`,
		o2-o1, a2-a1, c2-c1, h2-h1, rank(after.Severity), rank(after.Severity), after.Group); err != nil {
		return fmt.Errorf("changing incident %s in group %s: %w", after.ID, after.Group, err)
	}
	return nil
}

// Count is how many incidents have a state and a severity.
type Count struct {
	State    State
	Severity detection.Severity
	N        int
}

// Counts returns exact counts by state and severity; pairs without incidents are left out.
func (r *Repository) Counts(ctx context.Context, s scope.Scope) ([]Count, error) {
	where, args := s.Where("site")
	all, err := db.Collect(func(scan func(...any) error) (c Count, err error) {
		err = scan(&c.State, &c.Severity, &c.N)
		return c, err
	})(r.db.Read(ctx).Rows(`SELECT state, severity, sum(n) FROM incident_counts WHERE n > 0 AND `+where+`
		GROUP BY state, severity ORDER BY state, severity`, args...))
	if err != nil {
		return nil, fmt.Errorf("counting incidents: %w", err)
	}
	return all, nil
}

// CountUnclosed returns how many incidents are open and acknowledged, by state.
func (r *Repository) CountUnclosed(ctx context.Context) (map[string]int, error) {
	all, err := r.Counts(ctx, scope.All())
	if err != nil {
		return nil, err
	}
	counts := map[string]int{}
	for _, c := range all {
		if c.State != Closed {
			counts[string(c.State)] += c.N
		}
	}
	return counts, nil
}
