// Package publish sends the live video of cameras to the hub while the hub wants it.
package publish

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
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
)

// Options are what a Publisher needs.
type Options struct {
	Hub    string                                     // URL of the hub's edge port
	Edge   string                                     // name of this edge
	Client func() (*http.Client, error)               // returns the client that speaks to the hub
	Stream func(camera string) *streams.Stream        // returns a camera's main stream, or nil
	Status func(device string) (devices.Status, bool) // returns a device's state
	Logger *slog.Logger
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
	answer  chan api.Result // room for one
}

// publication is a stream that the hub wants. It belongs to Run's goroutine.
type publication struct {
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
	r := request{command: c, answer: make(chan api.Result, 1)}
	select {
	case p.commands <- r:
		return <-r.answer
	case <-ctx.Done():
		return refusal("the edge is stopping")
	}
}

// Run owns the publications. They have all ended when it returns.
func (p *Publisher) Run(ctx context.Context) error {
	running := map[string]*publication{}
	over := make(chan string) // a publication that has reached its end
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
		case device := <-over:
			stop(running, device)
		case r := <-p.commands:
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

func (p *Publisher) carryOut(ctx context.Context, c api.Command, running map[string]*publication, over chan string, wg *sync.WaitGroup) api.Result {
	stream := p.o.Stream(c.Device)
	switch {
	case stream == nil:
		return refusal(fmt.Sprintf("%s has no camera %s", p.o.Edge, c.Device))
	case c.Kind == api.CommandStop:
		stop(running, c.Device)
		return api.Result{OK: true}
	case c.Kind != api.CommandPublish:
		return refusal(fmt.Sprintf("this edge does not know the command %q", c.Kind))
	}
	if st, _ := p.o.Status(c.Device); st.State != devices.Online {
		return refusal(fmt.Sprintf("%s is %s: %s", c.Device, st.State, st.Cause))
	}
	// Until is by the hub's clock, and this edge's may be wrong: only the difference counts.
	d := maxPublish
	if !c.Until.IsZero() && !c.Issued.IsZero() {
		d = min(c.Until.Sub(c.Issued), maxPublish)
	}
	if d <= 0 {
		return refusal("the command was over before it came")
	}
	if pub := running[c.Device]; pub != nil {
		pub.end.Reset(d)
		return api.Result{OK: true}
	}
	if len(running) >= maxPublishings {
		return refusal(fmt.Sprintf("this edge already sends %d cameras, and no more at a time", len(running)))
	}
	client, err := p.o.Client()
	if err != nil {
		return refusal(err.Error())
	}
	sending, cancel := context.WithCancel(ctx)
	running[c.Device] = &publication{cancel: cancel, end: time.AfterFunc(d, func() {
		select {
		case over <- c.Device:
		case <-sending.Done():
		}
	})}
	wg.Add(1)
	go func() {
		defer wg.Done()
		p.send(sending, c.Device, stream, client)
	}()
	return api.Result{OK: true}
}

func refusal(text string) api.Result { return api.Result{Cause: devices.Cause{Text: text}} }

// send publishes a camera until ctx ends. A session that dies is followed by another, because
// the hub has not said stop; a refusal that will not change is waited out longer.
func (p *Publisher) send(ctx context.Context, camera string, stream *streams.Stream, client *http.Client) {
	url := strings.TrimSuffix(p.o.Hub, "/") + "/whip/" + p.o.Edge + "/" + camera
	logger := p.o.Logger.With("camera", camera)
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		began := time.Now()
		err := p.engine.Publish(ctx, webrtc.PublishOptions{Client: client, URL: url, Stream: stream, Logger: logger})
		if ctx.Err() != nil {
			return
		}
		if time.Since(began) > 30*time.Second {
			wait = time.Second
		}
		var refused *problem.Error
		if errors.As(err, &refused) && refused.Status/100 == 4 {
			wait = max(wait, 5*time.Second)
		}
		logger.Warn("publishing live video failed; it is retried", "error", err, "in", wait)
		if !retry.Sleep(ctx, wait) {
			return
		}
	}
}
