package app

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/supervisor"
	"gridpost/detection/track"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/rtsp"

	firmwareconfig "gridpost/firmware-config"
)

// camera is one camera with all that belongs to it. Tracker and engine are touched by judge's
// goroutine only.
type camera struct {
	name   string
	edge   *edge
	logger *slog.Logger

	stream *streams.Stream // the main stream: for people
	source *rtsp.Source
	detect *streams.Stream // what is looked at: the sub-stream, or the main one
	sub    *rtsp.Source    // nil without a sub-stream
	worker *supervisor.Supervisor

	tracker *track.Tracker
	engine  *rules.Engine
	results chan wire.Result // from the supervisor; a full queue drops, counted
	shots   chan shot        // snapshots to be taken; a full queue drops, counted

	droppedResults, snapshots, missedSnapshots atomic.Uint64

	mu            sync.Mutex
	subCause      string // why the sub-stream gives no pictures; empty: it does, or there is none
	workerCause   string // why nothing is detected; empty: it is
	workerSettled bool   // the worker has begun or failed at least once
}

// queueResults bounds the results that wait for the rules: some seconds of them.
const queueResults = 128

// newCamera returns a camera that does nothing yet, and the alerts that close the incidents of
// rules that it no longer has.
func newCamera(e *edge, doc firmwareconfig.Camera, open []detection.Incident, now time.Time) (*camera, []detection.Incident, error) {
	c := &camera{
		name: doc.Name, edge: e, logger: e.o.Logger.With("camera", doc.Name),
		stream:  streams.New(streams.Options{Name: doc.Name}),
		tracker: track.New(track.Options{}),
		results: make(chan wire.Result, queueResults),
		shots:   make(chan shot, 32),
	}
	var err error
	if c.engine, err = rules.NewEngine(doc.Name, doc.Rules, newID); err != nil {
		return nil, nil, err
	}
	closed := c.engine.Restore(open, now)
	c.source = rtsp.NewSource(rtsp.Options{
		URL: doc.URL, Transport: doc.Transport, Stream: c.stream, Logger: c.logger,
		OnState: func(online bool, cause string) {
			if online {
				e.board.set(c.name, devices.Online, "")
				return
			}
			e.board.set(c.name, devices.Offline, cause)
		},
	})
	c.detect = c.stream
	if doc.Detect != "" {
		// Looked at and thrown away: nobody asks for the past of a sub-stream.
		c.detect = streams.New(streams.Options{Name: doc.Name + "/detect", RingDuration: 2 * time.Second, RingBytes: 4 << 20})
		c.sub = rtsp.NewSource(rtsp.Options{
			URL: doc.Detect, Transport: doc.Transport, Stream: c.detect, Logger: c.logger.With("stream", "detect"),
			OnState: func(_ bool, cause string) { c.note(&c.subCause, cause) },
		})
	}
	if looksAtPictures(doc.Rules) && e.o.Worker != "" {
		c.worker = c.newWorker(e.o)
	}
	return c, closed, nil
}

func (c *camera) newWorker(o Options) *supervisor.Supervisor {
	d := o.Document.Detection
	return supervisor.New(supervisor.Options{
		Binary: o.Worker, Camera: c.name, Logger: o.Logger,
		Config: wire.Config{Model: d.Model, Labels: d.Labels, Rate: d.Rate},
		Reader: func() *streams.Reader {
			// From the last key picture on, so that a worker that was restarted sees again at once.
			return c.detect.Subscribe(streams.ReaderOptions{Backfill: true})
		},
		OnResult: c.offer,
		OnState: func(running bool, cause string) {
			if running {
				cause = ""
			}
			c.note(&c.workerCause, cause)
			c.mu.Lock()
			c.workerSettled = true
			c.mu.Unlock()
		},
	})
}

// looksAtPictures says whether a camera's rules need a worker.
func looksAtPictures(all []rules.Spec) bool {
	return slices.ContainsFunc(all, func(s rules.Spec) bool { return s.Terms.Describe().Detection })
}

func (c *camera) note(where *string, cause string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	*where = cause
}

// problems returns what is wrong with detection, in words. A camera without pictures says so
// by its own state.
func (c *camera) problems() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var out []string
	if c.subCause != "" {
		out = append(out, fmt.Sprintf("%s: nothing is detected, because the stream for detection has no pictures: %s", c.name, c.subCause))
	}
	if c.workerCause != "" {
		out = append(out, fmt.Sprintf("%s: nothing is detected, because the worker stopped: %s", c.name, c.workerCause))
	}
	return out
}

// watch starts what brings pictures in and results out.
func (c *camera) watch(st *stage) {
	st.Go(c.source.Run)
	if c.sub != nil {
		st.Go(c.sub.Run)
	}
	if c.worker != nil {
		st.Go(c.worker.Run)
	}
}

// offer takes a result from the supervisor, whose goroutine must not wait for the disk.
func (c *camera) offer(r wire.Result) {
	if !r.Analysed {
		return
	}
	select {
	case c.results <- r:
	default:
		c.droppedResults.Add(1)
	}
}

// judge owns the camera's tracker and rules.
func (c *camera) judge(ctx context.Context) error {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	c.tick(ctx, time.Now())
	for {
		select {
		case <-ctx.Done():
			return nil
		case r := <-c.results:
			c.keep(ctx, c.engine.Tracks(r.Frame.Time, c.tracker.Update(r.Frame)), &r)
		case now := <-tick.C:
			c.tick(ctx, now)
		}
	}
}

// tick lets time pass for the rules.
func (c *camera) tick(ctx context.Context, now time.Time) {
	if last := c.stream.Stats().Last; now.Sub(last) < 2*time.Second {
		// Pictures break a camera's silence, whether anything looks at them or not.
		c.keep(ctx, c.engine.Activity(last), nil)
	}
	c.keep(ctx, c.engine.Tick(now), nil)
}

// keep saves alerts, and asks for a snapshot of those that open an incident in a picture.
func (c *camera) keep(ctx context.Context, alerts []detection.Incident, r *wire.Result) {
	if len(alerts) == 0 {
		return
	}
	kept := c.edge.sink.save(ctx, alerts) == nil // why not is in the edge's health
	if r == nil {
		return
	}
	for _, inc := range alerts {
		if inc.Version != 1 || inc.State != detection.Open {
			continue
		}
		if !kept { // a picture of an incident that the hub has never heard of would be refused
			c.missedSnapshots.Add(1)
			continue
		}
		select {
		case c.shots <- shot{incident: inc, session: r.Frame.Session, pts: r.Frame.PTS, at: r.Frame.Time}:
		default:
			c.missedSnapshots.Add(1)
		}
	}
}

// shot is a snapshot to be taken: the picture at which an incident opened.
type shot struct {
	incident detection.Incident
	session  uint32
	pts      time.Duration
	at       time.Time
}

// takeSnapshots asks the worker for pictures and keeps them as evidence.
func (c *camera) takeSnapshots(ctx context.Context) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case s := <-c.shots:
			if err := c.take(ctx, s); err != nil {
				c.missedSnapshots.Add(1)
				c.logger.Warn("no snapshot of an incident", "incident", s.incident.ID, "error", err)
				continue
			}
			c.snapshots.Add(1)
		}
	}
}

// snapshotWithin bounds the wait for a worker's picture.
const snapshotWithin = 5 * time.Second

func (c *camera) take(ctx context.Context, s shot) error {
	asking, cancel := context.WithTimeout(ctx, snapshotWithin)
	defer cancel()
	request := wire.Snapshot{Session: s.session, PTS: s.pts}
	if s.incident.Box != nil {
		request.Marks = []wire.Mark{{Box: *s.incident.Box, Label: label(s.incident)}}
	}
	jpeg, err := c.worker.Snapshot(asking, request)
	if err != nil {
		return err
	}
	if jpeg.Error != "" || len(jpeg.Data) == 0 {
		return fmt.Errorf("the worker has no picture: %s", jpeg.Error)
	}
	_, err = c.edge.store.SaveEvidence(context.WithoutCancel(ctx), api.Evidence{
		Incident: s.incident.ID, Name: "snapshot.jpg", ContentType: "image/jpeg",
		Time: s.at.Add(jpeg.PTS - s.pts), // of the picture that was found, which may be a neighbour
	}, jpeg.Data)
	return err
}

// label is what is written beside the box: ASCII, as the worker's letters are.
func label(inc detection.Incident) string {
	text := inc.Class + " / " + inc.Rule
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, text)
}
