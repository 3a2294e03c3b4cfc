package app

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/hub/api"
	"gridpost/streams/webrtc"
)

// Bounds of a publication.
const (
	maxPublish     = time.Hour // also when the hub names no end, so that a lost stop costs little
	maxPublishings = 16        // at a time: an uplink has its limits too
)

// publisher sends cameras' main streams to the hub while the hub wants them.
type publisher struct {
	edge   *edge
	engine *webrtc.Engine
	client func() (*http.Client, error) // that speaks to the hub
	asks   chan ask
}

// ask is a command on its way to run.
type ask struct {
	command api.Command
	answer  chan api.Result // room for one
}

// publication is a stream that the hub wants. It belongs to run's goroutine.
type publication struct {
	cancel context.CancelFunc
	end    *time.Timer
}

func newPublisher(e *edge) (*publisher, error) {
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Logger: e.o.Logger})
	if err != nil {
		return nil, fmt.Errorf("starting WebRTC: %w", err)
	}
	return &publisher{edge: e, engine: engine, client: e.link.client, asks: make(chan ask)}, nil
}

// command carries out a command of the hub. It returns as soon as the command is under way.
func (p *publisher) command(ctx context.Context, c api.Command) api.Result {
	a := ask{command: c, answer: make(chan api.Result, 1)}
	select {
	case p.asks <- a:
		return <-a.answer
	case <-ctx.Done():
		return refusal("the edge is stopping")
	}
}

// run owns the publications. They have all ended when it returns.
func (p *publisher) run(ctx context.Context) error {
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
			p.edge.o.Logger.Warn("closing WebRTC", "error", err)
		}
	}()
	for {
		select {
		case <-ctx.Done():
			return nil
		case device := <-over:
			stop(running, device)
		case a := <-p.asks:
			a.answer <- p.carryOut(ctx, a.command, running, over, &wg)
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

func (p *publisher) carryOut(ctx context.Context, c api.Command, running map[string]*publication, over chan string, wg *sync.WaitGroup) api.Result {
	cam := p.camera(c.Device)
	switch {
	case cam == nil:
		return refusal(fmt.Sprintf("%s has no camera %s", p.edge.o.Document.Edge, c.Device))
	case c.Kind == api.CommandStop:
		stop(running, c.Device)
		return api.Result{OK: true}
	case c.Kind != api.CommandPublish:
		return refusal(fmt.Sprintf("this edge does not know the command %q", c.Kind))
	}
	if st, _ := p.edge.board.get(c.Device); st.State != devices.Online {
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
	client, err := p.client()
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
		p.send(sending, cam, client)
	}()
	return api.Result{OK: true}
}

func refusal(text string) api.Result { return api.Result{Cause: devices.Cause{Text: text}} }

func (p *publisher) camera(name string) *camera {
	for _, c := range p.edge.cameras {
		if c.name == name {
			return c
		}
	}
	return nil
}

// send publishes a camera until ctx ends. A session that dies is followed by another, because
// the hub has not said stop; a refusal that will not change is waited out longer.
func (p *publisher) send(ctx context.Context, c *camera, client *http.Client) {
	url := strings.TrimSuffix(p.edge.o.Document.Hub.URL, "/") + "/whip/" + p.edge.o.Document.Edge + "/" + c.name
	for wait := time.Second; ; wait = min(2*wait, 30*time.Second) {
		began := time.Now()
		err := p.engine.Publish(ctx, webrtc.PublishOptions{Client: client, URL: url, Stream: c.stream, Logger: c.logger})
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
		c.logger.Warn("the live picture's way to the hub broke off; it is tried again", "error", err, "in", wait)
		if !sleep(ctx, wait) {
			return
		}
	}
}
