package app

import (
	"context"
	"errors"
	"maps"
	"math"
	"os"
	"slices"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/health"
	"gridpost/edge/internal/status"
)

// watch tells the registry of problems whom to ask.
func (e *edge) watch() {
	e.health.AddSource(health.Losing, e.alerts.Problems)
	e.health.AddSource(health.Losing, e.store.Problems)
	e.health.AddSource(health.Losing, e.intake.Problems)
	e.health.AddSource(health.Undelivered, e.link.Problems)
	e.health.AddSource(health.Blind, e.workerProblems)
	e.health.AddSource(health.Blind, e.cameraProblems)
	e.health.AddSource(health.Blind, e.templates.Problems)
	e.health.AddSource(health.Blind, e.sensorProblems)
	e.health.AddSource(health.Degraded, e.messageProblems)
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

func (e *edge) sensorProblems() []devices.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []devices.Cause
	for _, name := range slices.Sorted(maps.Keys(e.running.sensors)) {
		out = append(out, e.running.sensors[name].Problems()...)
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
		n["edge_messages_too_long_total"] += sub.Stats().TooLong
	}
	if b := e.running.embedded; b != nil {
		st := b.Stats()
		n["edge_broker_refused_logins_total"] = st.RefusedLogins
		n["edge_broker_refused_topics_total"] = st.RefusedTopics
		n["edge_messages_too_long_total"] += st.TooLong
	}
	e.mu.Unlock()
	if inference := e.inference.Load(); inference != nil {
		countModel(n, inference)
		n["edge_model_budget"] = uint64(inference.Stats().Budget)
	}
	in := e.intake.Stats()
	n["edge_readings_total"] = in.Readings
	n["edge_messages_refused_total"] = in.Refused
	n["edge_messages_unmatched_total"] = in.Unmatched
	found := e.discovered.Stats()
	n["edge_discovery_refused_total"], n["edge_discovery_dropped_total"] = found.Refused, found.Dropped
	n["edge_messages_not_kept_total"] = in.NotSaved
	e.publish.Count(n)
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

// serveControl serves the control socket. Without it the edge works, but cannot be asked.
func (e *edge) serveControl(ctx context.Context) error {
	control := status.Control{Status: e.status, Apply: e.applyFile, Adopt: e.adopt, Forget: e.forgetDevice, AcceptView: e.acceptView}
	backoff := retry.Policy{First: time.Second}.New()
	for ctx.Err() == nil {
		l, err := status.Listen(e.o.Dir)
		if err == nil {
			e.health.Clear("control")
			err = control.Serve(ctx, l)
		}
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("it stopped by itself")
		}
		e.health.Set(health.Degraded, "control", devices.NewCause("status_unavailable", "address", "control.sock", "reason", err.Error()))
		e.o.Logger.Error("the control socket cannot be used; it is retried", "error", err)
		if !backoff.Wait(ctx) {
			return nil
		}
	}
	return nil
}

// page returns the status page.
func (e *edge) page() status.Page {
	return status.Page{
		Address: e.o.Status, Status: e.status, Logger: e.o.Logger, Listening: e.o.StatusListening,
		OnState: func(cause devices.Cause) {
			if e.o.Status != DefaultStatus {
				e.health.Set(health.Degraded, "status", cause)
			}
		},
	}
}

// status describes the edge for the command line and the status page.
func (e *edge) status() status.Status {
	e.mu.Lock()
	doc := status.Document{File: e.source.File, Applied: e.source.Applied, Loaded: e.loaded}
	e.mu.Unlock()
	s := status.Status{
		Edge: e.name, Version: e.o.Version, Time: time.Now(), Started: e.started, PID: os.Getpid(), Document: doc,
		Outbox: e.store.Waiting(), Problems: e.health.Problems(), Counters: e.counters(), Devices: e.deviceStatus(),
	}
	s.Discovered = e.waiting()
	s.Hub.URL = e.link.URL()
	if up := e.link.Uplink(); up != nil {
		s.Hub.Online, s.Hub.Cause = up.State()
	} else if problems := e.link.Problems(); len(problems) > 0 {
		s.Hub.Cause = problems[0]
	}
	return s
}

// deviceStatus describes the devices by their names.
func (e *edge) deviceStatus() []status.Device {
	all := []status.Device{}
	states := e.states.All()
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, st := range states {
		d := status.Device{Name: st.Device, Kind: devices.Sensor, State: st.State, Cause: st.Cause, Since: st.Since, Counters: map[string]uint64{}}
		if c := e.running.cameras[st.Device]; c != nil {
			d.Kind = devices.Camera
			c.Count(d.Counters)
			d.Video = videoOf(c)
		}
		if s := e.running.sensors[st.Device]; s != nil {
			stats := s.Stats()
			d.Counters["edge_sensor_readings_total"] = stats.Readings
			if stats.Readings > 0 {
				d.Reading = &stats.Last
			}
		}
		all = append(all, d)
	}
	return all
}

// videoOf describes what a camera sends, nil if it has never been online.
func videoOf(c *camera.Camera) *status.Video {
	d := c.Stream().Description()
	if len(d.Tracks) == 0 {
		return nil
	}
	video := d.Video()
	v := &status.Video{
		Codec: video.Codec, Width: video.Width, Height: video.Height, Remarks: d.Remarks,
		LostPercent: math.Round(10*c.Loss().Percent()) / 10,
	}
	if audio, _, ok := d.Audio(); ok {
		v.Audio = audio.Codec
	}
	return v
}
