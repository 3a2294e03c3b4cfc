// Package connect tries every camera and every broker of a document, as `edge check --connect` does, and says what
// works and what does not.
//
// It uses the same code as the running edge and may run beside it: it disturbs neither the edge's sessions with brokers
// nor its stored data. Most cameras serve several viewers; one that does not says so.
package connect

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/streams"
	"gridpost/streams/rtsp/compat"

	firmwareconfig "gridpost/firmware-config"
)

// Options of Run. The zero value of a field takes its default.
type Options struct {
	AtOnce  int           // connections tried at a time; default 8
	Wait    time.Duration // for the first frame of a camera; default 45 s
	Measure time.Duration // of a camera's stream, at most; default 12 s

	// Progress receives a line or more for each connection as soon as it has been tried; nil: nothing.
	Progress io.Writer

	logins *compat.Logins // shared, because several streams of a camera have one account
}

func (o Options) withDefaults() Options {
	if o.AtOnce <= 0 {
		o.AtOnce = 8
	}
	if o.Wait <= 0 {
		o.Wait = 45 * time.Second
	}
	if o.Measure <= 0 {
		o.Measure = 12 * time.Second
	}
	if o.Progress == nil {
		o.Progress = io.Discard
	}
	o.logins = &compat.Logins{}
	return o
}

// Report is what was found, in the order of the document.
type Report struct {
	Cameras []Camera `json:"cameras"`
	Brokers []Broker `json:"brokers"`
}

// Camera is one stream of a camera.
type Camera struct {
	Camera  string         `json:"camera"`
	Stream  string         `json:"stream"`  // main or detect
	Address string         `json:"address"` // without user, password and query
	OK      bool           `json:"ok"`
	Cause   *devices.Cause `json:"cause,omitempty"` // why it does not work

	Transport   string          `json:"transport,omitempty"`     // tcp or udp
	RoundTripMS float64         `json:"round_trip_ms,omitempty"` // the fastest request
	Codec       streams.Codec   `json:"codec,omitempty"`
	Width       int             `json:"width,omitempty"` // pixels
	Height      int             `json:"height,omitempty"`
	Audio       streams.Codec   `json:"audio,omitempty"`
	FrameRate   float64         `json:"frame_rate,omitempty"`       // frames/s
	KeyframeS   float64         `json:"keyframe_seconds,omitempty"` // from keyframe to keyframe; 0: only one was seen
	BitRate     float64         `json:"bit_rate,omitempty"`         // bit/s of the video
	MeasuredS   float64         `json:"measured_seconds,omitempty"`
	LostPackets uint64          `json:"lost_packets,omitempty"`
	Remarks     []devices.Cause `json:"remarks,omitempty"` // what is left out, and what outputs cannot carry
	Repairs     []string        `json:"repairs,omitempty"` // what was left out of the camera's descriptions, or repaired
	Advice      string          `json:"advice,omitempty"`  // lines for the document
}

// Broker is one broker.
type Broker struct {
	Broker    string         `json:"broker"`
	Address   string         `json:"address"`
	OK        bool           `json:"ok"`
	Cause     *devices.Cause `json:"cause,omitempty"`
	ConnectMS float64        `json:"connect_ms,omitempty"` // to connect, log in and subscribe
	Filters   int            `json:"filters"`              // topics subscribed to
	Messages  int            `json:"messages"`             // that arrived while it was tried, retained ones included
}

// Counts returns how many connections were tried, and how many of them do not work.
func (r Report) Counts() (all, bad int) {
	for _, c := range r.Cameras {
		if !c.OK {
			bad++
		}
	}
	for _, b := range r.Brokers {
		if !b.OK {
			bad++
		}
	}
	return len(r.Cameras) + len(r.Brokers), bad
}

// Run tries everything that doc names. It returns when all has been tried, or with ctx's error when ctx ends.
func Run(ctx context.Context, doc *firmwareconfig.Document, o Options) (Report, error) {
	o = o.withDefaults()
	r := Report{Cameras: []Camera{}, Brokers: []Broker{}}
	for _, c := range doc.Cameras {
		r.Cameras = append(r.Cameras, Camera{Camera: c.Name, Stream: "main", Address: show(c.URL.URL())})
		if !c.Detect.IsZero() {
			r.Cameras = append(r.Cameras, Camera{Camera: c.Name, Stream: "detect", Address: show(c.Detect.URL())})
		}
	}
	for _, b := range doc.MQTT.Brokers {
		r.Brokers = append(r.Brokers, Broker{Broker: b.Source(), Address: b.URL.Host})
	}
	all, _ := r.Counts()
	p := &progress{out: o.Progress, all: all}
	p.print(fmt.Sprintf("trying %d connections, %v each at most", all, o.Wait+o.Measure))

	slots := make(chan struct{}, o.AtOnce)
	var trying sync.WaitGroup
	try := func(f func() []string) {
		trying.Go(func() {
			select {
			case slots <- struct{}{}:
			case <-ctx.Done():
				return
			}
			defer func() { <-slots }()
			if lines := f(); ctx.Err() == nil {
				p.done(lines)
			}
		})
	}
	n := 0
	for _, c := range doc.Cameras {
		addresses := streamsOf(c)
		for _, address := range addresses {
			into := &r.Cameras[n]
			n++
			try(func() []string {
				tryCamera(ctx, c, address, o, into)
				return into.lines()
			})
		}
	}
	for i, b := range doc.MQTT.Brokers {
		into := &r.Brokers[i]
		try(func() []string {
			tryBroker(ctx, b, doc.Filters(b.Source()), into)
			return into.lines()
		})
	}
	trying.Wait()
	if err := ctx.Err(); err != nil {
		return r, err
	}
	return r, p.err
}

// progress prints what has been tried, one connection at a time.
type progress struct {
	mu    sync.Mutex
	out   io.Writer
	all   int
	tried int
	err   error // the first of writing
}

func (p *progress) print(line string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.write(line)
}

// done prints the lines of one connection.
func (p *progress) done(lines []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tried++
	for i, line := range lines {
		if i == 0 {
			line = fmt.Sprintf("[%d/%d] %s", p.tried, p.all, line)
		} else {
			line = "      " + line
		}
		p.write(line)
	}
}

// write writes a line. mu is held.
func (p *progress) write(line string) {
	if _, err := fmt.Fprintln(p.out, line); err != nil && p.err == nil {
		p.err = fmt.Errorf("reporting: %w", err)
	}
}
