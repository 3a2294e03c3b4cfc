// Package camera runs one camera: its source, its worker, its tracker and rules, and the snapshots
// of its incidents.
package camera

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/supervisor"
	"gridpost/detection/track"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/edge/internal/clips"
	"gridpost/edge/internal/incidents"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/rtsp"
	"gridpost/streams/rtsp/compat"

	firmwareconfig "gridpost/firmware-config"
)

// Alerts saves alerts durably.
type Alerts interface {
	// Save returns nil when all alerts of the device that it was ever given are on the disk;
	// otherwise they are retried later.
	Save(ctx context.Context, device string, alerts []detection.Incident) error
}

// Evidence saves evidence durably.
type Evidence interface {
	SaveEvidence(ctx context.Context, meta api.Evidence, data []byte) (api.Evidence, error)
}

// Options are what a Camera needs.
type Options struct {
	Config    firmwareconfig.Camera
	Detection firmwareconfig.Detection
	Worker    string           // path of the worker's program; empty: nothing is detected
	Starts    *supervisor.Gate // shared by all cameras: bounds how many workers start at a time
	Logins    *compat.Logins   // shared by all cameras: bounds how often a refused login is tried; nil: one of its own
	Alerts    Alerts
	Evidence  Evidence
	Memory    Memory // nil: what rules learn does not outlive the camera
	Clips     Clips  // nil: none are recorded

	// Inference returns what runs the object model of the last configuration; nil, or a nil result: there
	// is none. It must not block.
	Inference func() *supervisor.Inference

	// Open are incidents of the camera that are open. It takes them over, and closes those of rules
	// that it does not have.
	Open []detection.Incident

	// Learned is what the rules had learned when the edge stopped, by rule.
	Learned map[string][]byte

	// Last is the camera as it ran before its configuration changed; nil: it did not run. Rules that
	// have not changed go on where they stand.
	Last *Camera

	// OnState is called when the camera goes online or offline, with the cause. It must not block.
	OnState func(state devices.State, cause devices.Cause)

	Logger *slog.Logger
}

// Camera is one camera with all that belongs to it. Only the goroutine of judge uses tracker and
// engine once Run runs.
type Camera struct {
	o      Options
	name   string
	logger *slog.Logger

	stream *streams.Stream // the main stream: for people
	source *rtsp.Source
	detect *streams.Stream // the stream for detection: the sub-stream, or the main one
	sub    *rtsp.Source    // nil without a sub-stream

	tracker   *track.Tracker
	engine    *rules.Engine
	results   chan wire.Result     // from the supervisor; a full queue drops, counted
	snapshots chan snapshotRequest // a full queue drops, counted

	clips chan clips.Request       // a full queue drops, counted
	over  map[string]chan struct{} // by incident that is open and has a clip: closed when it closes; of the goroutine of judge

	closed []detection.Incident // to be saved at the start

	stopped  chan struct{} // closed at the end of Run
	retries  chan struct{} // room for one: start the worker anew, or another one
	changed  chan struct{} // room for one: the rules have changed
	accepted chan struct{} // room for one: what the camera shows now is its view

	memory memoryState // of the goroutine of judge

	urgency atomic.Int32 // severity of the worst incident that is open; see Urgency

	droppedResults, savedSnapshots, missedSnapshots, mainStillsMissed, savedClips, missedClips atomic.Uint64

	mu          sync.Mutex
	config      firmwareconfig.Camera    // as of the last Update
	detection   firmwareconfig.Detection // as of the last Update
	worker      *supervisor.Supervisor   // nil: nothing is to be detected
	lastWorker  *supervisor.Supervisor   // the newest, also when nothing is to be detected any more
	inference   *supervisor.Inference    // that worker uses; nil: motion is to be detected
	workers     supervisor.Stats         // counters of earlier ones
	subCause    devices.Cause            // why the sub-stream has no frames; zero: it has, or there is none
	workerCause devices.Cause            // why nothing is detected; zero: it is
	missed      uint64                   // snapshots since the last one that could be taken
	missedCause string                   // why the last one was missed

	noClips      uint64 // clips that were missed since the last one that could be recorded
	noClipsCause string // why the last one was missed
}

const (
	queueResults   = 128 // results that wait for the rules: some seconds of them
	queueSnapshots = 32
)

// New returns a camera that has not been started.
func New(o Options) (*Camera, error) {
	c := &Camera{
		o: o, name: o.Config.Name, logger: o.Logger.With("camera", o.Config.Name),
		stream:    streams.New(streams.Options{Name: o.Config.Name, RingDuration: ringDuration(o.Config.Clips)}),
		stopped:   make(chan struct{}),
		retries:   make(chan struct{}, 1),
		changed:   make(chan struct{}, 1),
		accepted:  make(chan struct{}, 1),
		config:    o.Config,
		detection: o.Detection,
		tracker:   track.New(track.Options{}),
		results:   make(chan wire.Result, queueResults),
		snapshots: make(chan snapshotRequest, queueSnapshots),
		clips:     make(chan clips.Request, queueClips),
		over:      map[string]chan struct{}{},
	}
	if err := c.takeOver(o.Last); err != nil {
		return nil, err
	}
	c.closed = append(c.closed, c.engine.Restore(o.Open, time.Now())...)
	if o.Logins == nil {
		o.Logins = &compat.Logins{}
	}
	c.source = rtsp.NewSource(rtsp.Options{
		URL: o.Config.URL, Transport: o.Config.Transport, Fingerprint: o.Config.Fingerprint, Logins: o.Logins, Stream: c.stream, Logger: c.logger,
		OnState: func(online bool, cause devices.Cause) {
			if online {
				o.OnState(devices.Online, cause)
				return
			}
			o.OnState(devices.Offline, cause)
		},
	})
	c.detect = c.stream
	if !o.Config.Detect.IsZero() {
		// Nobody asks for the past of a sub-stream, so its ring is small.
		c.detect = streams.New(streams.Options{Name: c.name + "/detect", RingDuration: 2 * time.Second, RingBytes: 4 << 20})
		c.sub = rtsp.NewSource(rtsp.Options{
			URL: o.Config.Detect, Transport: o.Config.Transport, Fingerprint: o.Config.Fingerprint, Logins: o.Logins,
			Stream: c.detect, Logger: c.logger.With("stream", "detect"), WithoutAudio: true,
			OnState: func(online bool, cause devices.Cause) {
				if online {
					cause = devices.Cause{} // a warning about live video is of no interest here
				}
				c.setCause(&c.subCause, cause)
			},
		})
	}
	c.worker = c.newWorker()
	return c, nil
}

// ringDuration returns how much of the past the main stream keeps: what a clip begins with, and the time that detection takes;
// 0: the default.
func ringDuration(c firmwareconfig.Clips) time.Duration {
	if c.Before == 0 {
		return 0
	}
	return max(10*time.Second, c.Before+2*time.Second)
}

// takeOver makes the camera's rules, from those of the camera that ran last if there is one. Its tracks
// end with its stream.
func (c *Camera) takeOver(last *Camera) (err error) {
	if last == nil {
		if c.engine, err = rules.NewEngine(c.name, c.o.Config.Rules, incidents.NewID); err != nil {
			return err
		}
		for _, rule := range c.engine.Remember(c.o.Learned) {
			c.logger.Error("what a rule has learned cannot be read; it learns anew", "rule", rule)
		}
		c.o.Learned = nil
		return nil
	}
	c.engine, c.tracker = last.engine, last.tracker
	c.tracker.Reset()
	c.closed, err = c.engine.Reconfigure(c.o.Config.Rules, time.Now())
	c.o.Last = nil // its streams and queues are not needed any more
	return err
}

// Open returns the incidents that are open, after Run has returned or before it is called.
func (c *Camera) Open() []detection.Incident { return c.engine.Open() }

// Urgency returns the severity of the camera's worst open incident as a number, from 1 for the least to 4 for an extreme
// one; 0 if none is open. It may be called at any time, from any goroutine.
func (c *Camera) Urgency() int { return int(c.urgency.Load()) }

// urgencyOf leaves out problems of the camera itself: a closer look at its frames would be of no use.
func urgencyOf(open []detection.Incident) (worst int) {
	scale := []detection.Severity{detection.Minor, detection.Moderate, detection.Severe, detection.Extreme}
	for _, inc := range open {
		if inc.Kind != detection.Health {
			worst = max(worst, 1, 1+slices.Index(scale, inc.Severity))
		}
	}
	return worst
}

// Stream returns the main stream.
func (c *Camera) Stream() *streams.Stream { return c.stream }

// SubStream returns the stream of a lower bitrate, nil if the camera has none.
func (c *Camera) SubStream() *streams.Stream {
	if c.sub == nil {
		return nil
	}
	return c.detect
}

// Stopped returns a channel that is closed when no more frames come.
func (c *Camera) Stopped() <-chan struct{} { return c.stopped }

func (c *Camera) setCause(where *devices.Cause, cause devices.Cause) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*where = cause
}

// Run runs the camera until ctx ends. Its rules go on until its sources and its worker have stopped.
func (c *Camera) Run(ctx context.Context) error {
	judging, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	var rules, inputs errgroup.Group
	rules.Go(func() error { return c.judge(judging) })
	rules.Go(func() error { return c.takeSnapshots(judging) })
	rules.Go(func() error { return c.recordClips(judging) })

	inputs.Go(func() error { return c.source.Run(ctx) })
	if c.sub != nil {
		inputs.Go(func() error { return c.sub.Run(ctx) })
	}
	inputs.Go(func() error { return c.runWorkers(ctx) })
	err := inputs.Wait()
	close(c.stopped)
	stop()
	if judged := rules.Wait(); err == nil {
		err = judged
	}
	return err
}
