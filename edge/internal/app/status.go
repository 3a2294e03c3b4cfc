package app

import (
	"slices"

	"gridpost/devices"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/health"
)

// watch tells the registry of problems whom to ask.
func (e *edge) watch() {
	e.health.AddSource(health.Losing, e.alerts.Problems)
	e.health.AddSource(health.Losing, e.store.Problems)
	e.health.AddSource(health.Losing, e.intake.Problems)
	e.health.AddSource(health.Undelivered, e.link.Problems)
	e.health.AddSource(health.Blind, e.workerProblems)
	e.health.AddSource(health.Blind, e.cameraProblems)
}

func (e *edge) workerProblems() []devices.Cause {
	if e.o.Worker != "" {
		return nil
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, c := range e.document.Cameras {
		if camera.NeedsWorker(c) {
			return []devices.Cause{devices.NewCause("worker_missing")}
		}
	}
	return nil
}

func (e *edge) cameraProblems() []devices.Cause {
	var out []devices.Cause
	for _, c := range e.allCameras() {
		out = append(out, c.Problems()...)
	}
	return out
}

// counters sums what the parts count. Those of components that have stopped are included.
func (e *edge) counters() map[string]uint64 {
	e.mu.Lock()
	n := map[string]uint64{}
	for name, count := range e.gone {
		n[name] = count
	}
	for _, c := range e.running.cameras {
		c.Count(n)
	}
	for _, sub := range e.running.outside {
		n["edge_messages_dropped_total"] += sub.Stats().Dropped
	}
	if b := e.running.embedded; b != nil {
		st := b.Stats()
		n["edge_broker_refused_logins_total"] = st.RefusedLogins
		n["edge_broker_refused_topics_total"] = st.RefusedTopics
	}
	e.mu.Unlock()
	in := e.intake.Stats()
	n["edge_readings_total"] = in.Readings
	n["edge_messages_refused_total"] = in.Refused
	n["edge_messages_unmatched_total"] = in.Unmatched
	n["edge_messages_not_kept_total"] = in.NotSaved
	if up := e.link.Uplink(); up != nil {
		st := up.Stats()
		n["edge_uplink_failures_total"] = st.Failures
		n["edge_uplink_refused_events_total"] = st.Refused + st.Poison
	}
	for lane, count := range e.store.Waiting() {
		n["edge_outbox_"+string(lane)] = count
	}
	return n
}

// allCameras returns the cameras by their names.
func (e *edge) allCameras() []*camera.Camera {
	e.mu.Lock()
	defer e.mu.Unlock()
	var names []string
	for name := range e.running.cameras {
		names = append(names, name)
	}
	slices.Sort(names)
	out := make([]*camera.Camera, 0, len(names))
	for _, name := range names {
		out = append(out, e.running.cameras[name])
	}
	return out
}
