package app

import (
	"slices"

	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/reconcile"

	firmwareconfig "gridpost/firmware-config"
)

// modelName is the name of the only object model.
const modelName = "model"

// wantedModels returns the component that runs the object model, if the document has one and a camera
// needs it.
func (e *edge) wantedModels(doc *firmwareconfig.Document) []reconcile.Wanted {
	d := doc.Detection
	if d.Model == "" || e.o.Worker == "" || !slices.ContainsFunc(doc.Cameras, camera.NeedsWorker) {
		return nil
	}
	d.Rate = 0 // it is the cameras'
	return []reconcile.Wanted{{Name: modelName, Spec: d, New: func(reconcile.Component) (reconcile.Component, error) {
		inference := supervisor.NewInference(supervisor.InferenceOptions{
			Binary: e.o.Worker, Logger: e.o.Logger, Gate: e.starts,
			Memory: uint64(d.Memory * (1 << 20)), Budget: d.Budget,
			Config: wire.Config{Model: d.Model, Labels: d.Labels, Threads: d.Threads},
		})
		e.inference.Store(inference)
		return inference, nil
	}}}
}

func (e *edge) modelFailed(_ string, err error) {
	e.o.Logger.Error("the object model cannot be used", "error", err) // cameras report it as their problem
}

// modelStopped forgets a model that is not wanted any more. Cameras whose workers still use it detect
// motion until they have been updated.
func (e *edge) modelStopped(_ string, c reconcile.Component, _ bool) {
	stopped, ok := c.(*supervisor.Inference)
	if !ok {
		return
	}
	e.mu.Lock()
	countModel(e.gone, stopped)
	e.mu.Unlock()
	e.inference.CompareAndSwap(stopped, nil)
}

// countModel adds the counters of an object model to n.
func countModel(n map[string]uint64, inference *supervisor.Inference) {
	s := inference.Stats()
	n["edge_model_restarts_total"] += s.Restarts
	n["edge_model_crashes_total"] += s.Crashes
	n["edge_model_looks_total"] += s.Looks
	n["edge_model_looks_missed_total"] += s.Missed
	n["edge_model_inference_milliseconds_total"] += uint64(s.Inference.Milliseconds())
	n["edge_model_runtime_milliseconds_total"] += uint64(s.Runtime.Milliseconds())
	n["edge_model_cpu_milliseconds_total"] += uint64(s.CPU.Milliseconds())
}
