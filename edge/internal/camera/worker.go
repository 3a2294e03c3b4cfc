package camera

import (
	"context"
	"slices"

	"gridpost/detection/rules"
	"gridpost/detection/supervisor"
	"gridpost/detection/wire"
	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

// NeedsWorker says whether a camera's rules need object detection.
func NeedsWorker(doc firmwareconfig.Camera) bool {
	return slices.ContainsFunc(doc.Rules, func(s rules.Spec) bool { return s.Terms.Describe().Detection })
}

// newWorker returns what runs the camera's worker, or nil if nothing is to be detected. It is called
// before Run, or with c.mu held.
func (c *Camera) newWorker() *supervisor.Supervisor {
	if !NeedsWorker(c.config) || c.o.Worker == "" {
		return nil
	}
	d := c.detection
	c.inference = nil
	if d.Model != "" && c.o.Inference != nil {
		c.inference = c.o.Inference()
	}
	var worker *supervisor.Supervisor
	worker = supervisor.New(supervisor.Options{
		Binary: c.o.Worker, Camera: c.name, Logger: c.o.Logger, Gate: c.o.Starts,
		Memory:    uint64(d.Memory * (1 << 20)),
		Config:    wire.Config{Rate: d.Rate},
		Inference: c.inference,
		Urgent:    func() bool { return c.Urgency() > 0 },
		Reader:    c.detect.Subscribe,
		Before:    c.lastWorker,
		OnResult:  c.queueResult,
		OnState:   func(_ bool, cause devices.Cause) { c.setWorkerCause(worker, cause) },
	})
	c.lastWorker = worker
	return worker
}

// setWorkerCause notes why a worker does not run, unless it has been replaced meanwhile.
func (c *Camera) setWorkerCause(worker *supervisor.Supervisor, cause devices.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.worker == worker {
		c.workerCause = cause
	}
}

func (c *Camera) currentWorker() *supervisor.Supervisor {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.worker
}

// workerStats returns the counters of all workers so far.
func (c *Camera) workerStats() supervisor.Stats {
	c.mu.Lock()
	worker, all := c.worker, c.workers
	c.mu.Unlock()
	if worker == nil {
		return all
	}
	return addWorkers(all, worker.Stats())
}

func addWorkers(a, b supervisor.Stats) supervisor.Stats {
	a.Restarts += b.Restarts
	a.Crashes += b.Crashes
	a.Quarantines += b.Quarantines
	a.Analysed += b.Analysed
	a.Repeated += b.Repeated
	a.Looks += b.Looks
	a.CPU += b.CPU
	return a
}

// runWorkers runs the current worker until ctx ends. It starts the worker anew when its detection is to
// be retried, and another one when an update has replaced it.
func (c *Camera) runWorkers(ctx context.Context) error {
	for ctx.Err() == nil {
		running, cancel := context.WithCancel(ctx)
		watching := make(chan struct{})
		go func() {
			defer close(watching)
			select {
			case <-c.retries:
				cancel()
			case <-running.Done():
			}
		}()
		err := runWorker(running, c.currentWorker())
		cancel()
		<-watching
		if err != nil {
			return err
		}
	}
	return nil
}

// runWorker runs a worker, or waits while there is none.
func runWorker(ctx context.Context, worker *supervisor.Supervisor) error {
	if worker == nil {
		<-ctx.Done()
		return nil
	}
	return worker.Run(ctx)
}

// replaceWorker makes runWorkers follow the configuration. c.mu is held.
func (c *Camera) replaceWorker() {
	if c.worker != nil {
		// What the old worker does until it has stopped is not counted.
		c.workers = addWorkers(c.workers, c.worker.Stats())
	}
	c.worker, c.workerCause = c.newWorker(), devices.Cause{}
	c.restartWorker()
}

func (c *Camera) restartWorker() {
	select {
	case c.retries <- struct{}{}:
	default:
	}
}

// RetryDetection starts the worker at once if it is in quarantine: an operator says that the reason is
// gone. Nothing else of the camera is touched. It does not block.
func (c *Camera) RetryDetection() {
	c.mu.Lock()
	quarantined := c.workerCause.Code == supervisor.CodeQuarantined
	c.mu.Unlock()
	if quarantined {
		c.restartWorker()
	}
}
