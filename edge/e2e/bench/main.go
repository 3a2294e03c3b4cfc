// Command bench measures what Gridpost costs on this machine, with its programs as they are
// built, and prints one JSON object: the hub's CPU and memory for relaying live video, the
// worker's CPU for a camera, and the events that the hub commits.
//
// Viewers are real WebRTC clients in a process of their own, so that only the hub's CPU time
// is counted as the hub's. With -viewers N it is that process.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"

	"gridpost/edge/e2e/rig"
)

// machine is where the figures come from.
type machine struct {
	CPU    string `json:"cpu"`
	Cores  int    `json:"cores"`
	Kernel string `json:"kernel"`
	Go     string `json:"go"`
}

// report is what is printed.
type report struct {
	Machine machine         `json:"machine"`
	Relay   relayReport     `json:"relay"`
	Worker  []workerFigure  `json:"worker"`
	Cameras []camerasFigure `json:"cameras,omitempty"`
	Ingest  []ingestFigure  `json:"ingest"`
	Store   []storeFigure   `json:"store"`
	MQTT    []mqttFigure    `json:"mqtt,omitempty"`
	Backlog *backlogFigure  `json:"backlog,omitempty"`
	Thin    []lineFigure    `json:"thin_line,omitempty"`
	Live    []lineFigure    `json:"live_start,omitempty"`
	Clips   []lineFigure    `json:"clips,omitempty"`
}

func main() {
	programs := flag.String("programs", "bin", "folder of edge, hub and worker")
	footage := flag.String("footage", "", "folder of converted footage; a temporary one, if not given")
	viewers := flag.Int("viewers", 0, "be the process of so many viewers of -url, for this command itself")
	url := flag.String("url", "", "WHEP endpoint to view")
	site := flag.String("site", "", "be the process of the thin line's site, with the hub's folder, for this command itself")
	only := flag.String("only", "", "one of relay, worker, cameras, ingest, store, mqtt, backlog, thin, live, clips")
	clips := flag.Int("clips", 0, "clips that wait at that site")
	model := flag.String("model", defaultModel(), "`file` of an object model, for cameras; empty: none")
	counts := flag.String("cameras", "16,32", "`numbers` of cameras, for cameras")
	flag.Parse()
	ctx := rig.UntilSignal(os.Interrupt, syscall.SIGTERM)
	var err error
	if *site != "" {
		err = lineSite(ctx, rig.Programs(*programs), *site, *footage, *clips, os.Stdin, os.Stdout)
	} else if *viewers > 0 {
		err = view(ctx, *viewers, *url, os.Getenv(tokenKey), os.Stdin, os.Stdout)
	} else {
		err = measure(ctx, bench{programs: rig.Programs(*programs), footage: *footage, model: *model, counts: numbers(*counts)}, *only)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// bench is what all measurements share.
type bench struct {
	programs rig.Programs
	model    string // path of an object model; empty: none
	counts   []int  // of cameras
	footage  string // folder
	dir      string // of data and logs
}

func progress(format string, args ...any) { fmt.Fprintf(os.Stderr, format+"\n", args...) }

func measure(ctx context.Context, b bench, only string) (err error) {
	if err := b.programs.Check(); err != nil {
		return err
	}
	if b.dir, err = os.MkdirTemp("", "gridpost-bench-"); err != nil {
		return fmt.Errorf("making a folder: %w", err)
	}
	defer func() {
		if err != nil {
			progress("Data and logs of the programs are in %s", b.dir)
			return
		}
		err = os.RemoveAll(b.dir)
	}()
	if b.footage == "" {
		b.footage = b.dir
	}
	var r report
	if r.Machine, err = describe(); err != nil {
		return err
	}
	for _, part := range []struct {
		name string
		do   func() error
	}{
		{"relay", func() (err error) { r.Relay, err = b.relay(ctx); return err }},
		{"worker", func() (err error) { r.Worker, err = b.worker(ctx); return err }},
		{"cameras", func() (err error) { r.Cameras, err = b.cameras(ctx); return err }},
		{"ingest", func() (err error) { r.Ingest, err = b.ingest(ctx); return err }},
		{"store", func() (err error) { r.Store, err = b.store(ctx); return err }},
		{"mqtt", func() (err error) { r.MQTT, err = b.mqtt(ctx); return err }},
		{"backlog", func() error { f, err := b.backlog(ctx); r.Backlog = &f; return err }},
		{"thin", func() (err error) { r.Thin, err = b.lines(ctx, thinCases()); return err }},
		{"live", func() (err error) { r.Live, err = b.lines(ctx, liveCases()); return err }},
		{"clips", func() (err error) { r.Clips, err = b.lines(ctx, clipCases()); return err }},
	} {
		if only != "" && only != part.name {
			continue
		}
		if err := part.do(); err != nil {
			return fmt.Errorf("measuring %s: %w", part.name, err)
		}
	}
	text, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the figures: %w", err)
	}
	fmt.Println(string(text))
	return nil
}

// describe says what machine this is.
func describe() (m machine, err error) {
	m = machine{Cores: runtime.NumCPU(), Go: runtime.Version(), CPU: runtime.GOARCH}
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return m, fmt.Errorf("looking at the machine: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if key, value, _ := strings.Cut(lines.Text(), ":"); strings.TrimSpace(key) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return m, fmt.Errorf("looking at the kernel: %w", err)
	}
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		m.Kernel += string(rune(c))
	}
	return m, nil
}

func (b bench) newDir() (string, error) {
	dir, err := os.MkdirTemp(b.dir, "")
	if err != nil {
		return "", fmt.Errorf("making a folder: %w", err)
	}
	return dir, nil
}

// withHub runs do with a hub of its own.
func (b bench) withHub(ctx context.Context, do func(h *rig.Hub) error) (err error) {
	dir, err := b.newDir()
	if err != nil {
		return err
	}
	h, err := rig.StartHub(ctx, b.programs, dir)
	if err != nil {
		return err
	}
	defer func() {
		h.Close()
		err = errors.Join(err, h.Stop())
	}()
	return do(h)
}

// withSite runs do with an edge and its cameras.
func (b bench) withSite(ctx context.Context, h *rig.Hub, o rig.SiteOptions, do func(s *rig.Site) error) (err error) {
	o.Dir = h.Dir
	s, err := rig.NewSite(ctx, h, o)
	if err != nil {
		return err
	}
	cameras, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- s.Cameras.Run(cameras) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	if err := s.Start(); err != nil {
		return err
	}
	defer func() { err = errors.Join(err, s.Stop()) }()
	if err := h.AllOnline(ctx, len(o.Cameras), startLimit); err != nil {
		return err
	}
	return do(s)
}
