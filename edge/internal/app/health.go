package app

import (
	"context"
	"fmt"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

const (
	healthEvery = 10 * time.Second
	maxProblems = 50 // in one health event
)

// health tells the hub how the edge itself is doing.
type health struct {
	edge *edge
}

func newHealth(e *edge) *health { return &health{edge: e} }

// run keeps a health event every ten seconds, and first a second after the start.
func (h *health) run(ctx context.Context) error {
	failed := false
	for wait := time.Second; sleep(ctx, wait); wait = healthEvery {
		err := h.edge.store.SaveHealth(ctx, h.now(ctx))
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !failed {
			h.edge.o.Logger.Error("the edge's health cannot be kept; further failures are not logged", "error", err)
		}
		failed = err != nil
	}
	return nil
}

func (h *health) now(ctx context.Context) api.Health {
	return api.Health{Time: time.Now().UTC(), Problems: causes(h.problems()), Counters: h.counters(ctx)}
}

// causes wraps sentences that have no code yet.
func causes(sentences []string) []devices.Cause {
	out := make([]devices.Cause, 0, len(sentences))
	for _, text := range sentences {
		out = append(out, devices.Cause{Text: text})
	}
	return out
}

// problems lists what is wrong, worst first: what may lose incidents, what keeps them from the
// hub, what keeps them from being noticed.
func (h *health) problems() []string {
	e := h.edge
	out := []string{}
	cause, waiting, lost := e.sink.state()
	if lost > 0 {
		out = append(out, fmt.Sprintf("%d alerts are lost, because they could not be kept for too long", lost))
	}
	if cause != "" {
		out = append(out, fmt.Sprintf("%d alerts are only in memory: %s", waiting, cause))
	}
	for _, c := range e.store.Problems() {
		out = append(out, c.Text)
	}
	out = append(out, e.sensors.problems()...)
	out = append(out, e.link.problems()...)
	if e.o.Worker == "" && h.wantsWorker() {
		out = append(out, "there is no worker program on this edge: its cameras are watched and relayed, but nothing is detected in their pictures")
	}
	for _, c := range e.cameras {
		out = append(out, c.problems()...)
	}
	if len(out) > maxProblems {
		out = append(out[:maxProblems-1], fmt.Sprintf("and %d more", len(out)-maxProblems+1))
	}
	return out
}

func (h *health) wantsWorker() bool {
	for _, c := range h.edge.o.Document.Cameras {
		if looksAtPictures(c.Rules) {
			return true
		}
	}
	return false
}

// counters sums what the parts count.
func (h *health) counters(ctx context.Context) map[string]uint64 {
	e := h.edge
	n := map[string]uint64{}
	for _, c := range e.cameras {
		st, src := c.stream.Stats(), c.source.Stats()
		n["edge_units_total"] += st.AccessUnits
		n["edge_unit_bytes_total"] += st.Bytes
		n["edge_units_dropped_total"] += st.Dropped
		n["edge_camera_sessions_total"] += src.Sessions
		n["edge_camera_lost_packets_total"] += src.LostPackets
		n["edge_results_dropped_total"] += c.droppedResults.Load()
		n["edge_snapshots_total"] += c.snapshots.Load()
		n["edge_snapshots_missed_total"] += c.missedSnapshots.Load()
		if c.detect != c.stream {
			n["edge_units_dropped_total"] += c.detect.Stats().Dropped
		}
		if c.worker != nil {
			w := c.worker.Stats()
			n["edge_worker_restarts_total"] += w.Restarts
			n["edge_frames_analysed_total"] += w.Analysed
			n["edge_worker_cpu_milliseconds_total"] += uint64(w.CPU.Milliseconds())
		}
	}
	d := e.sensors.decoder.Stats()
	n["edge_readings_total"] = d.Readings
	n["edge_messages_refused_total"] = d.Refused
	n["edge_messages_unmatched_total"] = d.Unmatched
	n["edge_messages_not_kept_total"] = e.sensors.notKept.Load()
	for _, s := range e.sensors.subscribers {
		n["edge_messages_dropped_total"] += s.Stats().Dropped
	}
	if b := e.sensors.broker.Load(); b != nil {
		st := b.Stats()
		n["edge_broker_refused_logins_total"] = st.RefusedLogins
		n["edge_broker_refused_topics_total"] = st.RefusedTopics
	}
	if up := e.link.uplink(); up != nil {
		st := up.Stats()
		n["edge_uplink_failures_total"] = st.Failures
		n["edge_uplink_refused_events_total"] = st.Refused + st.Poison
	}
	for lane, count := range e.store.Waiting() {
		n["edge_outbox_"+string(lane)] = count
	}
	return n
}
