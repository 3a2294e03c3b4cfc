// Command hubseed fills the database of a hub that does not run with a year of a town, for measurements:
// edges, cameras and sensors, incidents as alerts of edges make them, and readings.
package main

import (
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"syscall"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/telemetry"
)

// town is what is written.
type town struct {
	incidents, readings, devices int

	now time.Time // the present of the incident that is being written
}

const (
	edgeCount = 100
	period    = 365 * 24 * time.Hour // of the incidents; retention deletes nothing of it
	sampled   = 29 * 24 * time.Hour  // of the readings
)

func main() {
	var t town
	data := flag.String("data", "", "data `folder` of the hub")
	database := flag.String("database", "", "`URL` of a PostgreSQL database; empty: SQLite in the folder")
	flag.IntVar(&t.incidents, "incidents", 1_000_000, "")
	flag.IntVar(&t.readings, "readings", 30_000_000, "")
	flag.IntVar(&t.devices, "devices", 2000, "every other one is a sensor")
	flag.Parse()
	// Never stopped: a signal that is handled while the program ends would kill it.
	ctx, _ := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	if err := t.write(ctx, db.Options{Dir: *data, URL: *database, Logger: slog.New(slog.DiscardHandler)}); err != nil {
		fmt.Fprintln(os.Stderr, "hubseed:", err)
		os.Exit(1)
	}
}

func (t *town) write(ctx context.Context, o db.Options) (err error) {
	readings, err := db.Open(ctx, telemetry.Options(o))
	if err != nil {
		return err
	}
	defer func() { err = closed(readings, err) }()
	o.Name, o.Schema = "hub", schema.Hub()
	o.Now = func() time.Time { return t.now }
	hub, err := db.Open(ctx, o)
	if err != nil {
		return err
	}
	defer func() { err = closed(hub, err) }()
	t.now = time.Now()
	began := time.Now()
	if err := t.writeDevices(ctx, hub, edges.New(hub, edges.Options{})); err != nil {
		return err
	}
	if err := t.writeReadings(ctx, readings); err != nil {
		return err
	}
	fmt.Printf("%d readings after %s\n", t.readings, time.Since(began).Round(time.Second))
	if err := t.writeIncidents(ctx, hub, incidents.New(hub, incidents.Hooks{})); err != nil {
		return err
	}
	fmt.Printf("%d incidents after %s\n", t.incidents, time.Since(began).Round(time.Second))
	for _, d := range []*db.DB{hub, readings} {
		if d.Engine() != db.Postgres {
			continue
		}
		// What the server's own autovacuum does a minute later.
		if err := d.Update(ctx, "analyze", func(tx *db.Tx) error {
			_, err := tx.Exec(`ANALYZE`)
			return err
		}); err != nil {
			return fmt.Errorf("analyzing: %w", err)
		}
	}
	return nil
}

func closed(d *db.DB, err error) error {
	if cerr := d.Close(); err == nil {
		return cerr
	}
	return err
}
