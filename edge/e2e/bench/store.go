package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/google/uuid"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/edge/internal/store"
)

const (
	storeWindow  = 3 * time.Second
	storeBatch   = 500 // readings in one call, as many as the sensors' component collects at most
	storeCallers = 16
)

// storeFigure is what the edge's store commits.
type storeFigure struct {
	What      string  `json:"what"`
	Callers   int     `json:"callers"`
	Batch     int     `json:"per_call"`
	PerSecond float64 `json:"committed_per_s"`
	Bar       float64 `json:"bar_per_s,omitempty"` // least that is expected
}

// syncs measures what the disk itself can do: the bound of everything that is durable one by one.
func (b bench) syncs(ctx context.Context) (f storeFigure, err error) {
	dir, err := b.newDir()
	if err != nil {
		return f, err
	}
	file, err := os.Create(filepath.Join(dir, "syncs"))
	if err != nil {
		return f, fmt.Errorf("measuring the disk: %w", err)
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	page := make([]byte, 4096)
	began, n := time.Now(), 0
	for ; time.Since(began) < storeWindow && ctx.Err() == nil; n++ {
		if _, err := file.WriteAt(page, int64(n%256)*4096); err != nil {
			return f, fmt.Errorf("measuring the disk: %w", err)
		}
		if err := unix.Fdatasync(int(file.Fd())); err != nil {
			return f, fmt.Errorf("measuring the disk: %w", err)
		}
	}
	return storeFigure{What: "pages, by the disk itself", Callers: 1, Batch: 1, PerSecond: round(float64(n) / time.Since(began).Seconds())}, ctx.Err()
}

// store measures incidents, each on the disk before the next, and readings in batches. The data
// directory is on the disk that holds temporary files.
func (b bench) store(ctx context.Context) (all []storeFigure, err error) {
	disk, err := b.syncs(ctx)
	if err != nil {
		return nil, err
	}
	all = append(all, disk)
	for _, f := range []storeFigure{
		{What: "incidents", Callers: 1, Batch: 1, Bar: 2000},
		{What: "incidents", Callers: storeCallers, Batch: 1},
		{What: "readings", Callers: 1, Batch: storeBatch, Bar: 50_000},
	} {
		progress("Saving %s in the edge's store, %d callers, %d in a call", f.What, f.Callers, f.Batch)
		if f.PerSecond, err = b.saving(ctx, f); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (b bench) saving(ctx context.Context, f storeFigure) (perSecond float64, err error) {
	dir, err := b.newDir()
	if err != nil {
		return 0, err
	}
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return 0, fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	began := time.Now()
	counts := make([]int, f.Callers)
	g, ctx := errgroup.WithContext(ctx)
	for i := range counts {
		g.Go(func() error {
			for n := 0; time.Since(began) < storeWindow; n += f.Batch {
				if err := save(ctx, s, f, n); err != nil {
					return err
				}
				counts[i] = n + f.Batch
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return 0, err
	}
	total := 0
	for _, n := range counts {
		total += n
	}
	return round(float64(total) / time.Since(began).Seconds()), nil
}

func save(ctx context.Context, s *store.Store, f storeFigure, n int) error {
	if f.What == "incidents" {
		return s.SaveIncidents(ctx, []detection.Incident{openIncident("yard", time.Now())})
	}
	return s.SaveReadings(ctx, levels("river", time.Now(), n, f.Batch))
}

// openIncident returns an incident that opens now.
func openIncident(device string, now time.Time) detection.Incident {
	value, limit := 3.0, 2.0
	return detection.Incident{
		ID: uuid.Must(uuid.NewV7()).String(), Device: device, Rule: "flood", Kind: detection.Above, Severity: detection.Severe,
		State: detection.Open, Opened: now, Updated: now, Version: 1, Value: &value, Limit: &limit, Unit: "m", Count: 1,
	}
}

// levels returns readings whose values are n, n+1, ..., a millisecond apart.
func levels(device string, first time.Time, n, count int) []devices.Reading {
	all := make([]devices.Reading, count)
	for i := range all {
		all[i] = devices.Reading{Device: device, Time: first.Add(time.Duration(n+i) * time.Millisecond), Value: float64(n + i), Unit: "m", Quality: devices.Good}
	}
	return all
}
