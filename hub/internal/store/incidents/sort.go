package incidents

import (
	"errors"
	"slices"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
)

// ErrNotSorted says that a search cannot be sorted by device: it would need every incident that has the words.
var ErrNotSorted = errors.New("a search cannot be sorted by device")

// Sort says by what a list is sorted. Incidents of the same severity or state are listed with the newest first.
type Sort string

// The orders.
const (
	ByTime     Sort = ""         // when it occurred
	BySeverity Sort = "severity" // ascending: the mildest first
	ByState    Sort = "state"    // ascending: open, acknowledged, closed
	ByDevice   Sort = "device"   // by site, edge and device, the newest first; descending is the reverse of that
)

// Position is a place in a list: that of its last row, as it was when the page was read. It needs At, Number
// and what the list is sorted by.
type Position struct {
	At                 time.Time
	Number             int64
	Severity           detection.Severity
	State              State
	Site, Edge, Device string
}

// PositionOf returns the position of an incident in any list.
func PositionOf(inc Incident) Position {
	return Position{
		At: inc.OccurredAt, Number: inc.Number, Severity: inc.Severity, State: inc.State,
		Site: inc.Site, Edge: inc.Edge, Device: inc.Device,
	}
}

var (
	allSeverities = []detection.Severity{detection.Minor, detection.Moderate, detection.Severe, detection.Extreme}
	allStates     = []State{Open, Acknowledged, Closed}
)

// severities returns the severities that are asked for, each once, the mildest first; nil for all of them.
func (q Query) severities() []detection.Severity {
	some := slices.DeleteFunc(slices.Clone(allSeverities), func(s detection.Severity) bool { return !slices.Contains(q.Severities, s) })
	if len(some) == 0 || len(some) == len(allSeverities) {
		return nil
	}
	return some
}

// page returns the rows of a page. A list by severity or state is one list by time after the other, so that
// each has the index of its filter.
func (r *Repository) page(reader db.Reader, q Query) ([]row, error) {
	if q.Sort == ByDevice {
		return r.devicePage(reader, q)
	}
	var all []row
	for _, part := range q.parts() {
		part.Limit = q.Limit - len(all)
		rows, err := r.timed(reader, part)
		if err != nil {
			return nil, err
		}
		if all = append(all, rows...); len(all) >= q.Limit {
			break
		}
	}
	return all, nil
}

// parts returns the lists by time that a list consists of, from its position on.
func (q Query) parts() (parts []Query) {
	add := func(part Query, here bool) {
		part.Sort, part.Ascending = ByTime, false
		if here {
			parts = nil // those before were on the pages before
		} else {
			part.After = Position{}
		}
		parts = append(parts, part)
	}
	after := q.After.Number != 0
	switch q.Sort {
	case BySeverity:
		severities := q.severities()
		if severities == nil {
			severities = slices.Clone(allSeverities)
		}
		for _, s := range q.directed(len(severities)) {
			part := q
			part.Severities = severities[s : s+1]
			add(part, after && q.After.Severity == severities[s])
		}
	case ByState:
		states := slices.DeleteFunc(slices.Clone(allStates), func(s State) bool {
			return q.State != "" && q.State != s && (q.State != Unclosed || s == Closed)
		})
		for _, s := range q.directed(len(states)) {
			part := q
			part.State = states[s]
			add(part, after && q.After.State == states[s])
		}
	default:
		return []Query{q}
	}
	return parts
}

// directed returns the indexes of n things in the order of the list.
func (q Query) directed(n int) []int {
	all := make([]int, n)
	for i := range all {
		all[i] = i
		if !q.Ascending {
			all[i] = n - 1 - i
		}
	}
	return all
}

// devicePage returns the rows of a page that is sorted by device.
func (r *Repository) devicePage(reader db.Reader, q Query) ([]row, error) {
	if strings.TrimSpace(q.Text) != "" {
		return nil, ErrNotSorted
	}
	few, match, err := r.few(reader, q, append(q.filterMatch(), q.periodMatch(r.db.Now())...))
	if err != nil {
		return nil, err
	}
	if few {
		text, args := r.fewDeviceQuery(q, match)
		return db.Collect(scanRow)(reader.Rows(text, args...))
	}
	var all []row
	for _, part := range q.deviceParts() {
		text, args := r.deviceQuery(part, q.Limit-len(all))
		rows, err := db.Collect(scanRow)(reader.Rows(text, args...))
		if err != nil {
			return nil, err
		}
		if all = append(all, rows...); len(all) >= q.Limit {
			break
		}
	}
	return all, nil
}

// devicePart is a range of the index by device.
type devicePart struct {
	Query
	text string // its condition; empty: all
	args []any
}

// deviceKey returns the columns that a list is sorted by before the time, and their values at its position. The
// devices of one edge have an index without the site.
func (q Query) deviceKey() (columns string, values []any, marks string) {
	if q.Edge != "" {
		return "i.edge, i.device", []any{q.After.Edge, q.After.Device}, "(?, ?)"
	}
	return "i.site, i.edge, i.device", []any{q.After.Site, q.After.Edge, q.After.Device}, "(?, ?, ?)"
}

// rest are the conditions of what is left of the device at the position, and of the devices after it.
func (q Query) rest() (same, later string) {
	columns, _, marks := q.deviceKey()
	older := "<"
	if !q.Ascending {
		older = ">"
	}
	return "(" + columns + ") = " + marks + " AND (i.occurred_at, i.number) " + older + " (?, ?)", "(" + columns + ") " + q.beyond() + " " + marks
}

// deviceParts returns the ranges that a list by device consists of, from its position on. A caller of some
// sites has those ranges in each of them.
func (q Query) deviceParts() (parts []devicePart) {
	p, after := q.After, q.After.Number != 0
	_, key, _ := q.deviceKey()
	same, later := q.rest()
	if after {
		parts = append(parts, devicePart{q, same, append(slices.Clone(key), db.Millis(p.At), p.Number)})
	}
	sites := q.Scope.Names()
	if q.Site != "" {
		sites = []string{q.Site} // the filters hold the scope too
	}
	if q.Edge != "" || sites == nil {
		if !after {
			return []devicePart{{Query: q}}
		}
		return append(parts, devicePart{q, later, key})
	}
	for _, n := range q.directed(len(sites)) {
		switch site := sites[n]; {
		case !after || q.Ascending && site > p.Site || !q.Ascending && site < p.Site:
			parts = append(parts, devicePart{q, "i.site = ?", []any{site}})
		case site == p.Site:
			parts = append(parts, devicePart{q, "i.site = ? AND (i.edge, i.device) " + q.beyond() + " (?, ?)", []any{site, p.Edge, p.Device}})
		}
	}
	return parts
}

// deviceQuery walks an index by device.
func (r *Repository) deviceQuery(p devicePart, limit int) (text string, args []any) {
	c := p.filters(r.db.Engine())
	if p.text != "" {
		c.add(p.text, p.args...)
	}
	hint := ""
	switch {
	case r.db.Engine() != db.SQLite || p.IDs != nil:
	case p.Edge != "":
		hint = " INDEXED BY incidents_device"
	default:
		hint = " INDEXED BY incidents_place"
	}
	return `SELECT ` + columns + ` FROM incidents i` + hint + ` WHERE ` + c.String() + p.byDevice(), append(c.args, limit)
}

// fewDeviceQuery sorts the incidents that the full-text index finds. Only SQLite needs it.
func (r *Repository) fewDeviceQuery(q Query, match string) (text string, args []any) {
	c := q.filters(r.db.Engine())
	if q.After.Number != 0 {
		_, key, _ := q.deviceKey()
		same, later := q.rest()
		c.add("("+later+" OR "+same+")", append(append(slices.Clone(key), key...), db.Millis(q.After.At), q.After.Number)...)
	}
	return `SELECT ` + columns + ` FROM incident_search s JOIN incidents i ON i.number = s.rowid WHERE s.incident_search MATCH ? AND ` + c.String() + q.byDevice(),
		append(append([]any{match}, c.args...), q.Limit)
}

// byDevice orders by device.
func (q Query) byDevice() string {
	key, _, _ := q.deviceKey()
	rising, falling := "", " DESC"
	if !q.Ascending {
		rising, falling = falling, rising
	}
	return ` ORDER BY ` + strings.ReplaceAll(key, ",", rising+",") + rising + `, i.occurred_at` + falling + `, i.number` + falling + ` LIMIT ?`
}
