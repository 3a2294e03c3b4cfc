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
	"strconv"
	"strings"
	"sync"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
	"gridpost/streams/simcam/footage"
	"gridpost/streams/webrtc"
)

const (
	lineAlerts  = 20
	lineCameras = 4 // of the site
	alertEvery  = 3 * time.Second
	alertLast   = time.Minute // that the last alert may take
	lineNetwork = "gridpost-line"
	lineHub     = "10.203.57.1"
	lineEdge    = "10.203.57.2"

	viewFor   = 8 * time.Second  // where views are opened again and again
	viewPause = 12 * time.Second // longer than the hub keeps what nobody views: the next view starts at the camera
)

// lineCase is a line that live video and alerts share.
type lineCase struct {
	rate   string // as tc writes it
	video  footage.Format
	views  int     // cameras that are viewed at the same time; 0: one
	reopen bool    // views are opened again and again
	clips  int     // that wait on the edge; nobody views then, and the line is thin from the start
	alert  float64 // bar: p95 of the alerts, seconds
	first  float64 // bar: p95 of the first frame, seconds; 0: none
}

// thinCases are lines that carry less than a main stream. The second camera's keyframes pass.
func thinCases() []lineCase {
	return []lineCase{
		{rate: "64kbit", video: footage.Format{Width: 1280, Height: 720, Rate: 25, Bitrate: 2000, Seconds: 40}, alert: 10},
		{rate: "64kbit", video: footage.Format{Width: 320, Height: 180, Rate: 5, Bitrate: 40, Seconds: 40}, alert: 10},
	}
}

// liveCases are lines that carry the stream, but not a burst.
func liveCases() []lineCase {
	video := footage.Format{Width: 1280, Height: 720, Rate: 25, Bitrate: 2000, Seconds: 40}
	return []lineCase{
		{rate: "4mbit", video: video, reopen: true, alert: 1, first: 1},
		{rate: "4mbit", video: video, views: lineCameras, alert: 1},
	}
}

// lineFigure is how fast alerts and first frames are on a line with live video.
type lineFigure struct {
	Line      string  `json:"line"`
	Camera    string  `json:"camera"`
	Alerts    int     `json:"alerts"`
	Delivered int     `json:"delivered"`
	P50       float64 `json:"alert_s_p50"` // from the sensor's message to the event of the hub's live stream
	P95       float64 `json:"alert_s_p95"`
	Max       float64 `json:"alert_s_max"`
	BarP95    float64 `json:"bar_alert_s_p95"`
	VideoKbit float64 `json:"video_kbit_per_s"` // that reached the viewer
	Frames    int     `json:"video_frames"`

	Clips     int     `json:"clips,omitempty"`            // that wait on the edge, 1 MiB each
	ClipsKbit float64 `json:"clips_kbit_per_s,omitempty"` // that the hub received of them meanwhile

	Views    int     `json:"views"`                       // that were opened
	FirstP50 float64 `json:"first_frame_s_p50,omitempty"` // from asking to the first whole keyframe, of views that had one
	FirstP95 float64 `json:"first_frame_s_p95,omitempty"`
	BarFirst float64 `json:"bar_first_frame_s_p95,omitempty"`

	// What the hub sent to viewers, whose sockets have the system's default buffers.
	Packets       float64 `json:"viewer_packets"`
	Retransmitted float64 `json:"viewer_packets_sent_again"`
}

// published is a line of the site's process: an alert's value and when its message was published.
type published struct {
	Value float64 `json:"value"`
	At    int64   `json:"at"` // nanoseconds since 1970, by the clock of this machine
}

// lines measures alerts, and first frames of views, over lines with live video. The edge has a network
// namespace of its own, with its camera and its sensor; only the line to the hub is thin. It needs root.
func (b bench) lines(ctx context.Context, cases []lineCase) (figures []lineFigure, err error) {
	for _, c := range cases {
		f, err := b.line(ctx, c)
		if err != nil {
			return figures, err
		}
		figures = append(figures, f)
	}
	return figures, nil
}

func (b bench) line(ctx context.Context, c lineCase) (f lineFigure, err error) {
	f = lineFigure{Alerts: lineAlerts, BarP95: c.alert, BarFirst: c.first, Clips: c.clips}
	f.Camera = fmt.Sprintf("H.264 %dx%d, %d frames/s, %d kbit/s", c.video.Width, c.video.Height, c.video.Rate, c.video.Bitrate)
	file, err := b.video(ctx, c.video)
	if err != nil {
		return f, err
	}
	dir, err := b.newDir()
	if err != nil {
		return f, err
	}
	if err := run(ctx, "ip netns add "+lineNetwork); err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, run(context.WithoutCancel(ctx), "ip netns del "+lineNetwork)) }()
	for _, command := range []string{
		"ip link add gp-line-hub type veth peer name gp-line-edge netns " + lineNetwork,
		"ip addr add " + lineHub + "/30 dev gp-line-hub", "ip link set gp-line-hub up",
		"ip -n " + lineNetwork + " addr add " + lineEdge + "/30 dev gp-line-edge",
		"ip -n " + lineNetwork + " link set gp-line-edge up", "ip -n " + lineNetwork + " link set lo up",
	} {
		if err := run(ctx, command); err != nil {
			return f, err
		}
	}
	h, err := rig.StartHubWith(ctx, b.programs, dir, rig.HubOptions{Host: lineHub})
	if err != nil {
		return f, err
	}
	defer func() {
		h.Close()
		err = errors.Join(err, h.Stop())
	}()
	return f, b.lineWith(ctx, h, file, c, &f)
}

// lineCamera returns the name of a camera of the site.
func lineCamera(n int) string {
	if n == 0 {
		return "main"
	}
	return "main" + strconv.Itoa(n+1)
}

// run runs a command of iproute2.
func run(ctx context.Context, line string) error {
	words := strings.Fields(line)
	if out, err := exec.CommandContext(ctx, words[0], words[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", line, err, strings.TrimSpace(string(out)))
	}
	return nil
}

// narrow bounds both directions of the line. netem adds a delay; a kernel without it has only the delay
// of the queue.
func narrow(ctx context.Context, rate string) (line string, err error) {
	ends := []string{"tc qdisc add dev gp-line-hub root ", "tc -n " + lineNetwork + " qdisc add dev gp-line-edge root "}
	line = rate + "/s, 50 ms delay (netem)"
	for _, end := range ends {
		if err = run(ctx, end+"netem delay 25ms limit 40 rate "+rate); err != nil {
			break
		}
	}
	if err == nil {
		return line, nil
	}
	line = rate + "/s, queue of up to 400 ms (tbf; this kernel has no netem)"
	for _, end := range ends {
		if err = run(ctx, end+"tbf burst 1600 latency 400ms rate "+rate); err != nil {
			return line, err
		}
	}
	return line, nil
}

func (b bench) lineWith(ctx context.Context, h *rig.Hub, file string, c lineCase, f *lineFigure) (err error) {
	self, err := os.Executable()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	cmd := exec.CommandContext(ctx, "ip", "netns", "exec", lineNetwork, self, "-site", h.Dir, "-footage", file, "-programs", string(b.programs), "-clips", strconv.Itoa(c.clips))
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	if c.clips > 0 {
		if f.Line, err = narrow(ctx, c.rate); err != nil {
			return err
		}
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting the site: %w", err)
	}
	defer func() {
		err = errors.Join(err, in.Close()) // the site ends with its input
		err = errors.Join(err, cmd.Wait())
	}()
	if err := h.AllOnline(ctx, lineCameras+1, startLimit); err != nil {
		return err
	}
	if c.clips == 0 {
		if f.Line, err = narrow(ctx, c.rate); err != nil {
			return err
		}
	}
	progress("The line is now %s; %d views, %d clips and %d alerts", f.Line, c.viewers(), c.clips, lineAlerts)
	return f.measure(ctx, h, c, in, out)
}

// viewers returns how many cameras are viewed.
func (c lineCase) viewers() int {
	if c.clips > 0 {
		return 0
	}
	return max(c.views, 1)
}

// measure lets the site publish, and times each alert.
func (f *lineFigure) measure(ctx context.Context, h *rig.Hub, c lineCase, in io.Writer, out io.Reader) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	var views lineViews
	var tasks sync.WaitGroup
	defer tasks.Wait()
	defer stop()
	for n := range c.viewers() {
		tasks.Go(func() { views.keep(ctx, h, lineCamera(n), c.reopen) })
	}
	var mu sync.Mutex
	arrived := map[string]time.Time{} // by value
	opened := make(chan struct{})
	tasks.Go(func() {
		_ = h.Stream(ctx, func() error { close(opened); return nil }, func(e rig.Event) error { // it ends with ctx
			var inc public.Incident
			if e.Name != public.ChangeIncident || json.Unmarshal(e.Data, &inc) != nil || inc.Value == nil {
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
	received := func() (float64, error) { return h.Metric(ctx, "gridpost_hub_evidence_bytes_total") }
	before, err := received()
	if err != nil {
		return err
	}
	began := time.Now()
	if err := pause(ctx, 5*time.Second); err != nil { // the video has filled the line
		return err
	}
	if _, err := io.WriteString(in, "go\n"); err != nil {
		return fmt.Errorf("starting the alerts: %w", err)
	}
	var sent []published
	for lines := bufio.NewScanner(out); len(sent) < lineAlerts && lines.Scan(); {
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
	err = rig.Until(ctx, alertLast, "the last alert", func(context.Context) error {
		if n := len(latencies()); n < len(sent) {
			return fmt.Errorf("%w: %d of %d", rig.ErrNotYet, n, len(sent))
		}
		return nil
	})
	if err != nil {
		progress("%v", err)
	}
	views.count(f, time.Since(began))
	after, err := received()
	if err != nil {
		return err
	}
	f.ClipsKbit = round((after - before) * 8 / 1000 / time.Since(began).Seconds())
	if err := f.countPackets(ctx, h); err != nil {
		return err
	}
	all := latencies()
	slices.Sort(all)
	f.Delivered = len(all)
	if len(all) > 0 {
		f.P50, f.P95, f.Max = round(all[len(all)/2]), round(p95(all)), round(all[len(all)-1])
	}
	return nil
}

// p95 returns the 95th percentile of sorted values, of which there is one at least.
func p95(sorted []float64) float64 {
	return sorted[int(math.Ceil(float64(len(sorted))*0.95))-1]
}

// lineViews counts what the views of a line got.
type lineViews struct {
	mu     sync.Mutex
	bytes  int
	frames int
	views  int
	first  []float64 // seconds
}

// keep views the camera, again and again if need be: on such a line a view may break.
func (v *lineViews) keep(ctx context.Context, h *rig.Hub, camera string, reopen bool) {
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	wait := 2 * time.Second
	if reopen {
		wait = viewPause
	}
	for ctx.Err() == nil {
		if err := v.view(ctx, h, client, camera, reopen); err != nil && ctx.Err() == nil {
			progress("the live view ended: %v", err)
		}
		_ = pause(ctx, wait) // its end is seen above
	}
}

// view views once: for viewFor, or until ctx ends.
func (v *lineViews) view(ctx context.Context, h *rig.Hub, client *http.Client, camera string, reopen bool) error {
	if reopen {
		var cancel func()
		ctx, cancel = context.WithTimeout(ctx, viewFor)
		defer cancel()
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		return err
	}
	began, seen := time.Now(), false
	v.mu.Lock()
	v.views++
	v.mu.Unlock()
	_, err = engine.Play(ctx, webrtc.PlayOptions{
		URL: h.URL + "/whep/thin/" + camera + "?reason=bench", Header: http.Header{"Authorization": {"Bearer " + h.Token}}, Client: client,
		OnPacket: func(p webrtc.Packet) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.bytes += len(p.Payload)
		},
		OnFrame: func(f webrtc.Frame) {
			v.mu.Lock()
			defer v.mu.Unlock()
			v.frames++
			if f.Keyframe && f.Complete && !seen {
				seen = true
				v.first = append(v.first, f.At.Sub(began).Seconds())
			}
		},
	})
	return errors.Join(err, engine.Close())
}

// count writes what the views got within d.
func (v *lineViews) count(f *lineFigure, d time.Duration) {
	v.mu.Lock()
	defer v.mu.Unlock()
	f.VideoKbit, f.Frames, f.Views = round(float64(v.bytes)*8/1000/d.Seconds()), v.frames, v.views
	if slices.Sort(v.first); len(v.first) > 0 {
		f.FirstP50, f.FirstP95 = round(v.first[len(v.first)/2]), round(p95(v.first))
	}
}

// countPackets reads from the hub's metrics what it has sent to viewers.
func (f *lineFigure) countPackets(ctx context.Context, h *rig.Hub) error {
	for name, to := range map[string]*float64{"gridpost_hub_relay_out_packets_total": &f.Packets, "gridpost_hub_relay_retransmitted_total": &f.Retransmitted} {
		value, err := h.Metric(ctx, name)
		if err != nil {
			return err
		}
		*to = value
	}
	return nil
}

// lineSite is the process of the site: an edge, its camera and its sensor. It publishes after the
// first line of in and ends with in.
func lineSite(ctx context.Context, programs rig.Programs, hub, file string, clips int, in io.Reader, out io.Writer) (err error) {
	h, err := rig.AttachHub(programs, hub)
	if err != nil {
		return err
	}
	flood := rig.Map{"name": "flood", "kind": "above", "value": 2, "clear": 1, "severity": "severe"}
	cameras := map[string][]rig.Map{}
	for n := range lineCameras {
		cameras[lineCamera(n)] = nil
	}
	site, err := rig.NewSite(ctx, h, rig.SiteOptions{
		Name: "thin", Dir: hub, Footage: file, Cameras: cameras, Sensors: map[string][]rig.Map{"river": {flood}},
	})
	if err != nil {
		return err
	}
	if err := fillClips(ctx, site.Data(), clips); err != nil {
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
	for n := range lineAlerts {
		p := published{Value: 3 + float64(n)/100, At: time.Now().UnixNano()}
		if err := river.Publish(ctx, p.Value); err != nil {
			return err
		}
		if err := to.Encode(p); err != nil {
			return fmt.Errorf("writing what was published: %w", err)
		}
		if err := pause(ctx, alertEvery); err != nil {
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
