package supervisor

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"sync"
	"time"

	"gridpost/detection"
	"gridpost/detection/looks"
	"gridpost/detection/wire"
	"gridpost/devices"
)

// InferenceOptions are those of an Inference. The durations take defaults when they are zero.
type InferenceOptions struct {
	Binary string      // path of the worker's program
	Config wire.Config // Model, Labels and Threads
	Logger *slog.Logger

	// Budget bounds the looks per second over all cameras. 0: so many that the model takes defaultShare of
	// the time of its threads, as measured when it is loaded.
	Budget float64

	// OnState is called from Run's goroutine when the model has been loaded, with no cause, or its process
	// has stopped, with the cause. May be nil.
	OnState func(running bool, cause devices.Cause)

	Gate   *Gate  // see Options
	Memory uint64 // see Options

	StartTimeout time.Duration // within which the model must be loaded; default 60 s
	ReplyTimeout time.Duration // within which the process must reply; default 10 s
	Restart      Restart       // Crashes is 3 unless set: a model that crashes costs all cameras their objects
	Grace        time.Duration // after which cameras detect motion while the model does not run; default 10 s
}

// defaultShare is the share of the time that the model takes unless a budget is set. The rest is left to
// decoding and motion detection.
const defaultShare = 0.6

const (
	// maxLooks is how many looks are under way at a time. Most of them fetch their frame from the worker of
	// their camera, which takes some 200 ms if the machine is busy; with fewer the model would wait.
	maxLooks = 12

	// maxWaiting is how many frames wait for the model, or are in it, before no more are fetched.
	maxWaiting = 3
)

// fetchTimeout is how long a worker may take to provide a frame before its turn goes to another camera.
const fetchTimeout = time.Second

func (o InferenceOptions) withDefaults() InferenceOptions {
	common := Options{
		Logger: o.Logger, OnState: o.OnState, Memory: o.Memory,
		StartTimeout: o.StartTimeout, ReplyTimeout: o.ReplyTimeout,
	}.withDefaults()
	o.Logger, o.OnState, o.Memory = common.Logger, common.OnState, common.Memory
	o.StartTimeout, o.ReplyTimeout = common.StartTimeout, common.ReplyTimeout
	if o.Restart.Crashes == 0 {
		o.Restart.Crashes = 3
	}
	o.Restart = o.Restart.withDefaults()
	if o.Grace <= 0 {
		o.Grace = 10 * time.Second
	}
	return o
}

// Inference runs one process with an object model, which serves the workers of all cameras.
//
// Frames travel by memory that a camera's worker and the inference process share; see wire.SlotSize. Both
// were given it when they were started, and cannot open anything else. Which camera is next is decided here
// (package looks): a worker is told to put its newest frame into its slot when its turn has come. The
// process is confined like a worker, its messages are validated, and it is restarted and quarantined like a
// worker. Without it cameras detect motion.
type Inference struct {
	o InferenceOptions

	changed chan struct{} // room for one: Run must look at the state below
	retries chan struct{} // room for one: end a quarantine

	mu        sync.Mutex
	queue     *looks.Queue
	slots     []*os.File    // by number; nil: not made yet
	clients   []*lookClient // by slot; nil: the slot is free
	closed    bool          // Run has ended
	model     *wire.Model   // of the process that is ready; nil: there is none
	since     time.Time     // of the last change of model
	cause     devices.Cause // why there is no model; zero: there is one, or there was no process yet
	submitted []submission  // frames that wait to be sent to the process, maxLooks at most
	lastID    uint64
	stats     InferenceStats
}

// InferenceStats are the counts since the Inference was created.
type InferenceStats struct {
	Running  bool
	PID      int
	Detector string  // description of the model and its runtime, for people
	Budget   float64 // looks per second
	Restarts uint64  // processes that failed
	Crashes  uint64

	Looks     uint64        // inferences
	Missed    uint64        // looks that were granted and not used: there was no new frame, or the worker was too slow
	Inference time.Duration // time that the inferences took together
	Runtime   time.Duration // time of it in the bare call of the runtime
	CPU       time.Duration // processor time of all processes so far
}

// submission is a frame in a slot.
type submission struct {
	id   uint64
	slot int
	w, h int
}

// NewInference returns an Inference. It starts nothing.
func NewInference(o InferenceOptions) *Inference {
	o = o.withDefaults()
	return &Inference{
		o: o, changed: make(chan struct{}, 1), retries: make(chan struct{}, 1), since: time.Now(),
		queue: looks.New(max(o.Budget, 1), maxLooks),
		slots: make([]*os.File, wire.MaxSlots), clients: make([]*lookClient, wire.MaxSlots),
	}
}

// Cause returns why cameras detect motion only; zero while they detect objects or will soon.
func (n *Inference) Cause() devices.Cause {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.usable() {
		return devices.Cause{}
	}
	if n.cause.IsZero() {
		return devices.NewCause(CodeNotReady, "seconds", devices.Seconds(n.o.Grace))
	}
	return n.cause
}

// usable reports whether the model runs, or has stopped so shortly ago that it is worth waiting for. n.mu
// must be held.
func (n *Inference) usable() bool {
	return !n.closed && (n.model != nil || time.Since(n.since) < n.o.Grace)
}

// Stats returns the counts now.
func (n *Inference) Stats() InferenceStats {
	n.mu.Lock()
	stats := n.stats
	n.mu.Unlock()
	stats.CPU += cpuTime(stats.PID)
	return stats
}

// Retry ends a wait for the next start of the process, if there is one. It does not block.
func (n *Inference) Retry() {
	select {
	case n.retries <- struct{}{}:
	default:
	}
}

// Run keeps a process running until ctx ends, and returns nil then. It may be called once.
func (n *Inference) Run(ctx context.Context) error {
	restarts := n.o.Restart.new()
	defer n.close()
	for {
		f := n.once(ctx)
		if ctx.Err() != nil {
			return nil
		}
		pause, why := restarts.next(time.Now(), f.ran, f.crash)
		f.cause = restartCause(CodeModelQuarantined, f.cause, pause, why, restarts.crashes)
		n.failed(f)
		n.o.Logger.Warn("the inference process stopped", "code", f.cause.Code, "cause", f.cause.Text, "restart_in", pause)
		n.o.OnState(false, f.cause)
		select {
		case <-n.retries: // of the time before
		default:
		}
		timer := time.NewTimer(pause)
		select {
		case <-ctx.Done():
		case <-timer.C:
		case <-n.retries:
			restarts = n.o.Restart.new()
		}
		timer.Stop()
		if ctx.Err() != nil {
			return nil
		}
	}
}

// close frees the slots. Workers that run keep theirs until they end.
func (n *Inference) close() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
	for i, f := range n.slots {
		if f != nil {
			_ = f.Close() // it is memory
		}
		n.slots[i] = nil
	}
}

// allSlots returns the files of all slots.
func (n *Inference) allSlots() ([]*os.File, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for i := range n.slots {
		if n.slots[i] == nil {
			f, err := newSlot()
			if err != nil {
				return nil, err
			}
			n.slots[i] = f
		}
	}
	return slices.Clone(n.slots), nil
}

// once runs one process until it fails or ctx ends.
func (n *Inference) once(ctx context.Context) failure {
	p, ready, failed := n.start(ctx)
	if failed != nil {
		return *failed
	}
	n.ready(ready)
	n.o.Logger.Info("the object model is ready", "pid", p.cmd.Process.Pid, "detector", sanitise(ready.Detector),
		"confined", sanitise(ready.Confined), "inference", ready.Model.Inference, "budget", n.Stats().Budget)
	n.o.OnState(true, devices.Cause{})
	began := time.Now()
	sent, err := n.work(ctx, p)
	n.ended(p)
	return workFailure(p, err, time.Since(began), sent)
}

// start starts a process and waits until the model is loaded. If it fails or ctx ends, the process has
// ended.
func (n *Inference) start(ctx context.Context) (*process, wire.Ready, *failure) {
	failed := func(code string, err error) (*process, wire.Ready, *failure) {
		return nil, wire.Ready{}, &failure{cause: devices.NewCause(code, "detail", err.Error())}
	}
	cfg := n.o.Config
	var err error
	if cfg.Limits, err = (Options{Memory: n.o.Memory}).limits(); err != nil {
		return failed(CodeUser, err)
	}
	slots, err := n.allSlots()
	if err != nil {
		return failed(CodeFailed, err)
	}
	if !n.o.Gate.enter(ctx) {
		return failed(CodeFailed, ctx.Err())
	}
	defer n.o.Gate.leave()
	p, err := start(n.o.Binary, slots, inferArgument)
	if err != nil {
		return failed(CodeNotExecutable, err)
	}
	startCtx, cancel := context.WithTimeout(ctx, n.o.StartTimeout)
	defer cancel()
	var ready wire.Ready
	err = p.runWithin(startCtx, func() (err error) {
		if ready, err = p.configure(cfg); err != nil {
			return err
		}
		return validateModel(ready.Model)
	})
	if err != nil {
		p.stop(true)
		f := startFailure(p, err, n.o.StartTimeout)
		return nil, wire.Ready{}, &f
	}
	n.mu.Lock()
	n.stats.PID = p.cmd.Process.Pid
	n.mu.Unlock()
	return p, ready, nil
}

func (n *Inference) ready(r wire.Ready) {
	n.mu.Lock()
	defer n.mu.Unlock()
	budget := n.o.Budget
	if budget <= 0 {
		budget = max(1, defaultShare/n.inferenceTime(r.Model).Seconds())
	}
	n.queue.SetBudget(budget)
	n.model, n.since, n.cause = r.Model, time.Now(), devices.Cause{}
	n.stats.Running, n.stats.Budget, n.stats.Detector = true, budget, sanitise(r.Detector)
}

// inferenceTime returns how long an inference takes if nothing else runs: its processor time, shared by the
// threads, or the time that was measured where that is shorter.
func (n *Inference) inferenceTime(m *wire.Model) time.Duration {
	shared := m.CPU / time.Duration(max(1, n.o.Config.Threads))
	if shared > 0 && shared < m.Inference {
		return shared
	}
	return m.Inference
}

// ended forgets the looks that were under way.
func (n *Inference) ended(p *process) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.model, n.since = nil, time.Now()
	n.submitted = nil
	for _, c := range n.clients {
		if c != nil {
			c.look = 0
		}
	}
	n.stats.Running, n.stats.PID = false, 0
	if state := p.cmd.ProcessState; state != nil {
		n.stats.CPU += state.UserTime() + state.SystemTime()
	}
}

func (n *Inference) failed(f failure) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.cause = f.cause
	n.stats.Restarts++
	if f.crash {
		n.stats.Crashes++
	}
}

// wake makes Run look at the state.
func (n *Inference) wake() {
	select {
	case n.changed <- struct{}{}:
	default:
	}
}

// validateInferred returns an error for a reply that no valid inference process sends.
func validateInferred(m *wire.Inferred) error {
	if m.Inference < 0 || m.Runtime < 0 || m.Runtime > m.Inference || m.Inference > time.Hour {
		return fmt.Errorf("an inference that took %v: %w", m.Inference, wire.ErrMalformed)
	}
	r := wire.Result{Frame: detection.Frame{Detections: m.Detections}}
	if err := validate(&r); err != nil {
		return err
	}
	m.Detections = r.Frame.Detections
	return nil
}

// errNoSlot means that more cameras run than an inference process can serve.
var errNoSlot = errors.New("more cameras than the object model can serve")
