// Package telemetry stores what sensors measure: readings, the newest one of each device, their curves,
// and the gaps that edges report.
//
// It has a database of its own (telemetry.db; on PostgreSQL the schema telemetry) with a cheaper
// durability than the hub's: a power cut may cost the last commits, which edges then send again
// because the marks of the telemetry lane are in the same database and are lost with them. What
// always holds: a reading is stored once however often it is sent, the summaries agree with the
// readings, and a mark moves in the transaction that applies its events.
//
// The package must not import other repositories. Units of readings, and whether a device exists, are
// the caller's to know.
package telemetry

import (
	"context"
	"embed"
	"fmt"
	"io/fs"
	"log/slog"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

//go:embed schema
var schema embed.FS

// Schema returns the migrations of the database, in the form that db.Options wants.
func Schema() fs.FS {
	sub, err := fs.Sub(schema, "schema")
	if err != nil {
		panic(err) // the folder is part of the program
	}
	return sub
}

// Name is the name of the database: telemetry.db, or the schema telemetry.
const Name = "telemetry"

// Options completes the options of the database of telemetry, for db.Open.
func Options(o db.Options) db.Options {
	o.Name, o.Schema, o.Durability = Name, Schema(), db.Normal
	return o
}

// Repository reads and writes telemetry. Its methods may be called from any goroutine.
type Repository struct {
	d   *db.DB
	log *slog.Logger

	full     func(ctx context.Context) bool
	rawLimit int64 // maxRaw; tests set another one
}

// New returns the repository on a database that was opened with Options.
func New(d *db.DB, logger *slog.Logger) *Repository {
	if logger == nil {
		logger = slog.Default()
	}
	return &Repository{d: d, log: logger, rawLimit: maxRaw, full: func(context.Context) bool { return false }}
}

// Guard makes Apply return db.ErrFull while full says that there is no room but for alerts. It must be called
// before the repository is used.
func (r *Repository) Guard(full func(ctx context.Context) bool) { r.full = full }

// DB returns the database under the repository.
func (r *Repository) DB() *db.DB { return r.d }

// Reading is a reading as an edge sends it, with what the receiver knows of its time.
type Reading struct {
	devices.Reading

	// At is the time of the reading by the hub's clock, as far as the receiver can tell; zero: the
	// edge's time is all that is known.
	At time.Time
}

// Event is one event of the telemetry lane: readings, a gap, or neither, if it was refused before.
type Event struct {
	Seq      uint64
	Readings []Reading
	Gap      *api.Gap
}

// Batch is what an edge sends of its telemetry lane.
type Batch struct {
	Edge   string
	Site   string // empty: the edge's name
	Epoch  string
	Events []Event

	adopted bool // of an older version's database: when it was received is not known
}

// Applied is what came of a batch.
type Applied struct {
	Mark    uint64 // every event up to and including it is applied
	Applied int    // events applied now
	Known   int    // events that had been applied before
	Stored  int    // readings that were new

	// Dropped counts readings of devices beyond the number of devices that are stored of an edge.
	Dropped int
}

// Key names a device.
type Key struct{ Edge, Device string }

// Newest is the newest reading of a device.
type Newest struct {
	Key
	Time     time.Time // never after Received
	Received time.Time // when the hub got it
	Value    float64   // 0 for a text
	Quality  devices.Quality
	Text     string
}

func site(b Batch) string {
	if b.Site == "" {
		return b.Edge
	}
	return b.Site
}

func quality(bad int64) devices.Quality {
	if bad != 0 {
		return devices.Bad
	}
	return devices.Good
}

// wrap adds what was being done to an error; nil stays nil.
func wrap(err error, format string, args ...any) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf(format+": %w", append(args, err)...)
}

// SetSite moves what is stored of an edge to another site.
func (r *Repository) SetSite(ctx context.Context, edge, site string) error {
	err := r.d.Update(ctx, "telemetry_site", func(t *db.Tx) error {
		if _, err := t.Exec(`UPDATE series SET site = ? WHERE edge = ? AND site != ?`, site, edge, site); err != nil {
			return err
		}
		_, err := t.Exec(`UPDATE gaps SET site = ? WHERE edge = ? AND site != ?`, site, edge, site)
		return err
	})
	return wrap(err, "setting the site of edge %s", edge)
}
