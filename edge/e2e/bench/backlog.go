package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"gridpost/detection"
	"gridpost/edge/e2e/faults"
	"gridpost/edge/e2e/rig"
	"gridpost/edge/internal/store"
)

const (
	backlogReadings  = 1_000_000
	backlogIncidents = 1_000
	backlogDevices   = 10
	backlogLimit     = 15 * time.Minute
)

// backlogFigure is how an edge delivers what waited while the hub was away.
type backlogFigure struct {
	Readings       int     `json:"readings"`
	Incidents      int     `json:"incidents"`
	IncidentsS     float64 `json:"incidents_delivered_s"` // from the line's return until the hub had all of them
	IncidentsBarS  float64 `json:"incidents_bar_s"`
	ReadingsS      float64 `json:"readings_delivered_s"`
	ReadingsPerS   float64 `json:"readings_per_s"`
	EdgePeakMB     float64 `json:"edge_peak_mb"` // VmHWM of the edge, to the end
	EdgePeakBarMB  float64 `json:"edge_peak_bar_mb"`
	HubPeakMB      float64 `json:"hub_peak_mb"`
	FillReadingsPS float64 `json:"stored_readings_per_s"` // while the backlog was made
}

// backlog puts a million readings and a thousand incidents into an edge's store, starts the edge
// without a line to its hub, gives it the line, and waits until the hub has everything.
func (b bench) backlog(ctx context.Context) (f backlogFigure, err error) {
	f = backlogFigure{Readings: backlogReadings, Incidents: backlogIncidents, IncidentsBarS: 5, EdgePeakBarMB: 150}
	err = b.withHub(ctx, func(h *rig.Hub) (err error) {
		line, err := faults.NewLine(h.EdgeURL()[len("https://"):], nil)
		if err != nil {
			return err
		}
		defer line.Close()
		o := rig.SiteOptions{Name: "bench", Dir: h.Dir, HubURL: "https://" + line.Address(), Sensors: map[string][]rig.Map{}}
		for i := range backlogDevices {
			o.Sensors[level(i)] = nil
		}
		site, err := rig.NewSite(ctx, h, o)
		if err != nil {
			return err
		}
		line.Set(faults.Cut, false)
		progress("Storing %d readings and %d incidents on an edge", f.Readings, f.Incidents)
		if err := f.fill(ctx, site.Data()); err != nil {
			return err
		}
		if err := site.Start(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, site.Stop()) }()
		if err := pause(ctx, 5*time.Second); err != nil { // it runs, and has failed to reach the hub
			return err
		}
		progress("Giving the edge its line")
		line.Set(faults.Pass, true)
		return f.follow(ctx, h, site)
	})
	return f, err
}

func level(i int) string { return fmt.Sprintf("level-%d", i) }

// fill writes the backlog with the edge's own store, while no edge runs.
func (f *backlogFigure) fill(ctx context.Context, dir string) (err error) {
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	began := time.Now()
	first := began.Add(-2 * time.Hour)
	for n := 0; n < f.Readings; n += storeBatch {
		// A million readings of ten devices: 100 seconds' worth of milliseconds for each.
		device := n / storeBatch % backlogDevices
		if err := s.SaveReadings(ctx, levels(level(device), first, n, storeBatch)); err != nil {
			return fmt.Errorf("storing readings: %w", err)
		}
	}
	f.FillReadingsPS = round(float64(f.Readings) / time.Since(began).Seconds())
	for n := range f.Incidents {
		if err := s.SaveIncidents(ctx, []detection.Incident{openIncident(level(n%backlogDevices), time.Now())}); err != nil {
			return fmt.Errorf("storing incidents: %w", err)
		}
	}
	return nil
}

// follow watches the hub until it has everything.
func (f *backlogFigure) follow(ctx context.Context, h *rig.Hub, site *rig.Site) error {
	began := time.Now()
	err := rig.Until(ctx, backlogLimit, "the incidents", func(ctx context.Context) error {
		all, err := h.Incidents(ctx)
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		if len(all) < f.Incidents {
			return fmt.Errorf("%w: %d of %d", rig.ErrNotYet, len(all), f.Incidents)
		}
		return nil
	})
	if err != nil {
		return err
	}
	f.IncidentsS = round(time.Since(began).Seconds())
	progress("The hub has the incidents after %.2f s", f.IncidentsS)
	// Readings are counted only where the last of them may have arrived: counting costs the hub.
	for device := range backlogDevices {
		next := time.Unix(0, 0)
		got := 0
		err := rig.Until(ctx, backlogLimit, "the readings of "+level(device), func(ctx context.Context) (err error) {
			got, next, err = countReadings(ctx, h, level(device), got, next)
			if err != nil {
				return errors.Join(rig.ErrNotYet, err)
			}
			if got < f.Readings/backlogDevices {
				return fmt.Errorf("%w: %d of %d", rig.ErrNotYet, got, f.Readings/backlogDevices)
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	f.ReadingsS = round(time.Since(began).Seconds())
	f.ReadingsPerS = round(float64(f.Readings) / time.Since(began).Seconds())
	edge, err := rig.PeakResident(site.PID())
	if err != nil {
		return err
	}
	hub, err := rig.PeakResident(h.PID())
	f.EdgePeakMB, f.HubPeakMB = megabytes(edge), megabytes(hub)
	return err
}

// countReadings goes on counting the readings that the hub has of a device, from a time on.
func countReadings(ctx context.Context, h *rig.Hub, device string, got int, from time.Time) (int, time.Time, error) {
	const most = 10_000
	for {
		var page struct {
			Readings []struct {
				Time time.Time `json:"time"`
			} `json:"readings"`
		}
		path := fmt.Sprintf("/api/v1/devices/bench/%s/readings?limit=%d&from=%s", device, most, from.UTC().Format(time.RFC3339Nano))
		if err := h.Get(ctx, path, &page); err != nil {
			return got, from, err
		}
		if n := len(page.Readings); n > 0 {
			got += n
			from = page.Readings[n-1].Time.Add(time.Millisecond)
		}
		if len(page.Readings) < most {
			return got, from, nil
		}
	}
}
