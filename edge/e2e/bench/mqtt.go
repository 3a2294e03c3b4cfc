package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/devices/mqtt/mosquitto"
	"gridpost/edge/e2e/faults"
	"gridpost/edge/e2e/rig"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
)

const (
	mqttBar     = 5000 // readings a second of QoS 1, none lost
	mqttWindow  = 10 * time.Second
	mqttSensors = 50
	mqttClients = 5
)

// mqttFigure is how many readings of QoS 1 an edge stores. It has no line to its hub, so that all of them
// wait in its store, where they are counted.
type mqttFigure struct {
	Broker           string  `json:"broker"` // mosquitto with its defaults, or the one in the edge
	What             string  `json:"what"`   // paced: as many a second as the bar; burst: as fast as the broker takes them
	Clients          int     `json:"clients"`
	Sent             int     `json:"sent"`
	Stored           int     `json:"stored"`
	Lost             int     `json:"lost"`
	PerSecond        float64 `json:"sent_per_s"` // until the edge had the last one
	Bar              float64 `json:"bar_per_s,omitempty"`
	EdgeCPUPercent   float64 `json:"edge_cpu_percent"` // of one core
	BrokerCPUPercent float64 `json:"broker_cpu_percent,omitempty"`
	EdgeCPUMicros    float64 `json:"edge_cpu_us_per_reading"`
}

// mqtt publishes to an edge through both kinds of brokers, steadily and in a burst.
func (b bench) mqtt(ctx context.Context) (all []mqttFigure, err error) {
	for _, f := range []mqttFigure{
		{Broker: "mosquitto", What: "paced", Clients: mqttClients, Sent: mqttBar * int(mqttWindow/time.Second), Bar: mqttBar},
		{Broker: "mosquitto", What: "burst", Clients: 1, Sent: 5000},
		{Broker: "embedded", What: "paced", Clients: mqttClients, Sent: mqttBar * int(mqttWindow/time.Second), Bar: mqttBar},
		{Broker: "embedded", What: "burst", Clients: 1, Sent: 5000},
	} {
		progress("Publishing %d readings through %s, %s", f.Sent, f.Broker, f.What)
		if err := b.withHub(ctx, func(h *rig.Hub) error { return f.measure(ctx, h) }); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	return all, nil
}

func (f *mqttFigure) measure(ctx context.Context, h *rig.Hub) (err error) {
	line, err := faults.NewLine(h.EdgeURL()[len("https://"):], nil)
	if err != nil {
		return err
	}
	defer line.Close()
	line.Set(faults.Cut, false)
	o := rig.SiteOptions{Name: "bench", Dir: h.Dir, HubURL: "https://" + line.Address(), Sensors: map[string][]rig.Map{}}
	for i := range mqttSensors {
		o.Sensors[level(i)] = nil
	}
	var broker *rig.Process
	address := ""
	if f.Broker == "mosquitto" {
		if broker, address, err = startMosquitto(h.Dir); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, broker.Stop()) }()
		o.Broker = "mqtt://" + address
	}
	site, err := rig.NewSite(ctx, h, o)
	if err != nil {
		return err
	}
	if err := site.Start(); err != nil {
		return err
	}
	if address == "" {
		address = site.BrokerAddress()
	}
	err = errors.Join(f.publish(ctx, site, broker, address), site.Stop())
	if err != nil {
		return err
	}
	return f.count(ctx, site.Data())
}

// startMosquitto starts mosquitto with its defaults.
func startMosquitto(dir string) (*rig.Process, string, error) {
	program, err := mosquitto.Program()
	if err != nil {
		return nil, "", err
	}
	b, err := mosquitto.New(dir)
	if err != nil {
		return nil, "", err
	}
	p, err := rig.Start(filepath.Join(dir, "mosquitto.log"), program, "-c", b.Config)
	return p, b.Address, err
}

// publish sends the readings and waits until the edge has them.
func (f *mqttFigure) publish(ctx context.Context, site *rig.Site, broker *rig.Process, address string) error {
	if err := f.ready(ctx, site, address); err != nil {
		return err
	}
	before, err := f.cpu(site, broker)
	if err != nil {
		return err
	}
	began := time.Now()
	g, sending := errgroup.WithContext(ctx)
	for i := range f.Clients {
		g.Go(func() error {
			c, err := dialLoad(sending, address, fmt.Sprintf("load-%d", i))
			if err != nil {
				return err
			}
			defer c.Close()
			rate := 0
			if f.What == "paced" {
				rate = mqttBar / f.Clients
			}
			return c.publish(i, f.Clients, f.Sent/f.Clients, rate)
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	took, err := f.settle(ctx, site, began)
	if err != nil {
		return err
	}
	after, err := f.cpu(site, broker)
	if err != nil {
		return err
	}
	f.PerSecond = round(float64(f.Sent) / took.Seconds())
	f.EdgeCPUPercent = round(100 * (after[0] - before[0]).Seconds() / took.Seconds())
	f.BrokerCPUPercent = round(100 * (after[1] - before[1]).Seconds() / took.Seconds())
	f.EdgeCPUMicros = round(float64((after[0] - before[0]).Microseconds()) / float64(f.Sent))
	return nil
}

// cpu returns the CPU time of the edge, and of the broker if that is another process.
func (f *mqttFigure) cpu(site *rig.Site, broker *rig.Process) (t [2]time.Duration, err error) {
	if t[0], err = rig.CPU(site.PID()); err != nil || broker == nil {
		return t, err
	}
	t[1], err = rig.CPU(broker.PID())
	return t, err
}

// ready waits until a reading comes through. It is one of those that are sent.
func (f *mqttFigure) ready(ctx context.Context, site *rig.Site, address string) error {
	return rig.Until(ctx, startLimit, "the first reading", func(ctx context.Context) error {
		c, err := dialLoad(ctx, address, "probe")
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		defer c.Close()
		if err := c.publish(0, 1, 1, 0); err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		if n, err := readings(ctx, site); err != nil || n == 0 {
			return errors.Join(rig.ErrNotYet, err)
		}
		return nil
	})
}

// settle waits until no more readings come, and returns when the last one had come.
func (f *mqttFigure) settle(ctx context.Context, site *rig.Site, began time.Time) (time.Duration, error) {
	last, took := -1, time.Duration(0)
	for same := 0; same < 5; same++ {
		now := time.Since(began)
		n, err := readings(ctx, site)
		if err != nil {
			return 0, err
		}
		if n != last {
			last, took, same = n, now, 0
		}
		if err := pause(ctx, 200*time.Millisecond); err != nil {
			return 0, err
		}
	}
	return took, nil
}

// readings returns how many readings the edge has counted.
func readings(ctx context.Context, site *rig.Site) (int, error) {
	raw, err := site.Status(ctx)
	if err != nil {
		return 0, err
	}
	var s struct {
		Counters map[string]int `json:"counters"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return 0, fmt.Errorf("reading the edge's status: %w", err)
	}
	return s.Counters["edge_readings_total"], nil
}

// count looks into the store of the edge, which has stopped.
func (f *mqttFigure) count(ctx context.Context, dir string) (err error) {
	s, err := store.Open(ctx, store.Options{Dir: dir})
	if err != nil {
		return fmt.Errorf("opening the store: %w", err)
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	f.Stored = min(int(s.Waiting()[api.LaneTelemetry])-1, f.Sent) //nolint:gosec // a count; the first is the probe's
	f.Lost = f.Sent - f.Stored
	return nil
}
