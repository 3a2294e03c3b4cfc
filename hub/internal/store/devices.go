package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"math"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

const deviceColumns = `d.edge, d.name, d.kind, d.place, d.unit, d.rules, d.state, d.cause, d.cause_code, d.cause_params, d.since, d.read_at, d.value, d.quality,
	coalesce(e.online, 0), e.last_seen_at`

const deviceFrom = ` FROM devices d LEFT JOIN edges e ON e.name = d.edge `

func scanDevice(scan func(...any) error) (api.DeviceRecord, error) {
	var d api.DeviceRecord
	var place, quality sql.NullString
	var rules, code, params string
	var since, readAt, seen sql.NullInt64
	var value sql.NullFloat64
	var online bool
	err := scan(&d.Edge, &d.Name, &d.Kind, &place, &d.Unit, &rules, &d.State, &d.Cause, &code, &params, &since, &readAt, &value, &quality, &online, &seen)
	if err != nil {
		return d, err
	}
	cause, err := readCause(code, params, d.Cause)
	if err != nil {
		return d, fmt.Errorf("reading device %s/%s: %w", d.Edge, d.Name, err)
	}
	d.Since = timePtr(since)
	if place.Valid {
		d.Place = new(devices.Place)
		if err := json.Unmarshal([]byte(place.String), d.Place); err != nil {
			return d, fmt.Errorf("reading the place of %s/%s: %w", d.Edge, d.Name, err)
		}
	}
	if err := json.Unmarshal([]byte(rules), &d.Rules); err != nil {
		return d, fmt.Errorf("reading the rules of %s/%s: %w", d.Edge, d.Name, err)
	}
	if readAt.Valid {
		d.Reading = &api.LastReading{
			Time: fromMillis(readAt.Int64), Value: value.Float64, Unit: d.Unit, Quality: devices.Quality(quality.String),
		}
	}
	if !online {
		// What an edge said before it fell silent is no longer known to hold.
		d.State = devices.Unknown
		d.Since = timePtr(seen)
		cause = devices.NewCause("edge_not_heard", "edge", d.Edge)
		if seen.Valid {
			cause = devices.NewCause("edge_silent", "edge", d.Edge, "since", fromMillis(seen.Int64).Format(time.RFC3339))
		}
	}
	d.Cause, d.CauseCode, d.CauseParams = cause.Text, cause.Code, cause.Params
	return d, nil
}

// DeviceQuery says which devices to list. Empty fields match all.
type DeviceQuery struct {
	Edge  string
	Kind  string
	After string // the "edge/device" that the last page ended with
	Limit int
}

// Devices lists devices by edge and name.
func (s *Store) Devices(ctx context.Context, q DeviceQuery) ([]api.DeviceRecord, error) {
	all, err := collect(scanDevice)(s.read.QueryContext(ctx, `SELECT `+deviceColumns+deviceFrom+`
		WHERE (? = '' OR d.edge = ?) AND (? = '' OR d.kind = ?) AND d.edge || '/' || d.name > ?
		ORDER BY d.edge || '/' || d.name LIMIT ?`, q.Edge, q.Edge, q.Kind, q.Kind, q.After, q.Limit))
	if err != nil {
		return nil, fmt.Errorf("listing devices: %w", err)
	}
	return all, nil
}

// Device returns one device.
func (s *Store) Device(ctx context.Context, edge, name string) (api.DeviceRecord, error) {
	d, err := scanDevice(found(s.read.QueryRowContext(ctx, `SELECT `+deviceColumns+deviceFrom+`WHERE d.edge = ? AND d.name = ?`, edge, name)))
	if err != nil {
		return d, fmt.Errorf("reading device %s/%s: %w", edge, name, err)
	}
	return d, nil
}

// metresPerDegree is the length of a degree of latitude on the mean sphere of 6,371,009 m.
const metresPerDegree = 111_195

// CamerasWithin lists the cameras in a square of 2*metres around a place, by the R*Tree.
func (s *Store) CamerasWithin(ctx context.Context, lat, lon, metres float64) ([]api.DeviceRecord, error) {
	dlat := metres / metresPerDegree
	dlon := 360.0 // near a pole every longitude is near
	if c := math.Cos(lat * math.Pi / 180); c > 0.01 {
		dlon = dlat / c
	}
	all, err := collect(scanDevice)(s.read.QueryContext(ctx, `SELECT `+deviceColumns+deviceFrom+`
		JOIN device_places p ON p.id = d.id
		WHERE d.kind = 'camera' AND p.max_lat >= ? AND p.min_lat <= ? AND p.max_lon >= ? AND p.min_lon <= ?
		ORDER BY d.edge, d.name`, lat-dlat, lat+dlat, lon-dlon, lon+dlon))
	if err != nil {
		return nil, fmt.Errorf("looking for cameras: %w", err)
	}
	return all, nil
}

func (t *tx) deviceNames(edge string) ([]string, error) {
	names, err := collect(scanText)(t.rows(`SELECT name FROM devices WHERE edge = ? ORDER BY name`, edge))
	if err != nil {
		return nil, fmt.Errorf("listing the devices of %s: %w", edge, err)
	}
	return names, nil
}

func (t *tx) deviceChanged(edge, name string) error {
	d, err := scanDevice(t.one(`SELECT `+deviceColumns+deviceFrom+`WHERE d.edge = ? AND d.name = ?`, edge, name))
	if err != nil {
		return fmt.Errorf("reading device %s/%s: %w", edge, name, err)
	}
	_, _, err = t.change(api.ChangeDevice, d)
	return err
}

// inventory replaces the list of an edge's devices; what the hub knows of those that stay is kept.
func (t *tx) inventory(edge string, inv api.Inventory) error {
	if _, err := t.exec(`UPDATE edges SET version = ? WHERE name = ?`, inv.Version, edge); err != nil {
		return fmt.Errorf("noting the version of %s: %w", edge, err)
	}
	keep := make(map[string]bool, len(inv.Devices))
	for _, d := range inv.Devices {
		keep[d.Name] = true
		if err := t.putDevice(edge, d); err != nil {
			return fmt.Errorf("taking device %s/%s in: %w", edge, d.Name, err)
		}
	}
	names, err := t.deviceNames(edge)
	if err != nil {
		return err
	}
	for _, name := range names {
		if keep[name] {
			continue
		}
		if _, err := t.exec(`DELETE FROM device_places WHERE id = (SELECT id FROM devices WHERE edge = ? AND name = ?)`, edge, name); err != nil {
			return fmt.Errorf("removing device %s/%s: %w", edge, name, err)
		}
		if _, err := t.exec(`DELETE FROM devices WHERE edge = ? AND name = ?`, edge, name); err != nil {
			return fmt.Errorf("removing device %s/%s: %w", edge, name, err)
		}
	}
	return t.edgeChanged(edge) // a console fetches the edge's devices anew: some may be gone
}

func (t *tx) putDevice(edge string, d api.Device) error {
	var place any
	if d.Place != nil {
		text, err := json.Marshal(d.Place)
		if err != nil {
			return err
		}
		place = string(text)
	}
	if d.Rules == nil {
		d.Rules = []api.Rule{}
	}
	rules, err := json.Marshal(d.Rules)
	if err != nil {
		return err
	}
	var id int64
	err = t.one(`INSERT INTO devices(edge, name, kind, place, unit, rules) VALUES (?, ?, ?, ?, ?, ?)
		ON CONFLICT(edge, name) DO UPDATE SET kind = excluded.kind, place = excluded.place, unit = excluded.unit, rules = excluded.rules
		RETURNING id`, edge, d.Name, string(d.Kind), place, d.Unit, string(rules))(&id)
	if err != nil {
		return err
	}
	if _, err := t.exec(`DELETE FROM device_places WHERE id = ?`, id); err != nil {
		return err
	}
	if d.Place != nil {
		if _, err := t.exec(`INSERT INTO device_places(id, min_lat, max_lat, min_lon, max_lon) VALUES (?, ?, ?, ?, ?)`,
			id, d.Place.Lat, d.Place.Lat, d.Place.Lon, d.Place.Lon); err != nil {
			return err
		}
	}
	if err := t.placeIncidents(edge, d.Name, place); err != nil {
		return err
	}
	return t.deviceChanged(edge, d.Name)
}

// placeIncidents gives a device's place to its open incidents that have none, because they came
// before the inventory. At most 100: more than a device has open at a time.
func (t *tx) placeIncidents(edge, device string, place any) error {
	if place == nil {
		return nil
	}
	ids, err := collect(scanText)(t.rows(`UPDATE incidents SET place = ?1 WHERE id IN (SELECT id FROM incidents
		WHERE edge = ?2 AND device = ?3 AND place IS NULL AND state != 'closed' ORDER BY opened_at DESC LIMIT 100) RETURNING id`, place, edge, device))
	if err != nil {
		return fmt.Errorf("placing incidents: %w", err)
	}
	for _, id := range ids {
		inc, _, err := t.incident(id)
		if err != nil {
			return fmt.Errorf("placing incident %s: %w", id, err)
		}
		if inc.Evidence, err = t.evidenceOf(id, edge); err != nil {
			return err
		}
		if _, _, err := t.change(api.ChangeIncident, inc); err != nil {
			return err
		}
	}
	return nil
}

// status notes a device's state. It returns ErrNotFound for a device that the inventory does not
// have: its inventory is still to come, or the device is gone.
func (t *tx) status(edge string, st devices.Status) error {
	params, err := causeParams(st.Cause)
	if err != nil {
		return err
	}
	err = affected(t.exec(`UPDATE devices SET state = ?, cause = ?, cause_code = ?, cause_params = ?, since = ? WHERE edge = ? AND name = ?`,
		string(st.State), st.Cause.Text, st.Cause.Code, params, nullMillis(st.Since), edge, st.Device))
	if err != nil {
		return fmt.Errorf("noting the state of %s/%s: %w", edge, st.Device, err)
	}
	return t.deviceChanged(edge, st.Device)
}

// lastTolerance is how far in the hub's future the newest reading of a device may be without being
// replaced by an older one: an edge's clock may have been ahead and be right again.
const lastTolerance = 5 * time.Minute

// readings stores values, each once however often it is sent, and makes the newest of each device its
// last one; touched collects the devices that changed, so that a batch announces each once.
func (t *tx) readings(edge string, all []devices.Reading, touched map[string]bool) error {
	newest := map[string]devices.Reading{}
	for _, r := range all {
		res, err := t.exec(`INSERT INTO readings(edge, device, at, value, quality) VALUES (?, ?, ?, ?, ?)
			ON CONFLICT DO NOTHING`, edge, r.Device, millis(r.Time), r.Value, string(r.Quality))
		if err != nil {
			return fmt.Errorf("storing a reading of %s/%s: %w", edge, r.Device, err)
		}
		if n, err := res.RowsAffected(); err == nil && n == 0 {
			continue
		}
		if last, ok := newest[r.Device]; !ok || !r.Time.Before(last.Time) {
			newest[r.Device] = r
		}
	}
	for device, r := range newest {
		res, err := t.exec(`UPDATE devices SET read_at = ?1, value = ?2, quality = ?3
			WHERE edge = ?4 AND name = ?5 AND (read_at IS NULL OR read_at <= ?1 OR read_at > ?6)`,
			millis(r.Time), r.Value, string(r.Quality), edge, device, millis(t.now.Add(lastTolerance)))
		if err != nil {
			return fmt.Errorf("noting the last reading of %s/%s: %w", edge, device, err)
		}
		if n, err := res.RowsAffected(); err == nil && n > 0 {
			touched[device] = true
		}
	}
	return nil
}

// Readings returns the values of a sensor from a time on, oldest first.
func (s *Store) Readings(ctx context.Context, edge, device string, from, to time.Time, limit int) ([]devices.Reading, error) {
	scan := func(scan func(...any) error) (devices.Reading, error) {
		r := devices.Reading{Device: device}
		var at int64
		err := scan(&at, &r.Value, &r.Quality, &r.Unit)
		r.Time = fromMillis(at)
		return r, err
	}
	all, err := collect(scan)(s.read.QueryContext(ctx, `SELECT r.at, r.value, r.quality, coalesce(d.unit, '')
		FROM readings r LEFT JOIN devices d ON d.edge = r.edge AND d.name = r.device
		WHERE r.edge = ? AND r.device = ? AND r.at BETWEEN ? AND ? ORDER BY r.at LIMIT ?`,
		edge, device, millis(from), millis(to), limit))
	if err != nil {
		return nil, fmt.Errorf("reading values of %s/%s: %w", edge, device, err)
	}
	return all, nil
}
