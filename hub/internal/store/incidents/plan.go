package incidents

import (
	"fmt"

	"gridpost/detection"
	"gridpost/hub/internal/db"
)

// These are how many incidents are found by several filters and sorted, at about 15 us each. If the filters let
// more through, a page is full before an index by the time has passed over too many others: over a twentieth as
// many if that is the index of an edge or a site.
const (
	sortable       = 5000
	sortableNearby = 1000
)

// sortable returns how many incidents of q are sorted.
func (q Query) sortable() int {
	if q.Edge != "" || q.Site != "" {
		return sortableNearby
	}
	return sortable
}

// few says whether so few incidents pass several filters that the full-text index, which has a token for
// each, finds them faster than an index of one of the filters; then text is what they match. m are the
// tokens of the filters. PostgreSQL combines indexes by itself.
func (r *Repository) few(reader db.Reader, q Query, m match) (few bool, text string, err error) {
	least := 2
	if len(q.severities()) > 1 || q.Sort == ByDevice { // no index has the filter and the order
		least = 1
	}
	if r.db.Engine() != db.SQLite || q.IDs != nil || len(m) < least {
		return false, "", nil
	}
	var backlog int // those of before the index are found without it
	if err := reader.One(`SELECT count(*) FROM (SELECT 1 FROM incidents WHERE indexed = 0 LIMIT 1)`)(&backlog); err != nil || backlog > 0 {
		return false, "", err
	}
	text = append(m, q.periodMatch(r.db.Now())...).text(db.SQLite)
	n, err := r.matches(reader, text, q.sortable())
	return n <= q.sortable(), text, err
}

// matches returns how many incidents match, up to one more than limit.
func (r *Repository) matches(reader db.Reader, match string, limit int) (n int, err error) {
	text := `SELECT count(*) FROM (SELECT number FROM incident_search WHERE doc @@ CAST(? AS tsquery) LIMIT ?) x`
	if r.db.Engine() == db.SQLite {
		text = `SELECT count(*) FROM (SELECT rowid FROM incident_search WHERE incident_search MATCH ? LIMIT ?)`
	}
	if err := reader.One(text, match, limit+1)(&n); err != nil {
		return 0, fmt.Errorf("looking for incidents: %w", err)
	}
	return n, nil
}

// small is how many unclosed incidents a list may pass over: about 20 ms.
const small = 10_000

// hint returns what names the index of a list on SQLite, which keeps no statistics. PostgreSQL needs
// none. The order is that of how few incidents a filter lets through in a busy hub.
func (r *Repository) hint(reader db.Reader, q Query) (string, error) {
	if r.db.Engine() != db.SQLite || q.IDs != nil { // by the key, then
		return "", nil
	}
	unclosed := q.State == Open || q.State == Acknowledged || q.State == Unclosed
	name := ""
	switch {
	case q.Group != "":
		name = "incidents_group"
	case q.Assignee != "":
		name = "incidents_assignee"
	case q.Condition == detection.Open:
		name = "incidents_condition"
	case q.State == Acknowledged:
		name = "incidents_acknowledged"
	case unclosed && q.Edge != "":
		name = "incidents_unclosed_edge"
	case q.Edge != "" && q.Device != "":
		name = "incidents_device"
	case q.Edge != "":
		name = "incidents_edge"
	case q.Source == FromReport:
		name = "incidents_report"
	case q.Site != "" && !unclosed:
		name = "incidents_site"
	case q.Outcome != "":
		name = "incidents_outcome"
	default:
		var err error
		if name, err = wide(reader, q, unclosed); err != nil {
			return "", err
		}
	}
	return " INDEXED BY " + name, nil
}

// wide names the index of a list over all edges.
func wide(reader db.Reader, q Query, unclosed bool) (string, error) {
	narrow := q.Rule != "" || q.Kind != "" || q.Site != "" || len(q.severities()) == 1
	if unclosed {
		var n int
		if err := reader.One(`SELECT coalesce(sum(n), 0) FROM incident_counts WHERE state != 'closed'`)(&n); err != nil {
			return "", err
		}
		if n <= small || !narrow {
			return "incidents_unclosed", nil
		}
	}
	switch {
	case q.Rule != "":
		return "incidents_rule", nil
	case q.Site != "":
		return "incidents_site", nil
	case q.Kind != "":
		return "incidents_kind", nil
	case len(q.severities()) == 1:
		return "incidents_severity", nil
	}
	return "incidents_occurred", nil
}
