package incidents

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// Query says which incidents to list. Empty fields match all.
type Query struct {
	Scope     scope.Scope
	State     State // or Unclosed
	Condition detection.IncidentState
	Edge      string
	Device    string
	Rule      string
	Kind      string
	Site      string
	Source    Source
	Assignee  string
	Outcome   Outcome
	Group     string
	Since     time.Time // occurred then or later
	Until     time.Time // occurred before
	Text      string    // words that all have to be found
	IDs       []string  // nil: any

	Severities []detection.Severity // one of them

	Sort      Sort
	Ascending bool
	After     Position // where the page before ended; zero: the first page
	Limit     int
}

// Unclosed is a Query.State that matches open and acknowledged incidents.
const Unclosed State = "unclosed"

// conditions are those of a WHERE clause, with their arguments.
type conditions struct {
	text []string
	args []any
}

func (c *conditions) add(text string, args ...any) {
	c.text, c.args = append(c.text, text), append(c.args, args...)
}

func (c *conditions) equal(column, value string) {
	if value != "" {
		c.add(column+" = ?", value)
	}
}

func (c *conditions) String() string {
	if len(c.text) == 0 {
		return "1 = 1"
	}
	return strings.Join(c.text, " AND ")
}

// List returns a page of incidents with their evidence, without timelines, in the order of Query.Sort:
// newest first by OccurredAt or, when it is a search, by arrival, unless it says otherwise.
func (r *Repository) List(ctx context.Context, q Query) ([]Incident, error) {
	reader := r.db.Read(ctx)
	rows, err := r.page(reader, q)
	if err != nil {
		return nil, fmt.Errorf("listing incidents: %w", err)
	}
	all := make([]Incident, len(rows))
	for i := range rows {
		all[i] = rows[i].Incident
	}
	if err := addEvidence(reader, r.db.Engine(), all); err != nil {
		return nil, err
	}
	return all, addMutes(reader, r.db.Now(), all)
}

// timed returns the rows of a page that is sorted by time alone.
func (r *Repository) timed(reader db.Reader, q Query) ([]row, error) {
	read := func(text string, args []any, err error) ([]row, error) {
		if err != nil {
			return nil, err
		}
		return db.Collect(scanRow)(reader.Rows(text, args...))
	}
	if strings.TrimSpace(q.Text) != "" {
		if r.db.Engine() == db.Postgres && !q.Ascending {
			if rows, err := read(r.newestQuery(q)); err != nil || len(rows) >= q.Limit {
				return rows, err
			}
		}
		return read(r.searchQuery(reader, q))
	}
	few, match, err := r.few(reader, q, q.filterMatch())
	if err != nil {
		return nil, err
	}
	if few {
		text, args := r.fewQuery(q, match)
		return read(text, args, nil)
	}
	return read(r.walkQuery(reader, q))
}

// byTime orders by time.
func (q Query) byTime() string {
	if q.Ascending {
		return ` ORDER BY i.occurred_at, i.number LIMIT ?`
	}
	return ` ORDER BY i.occurred_at DESC, i.number DESC LIMIT ?`
}

// walkQuery walks an index by time until a page is full.
func (r *Repository) walkQuery(reader db.Reader, q Query) (text string, args []any, err error) {
	hint, err := r.hint(reader, q)
	if err != nil {
		return "", nil, err
	}
	c := q.after(r.db.Engine())
	return `SELECT ` + columns + ` FROM incidents i` + hint + ` WHERE ` + c.String() + q.byTime(), append(c.args, q.Limit), nil
}

// fewQuery sorts the incidents that the full-text index finds. Only SQLite needs it.
func (r *Repository) fewQuery(q Query, match string) (text string, args []any) {
	c := q.after(r.db.Engine())
	return `SELECT ` + columns + ` FROM incident_search s JOIN incidents i ON i.number = s.rowid WHERE s.incident_search MATCH ? AND ` + c.String() + q.byTime(),
		append(append([]any{match}, c.args...), q.Limit)
}

// beyond compares what comes later in a list with its position.
func (q Query) beyond() string {
	if q.Ascending {
		return ">"
	}
	return "<"
}

// after is filters for the page after a position.
func (q Query) after(e db.Engine) *conditions {
	c := q.filters(e)
	if q.After.Number != 0 {
		c.add("(i.occurred_at, i.number) "+q.beyond()+" (?, ?)", db.Millis(q.After.At), q.After.Number)
	}
	return c
}

// filters writes the conditions of a query. The values of partial indexes are literals, because engines
// prove from these alone that such an index has all rows.
func (q Query) filters(e db.Engine) *conditions {
	c := &conditions{}
	if q.IDs != nil {
		c.add("i.id "+db.InList(e), db.JSONList(q.IDs))
	}
	switch q.State {
	case "":
	case Unclosed:
		c.add("i.state != 'closed'")
	case Open:
		c.add("i.state != 'closed' AND i.state = 'open'")
	case Acknowledged:
		c.add("i.state != 'closed' AND i.state = 'acknowledged'")
	default:
		c.equal("i.state", string(q.State))
	}
	switch q.Condition {
	case "":
	case detection.Open:
		c.add("i.condition = 'open'")
	default:
		c.equal("i.condition", string(q.Condition))
	}
	if q.Source == FromReport {
		c.add("i.source = 'report'")
	} else {
		c.equal("i.source", string(q.Source))
	}
	if q.Assignee != "" {
		c.add("i.assignee != '' AND i.assignee = ?", q.Assignee)
	}
	if q.Outcome != "" {
		c.add("i.outcome != '' AND i.outcome = ?", string(q.Outcome))
	}
	c.equal("i.group_id", q.Group)
	c.equal("i.edge", q.Edge)
	c.equal("i.device", q.Device)
	c.equal("i.rule", q.Rule)
	c.equal("i.kind", q.Kind)
	switch severities := q.severities(); len(severities) {
	case 0:
	case 1:
		c.equal("i.severity", string(severities[0]))
	default:
		args := make([]any, len(severities))
		for i, s := range severities {
			args[i] = string(s)
		}
		c.add("i.severity IN (?"+strings.Repeat(", ?", len(args)-1)+")", args...)
	}
	c.equal("i.site", q.Site)
	if !q.Since.IsZero() {
		c.add("i.occurred_at >= ?", db.Millis(q.Since))
	}
	if !q.Until.IsZero() {
		c.add("i.occurred_at < ?", db.Millis(q.Until))
	}
	if !q.Scope.IsAll() {
		where, args := q.Scope.Where("i.site")
		c.add(where, args...)
	}
	return c
}

// match returns the tokens of a search: its words and the filters that tokens stand for.
func (q Query) match(now time.Time) (match, error) {
	var m match
	words := tokens(q.Text, false)
	if len(words) == 0 {
		return nil, ErrNoWords
	}
	for _, word := range words[:min(len(words), maxWords)] {
		m = append(m, []string{word})
	}
	return append(append(m, q.filterMatch()...), q.periodMatch(now)...), nil
}

// filterMatch returns the tokens of the filters that not nearly every incident passes.
func (q Query) filterMatch() (m match) {
	add := func(tokens ...string) { m = append(m, tokens) }
	for _, f := range []struct {
		field byte
		value string
	}{
		{'r', q.Rule}, {'k', q.Kind}, {'s', q.Site}, {'a', q.Assignee}, {'u', string(q.Outcome)}, {'g', q.Group},
	} {
		if f.value != "" {
			add(filterToken(f.field, f.value))
		}
	}
	if severities := q.severities(); len(severities) > 0 {
		one := make([]string, len(severities))
		for i, s := range severities {
			one[i] = filterToken('v', string(s))
		}
		add(one...)
	}
	switch {
	case q.Edge != "" && q.Device != "":
		add(filterToken('n', q.Edge+"/"+q.Device))
	case q.Edge != "":
		add(filterToken('e', q.Edge))
	}
	switch q.State {
	case Unclosed:
		add(filterToken('t', string(Open)), filterToken('t', string(Acknowledged)))
	case Open, Acknowledged:
		add(filterToken('t', string(q.State)))
	}
	if q.Condition == detection.Open {
		add(filterToken('c', string(q.Condition)))
	}
	if q.Source == FromReport {
		add(filterToken('o', string(q.Source)))
	}
	return m
}

// periodMatch returns the tokens of the period; nil when there is none or they would not help.
func (q Query) periodMatch(now time.Time) match {
	if q.Since.IsZero() && q.Until.IsZero() {
		return nil
	}
	until := q.Until
	if until.IsZero() || until.After(now) {
		until = now
	}
	if period := periodTokens(q.Since, until); period != nil {
		return match{period}
	}
	return nil
}

// newest is how many incidents a search on PostgreSQL looks through first: about 10 ms. They fill a page
// with what has a frequent word, for which the full-text index would name a great part of all incidents.
const newest = 2000

// newestQuery writes the query of a search among the newest incidents of those that the page may have.
func (r *Repository) newestQuery(q Query) (text string, args []any, err error) {
	m, err := q.match(r.db.Now())
	if err != nil {
		return "", nil, err
	}
	c := q.filters(db.Postgres)
	before := ""
	if q.After.Number != 0 {
		before = ` WHERE number < ?`
		args = append(args, q.After.Number)
	}
	args = append(append(append(args, newest, m.text(db.Postgres)), c.args...), q.Limit)
	return `SELECT ` + columns + ` FROM (SELECT number, doc FROM incident_search` + before + ` ORDER BY number DESC LIMIT ?) s
		JOIN incidents i ON i.number = s.number WHERE s.doc @@ CAST(? AS tsquery) AND ` + c.String() + ` ORDER BY s.number DESC LIMIT ?`, args, nil
}

// searchQuery writes the query of a search. Its order is that of arrival, in which both engines find the
// newest without reading the others.
func (r *Repository) searchQuery(reader db.Reader, q Query) (text string, args []any, err error) {
	m, err := q.match(r.db.Now())
	if err != nil {
		return "", nil, err
	}
	match := m.text(r.db.Engine())
	from, where, key := `incident_search s JOIN incidents i ON i.number = s.rowid`, `s.incident_search MATCH ?`, `s.rowid`
	if r.db.Engine() == db.Postgres {
		n, err := r.matches(reader, match, sortable)
		if err != nil {
			return "", nil, err
		}
		from, where, key = `incident_search s JOIN incidents i ON i.number = s.number`, `s.doc @@ CAST(? AS tsquery)`, `s.number`
		if n <= sortable {
			// PostgreSQL takes words that it has no statistics of for frequent ones, and would walk all incidents.
			from, where, key = `incidents i`, `i.number = ANY (ARRAY(SELECT number FROM incident_search WHERE doc @@ CAST(? AS tsquery)))`, `i.number`
		}
	}
	c := q.filters(r.db.Engine())
	if q.After.Number != 0 {
		c.add(key+" "+q.beyond()+" ?", q.After.Number)
	}
	direction := ` DESC`
	if q.Ascending {
		direction = ``
	}
	return `SELECT ` + columns + ` FROM ` + from + ` WHERE ` + where + ` AND ` + c.String() + ` ORDER BY ` + key + direction + ` LIMIT ?`,
		append(append([]any{match}, c.args...), q.Limit), nil
}
