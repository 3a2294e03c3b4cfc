package ingest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"runtime/debug"
	"slices"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/telemetry"
)

// Telemetry stores readings and gaps. Both are known by their content: applying them again changes nothing.
type Telemetry interface {
	Apply(ctx context.Context, b telemetry.Batch) (telemetry.Applied, error)
	Mark(ctx context.Context, edge, epoch string) (uint64, error)
	AddGap(ctx context.Context, edge, site string, g api.Gap) error
}

// batch is a request of an edge, decoded.
type batch struct {
	edges.Request
	hello  *api.Hello
	events []event // sorted: states, alerts, telemetry, each by number
}

// applied is what came of a batch.
type applied struct {
	ack            api.Ack
	applied, known int // events
	site           string
}

// sortEvents sorts events by lane and number. States come first, because alerts get the places of devices.
func sortEvents(all []event) {
	slices.SortStableFunc(all, func(a, b event) int {
		return cmp.Or(cmp.Compare(laneRank(a.lane), laneRank(b.lane)), cmp.Compare(a.seq, b.seq))
	})
}

func laneRank(l api.Lane) int {
	return slices.Index([]api.Lane{api.LaneState, api.LaneAlerts, api.LaneTelemetry}, l)
}

// apply applies what is new of a batch. It is exact under repeated and concurrent calls: the marks of the
// alerts and the states move in one transaction with what they bring; the telemetry has a database
// and a mark of its own. It returns edges.ErrSuperseded when the batch is not of the edge's present
// epoch, and db.ErrNotFound for an edge that was revoked.
func (s *Server) apply(ctx context.Context, b batch) (applied, error) {
	split := slices.IndexFunc(b.events, func(e event) bool { return e.lane == api.LaneTelemetry })
	if split < 0 {
		split = len(b.events)
	}
	measured := b.events[split:]
	b.events = b.events[:split:split]
	if b.hello == nil && len(b.events) == 0 {
		session, err := s.o.Edges.Present(s.o.DB.Read(ctx), b.Edge, b.Epoch)
		if err == nil && session.Pending.Empty() {
			out := applied{ack: api.Ack{Committed: map[api.Lane]uint64{}}, site: session.Site}
			return out, s.measure(ctx, b, measured, &out)
		}
	}
	if err := s.gaps(ctx, b); err != nil {
		return applied{}, err
	}
	out, err := s.commitIsolated(ctx, b)
	if err == nil {
		err = s.measure(ctx, b, measured, &out)
	}
	return out, err
}

// gaps stores gaps of other lanes than that of telemetry, before the marks of their lanes move.
func (s *Server) gaps(ctx context.Context, b batch) error {
	for _, e := range b.events {
		g, ok := e.value.(api.Gap)
		if !ok {
			continue
		}
		edge, err := s.o.Edges.Edge(ctx, scope.All(), b.Edge)
		if err == nil {
			err = s.o.Telemetry.AddGap(ctx, b.Edge, edge.Site, g)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// measure applies the telemetry lane.
func (s *Server) measure(ctx context.Context, b batch, all []event, out *applied) error {
	if len(all) == 0 && b.hello == nil {
		return nil
	}
	if len(all) == 0 {
		mark, err := s.o.Telemetry.Mark(ctx, b.Edge, b.Epoch)
		if mark > 0 {
			out.ack.Committed[api.LaneTelemetry] = mark
		}
		return err
	}
	in := telemetry.Batch{Edge: b.Edge, Site: out.site, Epoch: b.Epoch}
	var health *edges.Health
	for _, e := range all {
		one := telemetry.Event{Seq: e.seq}
		switch v := e.value.(type) {
		case []telemetry.Reading:
			one.Readings = v
		case api.Gap:
			one.Gap = &v
		case edges.Health:
			health = &v
		}
		in.Events = append(in.Events, one)
	}
	if health != nil { // the newest value: storing it twice is harmless
		if err := s.o.DB.Update(ctx, "ingest_health", func(t *db.Tx) error {
			return s.o.Edges.ApplyHealth(t, b.Edge, *health)
		}); err != nil {
			return err
		}
	}
	done, err := s.o.Telemetry.Apply(ctx, in)
	if err != nil {
		return err
	}
	out.ack.Committed[api.LaneTelemetry] = done.Mark
	out.known += done.Known
	passed := 0
	for _, e := range all {
		switch {
		case e.notYet != nil:
			out.ack.NotYet = append(out.ack.NotYet, e.notYet.of(e))
			passed++
		case e.refused != nil:
			out.ack.Refused = append(out.ack.Refused, e.refused.of(e))
			passed++
		}
	}
	out.applied += max(0, done.Applied-passed)
	return nil
}

// commitIsolated commits a batch. When that panics, it commits the events one by one, and leaves those
// with the edge that panic again: one event must not block those behind it.
func (s *Server) commitIsolated(ctx context.Context, b batch) (applied, error) {
	out, err, panicked := s.try(ctx, b)
	if !panicked || len(b.events) == 0 {
		return out, err
	}
	out = applied{ack: api.Ack{Committed: map[api.Lane]uint64{}}}
	all := b.events
	for _, e := range all {
		b.events = []event{e}
		one, err, panicked := s.try(ctx, b)
		if panicked {
			why := refuse(api.RefusedHubFault, "the hub cannot apply it; its log says why")
			b.events[0] = decoder{protocol: b.Protocol}.hold(e, why)
			one, err, _ = s.try(ctx, b)
		}
		if err != nil {
			return out, err
		}
		maps.Copy(out.ack.Committed, one.ack.Committed)
		out.ack.Refused = append(out.ack.Refused, one.ack.Refused...)
		out.ack.NotYet = append(out.ack.NotYet, one.ack.NotYet...)
		out.applied, out.known, out.site = out.applied+one.applied, out.known+one.known, one.site
	}
	return out, nil
}

// try commits a batch in one transaction. A panic is an error.
func (s *Server) try(ctx context.Context, b batch) (out applied, err error, panicked bool) {
	defer func() {
		if v := recover(); v != nil {
			s.panics.Add(1)
			s.o.Logger.Error("applying a batch panicked", "edge", b.Edge, "events", len(b.events), "panic", v, "stack", string(debug.Stack()))
			err, panicked = fmt.Errorf("applying a batch of edge %s panicked: %v", b.Edge, v), true
		}
	}()
	err = s.o.DB.Update(ctx, "ingest", func(t *db.Tx) error {
		out = applied{ack: api.Ack{Committed: map[api.Lane]uint64{}}}
		return s.commit(t, b, &out)
	})
	return out, err, false
}

// commit applies a batch in a transaction.
func (s *Server) commit(t *db.Tx, b batch, out *applied) error {
	session, err := s.o.Edges.Begin(t, b.Request)
	if err != nil {
		return err
	}
	out.site = session.Site
	if b.hello != nil {
		err = s.greet(t, b)
	} else {
		err = s.confirm(t, b, session.Pending)
	}
	if err != nil {
		return err
	}
	if out.ack.Committed, err = s.o.Edges.Marks(t.Reader, b.Edge, b.Epoch); err != nil {
		return err
	}
	moved := map[api.Lane]uint64{}
	w := &writer{Server: s, t: t, edge: b.Edge, site: session.Site, protocol: b.Protocol, devices: s.o.Edges.WriteDevices(t, b.Edge, session.Site)}
	for _, e := range b.events {
		if e.notYet != nil { // also when it is known: the answer to the last attempt may have been lost
			out.ack.NotYet = append(out.ack.NotYet, e.notYet.of(e))
		}
		if e.seq <= out.ack.Committed[e.lane] {
			out.known++
			continue
		}
		out.ack.Committed[e.lane], moved[e.lane] = e.seq, e.seq
		if e.notYet != nil {
			continue
		}
		refused, err := w.event(e)
		switch {
		case err != nil:
			return fmt.Errorf("applying event %s/%d of edge %s: %w", e.lane, e.seq, b.Edge, err)
		case refused != nil:
			out.ack.Refused = append(out.ack.Refused, refused.of(e))
		default:
			out.applied++
		}
	}
	return errors.Join(w.devices.Flush(), s.o.Edges.SetMarks(t, b.Edge, b.Epoch, moved))
}

// greet stores what a greeting changes. An edge that cannot tell what is open changes nothing.
func (s *Server) greet(t *db.Tx, b batch) error {
	var g edges.Greeting
	if b.hello.Open != nil {
		var err error
		if g.End, g.Resume, err = s.o.Incidents.CompareOpen(t.Reader, b.Edge, b.hello.Open); err != nil {
			return err
		}
	}
	return s.o.Edges.SetPending(t, b.Edge, b.Epoch, g)
}

// confirm carries out what the epoch's greeting changes: this request proves that the edge has got the
// answer.
func (s *Server) confirm(t *db.Tx, b batch, g edges.Greeting) error {
	if g.Empty() {
		return nil
	}
	for _, id := range g.End {
		if err := s.o.Incidents.SetCondition(t, b.Edge, id, detection.Closed); err != nil {
			return err
		}
	}
	for _, id := range g.Resume {
		if err := s.o.Incidents.SetCondition(t, b.Edge, id, detection.Open); err != nil {
			return err
		}
	}
	return s.o.Edges.SetPending(t, b.Edge, b.Epoch, edges.Greeting{})
}

// writer applies the events of one transaction.
type writer struct {
	*Server
	t          *db.Tx
	edge, site string
	protocol   int
	devices    *edges.DeviceWriter
	pending    *incidents.Pending // of the edge; nil: not counted yet
}

// event applies one event. A refusal says that it can never be applied; an error is the database's, and
// the whole batch must come again.
func (w *writer) event(e event) (*refusal, error) {
	switch v := e.value.(type) {
	case incidents.Alert:
		return w.alert(v)
	case announced:
		return w.evidence(v)
	case api.Inventory:
		return nil, w.inventory(v)
	case edges.Status:
		err := w.devices.Status(v)
		if !errors.Is(err, db.ErrNotFound) {
			return nil, err
		}
		if w.protocol >= 2 {
			return nil, nil // the edge announces it again after the inventory that has the device
		}
		return refuse(api.RefusedDevice, "the edge's inventory has no such device", "device", v.Device), nil
	case edges.Health:
		return nil, w.o.Edges.ApplyHealth(w.t, w.edge, v)
	case api.Gap:
		return nil, nil // stored before
	}
	return e.refused, nil
}

func (w *writer) alert(a incidents.Alert) (*refusal, error) {
	var err error
	if a.Place, err = w.devices.Place(a.Incident.Device); err != nil {
		return nil, err
	}
	if a.Names, err = w.names(a.Incident.Device, a.Incident.Rule); err != nil {
		return nil, err
	}
	a.Title = title(a.Incident, a.Names)
	return foreign(w.o.Incidents.ApplyAlert(w.t, w.edge, w.site, a))
}

// names returns what people call a device of the edge and one of its rules.
func (w *writer) names(device, rule string) (incidents.Names, error) {
	n, err := w.devices.Names(device)
	return incidents.Names{Edge: n.Edge, Device: n.Device, Rule: n.Rules[rule], Class: n.Class}, err
}

func title(inc detection.Incident, n incidents.Names) string {
	return rules.Standard().Title(inc, rules.Names{Device: n.Device, Rule: n.Rule, Class: n.Class})
}

// describe returns the names of a stored incident and its title by them.
func (w *writer) describe(inc incidents.Incident) (incidents.Names, string, error) {
	n, err := w.names(inc.Device, inc.Rule)
	return n, title(detection.Incident{
		Device: inc.Device, Rule: inc.Rule, Kind: detection.RuleKind(inc.Kind), Class: inc.Class, Value: inc.Value, Limit: inc.Limit, Unit: inc.Unit,
	}, n), err
}

func (w *writer) inventory(inv api.Inventory) error {
	placed, err := w.devices.Inventory(inv)
	if err != nil {
		return err
	}
	for _, p := range placed {
		if err := w.o.Incidents.SetPlace(w.t, w.edge, p.Device, p.Place); err != nil {
			return err
		}
	}
	if w.devices.Renamed() {
		return w.o.Incidents.Rename(w.t, w.edge, w.describe)
	}
	return nil
}

// foreign turns an error for what belongs to another edge into a refusal.
func foreign(err error) (*refusal, error) {
	if errors.Is(err, incidents.ErrForeign) {
		return refuse(api.RefusedForeign, "it belongs to an incident of another edge"), nil
	}
	return nil, err
}
