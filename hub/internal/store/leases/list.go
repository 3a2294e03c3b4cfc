package leases

import (
	"cmp"
	"context"
	"fmt"
	"strings"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
)

// Query says which leases to list. Empty fields match all.
type Query struct {
	Scope      scope.Scope
	Who        string // a name: a user is found by every name that the user has or had
	Edge       string
	Device     string
	Incident   string
	NoIncident bool      // only those that are for no incident
	Since      time.Time // began then or later
	Until      time.Time // began before

	After Position // where the page before ended; zero: the first page
	Limit int
}

// Position is a place in a list: that of its last lease.
type Position struct {
	Began time.Time
	ID    string
}

// List returns a page of leases, those that began last first.
func (r *Repository) List(ctx context.Context, q Query) ([]Lease, error) {
	all, err := audit.ByNames(r.db.Read(ctx), q.Who, q.Limit, func(name string) (string, []any) {
		q.Who = name
		return q.text()
	}, scan, func(a, b Lease) int {
		return cmp.Or(b.Began.Compare(a.Began), strings.Compare(b.ID, a.ID))
	})
	if err != nil {
		return nil, fmt.Errorf("listing leases: %w", err)
	}
	return all, nil
}

// text returns the SQL of a query by one name and its arguments.
func (q Query) text() (string, []any) {
	where := []string{}
	args := []any{}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	for _, c := range []struct{ column, value string }{{"who", q.Who}, {"edge", q.Edge}, {"device", q.Device}, {"incident", q.Incident}} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if q.NoIncident {
		add("incident = ''")
	}
	if !q.Since.IsZero() {
		add("began_at >= ?", db.Millis(q.Since))
	}
	if !q.Until.IsZero() {
		add("began_at < ?", db.Millis(q.Until))
	}
	if q.After.ID != "" {
		add("(began_at, id) < (?, ?)", db.Millis(q.After.Began), q.After.ID)
	}
	condition, sites := q.Scope.Where("site")
	add(condition, sites...)
	return `SELECT ` + columns + ` FROM leases WHERE ` + strings.Join(where, " AND ") + ` ORDER BY began_at DESC, id DESC LIMIT ?`, append(args, q.Limit)
}
