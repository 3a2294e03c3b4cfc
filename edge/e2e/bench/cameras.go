package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/edge/e2e/rig"
	"gridpost/streams/simcam"
	"gridpost/streams/simcam/footage"
)

const (
	camerasSettle = 20 * time.Second // after which all have learnt the background and the worker's memory is steady
	camerasLimit  = 3 * time.Minute  // until every worker has started
	camerasWindow = 30 * time.Second
)

// camerasFigure is what an edge with many cameras costs. Memory is in MB: the proportional set size, in
// which a page that n processes share counts one nth for each; private is what a process shares with none.
type camerasFigure struct {
	Cameras int    `json:"cameras"`
	Model   string `json:"model,omitempty"`

	EdgeMB           float64 `json:"edge_mb"`
	WorkersMB        float64 `json:"workers_mb"`
	WorkersPrivateMB float64 `json:"workers_private_mb"`
	ModelMB          float64 `json:"model_mb,omitempty"` // of the process with the object model
	TotalMB          float64 `json:"total_mb"`

	LooksMin  float64 `json:"looks_per_second_min"` // of the camera with the fewest: frames analysed, or seen by the model
	LooksMean float64 `json:"looks_per_second_mean"`
	Offline   int     `json:"offline,omitempty"` // cameras that were not online at the end

	EdgeCPU    float64 `json:"edge_cpu_percent"` // of one core
	WorkersCPU float64 `json:"workers_cpu_percent"`
	ModelCPU   float64 `json:"model_cpu_percent,omitempty"`

	Budget      uint64  `json:"budget,omitempty"`             // looks a second over all cameras
	InferenceMS float64 `json:"inference_ms,omitempty"`       // mean time of an inference
	Overhead    float64 `json:"inference_overhead,omitempty"` // its ratio to the bare call of the runtime
}

// cameras measures an edge with 16 and 32 cameras, which have a main stream of 1280x720 and a sub-stream
// of 640x360 in which people walk, without and with an object model.
func (b bench) cameras(ctx context.Context) (all []camerasFigure, err error) {
	main, err := b.video(ctx, footage.Format{Width: 1280, Height: 720, Rate: 10, Bitrate: 2000, Seconds: 40})
	if err != nil {
		return nil, err
	}
	sub, err := b.video(ctx, footage.Format{Width: 640, Height: 360, Rate: 10, Bitrate: 600})
	if err != nil {
		return nil, err
	}
	models := []string{""}
	if b.model == "" {
		progress("Without an object model: -model names one")
	} else {
		models = append(models, b.model)
	}
	for _, n := range b.counts {
		for _, model := range models {
			progress("%d cameras, model %q", n, model)
			f := camerasFigure{Cameras: n, Model: filepath.Base(model)}
			if model == "" {
				f.Model = ""
			}
			if err := b.withHub(ctx, func(h *rig.Hub) error { return b.measureCameras(ctx, h, main, sub, model, &f) }); err != nil {
				return all, err
			}
			all = append(all, f)
		}
	}
	return all, nil
}

// defaultModel returns the object model of the data for tests, if it is there.
func defaultModel() string {
	const path = "../shared/data/nanodet_m_320.onnx"
	if _, err := os.Stat(path); err != nil {
		return ""
	}
	return path
}

// numbers reads a list of numbers with commas between them; what is no number is left out.
func numbers(list string) (all []int) {
	for text := range strings.SplitSeq(list, ",") {
		if n, err := strconv.Atoi(strings.TrimSpace(text)); err == nil && n > 0 {
			all = append(all, n)
		}
	}
	return all
}

// measureCameras runs a site with f.Cameras cameras and fills f in.
func (b bench) measureCameras(ctx context.Context, h *rig.Hub, main, sub, model string, f *camerasFigure) (err error) {
	walkway := rig.Map{
		"name": "walkway", "kind": "zone", "severity": "minor", "for": "2s",
		"polygon": [][2]float64{{0.3, 0.3}, {0.7, 0.3}, {0.7, 0.9}, {0.3, 0.9}},
	}
	o := rig.SiteOptions{Name: "bench", Footage: main, Cameras: map[string][]rig.Map{}}
	if model != "" {
		o.Detection = rig.Map{"model": model}
	}
	var subs []simcam.Camera
	for i := range f.Cameras {
		name := "camera-" + strconv.Itoa(i+1)
		o.Cameras[name] = []rig.Map{walkway}
		subs = append(subs, simcam.Camera{Path: name, File: sub})
	}
	server, err := simcam.NewServer(simcam.Options{Cameras: subs})
	if err != nil {
		return fmt.Errorf("making the sub-streams: %w", err)
	}
	running, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- server.Run(running) }()
	defer func() {
		stop()
		err = errors.Join(err, <-ended)
	}()
	o.Edit = func(document rig.Map) {
		for _, c := range document["cameras"].([]rig.Map) {
			c["detect"] = server.URL(c["name"].(string))
		}
	}
	return b.withSite(ctx, h, o, func(s *rig.Site) error { return f.measure(ctx, s) })
}

// sample is the state of a site's processes at one time.
type sample struct {
	at                    time.Time
	looks                 map[string]uint64 // by camera
	edge, workers, model  time.Duration     // CPU
	inferences, budget    uint64
	inference, runtime    uint64 // ms
	offline               int
	edgePSS, private, pss int64 // of the edge, and of the workers
	modelPSS              int64
}

func (f *camerasFigure) measure(ctx context.Context, s *rig.Site) error {
	if err := rig.Until(ctx, camerasLimit, "all cameras have looks", func(ctx context.Context) error {
		now, err := f.counters(ctx, s)
		if err != nil {
			return err
		}
		for name, n := range now.looks {
			if n == 0 {
				return fmt.Errorf("%s has none: %w", name, rig.ErrNotYet)
			}
		}
		return nil
	}); err != nil {
		return err
	}
	if err := pause(ctx, camerasSettle); err != nil {
		return err
	}
	first, err := f.sample(ctx, s)
	if err != nil {
		return err
	}
	if err := pause(ctx, camerasWindow); err != nil {
		return err
	}
	last, err := f.sample(ctx, s)
	if err != nil {
		return err
	}
	f.fill(first, last)
	return nil
}

func (f *camerasFigure) fill(first, last sample) {
	seconds := last.at.Sub(first.at).Seconds()
	sum := 0.0
	for name, n := range last.looks {
		rate := float64(n-first.looks[name]) / seconds
		sum += rate
		if f.LooksMin == 0 || rate < f.LooksMin {
			f.LooksMin = rate
		}
	}
	f.LooksMin, f.LooksMean = hundredths(f.LooksMin), hundredths(sum/float64(f.Cameras))
	percent := func(d time.Duration) float64 { return round(100 * d.Seconds() / seconds) }
	f.EdgeCPU, f.WorkersCPU, f.ModelCPU = percent(last.edge-first.edge), percent(last.workers-first.workers), percent(last.model-first.model)
	f.EdgeMB, f.WorkersMB, f.WorkersPrivateMB, f.ModelMB = megabytes(last.edgePSS), megabytes(last.pss), megabytes(last.private), megabytes(last.modelPSS)
	f.TotalMB = megabytes(last.edgePSS + last.pss + last.modelPSS)
	f.Offline, f.Budget = last.offline, last.budget
	if n := last.inferences - first.inferences; n > 0 && last.runtime > first.runtime {
		f.InferenceMS = hundredths(float64(last.inference-first.inference) / float64(n))
		f.Overhead = hundredths(float64(last.inference-first.inference) / float64(last.runtime-first.runtime))
	}
}

func hundredths(v float64) float64 { return float64(int(v*100+0.5)) / 100 }

func (f *camerasFigure) sample(ctx context.Context, s *rig.Site) (sample, error) {
	now, err := f.counters(ctx, s)
	if err != nil {
		return now, err
	}
	return now, now.processes(s.PID())
}

// counters returns a sample of what the edge counts.
func (f *camerasFigure) counters(ctx context.Context, s *rig.Site) (now sample, err error) {
	text, err := s.Status(ctx)
	if err != nil {
		return now, err
	}
	var status struct {
		Counters map[string]uint64 `json:"counters"`
		Devices  []struct {
			Name     string            `json:"name"`
			State    devices.State     `json:"state"`
			Counters map[string]uint64 `json:"counters"`
		} `json:"devices"`
	}
	if err := json.Unmarshal(text, &status); err != nil {
		return now, fmt.Errorf("reading the edge's status: %w", err)
	}
	now = sample{at: time.Now(), looks: map[string]uint64{}}
	for _, d := range status.Devices {
		looks := d.Counters["edge_frames_analysed_total"]
		if f.Model != "" {
			looks = d.Counters["edge_looks_total"]
		}
		now.looks[d.Name] = looks
		if d.State != devices.Online {
			now.offline++
		}
	}
	now.budget = status.Counters["edge_model_budget"]
	now.inferences = status.Counters["edge_model_looks_total"]
	now.inference, now.runtime = status.Counters["edge_model_inference_milliseconds_total"], status.Counters["edge_model_runtime_milliseconds_total"]
	return now, nil
}

// processes fills in what the processes of an edge use.
func (now *sample) processes(edge int) (err error) {
	if now.edge, err = rig.CPU(edge); err != nil {
		return err
	}
	if now.edgePSS, _, err = shares(edge); err != nil {
		return err
	}
	pids, err := rig.Children(edge, "worker")
	if err != nil {
		return err
	}
	for _, pid := range pids {
		err := now.worker(pid)
		if _, gone := os.Stat(fmt.Sprintf("/proc/%d", pid)); err != nil && gone == nil {
			return err // processes that draw a snapshot end soon
		}
	}
	return nil
}

// worker adds what a worker, or the process with the object model, uses.
func (now *sample) worker(pid int) error {
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return fmt.Errorf("looking at a worker: %w", err)
	}
	pss, private, err := shares(pid)
	if err != nil {
		return err
	}
	cpu, err := rig.CPU(pid)
	if err != nil {
		return err
	}
	if bytes.HasSuffix(cmdline, []byte("\x00infer\x00")) {
		now.modelPSS, now.model = pss, cpu
		return nil
	}
	now.pss, now.private, now.workers = now.pss+pss, now.private+private, now.workers+cpu
	return nil
}

// shares returns the proportional set size and the private memory of a process in bytes
// (proc_pid_smaps(5)).
func shares(pid int) (pss, private int64, err error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, 0, fmt.Errorf("reading the memory of process %d: %w", pid, err)
	}
	for line := range bytes.Lines(text) {
		fields := bytes.Fields(line)
		if len(fields) < 2 {
			continue
		}
		kB, _ := strconv.ParseInt(string(fields[1]), 10, 64) // the first line is an address range
		switch string(fields[0]) {
		case "Pss:":
			pss = kB << 10
		case "Private_Clean:", "Private_Dirty:":
			private += kB << 10
		}
	}
	return pss, private, nil
}
