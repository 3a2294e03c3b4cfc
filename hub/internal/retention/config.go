package retention

import (
	"errors"
	"fmt"
	"time"
)

// Config says what a hub keeps, and for how long. What is open, and what a hold protects, it keeps in any
// case.
type Config struct {
	Readings Age `yaml:"readings"`

	// ReadingsMax bounds the number of readings; 0: no bound. A reading takes about 30 bytes in SQLite and
	// 130 in PostgreSQL.
	ReadingsMax int64 `yaml:"readings_max"`

	Pictures    Age  `yaml:"pictures"` // files of closed incidents, but for clips
	PicturesMax Size `yaml:"pictures_max"`

	Clips    Age  `yaml:"clips"` // video of closed incidents
	ClipsMax Size `yaml:"clips_max"`

	// PicturesEdgeMax is how many bytes of files one edge may have: the oldest ones of closed incidents are deleted above nine
	// tenths of it, and uploads wait at all of it. 0: no bound.
	PicturesEdgeMax Size `yaml:"pictures_edge_max"`

	Incidents Age `yaml:"incidents"` // closed ones, with their time line, by when they were last changed
	Leases    Age `yaml:"leases"`    // records of who watched which camera
	Alerts    Age `yaml:"alerts"`    // alerts to webhooks and their deliveries, once these have ended
	Gaps      Age `yaml:"gaps"`      // what edges have lost
	Audit     Age `yaml:"audit"`

	// Changes bounds the entries of the live stream that a client can go back to.
	Changes    Age   `yaml:"changes"`
	ChangesMax int64 `yaml:"changes_max"`

	// DiskReserve is the room on the disk of the data folder that is kept for alerts.
	DiskReserve Size `yaml:"disk_reserve"`
}

// Defaults returns what a hub keeps that nobody has configured.
func Defaults() Config {
	const month = Age(30 * dayLength)
	return Config{
		Readings: month, Pictures: month, Clips: month, PicturesEdgeMax: 20e9, Incidents: Age(2 * 365 * dayLength), Leases: month, Alerts: month, Gaps: Age(365 * dayLength),
		Changes: Age(7 * dayLength), ChangesMax: 200_000, DiskReserve: 1e9,
	}
}

// Check says what is wrong with a configuration.
func (c Config) Check() error {
	var errs []error
	for _, v := range []struct {
		key string
		n   int64
	}{{"readings_max", c.ReadingsMax}, {"changes_max", c.ChangesMax}} {
		if v.n < 0 {
			errs = append(errs, fmt.Errorf("retention.%s: expected a number of entries, or 0 for no bound, not %d", v.key, v.n))
		}
	}
	if c.Incidents > 0 && c.Pictures > c.Incidents {
		errs = append(errs, errors.New("retention.pictures: pictures cannot be kept for longer than their incidents"))
	}
	if c.Incidents > 0 && c.Clips > c.Incidents {
		errs = append(errs, errors.New("retention.clips: clips cannot be kept for longer than their incidents"))
	}
	return errors.Join(errs...)
}

// Duration returns the age as a duration; 0: kept for good.
func (a Age) Duration() time.Duration { return time.Duration(a) }
