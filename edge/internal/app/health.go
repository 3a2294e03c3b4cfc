package app

import (
	"fmt"

	"gridpost/edge/internal/camera"
)

// problems lists what is wrong, worst first: what may lose incidents, what keeps them from the hub,
// what keeps them from being detected.
func (e *edge) problems() []string {
	out := []string{}
	cause, waiting, lost := e.alerts.State()
	if lost > 0 {
		out = append(out, fmt.Sprintf("%d alerts are lost, because they could not be kept for too long", lost))
	}
	if cause != "" {
		out = append(out, fmt.Sprintf("%d alerts are only in memory: %s", waiting, cause))
	}
	for _, c := range e.store.Problems() {
		out = append(out, c.Text)
	}
	out = append(out, e.sensors.Problems()...)
	for _, c := range e.link.Problems() {
		out = append(out, c.Text)
	}
	if e.o.Worker == "" && e.needsWorker() {
		out = append(out, "there is no worker program on this edge: its cameras are watched and relayed, but nothing is detected in their pictures")
	}
	for _, c := range e.cameras {
		out = append(out, c.Problems()...)
	}
	return out
}

func (e *edge) needsWorker() bool {
	for _, c := range e.o.Document.Cameras {
		if camera.NeedsWorker(c) {
			return true
		}
	}
	return false
}

// counters sums what the parts count.
func (e *edge) counters() map[string]uint64 {
	n := map[string]uint64{}
	for _, c := range e.cameras {
		c.Count(n)
	}
	e.sensors.Count(n)
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
