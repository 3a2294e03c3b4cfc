package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api"
	"gridpost/streams/simcam/footage"
	"gridpost/streams/webrtc"
)

const (
	thinAlerts  = 20
	thinEvery   = 3 * time.Second
	thinLast    = time.Minute // that the last alert may take
	thinNetwork = "gridpost-thin"
	thinHub     = "10.203.57.1"
	thinEdge    = "10.203.57.2"
)

// thinFigure is how fast alerts are on a thin line that is full of live video.
type thinFigure struct {
	Line      string  `json:"line"`
	Camera    string  `json:"camera"`
	Alerts    int     `json:"alerts"`
	Delivered int     `json:"delivered"`
	P50       float64 `json:"alert_s_p50"` // from the sensor's message to the event of the hub's live stream
	P95       float64 `json:"alert_s_p95"`
	Max       float64 `json:"alert_s_max"`
	BarP95    float64 `json:"bar_s_p95"`
	VideoKbit float64 `json:"video_kbit_per_s"` // that reached the viewer
	Frames    int64   `json:"video_frames"`
}

// published is a line of the site's process: an alert's value and when its message was published.
type published struct {
	Value float64 `json:"value"`
	At    int64   `json:"at"` // nanoseconds since 1970, by the clock of this machine
}

// thin measures alerts over 64 kbit/s with a live view open. The edge has a network namespace of
// its own, with its camera and its sensor; only the line to the hub is thin. It needs root.
func (b bench) thin(ctx context.Context) (f thinFigure, err error) {
	f = thinFigure{Camera: "H.264 1280x720, 25 frames/s, 2 Mbit/s", Alerts: thinAlerts, BarP95: 10}
	file, err := b.video(ctx, footage.Format{Width: 1280, Height: 720, Rate: 25, Bitrate: 2000, Seconds: 40})
	if err != nil {
		return f, err
	}
	dir, err := b.newDir()
	if err != nil {
		return f, err
	}
	if err := run(ctx, "ip netns add "+thinNetwork); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, run(context.WithoutCancel(ctx), "ip netns del "+thinNetwork)) }()
	for _, c := range []string{
		"ip link add gp-thin-hub type veth peer name gp-thin-edge netns " + thinNetwork,
		"ip addr add " + thinHub + "/30 dev gp-thin-hub", "ip link set gp-thin-hub up",
		"ip -n " + thinNetwork + " addr add " + thinEdge + "/30 dev gp-thin-edge",
		"ip -n " + thinNetwork + " link set gp-thin-edge up", "ip -n " + thinNetwork + " link set lo up",
	} {
		if err := run(ctx, c); err != nil {
			return f, err
		}
	}
	h, err := rig.StartHubWith(ctx, b.programs, dir, rig.HubOptions{Host: thinHub})
	if err != nil {
		return f, err
	}
	defer func() {
		h.Close()
		err = errors.Join(err, h.Stop())
	}()
	return f, b.thinWith(ctx, h, file, &f)
}

// run runs a command of iproute2.
func run(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// narrow makes both directions of the line thin. netem adds the delay; a kernel without it has
// only the delay of the queue.
func narrow(ctx context.Context) (line string, err error) {
	ends := []string{"tc qdisc add dev gp-thin-hub root ", "tc -n " + thinNetwork + " qdisc add dev gp-thin-edge root "}
	line = "64 kbit/s, 50 ms delay (netem)"
	for _, end := range ends {
		if err = run(ctx, end+"netem delay 25ms rate 64kbit limit 40"); err != nil {
			break
		}
	}
	if err == nil {
		return line, nil
	}
	line = "64 kbit/s, queue of up to 400 ms (tbf; this kernel has no netem)"
	for _, end := range ends {
		if err = run(ctx, end+"tbf rate 64kbit burst 1600 latency 400ms"); err != nil {
			return line, err
		}
	}
	return line, nil
}

func (b bench) thinWith(ctx context.Context, h *rig.Hub, file string, f *thinFigure) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", thinNetwork, self, "-site", h.Dir, "-footage", file, "-programs", string(b.programs))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	defer func() {
		err = errors.Join(err, in.Close()) // the site ends with its input
		err = errors.Join(err, cmd.Wait())
	}()
	if err := h.AllOnline(ctx, 2, startLimit); err != nil {
		return err
	}
	if f.Line, err = narrow(ctx); err != nil {
		return err
	}
	progress("The line is now %s; opening a live view and %d alerts", f.Line, thinAlerts)
	return f.measure(ctx, h, in, out)
}

// measure lets the site publish, and times each alert.
func (f *thinFigure) measure(ctx context.Context, h *rig.Hub, in io.Writer, out io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var bytes, frames atomic.Int64
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer stop()
	tasks.Go(func() { keepViewing(ctx, h, &bytes, &frames) })
	var mu sync.Mutex
	arrived := map[string]time.Time{} // by value
	opened := make(chan struct{})
	tasks.Go(func() {
		_ = h.Stream(ctx, func() error { close(opened); return nil }, func(e rig.Event) error { // it ends with ctx
			var inc api.Incident
			if e.Name != api.ChangeIncident || json.Unmarshal(e.Data, &inc) != nil || inc.Value == nil {
				return nil
			}
			mu.Lock()
			defer mu.Unlock()
			if id := fmt.Sprint(*inc.Value); arrived[id].IsZero() {
				arrived[id] = e.Arrived
			}
			return nil
		})
	})
	<-opened
	began := time.Now()
	if err := pause(ctx, 5*time.Second); err != nil { // the video has filled the line
		return err
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		return fmt.Errorf("starting the alerts: %w", err)
	}
	var sent []published
	for lines := bufio.NewScanner(out); len(sent) < thinAlerts && lines.Scan(); {
		var p published
		if err := json.Unmarshal(lines.Bytes(), &p); err != nil {
			return fmt.Errorf("reading what the site published: %w", err)
		}
		sent = append(sent, p)
	}
	latencies := func() (all []float64) {
		mu.Lock()
		defer mu.Unlock()
		for _, p := range sent {
			if at, ok := arrived[fmt.Sprint(p.Value)]; ok {
				all = append(all, at.Sub(time.Unix(0, p.At)).Seconds())
			}
		}
		return all
	}
	err := rig.Until(ctx, thinLast, "the last alert", func(context.Context) error {
		if n := len(latencies()); n < len(sent) {
			return fmt.Errorf("%w: %d of %d", rig.ErrNotYet, n, len(sent))
		}
		return nil
	})
	if err != nil {
		progress("%v", err)
	}
	f.VideoKbit, f.Frames = round(float64(bytes.Load())*8/1000/time.Since(began).Seconds()), frames.Load()
	all := latencies()
	slices.Sort(all)
	f.Delivered = len(all)
	if len(all) > 0 {
		f.P50, f.Max = round(all[len(all)/2]), round(all[len(all)-1])
		f.P95 = round(all[int(math.Ceil(float64(len(all))*0.95))-1])
	}
	return nil
}

// keepViewing plays the camera, again and again if need be: on such a line a view may break.
func keepViewing(ctx context.Context, h *rig.Hub, bytes, frames *atomic.Int64) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
		if err == nil {
			_, err = engine.Play(ctx, webrtc.PlayOptions{
				URL: h.URL + "/whep/thin/main?reason=bench", Header: http.Header{"Authorization": {"Bearer " + h.Token}}, Client: client,
				OnPacket: func(p webrtc.Packet) { bytes.Add(int64(len(p.Payload))) },
				OnFrame:  func(webrtc.Frame) { frames.Add(1) },
			})
			err = errors.Join(err, engine.Close())
		}
		if err != nil && ctx.Err() == nil {
			progress("the live view ended: %v", err)
		}
		_ = pause(ctx, 2*time.Second) // its end is seen above
	}
}

// thinSite is the process of the site: an edge, its camera and its sensor. It publishes after the
// first line of in and ends with in.
func thinSite(ctx context.Context, programs rig.Programs, hub, file string, in io.Reader, out io.Writer) (err error) {
	h, err := rig.AttachHub(programs, hub)
	if err != nil {
		return err
	}
	flood := rig.Map{"name": "flood", "kind": "above", "value": 2, "clear": 1, "severity": "severe"}
	site, err := rig.NewSite(ctx, h, rig.SiteOptions{
		Name: "thin", Dir: hub, Footage: file, Cameras: map[string][]rig.Map{"main": nil}, Sensors: map[string][]rig.Map{"river": {flood}},
	})
	if err != nil {
		return err
	}
	playing, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- site.Cameras.Run(playing) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	if err := site.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, site.Stop()) }()
	river, err := site.Sensor("river")
	if err != nil {
		return err
	}
	defer river.Close()
	if err := river.Publish(ctx, 0.5); err != nil {
		return err
	}
	lines := bufio.NewScanner(in)
	if !lines.Scan() {
		return lines.Err()
	}
	to := json.NewEncoder(out)
	for n := range thinAlerts {
		p := published{Value: 3 + float64(n)/100, At: time.Now().UnixNano()}
		if err := river.Publish(ctx, p.Value); err != nil {
			return err
		}
		if err := to.Encode(p); err != nil {
			return fmt.Errorf("writing what was published: %w", err)
		}
		if err := pause(ctx, thinEvery); err != nil {
			return err
		}
		if err := river.Publish(ctx, 0.5); err != nil {
			return err
		}
	}
	for lines.Scan() { // until the end
	}
	return lines.Err()
}
