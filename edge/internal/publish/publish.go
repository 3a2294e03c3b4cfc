// Package publish sends the live video of cameras to the hub while the hub wants it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/devices/retry"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/webrtc"
)

// Bounds of a publication.
const (
	maxPublish     = time.Hour // also when the hub names no end, so that a lost stop costs little
	maxPublishings = 16        // at a time: an uplink has its limits too

	restartPause = 500 * time.Millisecond // until a camera that has stopped is looked for again
)

// Options are what a Publisher needs.
type Options struct {
	Edge    string // name of this edge
	Hub     Hub
	Cameras Cameras

	// Yield reports whether something more urgent than live video waits for the line. It must not
	// block, and may be nil.
	Yield func() bool

	Logger *slog.Logger
}

// Hub is where live video is sent.
type Hub interface {
	URL() string                   // of the hub's edge port
	Client() (*http.Client, error) // speaks to the hub as this edge
}

// Cameras are the cameras of the edge, which may change.
type Cameras interface {
	// Stream returns a camera's main stream, and a channel that is closed when the camera stops; or
	// nil when there is no such camera.
	Stream(camera string) (stream *streams.Stream, stopped <-chan struct{})
	// SubStream is Stream for the stream of a lower bitrate; nil also when the camera has none.
	SubStream(camera string) (stream *streams.Stream, stopped <-chan struct{})
	// Urgency says which cameras' live video is sent before that of others, where the line does not carry all of it:
	// those with the highest value. It must not block.
	Urgency(camera string) int
	// Status returns a device's state.
	Status(device string) (devices.Status, bool)
}

// Publisher sends cameras' streams to the hub while the hub wants them.
type Publisher struct {
	o        Options
	engine   *webrtc.Engine
	upload   webrtc.Allowance
	outside  *http.Client // for endpoints that are not the hub's
	commands chan request
	active   atomic.Int32        // publications
	sent     webrtc.PublishState // counts what all publications sent; its other fields are those of any one
}

// request is a command on its way to Run.
type request struct {
	command api.Command
	stopAll bool            // not a command of the hub
	answer  chan api.Result // room for one
}

// key identifies a stream of a camera; stream is "" for the main one, or api.StreamSub.
type key struct{ camera, stream string }

func (k key) String() string {
	if k.stream == "" {
		return k.camera
	}
	return k.camera + "/" + k.stream
}

// publication is a stream that the hub wants. It belongs to Run's goroutine, except for its target.
type publication struct {
	key    key
	target atomic.Pointer[target] // for the next session
	again  chan struct{}          // capacity 1: the hub has repeated its command, so the next attempt is not delayed
	cancel context.CancelFunc
	end    *time.Timer
}

// New returns a Publisher. Run closes it.
func New(o Options) (*Publisher, error) {
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("starting WebRTC: %w", err)
	}
	return &Publisher{o: o, engine: engine, commands: make(chan request), outside: newOutside()}, nil
}

// SetUpload bounds all publications together to mbits Mbit/s from now on; 0 ends the bound.
func (p *Publisher) SetUpload(mbits float64) { p.upload.Set(mbits * 1e6) }

// Active reports whether live video is being sent, or about to be.
func (p *Publisher) Active() bool { return p.active.Load() > 0 }

// Command carries out a command of the hub. It returns as soon as the command is under way.
func (p *Publisher) Command(ctx context.Context, c api.Command) api.Result {
	return p.request(ctx, request{command: c, answer: make(chan api.Result, 1)})
}

// Count adds the publications' counters to n. It may be called at any time, from any goroutine.
func (p *Publisher) Count(n map[string]uint64) {
	sent := p.sent.Stats()
	n["edge_published_packets_total"] += sent.Packets
	n["edge_published_again_total"] += sent.Retransmitted
	n["edge_publish_dropped_frames_total"] += sent.DroppedFrames
	n["edge_publish_yields_total"] += sent.Yields
	n["edge_publish_pauses_total"] += sent.Pauses
}

// StopAll stops all publications: they belong to a hub that this edge no longer has.
func (p *Publisher) StopAll(ctx context.Context) {
	p.request(ctx, request{stopAll: true, answer: make(chan api.Result, 1)})
}

func (p *Publisher) request(ctx context.Context, r request) api.Result {
	select {
	case p.commands <- r:
		return <-r.answer
	case <-ctx.Done():
		return refusal("edge_stopping")
	}
}

// Run owns the publications. They have all ended when it returns.
func (p *Publisher) Run(ctx context.Context) error {
	running := map[key]*publication{}
	over := make(chan *publication) // one that has reached its end
	var wg sync.WaitGroup
	defer func() {
		for _, pub := range running {
			pub.end.Stop()
			pub.cancel()
		}
		wg.Wait()
		p.outside.CloseIdleConnections()
		if err := p.engine.Close(); err != nil {
			p.o.Logger.Warn("closing WebRTC", "error", err)
		}
	}()
	for {
		p.active.Store(int32(len(running)))
		select {
		case <-ctx.Done():
			return nil
		case pub := <-over:
			if running[pub.key] == pub {
				stop(running, pub.key)
			}
		case r := <-p.commands:
			if r.stopAll {
				for k := range running {
					stop(running, k)
				}
				r.answer <- api.Result{OK: true}
				continue
			}
			r.answer <- p.carryOut(ctx, r.command, running, over, &wg)
		}
	}
}

func stop(running map[key]*publication, k key) {
	if pub := running[k]; pub != nil {
		pub.end.Stop()
		pub.cancel()
		delete(running, k)
	}
}

// stream returns a stream of a camera, nil if it has none, and a channel that is closed when the camera stops.
func (p *Publisher) stream(k key) (*streams.Stream, <-chan struct{}) {
	if k.stream == api.StreamSub {
		return p.o.Cameras.SubStream(k.camera)
	}
	return p.o.Cameras.Stream(k.camera)
}

func (p *Publisher) carryOut(ctx context.Context, c api.Command, running map[key]*publication, over chan *publication, wg *sync.WaitGroup) api.Result {
	k := key{camera: c.Device}
	switch c.Kind {
	case api.CommandPublish, api.CommandStop:
	case api.CommandPublishStream, api.CommandStopStream:
		k.stream = c.Stream
	default:
		return refusal("command_unknown", "command", string(c.Kind))
	}
	if c.Kind == api.CommandStop || c.Kind == api.CommandStopStream {
		stop(running, k)
		return api.Result{OK: true}
	}
	if stream, _ := p.o.Cameras.Stream(c.Device); stream == nil {
		return refusal("camera_unknown", "edge", p.o.Edge, "device", c.Device)
	}
	if k.stream != "" && k.stream != api.StreamSub {
		return refusal("command_unknown", "command", string(c.Kind)+" "+k.stream)
	}
	stream, _ := p.stream(k)
	if stream == nil {
		return refusal("camera_without_sub_stream", "device", c.Device)
	}
	if st, _ := p.o.Cameras.Status(c.Device); st.State != devices.Online {
		return api.Result{Cause: devices.NewCause("camera_not_online", "device", c.Device).Because(st.Cause)}
	}
	if cause := stream.Description().NotLive(); !cause.IsZero() {
		return api.Result{Cause: cause}
	}
	// Until is by the hub's clock, and this edge's may be wrong: only the difference counts.
	d := maxPublish
	if !c.Until.IsZero() && !c.Issued.IsZero() {
		d = min(c.Until.Sub(c.Issued), maxPublish)
	}
	if d <= 0 {
		return refusal("command_expired")
	}
	to, err := p.target(k, c)
	if err != nil {
		return refusal("command_failed", "reason", err.Error())
	}
	if pub := running[k]; pub != nil {
		if pub.target.Load().url == to.url {
			pub.target.Store(to)
			pub.end.Reset(d)
			select {
			case pub.again <- struct{}{}:
			default:
			}
			return api.Result{OK: true}
		}
		stop(running, k) // it goes elsewhere
	}
	if len(running) >= maxPublishings {
		return refusal("publications_full", "count", strconv.Itoa(len(running)))
	}
	sending, cancel := context.WithCancel(ctx)
	pub := &publication{key: k, cancel: cancel, again: make(chan struct{}, 1)}
	pub.target.Store(to)
	end := func() {
		select {
		case over <- pub:
		case <-sending.Done():
		}
	}
	pub.end = time.AfterFunc(d, end)
	running[k] = pub
	wg.Add(1)
	go func() {
		defer wg.Done()
		p.send(sending, pub)
		end() // the camera is gone, unless the publication has been stopped
	}()
	return api.Result{OK: true}
}

func refusal(code string, params ...string) api.Result {
	return api.Result{Cause: devices.NewCause(code, params...)}
}

// send publishes a stream until ctx ends or the edge no longer has it. A session that ends is
// followed by another, because the hub has not asked to stop; a refusal that will not change is
// retried more slowly.
func (p *Publisher) send(ctx context.Context, pub *publication) {
	logger := p.o.Logger.With("camera", pub.key.String())
	backoff := retry.Policy{First: time.Second}.New()
	for {
		stream, stopped := p.stream(pub.key)
		if stream == nil {
			return
		}
		to := pub.target.Load()
		began := time.Now()
		err := p.session(ctx, stopped, webrtc.PublishOptions{
			Client: to.client, URL: to.url, Header: to.header, Stream: stream, Logger: logger, Yield: p.o.Yield, Allowance: &p.upload, State: &p.sent,
			Priority: func() int { return p.o.Cameras.Urgency(pub.key.camera) },
		})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRestarted) {
			if !retry.Sleep(ctx, restartPause) {
				return
			}
			continue
		}
		if errors.Is(err, webrtc.ErrCodec) || errors.Is(err, webrtc.ErrBFrames) {
			logger.Warn("live video ended: this stream cannot be published", "error", err)
			return // the hub asks again, and is told why not
		}
		if time.Since(began) > 30*time.Second {
			backoff.Reset()
		}
		var refused *problem.Error
		least := time.Duration(0)
		if errors.As(err, &refused) && refused.Status/100 == 4 {
			least = 5 * time.Second
		}
		logger.Warn("publishing live video failed; it is retried", "error", err)
		if !backoff.WaitAtLeastOr(ctx, least, pub.again) {
			return
		}
	}
}

// errRestarted says that a session ended because its camera has stopped, perhaps to start again.
var errRestarted = errors.New("the camera has stopped")

// session publishes until ctx ends, the session fails or the camera stops.
func (p *Publisher) session(ctx context.Context, stopped <-chan struct{}, o webrtc.PublishOptions) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	watching := make(chan struct{})
	go func() {
		defer close(watching)
		select {
		case <-stopped:
			cancel(errRestarted)
		case <-ctx.Done():
		}
	}()
	err := p.engine.Publish(ctx, o)
	cancel(nil)
	<-watching
	if cause := context.Cause(ctx); errors.Is(cause, errRestarted) {
		return cause
	}
	return err
}
