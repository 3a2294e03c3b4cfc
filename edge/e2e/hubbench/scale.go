package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"gridpost/devices/retry"
	"gridpost/edge/e2e/rig"
)

const asks = 200 // of each kind of request

// scaleFigure is how fast a hub answers that has a year of a town in its database.
type scaleFigure struct {
	Engine    string `json:"engine"`
	Incidents int    `json:"incidents"`
	Readings  int    `json:"readings"`
	Devices   int    `json:"devices"`

	SeedSeconds  float64           `json:"seed_s"`
	StartSeconds float64           `json:"start_s"` // from the order to start until /readyz
	Requests     map[string]spread `json:"requests"`
	ResidentB    int64             `json:"hub_resident_b"`

	Pruned       float64 `json:"pruned_rows"`          // while alerts were committed
	WhilePruning spread  `json:"alert_while_pruning"`  // from an edge's request to its acknowledgement
	Slow         float64 `json:"deletions_over_50_ms"` // of all transactions that delete, with their commit
	Others       float64 `json:"other_transactions"`   // of the same minutes
	OthersSlow   float64 `json:"others_over_50_ms"`    // mostly the disk's time for a commit: these write little
	Transactions float64 `json:"deletions"`
}

// measureScale fills a database, starts a hub on it and asks what people ask.
func measureScale(ctx context.Context, o options, e engine) (f scaleFigure, err error) {
	f = scaleFigure{Engine: e.name, Incidents: o.incidents, Readings: o.readings, Devices: o.devices, Requests: map[string]spread{}}
	h, err := rig.StartHubWith(ctx, o.programs, e.dir, rig.HubOptions{Database: e.url})
	if err != nil {
		return f, err
	}
	defer h.Kill()
	t, err := enrolTown(ctx, h, e.dir, 1, []string{h.EdgeURL()})
	if err != nil {
		return f, err
	}
	defer t.close()
	if err := t.introduce(ctx); err != nil {
		return f, err
	}
	if err := h.Stop(); err != nil {
		return f, err
	}
	progress("%s: writing %d incidents, %d readings, %d devices", e.name, o.incidents, o.readings, o.devices)
	began := time.Now()
	if err := seed(ctx, o, e, h.Data()); err != nil {
		return f, err
	}
	f.SeedSeconds = time.Since(began).Seconds()
	began = time.Now()
	if err := h.Start(ctx); err != nil {
		return f, err
	}
	f.StartSeconds = time.Since(began).Seconds()
	if err := f.ask(ctx, h); err != nil {
		return f, err
	}
	if f.ResidentB, err = rig.Resident(h.PID()); err != nil {
		return f, err
	}
	return f, f.prune(ctx, o, e, h, t)
}

// seed runs the program that fills a database; it knows the tables.
func seed(ctx context.Context, o options, e engine, data string) error {
	args := []string{"--data", data, "--incidents", strconv.Itoa(o.incidents), "--readings", strconv.Itoa(o.readings), "--devices", strconv.Itoa(o.devices)}
	if e.url != "" {
		args = append(args, "--database", e.url)
	}
	out, err := exec.CommandContext(ctx, o.programs.Path("hubseed"), args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("filling the database: %w: %s", err, out)
	}
	return nil
}

// ask measures each kind of request, one at a time, as the hub's page makes them.
func (f *scaleFigure) ask(ctx context.Context, h *rig.Hub) error {
	var page struct {
		Incidents []struct {
			ID     string `json:"id"`
			Edge   string `json:"edge"`
			Device string `json:"device"`
		} `json:"incidents"`
	}
	if err := h.Get(ctx, "/api/v1/incidents?limit=200", &page); err != nil {
		return err
	}
	if len(page.Incidents) == 0 {
		return fmt.Errorf("the hub lists no incident")
	}
	r := rand.New(rand.NewPCG(1, 2))
	some := func(all ...string) string { return all[r.IntN(len(all))] }
	since := func() string {
		return time.Now().Add(-time.Duration(r.IntN(300*24)) * time.Hour).UTC().Format(time.RFC3339)
	}
	edgeName := func() string { return fmt.Sprintf("seed-%d", r.IntN(100)+1) }
	// Every other device of an edge is a sensor, from the second on.
	sensor := func() string { return fmt.Sprintf("%s/device-%d", edgeName(), 2*(r.IntN(max(1, f.Devices/200))+1)) }
	list := "/api/v1/incidents?limit=50"
	for name, path := range map[string]func() string{
		"list":                   func() string { return list },
		"list_open":              func() string { return list + "&state=" + some("open", "acknowledged", "unclosed") },
		"list_closed":            func() string { return list + "&state=closed" },
		"list_severity":          func() string { return list + "&severity=" + some("minor", "moderate", "severe", "extreme") },
		"list_edge":              func() string { return list + "&edge=" + edgeName() },
		"list_edge_severity":     func() string { return list + "&edge=" + edgeName() + "&severity=" + some("minor", "extreme") },
		"list_edge_kind":         func() string { return list + "&edge=" + edgeName() + "&kind=" + some("zone", "above") },
		"list_site_outcome":      func() string { return list + "&site=" + edgeName() + "&outcome=" + some("false_alarm", "handed_on") },
		"list_state_severity":    func() string { return list + "&state=closed&severity=" + some("minor", "extreme") },
		"list_since":             func() string { return list + "&since=" + since() },
		"list_since_edge_closed": func() string { return list + "&state=closed&edge=" + edgeName() + "&since=" + since() },
		"list_severities_closed": func() string {
			return list + "&state=closed&severity=" + some("severe,extreme", "minor,extreme", "moderate,severe")
		},
		"list_outcome":        func() string { return list + "&outcome=" + some("false_alarm", "handed_on", "other") },
		"list_outcome_edge":   func() string { return list + "&outcome=" + some("false_alarm", "handed_on") + "&edge=" + edgeName() },
		"list_outcome_device": func() string { return list + "&outcome=" + some("false_alarm", "handed_on") + "&device=" + sensor() },
		"list_assignee":       func() string { return list + "&state=closed&assignee=" + some("li.wei", "user-1", "user-21") },
		"list_oldest":         func() string { return list + "&order=asc&since=" + since() },
		"list_by_severity":    func() string { return list + "&state=closed&sort=severity&order=" + some("asc", "desc") },
		"list_by_state":       func() string { return list + "&sort=state&order=" + some("asc", "desc") },
		"list_by_device":      func() string { return list + "&state=closed&sort=device&order=" + some("asc", "desc") },
		"list_by_device_edge": func() string { return list + "&state=closed&sort=device&edge=" + edgeName() },
		"list_by_device_since": func() string {
			return list + "&state=closed&sort=device&since=" + since()
		},
		"search_closed_by_severity": func() string {
			return list + "&state=closed&sort=severity&q=" + url.QueryEscape(some("smoke", "crossing", "水位"))
		},
		"list_grouped": func() string { return list + "&grouped=true" },
		"search": func() string {
			return list + "&q=" + url.QueryEscape(some("smoke", "river", "crossing", "水位", "fallen tree"))
		},
		"search_rare": func() string { return list + "&q=" + url.QueryEscape(fmt.Sprintf("serial%d", r.IntN(1000))) },
		"incident":    func() string { return "/api/v1/incidents/" + page.Incidents[r.IntN(len(page.Incidents))].ID },
		"nearby":      func() string { return "/api/v1/nearby?incident=" + page.Incidents[r.IntN(len(page.Incidents))].ID },
		"nearby_place": func() string {
			return fmt.Sprintf("/api/v1/nearby?lat=%f&lon=%f", 30.8+r.Float64()/5, 120.8+r.Float64()/5)
		},
		"devices":            func() string { return "/api/v1/devices?edge=" + edgeName() },
		"device_series_hour": func() string { return "/api/v1/series?of=" + sensor() },
		"device_series_week": func() string {
			return "/api/v1/series?of=" + sensor() + "&from=" + url.QueryEscape(time.Now().Add(-7*24*time.Hour+time.Minute).UTC().Format(time.RFC3339))
		},
		"device_readings": func() string { return "/api/v1/devices/" + sensor() + "/readings" },
		"device_incidents": func() string {
			i := page.Incidents[r.IntN(len(page.Incidents))]
			return list + "&edge=" + i.Edge + "&device=" + i.Device
		},
		"audit": func() string { return "/api/v1/audit?limit=50" },
	} {
		var times samples
		for range asks {
			p := path()
			began := time.Now()
			status, body, err := h.Do(ctx, http.MethodGet, p, nil)
			if err != nil {
				return err
			}
			if status != http.StatusOK {
				return fmt.Errorf("%s: status %d: %s", p, status, body)
			}
			times.add(time.Since(began))
		}
		f.Requests[name] = times.spread()
		progress("%s: %-24s p95 %.1f ms", f.Engine, name, f.Requests[name].P95)
	}
	return nil
}

// prune starts the hub anew with half the retention, and commits incidents while it deletes what has expired.
func (f *scaleFigure) prune(ctx context.Context, o options, e engine, h *rig.Hub, t *town) error {
	if err := h.Stop(); err != nil {
		return err
	}
	h.Config = filepath.Join(e.dir, "hub.yml")
	if err := os.WriteFile(h.Config, []byte("retention:\n  readings: 15d\n  incidents: 180d\n"), 0o600); err != nil {
		return fmt.Errorf("configuring the hub: %w", err)
	}
	if err := h.Start(ctx); err != nil {
		return err
	}
	progress("%s: %s of retention beside alerts", e.name, o.pruning)
	var acks samples
	for end := time.Now().Add(o.pruning); time.Now().Before(end) && retry.Sleep(ctx, 50*time.Millisecond); {
		began := time.Now()
		if err := t.edges[0].incident(ctx); err != nil {
			return err
		}
		acks.add(time.Since(began))
	}
	f.WhilePruning = acks.spread()
	var err error
	if f.Pruned, err = h.Sum(ctx, "gridpost_hub_retention_deleted_rows_total"); err != nil {
		return err
	}
	count := func(labels ...string) (all, slow float64, err error) {
		if all, err = h.Sum(ctx, "gridpost_hub_transaction_seconds_count", labels...); err != nil {
			return 0, 0, err
		}
		fast, err := h.Sum(ctx, "gridpost_hub_transaction_seconds_bucket", append(labels, `le="0.05"`)...)
		return all, all - fast, err
	}
	if f.Transactions, f.Slow, err = count(`transaction="delete_`); err != nil {
		return err
	}
	f.Others, f.OthersSlow, err = count()
	f.Others, f.OthersSlow = f.Others-f.Transactions, f.OthersSlow-f.Slow
	return err
}

// newFolder makes a folder that others may enter: a server of PostgreSQL runs as a user of its own.
func newFolder(path string) (string, error) {
	if err := os.MkdirAll(path, 0o755); err != nil {
		return "", fmt.Errorf("making a folder: %w", err)
	}
	return path, nil
}
