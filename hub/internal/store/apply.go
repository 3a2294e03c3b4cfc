package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// Event is one event of an edge, decoded and checked by who received it.
type Event struct {
	Lane api.Lane
	Seq  uint64

	// Value is Alert, api.Evidence, api.Inventory, devices.Status, []devices.Reading or
	// api.Health; nil when Refuse is set.
	Value any

	// Refuse says why the event can never be applied. It is passed over.
	Refuse string
}

// Alert is an incident as its edge tells it, with the words that people at the hub see.
type Alert struct {
	Incident detection.Incident
	Title    string
}

// Applied is what came of a batch.
type Applied struct {
	Ack     api.Ack
	Applied int // events applied now
	Known   int // events that had been applied before
}

// keepEpochs is how many epochs of an edge are remembered. A box does not make a new store often.
const keepEpochs = 32

// Apply applies what is new of an edge's events, in the order of their numbers, and moves the
// marks in the same transaction. It is exact under repeated and concurrent calls.
func (s *Store) Apply(ctx context.Context, edge, epoch string, skew time.Duration, events []Event) (Applied, error) {
	var out Applied
	events = slices.Clone(events)
	slices.SortStableFunc(events, func(a, b Event) int {
		switch {
		case a.Lane != b.Lane && laneRank(a.Lane) != laneRank(b.Lane):
			return laneRank(a.Lane) - laneRank(b.Lane)
		case a.Seq < b.Seq:
			return -1
		case a.Seq > b.Seq:
			return 1
		}
		return 0
	})
	err := s.update(ctx, func(t *tx) error {
		out = Applied{Ack: api.Ack{Committed: map[api.Lane]uint64{}}}
		if err := t.seen(edge); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE edges SET skew_ms = ? WHERE name = ?`, skew.Milliseconds(), edge); err != nil {
			return fmt.Errorf("noting the clock of edge %s: %w", edge, err)
		}
		if err := t.marks(edge, epoch, out.Ack.Committed); err != nil {
			return err
		}
		touched := map[string]bool{}
		for _, e := range events {
			if e.Seq <= out.Ack.Committed[e.Lane] {
				out.Known++
				continue
			}
			reason, err := t.event(edge, e, touched)
			if err != nil {
				return fmt.Errorf("applying event %s/%d of edge %s: %w", e.Lane, e.Seq, edge, err)
			}
			if reason != "" {
				out.Ack.Refused = append(out.Ack.Refused, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: reason})
			} else {
				out.Applied++
			}
			out.Ack.Committed[e.Lane] = e.Seq
		}
		for name := range touched {
			if err := t.deviceChanged(edge, name); err != nil {
				return err
			}
		}
		return t.setMarks(edge, epoch, out.Ack.Committed)
	})
	return out, err
}

func laneRank(l api.Lane) int {
	return slices.Index([]api.Lane{api.LaneState, api.LaneAlerts, api.LaneTelemetry}, l)
}

func (t *tx) marks(edge, epoch string, into map[api.Lane]uint64) error {
	type mark struct {
		lane api.Lane
		seq  int64
	}
	all, err := collect(func(scan func(...any) error) (m mark, err error) {
		err = scan(&m.lane, &m.seq)
		return m, err
	})(t.rows(`SELECT lane, seq FROM marks WHERE edge = ? AND epoch = ?`, edge, epoch))
	if err != nil {
		return fmt.Errorf("reading the marks of edge %s: %w", edge, err)
	}
	for _, m := range all {
		into[m.lane] = uint64(m.seq)
	}
	return nil
}

func (t *tx) setMarks(edge, epoch string, marks map[api.Lane]uint64) error {
	for lane, seq := range marks {
		if _, err := t.exec(`INSERT INTO marks(edge, epoch, lane, seq, updated_at) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT(edge, epoch, lane) DO UPDATE SET seq = excluded.seq, updated_at = excluded.updated_at
			WHERE excluded.seq > marks.seq`, edge, epoch, string(lane), int64(seq), millis(t.now)); err != nil {
			return fmt.Errorf("moving the mark of edge %s: %w", edge, err)
		}
	}
	if _, err := t.exec(`DELETE FROM marks WHERE edge = ?1 AND epoch NOT IN
		(SELECT epoch FROM marks WHERE edge = ?1 GROUP BY epoch ORDER BY max(updated_at) DESC LIMIT ?2)`, edge, keepEpochs); err != nil {
		return fmt.Errorf("forgetting old epochs of edge %s: %w", edge, err)
	}
	return nil
}

// event applies one event. A reason says that it can never be applied; an error is the store's
// own trouble, and the whole batch must come again.
func (t *tx) event(edge string, e Event, touched map[string]bool) (reason string, err error) {
	switch v := e.Value.(type) {
	case Alert:
		err = t.alert(edge, v)
	case api.Evidence:
		err = t.announce(edge, v)
	case api.Inventory:
		err = t.inventory(edge, v)
	case devices.Status:
		err = t.status(edge, v)
	case []devices.Reading:
		err = t.readings(edge, v, touched)
	case api.Health:
		err = t.health(edge, v)
	default:
		return e.Refuse, nil
	}
	switch {
	case errors.Is(err, ErrForeign):
		return "it belongs to an incident of another edge", nil
	case errors.Is(err, ErrNotFound):
		return "the edge's inventory has no such device", nil
	}
	return "", err
}

// alert opens or changes an incident. An alert that is older than what is known changes nothing:
// a new epoch may tell again what the old one told.
func (t *tx) alert(edge string, a Alert) error {
	in := a.Incident
	var version int
	var owner string
	err := t.one(`SELECT edge, edge_version FROM incidents WHERE id = ?`, in.ID)(&owner, &version)
	if errors.Is(err, ErrNotFound) {
		return t.openIncident(edge, a)
	}
	if err != nil {
		return err
	}
	if owner != edge {
		return ErrForeign
	}
	if in.Version <= version {
		return nil
	}
	inc, err := scanIncident(t.one(`SELECT `+incidentColumns+` FROM incidents WHERE id = ?`, in.ID))
	if err != nil {
		return err
	}
	over := inc.Condition == detection.Open && in.State == detection.Closed
	wasOver := inc.ClosedAt != nil
	fill(&inc, in)
	inc.Version++
	inc.UpdatedAt = t.now
	kind, entry := notify.Changed, "changed"
	if over {
		entry = "over"
		if !wasOver {
			kind = notify.Closed
		}
	}
	if err := t.put(&inc, in.Version); err != nil {
		return err
	}
	at := in.Updated
	if over {
		at = in.Closed
	}
	if err := t.entry(in.ID, api.TimelineEntry{At: at, Kind: entry, Who: "edge " + edge, Text: a.Title}); err != nil {
		return err
	}
	return t.tell(&inc, kind)
}

func (t *tx) openIncident(edge string, a Alert) error {
	in := a.Incident
	inc := api.Incident{
		ID: in.ID, Edge: edge, Device: in.Device, Rule: in.Rule, Kind: string(in.Kind), Title: a.Title,
		State: api.StateOpen, Source: api.SourceEdge, OpenedAt: in.Opened, ReceivedAt: t.now, UpdatedAt: t.now, Version: 1,
	}
	fill(&inc, in)
	d, err := scanDevice(t.one(`SELECT `+deviceColumns+deviceFrom+`WHERE d.edge = ? AND d.name = ?`, edge, in.Device))
	switch {
	case err == nil:
		inc.Place = d.Place // as it is now: a camera may be moved later
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if err := t.put(&inc, in.Version); err != nil {
		return err
	}
	if err := t.entry(in.ID, api.TimelineEntry{At: in.Opened, Kind: "opened", Who: "edge " + edge, Text: a.Title}); err != nil {
		return err
	}
	kind := notify.Opened
	if in.State == detection.Closed {
		if err := t.entry(in.ID, api.TimelineEntry{At: in.Closed, Kind: "over", Who: "edge " + edge, Text: a.Title}); err != nil {
			return err
		}
	}
	return t.tell(&inc, kind)
}

// fill takes over what the edge says. What people did stays.
func fill(inc *api.Incident, in detection.Incident) {
	inc.Severity, inc.Condition = in.Severity, in.State
	inc.Class, inc.Value, inc.Limit, inc.Unit, inc.Count = in.Class, in.Value, in.Limit, in.Unit, in.Count
	if in.Box != nil {
		inc.Box = []float64{in.Box.X, in.Box.Y, in.Box.W, in.Box.H}
	}
	if in.State == detection.Closed && inc.ClosedAt == nil {
		at := in.Closed
		inc.ClosedAt = &at
	}
}

// health notes how an edge is doing and tells it if its problems changed.
func (t *tx) health(edge string, h api.Health) error {
	text, problems, err := healthText(h)
	if err != nil {
		return err
	}
	var before sql.NullString
	if err := t.one(`SELECT json_extract(health, '$.problems') FROM edges WHERE name = ?`, edge)(&before); err != nil {
		return err
	}
	if _, err := t.exec(`UPDATE edges SET health = ? WHERE name = ?`, text, edge); err != nil {
		return fmt.Errorf("noting the health of edge %s: %w", edge, err)
	}
	if before.String == problems {
		return nil
	}
	return t.edgeChanged(edge)
}
