// Package publish sends the live video of cameras to the hub while the hub wants it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"strconv"
	"strings"
	"sync"
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
	// Status returns a device's state.
	Status(device string) (devices.Status, bool)
}

// Publisher sends cameras' main streams to the hub while the hub wants them.
type Publisher struct {
	o        Options
	engine   *webrtc.Engine
	commands chan request
}

// request is a command on its way to Run.
type request struct {
	command api.Command
	stopAll bool            // not a command of the hub
	answer  chan api.Result // room for one
}

// publication is a stream that the hub wants. It belongs to Run's goroutine.
type publication struct {
	device string
	cancel context.CancelFunc
	end    *time.Timer
}

// New returns a Publisher. Run closes it.
func New(o Options) (*Publisher, error) {
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Logger: o.Logger})
	if err != nil {
		return nil, fmt.Errorf("starting WebRTC: %w", err)
	}
	return &Publisher{o: o, engine: engine, commands: make(chan request)}, nil
}

// Command carries out a command of the hub. It returns as soon as the command is under way.
func (p *Publisher) Command(ctx context.Context, c api.Command) api.Result {
	return p.request(ctx, request{command: c, answer: make(chan api.Result, 1)})
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
	running := map[string]*publication{}
	over := make(chan *publication) // one that has reached its end
	var wg sync.WaitGroup
	defer func() {
		for _, pub := range running {
			pub.end.Stop()
			pub.cancel()
		}
		wg.Wait()
		if err := p.engine.Close(); err != nil {
			p.o.Logger.Warn("closing WebRTC", "error", err)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case pub := <-over:
			if running[pub.device] == pub {
				stop(running, pub.device)
			}
		case r := <-p.commands:
			if r.stopAll {
				for device := range running {
					stop(running, device)
				}
				r.answer <- api.Result{OK: true}
				continue
			}
			r.answer <- p.carryOut(ctx, r.command, running, over, &wg)
		}
	}
}

func stop(running map[string]*publication, device string) {
	if pub := running[device]; pub != nil {
		pub.end.Stop()
		pub.cancel()
		delete(running, device)
	}
}

func (p *Publisher) carryOut(ctx context.Context, c api.Command, running map[string]*publication, over chan *publication, wg *sync.WaitGroup) api.Result {
	stream, _ := p.o.Cameras.Stream(c.Device)
	switch {
	case c.Kind == api.CommandStop:
		stop(running, c.Device)
		return api.Result{OK: true}
	case stream == nil:
		return refusal("camera_unknown", "edge", p.o.Edge, "device", c.Device)
	case c.Kind != api.CommandPublish:
		return refusal("command_unknown", "command", string(c.Kind))
	}
	if st, _ := p.o.Cameras.Status(c.Device); st.State != devices.Online {
		return api.Result{Cause: devices.NewCause("camera_not_online", "device", c.Device).Because(st.Cause)}
	}
	// Until is by the hub's clock, and this edge's may be wrong: only the difference counts.
	d := maxPublish
	if !c.Until.IsZero() && !c.Issued.IsZero() {
		d = min(c.Until.Sub(c.Issued), maxPublish)
	}
	if d <= 0 {
		return refusal("command_expired")
	}
	if pub := running[c.Device]; pub != nil {
		pub.end.Reset(d)
		return api.Result{OK: true}
	}
	if len(running) >= maxPublishings {
		return refusal("publications_full", "count", strconv.Itoa(len(running)))
	}
	client, err := p.o.Hub.Client()
	if err != nil {
		return refusal("command_failed", "reason", err.Error())
	}
	sending, cancel := context.WithCancel(ctx)
	pub := &publication{device: c.Device, cancel: cancel}
	end := func() {
		select {
		case over <- pub:
		case <-sending.Done():
		}
	}
	pub.end = time.AfterFunc(d, end)
	running[c.Device] = pub
	wg.Add(1)
	go func() {
		defer wg.Done()
		p.send(sending, c.Device, client)
		end() // the camera is gone, unless the publication has been stopped
	}()
	return api.Result{OK: true}
}

func refusal(code string, params ...string) api.Result {
	return api.Result{Cause: devices.NewCause(code, params...)}
}

// send publishes a camera until ctx ends or the edge no longer has the camera. A session that ends is
// followed by another, because the hub has not asked to stop; a refusal that will not change is
// retried more slowly.
func (p *Publisher) send(ctx context.Context, camera string, client *http.Client) {
	url := strings.TrimSuffix(p.o.Hub.URL(), "/") + "/whip/" + p.o.Edge + "/" + camera
	logger := p.o.Logger.With("camera", camera)
	backoff := retry.Policy{First: time.Second}.New()
	for {
		stream, stopped := p.o.Cameras.Stream(camera)
		if stream == nil {
			return
		}
		began := time.Now()
		err := p.session(ctx, stopped, webrtc.PublishOptions{Client: client, URL: url, Stream: stream, Logger: logger, Yield: p.o.Yield})
		if ctx.Err() != nil {
			return
		}
		if errors.Is(err, errRestarted) {
			if !retry.Sleep(ctx, restartPause) {
				return
			}
			continue
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
		if !backoff.WaitAtLeast(ctx, least) {
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
