package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

const incidentColumns = `id, edge, device, rule, kind, title, severity, state, condition, source, opened_at, received_at,
	updated_at, closed_at, place, class, box, value, lim, unit, count, version, assignee, occurred_at, clock`

func scanIncident(scan func(...any) error) (api.Incident, error) {
	inc := api.Incident{Evidence: []api.EvidenceFile{}}
	var opened, received, updated, occurred int64
	var closed sql.NullInt64
	var place, box sql.NullString
	var value, limit sql.NullFloat64
	err := scan(&inc.ID, &inc.Edge, &inc.Device, &inc.Rule, &inc.Kind, &inc.Title, &inc.Severity, &inc.State, &inc.Condition,
		&inc.Source, &opened, &received, &updated, &closed, &place, &inc.Class, &box, &value, &limit, &inc.Unit, &inc.Count,
		&inc.Version, &inc.Assignee, &occurred, &inc.Clock)
	if err != nil {
		return inc, err
	}
	inc.OpenedAt, inc.ReceivedAt, inc.UpdatedAt, inc.ClosedAt = fromMillis(opened), fromMillis(received), fromMillis(updated), timePtr(closed)
	inc.OccurredAt = fromMillis(occurred)
	if value.Valid {
		inc.Value = &value.Float64
	}
	if limit.Valid {
		inc.Limit = &limit.Float64
	}
	if place.Valid {
		inc.Place = new(devices.Place)
		if err := json.Unmarshal([]byte(place.String), inc.Place); err != nil {
			return inc, fmt.Errorf("reading the place of incident %s: %w", inc.ID, err)
		}
	}
	if box.Valid {
		if err := json.Unmarshal([]byte(box.String), &inc.Box); err != nil {
			return inc, fmt.Errorf("reading the box of incident %s: %w", inc.ID, err)
		}
	}
	return inc, nil
}

// put writes an incident whole.
func (t *tx) put(inc *api.Incident, side edgeSide) error {
	var place, box, closed any
	if inc.Place != nil {
		text, err := json.Marshal(inc.Place)
		if err != nil {
			return fmt.Errorf("writing incident %s: %w", inc.ID, err)
		}
		place = string(text)
	}
	if inc.Box != nil {
		text, err := json.Marshal(inc.Box)
		if err != nil {
			return fmt.Errorf("writing incident %s: %w", inc.ID, err)
		}
		box = string(text)
	}
	if inc.ClosedAt != nil {
		closed = millis(*inc.ClosedAt)
	}
	_, err := t.exec(`INSERT OR REPLACE INTO incidents(`+incidentColumns+`, edge_version, ended_by)
		VALUES (?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?,?)`,
		inc.ID, inc.Edge, inc.Device, inc.Rule, inc.Kind, inc.Title, string(inc.Severity), inc.State, string(inc.Condition),
		inc.Source, millis(inc.OpenedAt), millis(inc.ReceivedAt), millis(inc.UpdatedAt), closed, place, inc.Class, box,
		number(inc.Value), number(inc.Limit), inc.Unit, inc.Count, inc.Version, inc.Assignee,
		millis(inc.OccurredAt), string(inc.Clock), side.version, side.endedBy)
	if err != nil {
		return fmt.Errorf("writing incident %s: %w", inc.ID, err)
	}
	return nil
}

func number(f *float64) any {
	if f == nil {
		return nil
	}
	return *f
}

// entry appends to an incident's timeline.
func (t *tx) entry(incident string, e api.TimelineEntry) error {
	var data any
	if e.Data != nil {
		data = string(e.Data)
	}
	if _, err := t.exec(`INSERT INTO timeline(incident, at, kind, who, text, data) VALUES (?, ?, ?, ?, ?, ?)`,
		incident, millis(e.At), e.Kind, e.Who, e.Text, data); err != nil {
		return fmt.Errorf("adding to the timeline of %s: %w", incident, err)
	}
	return nil
}

// tell announces an incident as it now is: to the live stream and to every webhook target.
func (t *tx) tell(inc *api.Incident, kind notify.AlertKind) error {
	var err error
	if inc.Evidence, err = t.evidenceOf(inc.ID, inc.Edge); err != nil {
		return err
	}
	if inc.StateBy, err = scanStateBy(t.one(stateByQuery, inc.ID, inc.State)); err != nil {
		return err
	}
	inc.Timeline = nil
	seq, _, err := t.change(api.ChangeIncident, inc)
	if err != nil {
		return err
	}
	return t.queue(inc, kind, seq)
}

const evidenceColumns = `name, incident, content_type, size, sha256, at, complete`

func scanEvidence(scan func(...any) error) (api.EvidenceFile, error) {
	var f api.EvidenceFile
	var incident string
	var at int64
	err := scan(&f.Name, &incident, &f.ContentType, &f.Size, &f.SHA256, &at, &f.Complete)
	f.Time = fromMillis(at)
	f.URL = "/api/v1/evidence/" + url.PathEscape(incident) + "/" + url.PathEscape(f.Name)
	return f, err
}

func (t *tx) evidenceOf(incident, edge string) ([]api.EvidenceFile, error) {
	all, err := collect(scanEvidence)(t.rows(`SELECT `+evidenceColumns+` FROM evidence WHERE incident = ? AND edge = ? ORDER BY name`, incident, edge))
	if err != nil {
		return nil, fmt.Errorf("listing the evidence of %s: %w", incident, err)
	}
	return all, nil
}

func scanEntry(scan func(...any) error) (api.TimelineEntry, error) {
	var e api.TimelineEntry
	var at int64
	var data sql.NullString
	err := scan(&at, &e.Kind, &e.Who, &e.Text, &data)
	e.At = fromMillis(at)
	if data.Valid {
		e.Data = json.RawMessage(data.String)
	}
	return e, err
}

const timelineQuery = `SELECT at, kind, who, text, data FROM timeline WHERE incident = ? ORDER BY id`

// Incident returns one incident with its evidence and its timeline.
func (s *Store) Incident(ctx context.Context, id string) (api.Incident, error) {
	inc, err := scanIncident(found(s.read.QueryRowContext(ctx, `SELECT `+incidentColumns+` FROM incidents WHERE id = ?`, id)))
	if err != nil {
		return inc, fmt.Errorf("reading incident %s: %w", id, err)
	}
	one := []api.Incident{inc}
	if err := s.addEvidence(ctx, one); err != nil {
		return inc, err
	}
	inc = one[0]
	if inc.Timeline, err = collect(scanEntry)(s.read.QueryContext(ctx, timelineQuery, id)); err != nil {
		return inc, fmt.Errorf("reading the timeline of %s: %w", id, err)
	}
	return inc, nil
}

// IncidentQuery says which incidents to list, newest first. Empty fields match all.
type IncidentQuery struct {
	State, Edge, Device string
	Severity            detection.Severity
	Since               time.Time // opened then or later
	BeforeTime          time.Time // the opening time and ID that the last page ended with
	BeforeID            string
	Limit               int
}

// Incidents lists incidents with their evidence, without timelines.
func (s *Store) Incidents(ctx context.Context, q IncidentQuery) ([]api.Incident, error) {
	where, args := []string{"1"}, []any{}
	add := func(clause string, v ...any) { where, args = append(where, clause), append(args, v...) }
	switch q.State {
	case "":
	case "unclosed":
		add("state != 'closed'")
	default:
		add("state = ?", q.State)
	}
	if q.Edge != "" {
		add("edge = ?", q.Edge)
	}
	if q.Device != "" {
		add("device = ?", q.Device)
	}
	if q.Severity != "" {
		add("severity = ?", string(q.Severity))
	}
	if !q.Since.IsZero() {
		add("opened_at >= ?", millis(q.Since))
	}
	if q.BeforeID != "" {
		add("(opened_at, id) < (?, ?)", millis(q.BeforeTime), q.BeforeID)
	}
	args = append(args, q.Limit)
	all, err := collect(scanIncident)(s.read.QueryContext(ctx, `SELECT `+incidentColumns+` FROM incidents
		WHERE `+strings.Join(where, " AND ")+` ORDER BY opened_at DESC, id DESC LIMIT ?`, args...))
	if err != nil {
		return nil, fmt.Errorf("listing incidents: %w", err)
	}
	if err := s.addEvidence(ctx, all); err != nil {
		return nil, err
	}
	return all, nil
}

func (s *Store) addEvidence(ctx context.Context, all []api.Incident) error {
	for i := range all {
		files, err := collect(scanEvidence)(s.read.QueryContext(ctx, `SELECT `+evidenceColumns+`
			FROM evidence WHERE incident = ? AND edge = ? ORDER BY name`, all[i].ID, all[i].Edge))
		if err != nil {
			return fmt.Errorf("listing the evidence of %s: %w", all[i].ID, err)
		}
		all[i].Evidence = files
		all[i].StateBy, err = scanStateBy(found(s.read.QueryRowContext(ctx, stateByQuery, all[i].ID, all[i].State)))
		if err != nil {
			return fmt.Errorf("reading who has incident %s: %w", all[i].ID, err)
		}
	}
	return nil
}

// CountIncidents returns how many incidents stand in each state.
func (s *Store) CountIncidents(ctx context.Context) (map[string]int, error) {
	return s.count(ctx, `SELECT state, count(*) FROM incidents WHERE state != 'closed' GROUP BY state`)
}

// CountDevices returns how many devices stand in each state, as "kind state".
func (s *Store) CountDevices(ctx context.Context) (map[string]int, error) {
	return s.count(ctx, `SELECT d.kind || ' ' || CASE WHEN e.online = 1 THEN d.state ELSE 'unknown' END, count(*)`+deviceFrom+`GROUP BY 1`)
}

// CountEdges returns how many edges are online and offline.
func (s *Store) CountEdges(ctx context.Context) (map[string]int, error) {
	return s.count(ctx, `SELECT CASE online WHEN 1 THEN 'online' ELSE 'offline' END, count(*) FROM edges WHERE revoked_at IS NULL GROUP BY 1`)
}

func (s *Store) count(ctx context.Context, query string) (map[string]int, error) {
	type pair struct {
		key string
		n   int
	}
	pairs, err := collect(func(scan func(...any) error) (p pair, err error) {
		err = scan(&p.key, &p.n)
		return p, err
	})(s.read.QueryContext(ctx, query))
	if err != nil {
		return nil, fmt.Errorf("counting: %w", err)
	}
	m := make(map[string]int, len(pairs))
	for _, p := range pairs {
		m[p.key] = p.n
	}
	return m, nil
}

// Work is what a person does to an incident. It changes inc in place and returns the entry of
// the timeline; a nil entry says that nothing was to be done.
type Work func(inc *api.Incident) (*api.TimelineEntry, error)

// Work does it, in one transaction with its line in the timeline, the audit, the live stream
// and the queue to webhook targets, and returns the incident as it then is.
func (s *Store) Work(ctx context.Context, who, id string, work Work) (api.Incident, error) {
	err := s.update(ctx, func(t *tx) error {
		inc, side, err := t.incident(id)
		if err != nil {
			return err
		}
		wasOver := inc.ClosedAt != nil
		e, err := work(&inc)
		if err != nil || e == nil {
			return err
		}
		e.At, e.Who = t.now, who
		inc.UpdatedAt = t.now
		inc.Version++
		if err := t.put(&inc, side); err != nil {
			return err
		}
		if err := t.entry(id, *e); err != nil {
			return err
		}
		if err := t.audit(who, "incident "+e.Kind, id, e.Text); err != nil {
			return err
		}
		kind := notify.Changed
		if !wasOver && inc.ClosedAt != nil {
			kind = notify.Closed
		}
		return t.tell(&inc, kind)
	})
	if err != nil {
		return api.Incident{}, fmt.Errorf("working on incident %s: %w", id, err)
	}
	return s.Incident(ctx, id)
}

// Report writes an incident that a person told. Its ID must be new.
func (s *Store) Report(ctx context.Context, who string, inc api.Incident, text string) (api.Incident, error) {
	err := s.update(ctx, func(t *tx) error {
		inc.Source, inc.State, inc.Condition, inc.Version = api.SourceReport, api.StateOpen, detection.Open, 1
		inc.ReceivedAt, inc.UpdatedAt = t.now, t.now
		if inc.OpenedAt.IsZero() {
			inc.OpenedAt = t.now
		}
		inc.OccurredAt = inc.OpenedAt
		var one int
		if err := t.one(`SELECT 1 FROM incidents WHERE id = ?`, inc.ID)(&one); !errors.Is(err, ErrNotFound) {
			return errors.Join(err, ErrConflict)
		}
		if err := t.put(&inc, edgeSide{}); err != nil {
			return err
		}
		if err := t.entry(inc.ID, api.TimelineEntry{At: t.now, Kind: "reported", Who: who, Text: text}); err != nil {
			return err
		}
		if err := t.audit(who, "report", inc.ID, inc.Title); err != nil {
			return err
		}
		return t.tell(&inc, notify.Opened)
	})
	if err != nil {
		return inc, fmt.Errorf("taking a report: %w", err)
	}
	return s.Incident(ctx, inc.ID)
}
