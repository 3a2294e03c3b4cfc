package main

import (
	"context"
	"fmt"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/streams/simcam/footage"
)

const workerWindow = 20 * time.Second

// workerFigure is what looking at one camera costs.
type workerFigure struct {
	Camera     string  `json:"camera"`
	CPUPercent float64 `json:"worker_cpu_percent"` // of one core
	ResidentMB float64 `json:"worker_resident_mb"`
	EdgeCPU    float64 `json:"edge_cpu_percent"` // of one core: receiving, tracking and rules of the same camera
}

// worker measures the worker of one camera, where nothing happens and where people walk.
func (b bench) worker(ctx context.Context) (all []workerFigure, err error) {
	for _, c := range []struct {
		name   string
		format footage.Format
	}{
		{"quiet, 768x576, 10 frames/s", footage.Format{Still: true, Seconds: 40}},
		{"busy, 768x576, 10 frames/s", footage.Format{}},
		{"busy, 1920x1080, 25 frames/s, 4 Mbit/s", footage.Format{Width: 1920, Height: 1080, Rate: 25, Bitrate: 4000, Seconds: 40}},
	} {
		file, err := b.video(ctx, c.format)
		if err != nil {
			return nil, err
		}
		progress("Looking at a camera: %s", c.name)
		f := workerFigure{Camera: c.name}
		if err := b.withHub(ctx, func(h *rig.Hub) error { return b.measureWorker(ctx, h, file, &f) }); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (b bench) measureWorker(ctx context.Context, h *rig.Hub, file string, f *workerFigure) error {
	anywhere := rig.Map{
		"name": "anywhere", "kind": "zone", "severity": "minor", "for": "1s",
		"polygon": [][2]float64{{0, 0}, {1, 0}, {1, 1}, {0, 1}},
	}
	site := rig.SiteOptions{Name: "bench", Footage: file, Cameras: map[string][]rig.Map{"main": {anywhere}}}
	return b.withSite(ctx, h, site, func(s *rig.Site) error {
		pids, err := rig.Children(s.PID(), "worker")
		if err != nil || len(pids) != 1 {
			return fmt.Errorf("looking for the worker: %v, %w", pids, err)
		}
		if err := pause(ctx, 5*time.Second); err != nil { // it has learnt the background
			return err
		}
		cpu := func() (worker, edge time.Duration, err error) {
			if worker, err = rig.CPU(pids[0]); err != nil {
				return 0, 0, err
			}
			edge, err = rig.CPU(s.PID())
			return worker, edge, err
		}
		worker0, edge0, err := cpu()
		if err != nil {
			return err
		}
		began := time.Now()
		if err := pause(ctx, workerWindow); err != nil {
			return err
		}
		worker1, edge1, err := cpu()
		if err != nil {
			return err
		}
		seconds := time.Since(began).Seconds()
		f.CPUPercent = round(100 * (worker1 - worker0).Seconds() / seconds)
		f.EdgeCPU = round(100 * (edge1 - edge0).Seconds() / seconds)
		resident, err := rig.Resident(pids[0])
		f.ResidentMB = megabytes(resident)
		return err
	})
}
