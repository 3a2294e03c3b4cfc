package store

import (
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
)

// Event is one event of an edge, decoded and checked by the receiver.
type Event struct {
	Lane api.Lane
	Seq  uint64

	// Value is Alert, api.Evidence, api.Inventory, devices.Status, []devices.Reading, api.Health
	// or api.Gap; nil when Refuse or NotYet is set.
	Value any

	Refuse string // why the event can never be applied; it is passed over
	NotYet string // why it cannot be applied yet: the edge holds it and sends it again later
}

// Alert is an incident as its edge describes it, with what the receiver adds.
type Alert struct {
	Incident detection.Incident
	Title    string         // in words
	Occurred time.Time      // when it opened, by the hub's clock
	Clock    api.ClockGrade // of the edge's clock

	// Clamped says that the edge's clock was so wrong that its times were replaced by the hub's.
	Clamped bool
}

// Batch is a request of an edge.
type Batch struct {
	Edge     string
	Epoch    string
	Protocol int           // of the edge
	Skew     time.Duration // the edge's clock minus the hub's
	Hello    *api.Hello    // of a greeting
	Events   []Event
}

// Applied is what came of a batch.
type Applied struct {
	Ack     api.Ack
	Applied int // events applied now
	Known   int // events that had been applied before
}

// Apply applies what is new of an edge's events, in the order of their numbers, and moves the
// marks in the same transaction. It is exact under repeated and concurrent calls. It returns
// ErrSuperseded when the batch is not of the edge's present epoch.
func (s *Store) Apply(ctx context.Context, b Batch) (Applied, error) {
	var out Applied
	b.Events = slices.Clone(b.Events)
	slices.SortStableFunc(b.Events, func(a, b Event) int {
		return cmp.Or(cmp.Compare(laneRank(a.Lane), laneRank(b.Lane)), cmp.Compare(a.Seq, b.Seq))
	})
	err := s.update(ctx, func(t *tx) error {
		out = Applied{Ack: api.Ack{Committed: map[api.Lane]uint64{}}}
		if err := t.seen(b.Edge); err != nil {
			return err
		}
		if err := t.fence(b); err != nil {
			return err
		}
		if _, err := t.exec(`UPDATE edges SET skew_ms = ? WHERE name = ?`, b.Skew.Milliseconds(), b.Edge); err != nil {
			return fmt.Errorf("noting the clock of edge %s: %w", b.Edge, err)
		}
		greeting := t.confirm
		if b.Hello != nil {
			greeting = t.greet
		}
		if err := greeting(b); err != nil {
			return err
		}
		return t.apply(b, &out)
	})
	return out, err
}

// apply applies the events of a batch that is of the present epoch.
func (t *tx) apply(b Batch, out *Applied) error {
	if err := t.marks(b.Edge, b.Epoch, out.Ack.Committed); err != nil {
		return err
	}
	touched := map[string]bool{}
	for _, e := range b.Events {
		if e.NotYet != "" { // also when it is known: the answer to the last attempt may have been lost
			out.Ack.NotYet = append(out.Ack.NotYet, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: e.NotYet})
		}
		if e.Seq <= out.Ack.Committed[e.Lane] {
			out.Known++
			continue
		}
		out.Ack.Committed[e.Lane] = e.Seq
		if e.NotYet != "" {
			continue
		}
		reason, err := t.event(b, e, touched)
		if err != nil {
			return fmt.Errorf("applying event %s/%d of edge %s: %w", e.Lane, e.Seq, b.Edge, err)
		}
		if reason != "" {
			out.Ack.Refused = append(out.Ack.Refused, api.Refusal{Lane: e.Lane, Seq: e.Seq, Reason: reason})
		} else {
			out.Applied++
		}
	}
	for name := range touched {
		if err := t.deviceChanged(b.Edge, name); err != nil {
			return err
		}
	}
	return t.setMarks(b.Edge, b.Epoch, out.Ack.Committed)
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
// own failure, and the whole batch must come again.
func (t *tx) event(b Batch, e Event, touched map[string]bool) (reason string, err error) {
	switch v := e.Value.(type) {
	case Alert:
		err = t.alert(b.Edge, v)
	case api.Evidence:
		err = t.announce(b.Edge, v)
	case api.Inventory:
		err = t.inventory(b.Edge, v)
	case devices.Status:
		err = t.status(b.Edge, v)
		if b.Protocol >= 2 && errors.Is(err, ErrNotFound) {
			return "", nil // the edge announces it again after the inventory that has the device
		}
	case []devices.Reading:
		err = t.readings(b.Edge, v, touched)
	case api.Health:
		err = t.health(b.Edge, v)
	case api.Gap:
		err = t.gap(b.Edge, v)
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

// edgeSide is what the hub notes of an incident for its edge's alerts.
type edgeSide struct {
	version int    // detection.Incident.Version of the newest alert applied
	endedBy string // why the hub ended its condition; empty: it did not
}

// incident reads an incident with its edge's side.
func (t *tx) incident(id string) (api.Incident, edgeSide, error) {
	var side edgeSide
	if err := t.one(`SELECT edge_version, ended_by FROM incidents WHERE id = ?`, id)(&side.version, &side.endedBy); err != nil {
		return api.Incident{}, side, err
	}
	inc, err := scanIncident(t.one(`SELECT `+incidentColumns+` FROM incidents WHERE id = ?`, id))
	return inc, side, err
}

// alert opens or changes an incident. An alert that is not newer than what is known changes
// nothing, because a new epoch may send again what the last one sent. But a condition that is over
// is over: that is applied whatever the version, which an edge that was restored from an older
// copy counts anew.
func (t *tx) alert(edge string, a Alert) error {
	in := a.Incident
	inc, side, err := t.incident(in.ID)
	if errors.Is(err, ErrNotFound) {
		return t.openIncident(edge, a)
	}
	if err != nil {
		return err
	}
	if inc.Edge != edge {
		return ErrForeign
	}
	over := inc.Condition == detection.Open && in.State == detection.Closed
	if in.Version <= side.version && !over {
		return nil
	}
	wasOver := inc.ClosedAt != nil
	if inc.Condition == detection.Closed && in.State == detection.Open {
		resume(&inc, &side)
	}
	fill(&inc, in)
	side.version, side.endedBy = max(side.version, in.Version), ""
	inc.Version++
	inc.UpdatedAt = t.now
	kind, entry, at := notify.Changed, "changed", in.Updated
	if over {
		entry, at = "over", in.Closed
		if !wasOver {
			kind = notify.Closed
		}
	}
	if err := t.put(&inc, side); err != nil {
		return err
	}
	if err := t.entry(in.ID, api.TimelineEntry{At: at, Kind: entry, Who: "edge " + edge, Text: a.Title, Data: a.note()}); err != nil {
		return err
	}
	return t.tell(&inc, kind)
}

// resume makes the condition of an incident hold again that was over. What people closed stays
// closed.
func resume(inc *api.Incident, side *edgeSide) {
	inc.Condition, side.endedBy = detection.Open, ""
	if inc.State != api.StateClosed {
		inc.ClosedAt = nil
	}
}

// note returns the data of an alert's entry in the timeline.
func (a Alert) note() json.RawMessage {
	if !a.Clamped {
		return nil
	}
	return json.RawMessage(`{"reason":"edge_clock_wrong"}`)
}

func (t *tx) openIncident(edge string, a Alert) error {
	in := a.Incident
	inc := api.Incident{
		ID: in.ID, Edge: edge, Device: in.Device, Rule: in.Rule, Kind: string(in.Kind), Title: a.Title,
		State: api.StateOpen, Source: api.SourceEdge, OpenedAt: in.Opened, OccurredAt: a.Occurred, Clock: a.Clock,
		ReceivedAt: t.now, UpdatedAt: t.now, Version: 1,
	}
	if inc.OccurredAt.IsZero() {
		inc.OccurredAt = t.now
		if in.Opened.Before(t.now) {
			inc.OccurredAt = in.Opened
		}
	}
	fill(&inc, in)
	d, err := scanDevice(t.one(`SELECT `+deviceColumns+deviceFrom+`WHERE d.edge = ? AND d.name = ?`, edge, in.Device))
	switch {
	case err == nil:
		inc.Place = d.Place // as it is now: a camera may be moved later
	case !errors.Is(err, ErrNotFound):
		return err
	}
	if err := t.put(&inc, edgeSide{version: in.Version}); err != nil {
		return err
	}
	if err := t.entry(in.ID, api.TimelineEntry{At: in.Opened, Kind: "opened", Who: "edge " + edge, Text: a.Title, Data: a.note()}); err != nil {
		return err
	}
	if in.State == detection.Closed {
		if err := t.entry(in.ID, api.TimelineEntry{At: in.Closed, Kind: "over", Who: "edge " + edge, Text: a.Title}); err != nil {
			return err
		}
	}
	return t.tell(&inc, notify.Opened)
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
