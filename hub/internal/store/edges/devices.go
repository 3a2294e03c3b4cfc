package edges

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
)

const (
	deviceColumns = `d.edge, e.site, d.name, d.kind, d.place, d.unit, d.rules, d.state, d.cause, d.cause_code, d.cause_params, d.since, d.title, d.class, e.online, e.last_seen_at`
	deviceFrom    = ` FROM devices d JOIN edges e ON e.name = d.edge `
)

func scanDevice(scan func(...any) error) (Device, error) {
	var d Device
	var place sql.NullString
	var rules, code, params, text, title string
	var since, seen sql.NullInt64
	var online int64
	err := scan(&d.Edge, &d.Site, &d.Name, &d.Kind, &place, &d.Unit, &rules, &d.State, &text, &code, &params, &since, &title, &d.Class, &online, &seen)
	if err != nil {
		return d, err
	}
	if d.Cause, err = decodeCause(code, params, text); err != nil {
		return d, fmt.Errorf("reading device %s/%s: %w", d.Edge, d.Name, err)
	}
	d.Since = db.TimePtr(since)
	if d.Place, err = decodePlace(place); err != nil {
		return d, fmt.Errorf("reading the place of %s/%s: %w", d.Edge, d.Name, err)
	}
	if err := json.Unmarshal([]byte(title), &d.Title); err != nil {
		return d, fmt.Errorf("reading the title of %s/%s: %w", d.Edge, d.Name, err)
	}
	if err := json.Unmarshal([]byte(rules), &d.Rules); err != nil {
		return d, fmt.Errorf("reading the rules of %s/%s: %w", d.Edge, d.Name, err)
	}
	if online != 1 {
		d.silent(db.TimePtr(seen))
	}
	return d, nil
}

// silent replaces the state of a device whose edge is not connected: what the edge reported before is
// no longer known to hold.
func (d *Device) silent(seen *time.Time) {
	d.State, d.Since = devices.Unknown, seen
	d.Cause = devices.NewCause("edge_not_heard", "edge", d.Edge)
	if seen != nil {
		d.Cause = devices.NewCause("edge_silent", "edge", d.Edge, "since", seen.Format(time.RFC3339))
	}
}

func decodePlace(text sql.NullString) (*devices.Place, error) {
	if !text.Valid {
		return nil, nil
	}
	p := new(devices.Place)
	return p, json.Unmarshal([]byte(text.String), p)
}

// DeviceQuery says which devices to list. Empty fields match all.
type DeviceQuery struct {
	Edge  string
	Kind  devices.Kind
	After Key // the last device of the page before
	Limit int
}

// Key names a device.
type Key struct{ Edge, Name string }

// Devices lists the devices of a scope by edge and name.
func (r *Repository) Devices(ctx context.Context, s scope.Scope, q DeviceQuery) ([]Device, error) {
	text, args := devicesQuery(s, q)
	all, err := db.Collect(scanDevice)(r.db.Read(ctx).Rows(text, args...))
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	return all, nil
}

func devicesQuery(s scope.Scope, q DeviceQuery) (text string, args []any) {
	where, sites := s.Where("e.site")
	text = `SELECT ` + deviceColumns + deviceFrom + `WHERE `
	if q.Edge != "" {
		// A comparison of one column, so that the index (edge, name) is used on both engines.
		after := ""
		if q.After.Edge == q.Edge {
			after = q.After.Name
		}
		text += `d.edge = ? AND d.name > ? AND `
		args = append(args, q.Edge, after)
		if q.After.Edge > q.Edge {
			text += `1 = 0 AND `
		}
	} else {
		text += `(d.edge, d.name) > (?, ?) AND `
		args = append(args, q.After.Edge, q.After.Name)
	}
	if q.Kind != "" {
		text += `d.kind = ? AND `
		args = append(args, string(q.Kind))
	}
	text += where + ` ORDER BY d.edge, d.name LIMIT ?`
	return text, append(append(args, sites...), q.Limit)
}

// Device returns one device; db.ErrNotFound if there is none in the scope.
func (r *Repository) Device(ctx context.Context, s scope.Scope, edge, name string) (Device, error) {
	where, args := s.Where("e.site")
	d, err := scanDevice(r.db.Read(ctx).One(`SELECT `+deviceColumns+deviceFrom+`WHERE d.edge = ? AND d.name = ? AND `+where,
		append([]any{edge, name}, args...)...))
	if err != nil {
		return d, fmt.Errorf("reading device %s/%s: %w", edge, name, err)
	}
	return d, nil
}

// keysStep is how many devices one query of DevicesByKey reads; the last key fills up the rest.
const keysStep = 64

// DevicesByKey returns those of the devices that exist in the scope, in no order. It takes one query for
// each keysStep keys.
func (r *Repository) DevicesByKey(ctx context.Context, s scope.Scope, keys []Key) ([]Device, error) {
	where, sites := s.Where("e.site")
	out := []Device{}
	for part := range slices.Chunk(keys, keysStep) {
		args := make([]any, 0, 2*keysStep+len(sites))
		for i := range keysStep {
			k := part[min(i, len(part)-1)]
			args = append(args, k.Edge, k.Name)
		}
		all, err := db.Collect(scanDevice)(r.db.Read(ctx).Rows(`SELECT `+deviceColumns+deviceFrom+`WHERE (d.edge, d.name) IN (VALUES (?, ?)`+
			strings.Repeat(`, (?, ?)`, keysStep-1)+`) AND `+where, append(args, sites...)...))
		if err != nil {
			return nil, fmt.Errorf("reading devices: %w", err)
		}
		out = append(out, all...)
	}
	return out, nil
}

// earthRadius is that of the mean sphere, in metres.
const earthRadius = 6_371_009

// CamerasWithin lists the cameras of a scope that are at most so many metres from a place, on the
// mean sphere.
func (r *Repository) CamerasWithin(ctx context.Context, s scope.Scope, lat, lon, metres float64) ([]Device, error) {
	text, args := withinQuery(r.db.Engine(), s, lat, lon, metres)
	all, err := db.Collect(scanDevice)(r.db.Read(ctx).Rows(text, args...))
	if err != nil {
		return nil, fmt.Errorf("looking for cameras: %w", err)
	}
	return slices.DeleteFunc(all, func(d Device) bool {
		return d.Place == nil || distance(lat, lon, d.Place.Lat, d.Place.Lon) > metres
	}), nil
}

// withinQuery finds by the spatial index what may be near enough: a little more than what is.
func withinQuery(e db.Engine, s scope.Scope, lat, lon, metres float64) (text string, args []any) {
	var inside string
	if e == db.Postgres {
		inside = `ST_DWithin(p.place, CAST(ST_MakePoint(?, ?) AS geography), ?, false)`
		args = []any{lon, lat, 1.01 * metres}
	} else {
		dlat := 1.01 * metres / earthRadius * 180 / math.Pi
		west, east := -180.0, 180.0
		// Near a pole and near the 180th meridian it may be at any longitude.
		if c := math.Cos(lat * math.Pi / 180); c > 0.01 {
			if dlon := dlat / c; lon-dlon >= west && lon+dlon <= east {
				west, east = lon-dlon, lon+dlon
			}
		}
		inside = `p.max_lat >= ? AND p.min_lat <= ? AND p.max_lon >= ? AND p.min_lon <= ?`
		args = []any{lat - dlat, lat + dlat, west, east}
	}
	where, sites := s.Where("e.site")
	return `SELECT ` + deviceColumns + deviceFrom + `JOIN device_places p ON p.id = d.id
		WHERE d.kind = 'camera' AND ` + inside + ` AND ` + where + ` ORDER BY d.edge, d.name`, append(args, sites...)
}

// distance returns the length of the great circle between two places, in metres (haversine formula).
func distance(lat1, lon1, lat2, lon2 float64) float64 {
	const degree = math.Pi / 180
	sinLat, sinLon := math.Sin((lat2-lat1)*degree/2), math.Sin((lon2-lon1)*degree/2)
	h := sinLat*sinLat + math.Cos(lat1*degree)*math.Cos(lat2*degree)*sinLon*sinLon
	return 2 * earthRadius * math.Asin(math.Sqrt(min(1, h)))
}
