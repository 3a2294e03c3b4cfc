package app

import (
	"context"
	"net/http"
	"slices"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/reconcile"
	"gridpost/edge/internal/sensor"

	firmwareconfig "gridpost/firmware-config"
)

func (h hub) Client() (*http.Client, error) { return h.e.link.Client() }

// cameraSpec is all that a camera is made of. A change of its place or of a title restarts nothing.
type cameraSpec struct {
	config    firmwareconfig.Camera
	detection firmwareconfig.Detection
}

// wantedCameras returns the components of a document's cameras.
func (e *edge) wantedCameras(doc *firmwareconfig.Document) []reconcile.Wanted {
	var all []reconcile.Wanted
	for _, c := range doc.Cameras {
		c.Place, c.Title, c.Rules = nil, devices.Title{}, untitled(c.Rules)
		spec := cameraSpec{config: c}
		if camera.NeedsWorker(c) {
			spec.detection = doc.Detection
		}
		all = append(all, reconcile.Wanted{Name: c.Name, Spec: spec, Update: func(running reconcile.Component) bool {
			c, ok := running.(*camera.Camera)
			return ok && c.Update(spec.config, spec.detection)
		}, New: func(last reconcile.Component) (reconcile.Component, error) {
			return e.newCamera(spec, last)
		}})
	}
	return all
}

// untitled returns rules without their titles, which only the inventory has.
func untitled(specs []rules.Spec) []rules.Spec {
	specs = slices.Clone(specs)
	for i := range specs {
		specs[i].Title = devices.Title{}
	}
	return specs
}

func (e *edge) newCamera(spec cameraSpec, last reconcile.Component) (*camera.Camera, error) {
	name := spec.config.Name
	before, ran := last.(*camera.Camera)
	var learned map[string][]byte
	if !ran {
		learned = e.learned(name)
	}
	if ran {
		last = nil // its open incidents come with its rules
	}
	c, err := camera.New(camera.Options{
		Config: spec.config, Detection: spec.detection, Worker: e.o.Worker, Starts: e.starts, Logins: &e.logins, Alerts: e.alerts, Evidence: e.store, Clips: e.clips,
		Inference: e.inference.Load,
		Open:      e.openOf(name, last), Last: before, Memory: e.store, Learned: learned,
		OnState: func(state devices.State, cause devices.Cause) { e.states.Set(name, state, cause) },
		Logger:  e.o.Logger,
	})
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running.cameras[name] = c
	delete(e.open, name)
	return c, nil
}

// wantedSensors returns the components of a document's sensors.
func (e *edge) wantedSensors(doc *firmwareconfig.Document) []reconcile.Wanted {
	var all []reconcile.Wanted
	for _, s := range doc.Sensors {
		s.Place, s.Title, s.Class, s.Rules = nil, devices.Title{}, "", untitled(s.Rules)
		all = append(all, reconcile.Wanted{Name: s.Name, Spec: s, New: func(last reconcile.Component) (reconcile.Component, error) {
			return e.newSensor(s, last)
		}})
	}
	return all
}

func (e *edge) newSensor(doc firmwareconfig.Sensor, last reconcile.Component) (*sensor.Sensor, error) {
	before, ran := last.(*sensor.Sensor)
	if ran {
		last = nil // its open incidents come with its rules
	}
	e.mu.Lock()
	known := e.memory[doc.Name]
	delete(e.memory, doc.Name)
	e.mu.Unlock()
	s, err := sensor.New(sensor.Options{
		Config: doc, Inbox: e.intake.Inbox(doc.Name), Alerts: e.alerts,
		Open: e.openOf(doc.Name, last), Last: before,
		Memory: e.store, Newest: known.newest, Pending: known.pending,
		OnState: func(state devices.State, cause devices.Cause) { e.states.Set(doc.Name, state, cause) },
		Broker:  func() devices.Cause { return e.brokerCause(doc) },
		Logger:  e.o.Logger,
	})
	if s == nil {
		return nil, err
	}
	if err != nil { // its readings are saved all the same
		e.deviceFailed(doc.Name, err)
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	e.running.sensors[doc.Name] = s
	delete(e.open, doc.Name)
	return s, nil
}

// deviceFailed makes an error the state of its device.
func (e *edge) deviceFailed(name string, err error) {
	reason := "it stopped by itself"
	if err != nil {
		reason = err.Error()
	}
	e.o.Logger.Error("a device cannot run", "device", name, "error", reason)
	e.states.Set(name, devices.Offline, devices.NewCause("device_failed", "reason", reason))
}

func (e *edge) cameraStopped(name string, c reconcile.Component, wanted bool) {
	e.mu.Lock()
	if stopped, ok := c.(*camera.Camera); ok {
		stopped.Count(e.gone)
	}
	if !wanted {
		delete(e.running.cameras, name)
	}
	e.mu.Unlock()
	if !wanted {
		e.unlearn(name)
		e.removed(name, c)
	}
}

func (e *edge) sensorStopped(name string, c reconcile.Component, wanted bool) {
	if wanted {
		return
	}
	e.mu.Lock()
	delete(e.running.sensors, name)
	e.mu.Unlock()
	e.forget(name)
	e.removed(name, c)
}

// removed closes the incidents of a device that the document no longer has.
func (e *edge) removed(name string, last reconcile.Component) {
	e.states.Remove(name)
	e.newest.RemoveDevice(name)
	e.closeAll(context.Background(), name, e.openOf(name, last))
}

// openOf returns the open incidents of a device: of the component that ran last, and those that were
// read at the start and that no component has taken over.
func (e *edge) openOf(name string, last reconcile.Component) []detection.Incident {
	e.mu.Lock()
	defer e.mu.Unlock()
	open := slices.Clone(e.open[name])
	if c, ok := last.(interface{ Open() []detection.Incident }); ok {
		open = append(open, c.Open()...)
	}
	return open
}

// closeAbandoned closes the incidents of devices that the document does not name: nothing else would
// ever close them.
func (e *edge) closeAbandoned(ctx context.Context) {
	known := map[string]bool{}
	e.mu.Lock()
	for _, c := range e.document.Cameras {
		known[c.Name] = true
	}
	for _, s := range e.document.Sensors {
		known[s.Name] = true
	}
	var gone []string
	for device := range e.open {
		if !known[device] {
			gone = append(gone, device)
		}
	}
	e.mu.Unlock()
	for _, device := range gone {
		e.closeAll(ctx, device, e.openOf(device, nil))
	}
}

func (e *edge) closeAll(ctx context.Context, device string, open []detection.Incident) {
	e.mu.Lock()
	delete(e.open, device)
	e.mu.Unlock()
	now := time.Now()
	var closed []detection.Incident
	for _, inc := range open {
		closed = append(closed, closing(inc, now))
	}
	// When the disk is full, the writer retries them.
	if err := e.alerts.Save(ctx, device, closed); err != nil {
		e.o.Logger.Error("the incidents of a device that is gone could not be closed yet", "device", device, "error", err)
	}
}

// closing returns the alert that closes an incident whose rule or device is gone.
func closing(inc detection.Incident, now time.Time) detection.Incident {
	if now = now.Round(0); now.Before(inc.Updated) { // a clock was set back meanwhile
		now = inc.Updated
	}
	inc.State, inc.Version = detection.Closed, inc.Version+1
	inc.Closed, inc.Updated = now, now
	return inc
}

func (e *edge) camera(name string) *camera.Camera {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.running.cameras[name]
}
