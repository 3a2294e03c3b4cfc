// Package replay runs the rules of a camera over a video file, in the file's own time and as fast as
// the worker can analyse it.
//
// It uses the tracker and the rules of the daemon, so that a rule can be tried before it is used;
// the same file and document give the same lines every time. It needs no hub and stores nothing. The video has
// no time of day: all rules are active, unless it is said when it begins.
package replay

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/supervisor"
	"gridpost/detection/track"
	"gridpost/detection/wire"

	firmwareconfig "gridpost/firmware-config"
)

// line is what is written about an incident, as one JSON object per line.
type line struct {
	Event     string              `json:"event"` // opened or closed
	Rule      string              `json:"rule"`
	Camera    string              `json:"camera"`
	T         float64             `json:"t"` // seconds of the video
	Class     string              `json:"class"`
	Direction detection.Direction `json:"direction,omitempty"` // line rules
	Box       *detection.Box      `json:"box,omitempty"`       // fractions of the frame
}

// Options are what a replay needs.
type Options struct {
	Document *firmwareconfig.Document
	Camera   string
	Video    string    // path of the file
	Worker   string    // path of the worker's program
	Start    time.Time // when the video begins, for the schedules of rules; zero: they do not count
	Out      io.Writer
}

// Run writes a line to Out for each incident that opens or closes when the rules that the document has for the
// camera judge the video file. There is no line for incidents that are open when the file ends. Run blocks until
// the file or ctx ends.
func Run(ctx context.Context, o Options) error {
	p, err := newPlayer(o)
	if err != nil {
		return fmt.Errorf("replaying %s: %w", o.Video, err)
	}
	doc, video := o.Document, o.Video
	cfg := wire.Config{
		Model: doc.Detection.Model, Labels: doc.Detection.Labels, Rate: doc.Detection.Rate,
		Limits: wire.Limits{Memory: uint64(doc.Detection.Memory * (1 << 20))},
	}
	if err := supervisor.RunFile(ctx, o.Worker, cfg, video, p.result); err != nil {
		return fmt.Errorf("replaying %s: %w", video, err)
	}
	if p.frames == 0 {
		return fmt.Errorf("replaying %s: it has no frame that can be decoded", video)
	}
	return nil
}

// player passes the worker's results to tracker and rules.
type player struct {
	camera  string
	start   time.Time // of the video
	tracker *track.Tracker
	engine  *rules.Engine
	out     *json.Encoder
	frames  int
}

func newPlayer(o Options) (*player, error) {
	doc, camera := o.Document, o.Camera
	i := slices.IndexFunc(doc.Cameras, func(c firmwareconfig.Camera) bool { return c.Name == camera })
	if i < 0 {
		names := make([]string, len(doc.Cameras))
		for i, c := range doc.Cameras {
			names[i] = c.Name
		}
		if len(names) == 0 {
			return nil, errors.New("the document has no camera")
		}
		return nil, fmt.Errorf("the document has no camera %q, only %s", camera, strings.Join(names, ", "))
	}
	specs := slices.Clone(doc.Cameras[i].Rules)
	if o.Start.IsZero() {
		o.Start = time.Unix(0, 0)
		for i := range specs {
			specs[i].Schedule = nil
		}
	}
	var minted int
	engine, err := rules.NewEngine(camera, specs, func() string {
		minted++
		return strconv.Itoa(minted) // not written, and the same every time
	})
	if err != nil {
		return nil, err
	}
	return &player{camera: camera, start: o.Start, tracker: track.New(track.Options{}), engine: engine, out: json.NewEncoder(o.Out)}, nil
}

func (p *player) result(r wire.Result) error {
	p.frames++
	f := r.Frame
	f.Time = p.start.Add(f.PTS)
	alerts := p.engine.Tick(f.Time)
	if r.Analysed {
		alerts = append(alerts, p.engine.Frame(f, p.tracker.Update(f))...)
	}
	if r.Sample != nil {
		alerts = append(alerts, p.engine.Sample(f.Time, r.Sample)...)
	}
	slices.SortStableFunc(alerts, func(a, b detection.Incident) int { return cmp.Compare(p.when(a), p.when(b)) })
	for _, inc := range alerts {
		if err := p.print(inc); err != nil {
			return err
		}
	}
	return nil
}

func (p *player) print(inc detection.Incident) error {
	l := line{Rule: inc.Rule, Camera: p.camera, T: round(p.when(inc), 1000), Class: inc.Class, Direction: inc.Direction}
	switch {
	case inc.State == detection.Closed:
		l.Event = "closed"
	case inc.Version == 1:
		l.Event = "opened"
	default:
		return nil // a change
	}
	if b := inc.Box; b != nil {
		l.Box = &detection.Box{X: round(b.X, 1e4), Y: round(b.Y, 1e4), W: round(b.W, 1e4), H: round(b.H, 1e4)}
	}
	if err := p.out.Encode(l); err != nil {
		return fmt.Errorf("writing an incident: %w", err)
	}
	return nil
}

// when returns the time of an alert's event, in seconds of the video.
func (p *player) when(inc detection.Incident) float64 {
	t := inc.Opened
	if inc.State == detection.Closed {
		t = inc.Closed
	}
	return t.Sub(p.start).Seconds()
}

// round rounds v to a multiple of 1/steps. It never returns a negative zero.
func round(v, steps float64) float64 { return math.Round(v*steps)/steps + 0 }
