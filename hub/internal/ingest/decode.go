package ingest

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"runtime/debug"
	"slices"
	"strconv"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/telemetry"
)

// event is one event of an edge, decoded and checked.
type event struct {
	lane api.Lane
	seq  uint64
	kind api.Kind

	// value is incidents.Alert, announced, api.Inventory, edges.Status, []telemetry.Reading, edges.Health or
	// api.Gap; nil when refused or notYet is set.
	value any

	refused *refusal // why the event can never be applied; it is passed over
	notYet  *refusal // why it cannot be applied yet: the edge holds it and sends it again later
}

// decoder decodes the events of one batch.
type decoder struct {
	checks   checks
	clock    edgeClock
	protocol int
	log      *slog.Logger
}

// hold leaves an event with an edge that can hold it; an edge of protocol 1 cannot.
func (d decoder) hold(e event, why *refusal) event {
	e.value = nil
	if d.protocol >= 2 {
		e.notYet = why
	} else {
		e.refused = why
	}
	return e
}

// events decodes events. Those whose lane or number no mark can hold are returned apart.
func (d decoder) events(in []api.Event) (out []event, beyond []api.Refusal) {
	for _, e := range in {
		at := event{lane: e.Lane, seq: e.Seq, kind: e.Kind}
		switch {
		case !knownLane(e.Lane):
			r := refuse(api.RefusedLane, fmt.Sprintf("its lane %q is not known", clip(string(e.Lane))), "lane", clip(string(e.Lane)), "kind", clip(string(e.Kind)))
			beyond = append(beyond, r.of(at))
		case e.Seq == 0 || e.Seq > math.MaxInt64:
			seq := strconv.FormatUint(e.Seq, 10)
			beyond = append(beyond, refuse(api.RefusedNumber, "its number "+seq+" is not within 1 and 2^63-1", "seq", seq).of(at))
		default:
			out = append(out, d.event(e, at))
		}
	}
	return out, beyond
}

// event decodes one event. One of an unknown kind, and one whose decoding panics, is left with the edge.
func (d decoder) event(e api.Event, out event) (done event) {
	kind := clip(string(e.Kind))
	if !slices.Contains(d.checks.kinds, e.Kind) {
		return d.hold(out, refuse(api.RefusedKind, fmt.Sprintf("its kind %q is not known to this hub", kind), "kind", kind))
	}
	if (e.Lane == api.LaneTelemetry) != ofTelemetry(e.Kind) && !inAnyLane(e.Kind) {
		out.refused = refuse(api.RefusedLane, fmt.Sprintf("its kind %q does not belong into the lane %s", kind, e.Lane), "lane", string(e.Lane), "kind", kind)
		return out
	}
	defer func() {
		if v := recover(); v != nil {
			d.log.Error("decoding an event panicked", "kind", kind, "panic", v, "stack", string(debug.Stack()))
			done = d.hold(out, refuse(api.RefusedHubFault, "the hub cannot decode it; its log says why"))
		}
	}()
	value, err := d.checks.decode(e, d.clock.of(e))
	if err != nil {
		out.refused = refusalOf(err)
		return out
	}
	out.value = value
	return out
}

// ofTelemetry reports whether events of a kind belong into the telemetry lane and no other.
func ofTelemetry(k api.Kind) bool { return k == api.KindReadings }

// inAnyLane reports whether events of a kind may be in each lane. Gaps belong into the lane that has lost
// something; edges of protocol 1 send their health in the telemetry lane.
func inAnyLane(k api.Kind) bool { return k == api.KindGap || k == api.KindHealth }

func knownLane(l api.Lane) bool {
	return l == api.LaneAlerts || l == api.LaneState || l == api.LaneTelemetry
}

// announced is an announcement of evidence.
type announced struct {
	api.Evidence
	taken time.Time // Time by the hub's clock
}

// decode decodes an event's data and checks it. Its errors are refusals.
func (c checks) decode(e api.Event, clock eventClock) (any, error) {
	switch e.Kind {
	case api.KindIncident:
		v, err := parse[detection.Incident](e.Data)
		if err == nil {
			err = c.incident(&v)
		}
		return alert(v, clock), err
	case api.KindEvidence:
		v, err := parse[api.Evidence](e.Data)
		if err == nil {
			err = c.evidence(&v)
		}
		taken := clock.at(v.Time)
		v.Time = clock.storable(v.Time)
		return announced{v, taken}, err
	case api.KindInventory:
		v, err := parse[api.Inventory](e.Data)
		if err == nil {
			err = c.inventory(&v)
		}
		return v, err
	case api.KindStatus:
		v, err := parse[devices.Status](e.Data)
		if err == nil {
			err = c.status(&v)
		}
		return status(v, clock), err
	case api.KindReadings:
		v, err := parse[[]devices.Reading](e.Data)
		if err == nil {
			err = c.readings(v)
		}
		return readings(v, clock), err
	case api.KindHealth:
		v, err := parse[api.Health](e.Data)
		if err == nil {
			err = health(&v)
		}
		return edges.Health{Time: clock.at(v.Time), Problems: v.Problems, Counters: v.Counters}, err
	case api.KindGap:
		v, err := parse[api.Gap](e.Data)
		if err == nil {
			err = c.gap(&v, clock)
		}
		return v, err
	}
	return nil, refuse(api.RefusedKind, "its kind is not known to this hub", "kind", clip(string(e.Kind)))
}

func parse[T any](data json.RawMessage) (v T, err error) {
	if err := json.Unmarshal(data, &v); err != nil {
		text := clip(err.Error())
		return v, refuse(api.RefusedData, "its data does not parse: "+text, "error", text)
	}
	return v, nil
}

// alert adds the times by the hub's clock to an incident.
func alert(v detection.Incident, clock eventClock) incidents.Alert {
	out := incidents.Alert{
		Clock: clock.grade, Clamped: clock.wrong(v.Opened),
		Occurred: clock.at(v.Opened), Changed: clock.at(v.Updated),
	}
	if v.State == detection.Closed {
		if v.Closed.IsZero() {
			v.Closed = v.Updated
		}
		out.Ended = clock.at(v.Closed)
		v.Closed = clock.storable(v.Closed)
	}
	v.Opened, v.Updated = clock.storable(v.Opened), clock.storable(v.Updated)
	out.Incident = v
	return out
}

func status(v devices.Status, clock eventClock) edges.Status {
	out := edges.Status{Status: v}
	if !v.Since.IsZero() { // zero: not known
		out.Corrected, out.Since = clock.at(v.Since), clock.storable(v.Since)
	}
	return out
}

func readings(all []devices.Reading, clock eventClock) []telemetry.Reading {
	out := make([]telemetry.Reading, len(all))
	for i, r := range all {
		at := clock.at(r.Time)
		r.Time = clock.storable(r.Time)
		out[i] = telemetry.Reading{Reading: r, At: at}
	}
	return out
}
