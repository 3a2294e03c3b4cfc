package incidents

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

// ErrNotGrouped says that a filter does not apply to groups: it would need every incident of each group.
var ErrNotGrouped = errors.New("groups cannot be sorted, or filtered by text, assignee, outcome or group")

// Group is a row of the grouped list.
type Group struct {
	ID       string
	Edge     string
	Device   string
	Rule     string
	Kind     string
	Site     string
	Source   Source
	Severity detection.Severity // the highest of its incidents

	FirstAt time.Time // when its first incident occurred
	LastAt  time.Time // when its newest incident occurred

	Open, Acknowledged, Closed int // incidents by state
	Holding                    int // incidents whose condition holds

	Newest Incident // with its evidence; of a list of closed ones the newest that is closed
}

// Count returns how many incidents a group has.
func (g Group) Count() int { return g.Open + g.Acknowledged + g.Closed }

// GroupPosition is a place in the grouped list: that of its last row.
type GroupPosition struct {
	At time.Time
	ID string
}

// Groups returns a page of groups, those with the newest incident first. State and Condition match groups
// that have such an incident, Severity those of which it is the highest, Since and Until those that have
// incidents on both sides of the period's bounds or within, IDs the groups that have these IDs. Text, Assignee,
// Outcome, Group and another order are refused.
func (r *Repository) Groups(ctx context.Context, q Query, after GroupPosition) ([]Group, error) {
	if q.Text != "" || q.Assignee != "" || q.Outcome != "" || q.Group != "" || q.Sort != ByTime || q.Ascending {
		return nil, ErrNotGrouped
	}
	reader := r.db.Read(ctx)
	text, args := r.groupQuery(q, after)
	all, err := db.Collect(scanGroup)(reader.Rows(text, args...))
	if err != nil {
		return nil, fmt.Errorf("listing groups: %w", err)
	}
	return all, r.addNewest(reader, all)
}

func (r *Repository) groupQuery(q Query, after GroupPosition) (text string, args []any) {
	c, hint, newest := &conditions{}, "group_summaries_last", "g.newest"
	c.equal("g.site", q.Site)
	if q.Site != "" {
		hint = "group_summaries_site"
	}
	c.equal("g.edge", q.Edge)
	c.equal("g.device", q.Device)
	switch q.State {
	case "":
	case Unclosed:
		c.add("g.open + g.acknowledged > 0")
		hint = "group_summaries_unclosed"
	case Open:
		c.add("g.open + g.acknowledged > 0 AND g.open > 0")
		hint = "group_summaries_unclosed"
	case Acknowledged:
		c.add("g.open + g.acknowledged > 0 AND g.acknowledged > 0")
		hint = "group_summaries_unclosed"
	case Closed:
		c.add("g.closed > 0")
		// Its unclosed incidents are passed over: few groups have any, and these few of them.
		of := "incidents i"
		if r.db.Engine() == db.SQLite {
			of += " INDEXED BY incidents_group"
		}
		newest = `CASE WHEN g.open + g.acknowledged = 0 THEN g.newest ELSE (SELECT i.id FROM ` + of + `
			WHERE i.group_id = g.id AND i.state = 'closed' ORDER BY i.occurred_at DESC, i.number DESC LIMIT 1) END`
	}
	if q.Edge != "" {
		hint = "group_summaries_edge"
	}
	if q.Edge != "" && q.Device != "" {
		hint = "group_summaries_device"
	}
	switch q.Condition {
	case detection.Open:
		c.add("g.holding > 0")
	case detection.Closed:
		c.add("g.holding < g.open + g.acknowledged + g.closed")
	}
	c.equal("g.rule", q.Rule)
	c.equal("g.kind", q.Kind)
	c.equal("g.source", string(q.Source))
	if severities := q.severities(); len(severities) > 0 {
		ranks := make([]any, len(severities))
		for i, s := range severities {
			ranks[i] = rank(s)
		}
		c.add("g.severity IN (?"+strings.Repeat(", ?", len(ranks)-1)+")", ranks...)
	}
	if !q.Since.IsZero() {
		c.add("g.last_at >= ?", db.Millis(q.Since))
	}
	if !q.Until.IsZero() {
		c.add("g.first_at < ?", db.Millis(q.Until))
	}
	if !q.Scope.IsAll() {
		where, args := q.Scope.Where("g.site")
		c.add(where, args...)
	}
	if after.ID != "" {
		c.add("(g.last_at, g.id) < (?, ?)", db.Millis(after.At), after.ID)
	}
	if q.IDs != nil {
		c.add("g.id "+db.InList(r.db.Engine()), db.JSONList(q.IDs))
	}
	from := "group_summaries g"
	if r.db.Engine() == db.SQLite && q.IDs == nil {
		from += " INDEXED BY " + hint
	}
	return `SELECT g.id, g.edge, g.device, g.rule, g.kind, g.site, g.source, g.severity, g.first_at, g.last_at, ` + newest + `, g.open, g.acknowledged,
		g.closed, g.holding FROM ` + from + ` WHERE ` + c.String() + ` ORDER BY g.last_at DESC, g.id DESC LIMIT ?`, append(c.args, q.Limit)
}

func scanGroup(scan func(...any) error) (Group, error) {
	var g Group
	var first, last int64
	var severity int
	err := scan(&g.ID, &g.Edge, &g.Device, &g.Rule, &g.Kind, &g.Site, &g.Source, &severity, &first, &last, &g.Newest.ID,
		&g.Open, &g.Acknowledged, &g.Closed, &g.Holding)
	g.FirstAt, g.LastAt = db.FromMillis(first), db.FromMillis(last)
	for _, s := range []detection.Severity{detection.Minor, detection.Moderate, detection.Severe, detection.Extreme} {
		if rank(s) == severity {
			g.Severity = s
		}
	}
	return g, err
}

// addNewest reads the newest incident of each group with two queries.
func (r *Repository) addNewest(reader db.Reader, groups []Group) error {
	if len(groups) == 0 {
		return nil
	}
	ids := make([]string, len(groups))
	at := make(map[string]int, len(groups))
	for i, g := range groups {
		ids[i], at[g.Newest.ID] = g.Newest.ID, i
	}
	rows, err := db.Collect(scanRow)(reader.Rows(`SELECT `+columns+` FROM incidents i WHERE i.id `+db.InList(r.db.Engine()), db.JSONList(ids)))
	if err != nil {
		return fmt.Errorf("reading the incidents of groups: %w", err)
	}
	all := make([]Incident, len(rows))
	for i := range rows {
		all[i] = rows[i].Incident
	}
	if err := addEvidence(reader, r.db.Engine(), all); err != nil {
		return err
	}
	if err := addMutes(reader, r.db.Now(), all); err != nil {
		return err
	}
	for _, inc := range all {
		groups[at[inc.ID]].Newest = inc
	}
	return nil
}

// Noise is how often a rule has opened incidents in a period.
type Noise struct {
	Edge   string
	Device string
	Rule   string
	Kind   string
	Site   string
	Count  int
	Groups int
	LastAt time.Time // when the newest of them occurred
}

// Noisiest returns the rules that opened the most incidents in a period, the noisiest first.
func (r *Repository) Noisiest(ctx context.Context, s scope.Scope, since, until time.Time, limit int) ([]Noise, error) {
	where, args := s.Where("site")
	args = append([]any{db.Millis(since), db.Millis(until)}, args...)
	all, err := db.Collect(func(scan func(...any) error) (n Noise, err error) {
		var last int64
		err = scan(&n.Edge, &n.Device, &n.Rule, &n.Kind, &n.Site, &n.Count, &n.Groups, &last)
		n.LastAt = db.FromMillis(last)
		return n, err
	})(r.db.Read(ctx).Rows(`SELECT edge, device, rule, max(kind), max(site), count(*), count(DISTINCT group_id), max(occurred_at) FROM incidents
		WHERE occurred_at >= ? AND occurred_at < ? AND edge != '' AND `+where+`
		GROUP BY edge, device, rule ORDER BY count(*) DESC, edge, device, rule LIMIT ?`, append(args, limit)...))
	if err != nil {
		return nil, fmt.Errorf("counting the incidents of rules: %w", err)
	}
	return all, nil
}
