package audit

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"gridpost/hub/internal/db"
)

// Query says which entries to list. Empty fields match all.
type Query struct {
	Who    string // a name: a user is found by every name that the user has or had
	Action string
	Object string
	Since  time.Time // written then or later
	Until  time.Time // written before

	After Position // where the page before ended; zero: the first page
	Limit int
}

// Position is a place in a list: that of its last entry.
type Position struct {
	At time.Time
	ID int64
}

// List returns a page of entries, the newest first by the time of their transactions. Entries that waited for one
// another are in another order in the chain.
func (r *Repository) List(ctx context.Context, q Query) ([]Entry, error) {
	all, err := ByNames(r.db.Read(ctx), q.Who, q.Limit, func(name string) (string, []any) {
		q.Who = name
		return q.text()
	}, func(scan func(...any) error) (Entry, error) {
		stored, err := scanRow(scan)
		return stored.entry(), err
	}, func(a, b Entry) int {
		return cmp.Or(b.At.Compare(a.At), cmp.Compare(b.ID, a.ID))
	})
	if err != nil {
		return nil, fmt.Errorf("reading the audit log: %w", err)
	}
	return all, nil
}

// ByNames returns a page of a list about a person: of all names that a user has or had, if who is one of them, and of
// everybody if who is empty. Each name has a query of its own, so that each walks an index in order; order is that of
// the queries.
func ByNames[T any](read db.Reader, who string, limit int, query func(name string) (string, []any), scan func(func(...any) error) (T, error), order func(a, b T) int) ([]T, error) {
	names := []string{""}
	if who != "" {
		var err error
		if names, err = namesOf(read, who); err != nil {
			return nil, err
		}
	}
	all := []T{}
	for _, name := range names {
		text, args := query(name)
		page, err := db.Collect(scan)(read.Rows(text, args...))
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
	}
	if len(names) > 1 {
		slices.SortFunc(all, order)
	}
	return all[:min(len(all), limit)], nil
}

// text returns the SQL of a query by one name and its arguments.
func (q Query) text() (string, []any) {
	where := []string{}
	args := []any{}
	add := func(condition string, values ...any) {
		where, args = append(where, condition), append(args, values...)
	}
	for _, c := range []struct{ column, value string }{{"who", q.Who}, {"action", q.Action}, {"object", q.Object}} {
		if c.value != "" {
			add(c.column+" = ?", c.value)
		}
	}
	if !q.Since.IsZero() {
		add("at >= ?", db.Millis(q.Since))
	}
	if !q.Until.IsZero() {
		add("at < ?", db.Millis(q.Until))
	}
	if q.After.ID != 0 {
		add("(at, id) < (?, ?)", db.Millis(q.After.At), q.After.ID)
	}
	if len(where) == 0 {
		where = []string{"1 = 1"}
	}
	return `SELECT ` + columns + ` FROM audit WHERE ` + strings.Join(where, " AND ") + ` ORDER BY at DESC, id DESC LIMIT ?`, append(args, q.Limit)
}

// maxNames bounds how many names of a user a list is searched by.
const maxNames = 20

// namesOf returns the names of the user who has a name or had it, that name first; only the name when it is
// nobody's, such as that of a token.
func namesOf(r db.Reader, name string) ([]string, error) {
	id, err := UserID(r, name)
	if err != nil || id == "" {
		return []string{name}, err
	}
	others, err := db.Collect(db.ScanText)(r.Rows(namesQuery, id, name, maxNames-1))
	if err != nil {
		return nil, err
	}
	return append([]string{name}, others...), nil
}

const namesQuery = `SELECT name FROM user_names WHERE user_id = ? AND name != ? LIMIT ?`
