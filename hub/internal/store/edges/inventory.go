package edges

import (
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
)

// maxPublished bounds the devices that one batch publishes one by one. Beyond it the edge's entry,
// whose Inventory has grown, has to do.
const maxPublished = 100

// Status is the state of a device.
type Status struct {
	devices.Status
	Corrected time.Time // Since by the hub's clock; zero: not known
}

// DeviceWriter applies what one batch of an edge says of its devices. It reads the edge's devices once,
// at the first use, and writes and publishes only what has changed. It belongs to one transaction;
// Flush ends it.
type DeviceWriter struct {
	r          *Repository
	t          *db.Tx
	edge, site string

	rows    map[string]*deviceRow // nil: not read yet
	title   string                // of the edge's site, as JSON; read with rows
	touched map[string]bool       // to be published
	listed  bool                  // the list of devices, or what is known of the edge itself, has changed
	renamed bool                  // names of the site, of devices or of rules may have changed
}

// deviceRow is a device as it is stored.
type deviceRow struct {
	id                  int64
	kind, unit, rules   string
	title, class        string // title: JSON
	place               sql.NullString
	state               string
	cause, code, params string
	since, reported     sql.NullInt64 // by the hub's clock, by the edge's
}

// described returns what the inventory says of the device.
func (d *deviceRow) described() [6]string {
	return [...]string{d.kind, d.unit, d.rules, d.title, d.class, d.place.String}
}

// WriteDevices returns a writer of an edge's devices in a transaction that has locked the edge.
func (r *Repository) WriteDevices(t *db.Tx, edge, site string) *DeviceWriter {
	return &DeviceWriter{r: r, t: t, edge: edge, site: site, touched: map[string]bool{}}
}

func (w *DeviceWriter) load() error {
	if w.rows != nil {
		return nil
	}
	if err := w.t.One(`SELECT title FROM edges WHERE name = ?`, w.edge)(&w.title); err != nil {
		return fmt.Errorf("reading the title of %s: %w", w.edge, err)
	}
	all := map[string]*deviceRow{}
	rows, err := w.t.Rows(`SELECT id, name, kind, place, unit, rules, title, class, state, cause, cause_code, cause_params, since, since_reported
		FROM devices WHERE edge = ?`, w.edge)
	if err != nil {
		return fmt.Errorf("reading the devices of %s: %w", w.edge, err)
	}
	defer rows.Close() //nolint:errcheck // rows.Err tells what matters
	for rows.Next() {
		d := new(deviceRow)
		var name string
		if err := rows.Scan(&d.id, &name, &d.kind, &d.place, &d.unit, &d.rules, &d.title, &d.class, &d.state, &d.cause, &d.code, &d.params, &d.since, &d.reported); err != nil {
			return fmt.Errorf("reading the devices of %s: %w", w.edge, err)
		}
		all[name] = d
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("reading the devices of %s: %w", w.edge, err)
	}
	w.rows = all
	return nil
}

// Place returns where a device is; nil if that is not known.
func (w *DeviceWriter) Place(device string) (*devices.Place, error) {
	if err := w.load(); err != nil {
		return nil, err
	}
	d := w.rows[device]
	if d == nil {
		return nil, nil
	}
	p, err := decodePlace(d.place)
	if err != nil {
		return nil, fmt.Errorf("reading the place of %s/%s: %w", w.edge, device, err)
	}
	return p, nil
}

// Names are what people call a device and what belongs to it.
type Names struct {
	Edge   devices.Title // of the edge's site
	Device devices.Title
	Class  devices.Class
	Rules  map[string]devices.Title // by the rule's name; rules without a title are left out
}

// Names returns what people call a device. Of a device that the inventory does not have, only the name of
// the site is known.
func (w *DeviceWriter) Names(device string) (n Names, err error) {
	if err := w.load(); err != nil {
		return n, err
	}
	d := w.rows[device]
	if d == nil {
		d = &deviceRow{title: "{}", rules: "[]"}
	}
	var rules []Rule
	if err := errors.Join(json.Unmarshal([]byte(w.title), &n.Edge), json.Unmarshal([]byte(d.title), &n.Device), json.Unmarshal([]byte(d.rules), &rules)); err != nil {
		return n, fmt.Errorf("reading the names of %s/%s: %w", w.edge, device, err)
	}
	n.Class, n.Rules = devices.Class(d.class), map[string]devices.Title{}
	for _, r := range rules {
		if r.Title != nil {
			n.Rules[r.Name] = *r.Title
		}
	}
	return n, nil
}

// Renamed says whether names of the site, of devices or of rules may have changed in this transaction.
func (w *DeviceWriter) Renamed() bool { return w.renamed }

// Placed is a device whose place has become known, or has changed.
type Placed struct {
	Device string
	Place  devices.Place
}

// Inventory replaces the list of the edge's devices; the states of those that stay are kept. It
// returns the devices that have a new place, by name.
func (w *DeviceWriter) Inventory(inv api.Inventory) ([]Placed, error) {
	if err := w.load(); err != nil {
		return nil, err
	}
	if err := w.described(inv); err != nil {
		return nil, err
	}
	var placed []Placed
	keep := make(map[string]bool, len(inv.Devices))
	for _, d := range inv.Devices {
		keep[d.Name] = true
		moved, err := w.put(d)
		if err != nil {
			return nil, fmt.Errorf("storing device %s/%s: %w", w.edge, d.Name, err)
		}
		if moved && d.Place != nil {
			placed = append(placed, Placed{d.Name, *d.Place})
		}
	}
	for name, d := range w.rows {
		if keep[name] {
			continue
		}
		if err := w.remove(name, d.id); err != nil {
			return nil, fmt.Errorf("removing device %s/%s: %w", w.edge, name, err)
		}
	}
	slices.SortFunc(placed, func(a, b Placed) int { return strings.Compare(a.Device, b.Device) })
	return placed, nil
}

// described stores what the inventory says of the edge itself.
func (w *DeviceWriter) described(inv api.Inventory) error {
	title, err := titleText(inv.Title)
	if err != nil {
		return fmt.Errorf("encoding the title of %s: %w", w.edge, err)
	}
	n, err := w.t.Count(`UPDATE edges SET version = ?, title = ? WHERE name = ? AND (version != ? OR title != ?)`,
		inv.Version, title, w.edge, inv.Version, title)
	if err != nil {
		return fmt.Errorf("storing the version and the title of %s: %w", w.edge, err)
	}
	w.renamed = w.renamed || w.title != title
	w.title = title
	w.listed = w.listed || n > 0
	return nil
}

// titleText returns a title as it is stored.
func titleText(t *devices.Title) (string, error) {
	if t == nil {
		t = new(devices.Title)
	}
	text, err := json.Marshal(t)
	return string(text), err
}

// put stores a device of the inventory, unless it is stored as it is. moved says that its place is
// another one than before.
func (w *DeviceWriter) put(d api.Device) (moved bool, err error) {
	var next deviceRow
	if d.Place != nil {
		text, err := json.Marshal(d.Place)
		if err != nil {
			return false, err
		}
		next.place = sql.NullString{String: string(text), Valid: true}
	}
	rules, err := json.Marshal(rulesOf(d.Rules))
	if err != nil {
		return false, err
	}
	next.kind, next.unit, next.rules, next.class = string(d.Kind), d.Unit, string(rules), string(d.Class)
	if next.title, err = titleText(d.Title); err != nil {
		return false, err
	}
	old := w.rows[d.Name]
	if old != nil && old.described() == next.described() {
		return false, nil
	}
	next.state, next.params = string(devices.Unknown), "{}"
	if old != nil {
		next.state, next.cause, next.code, next.params = old.state, old.cause, old.code, old.params
		next.since, next.reported = old.since, old.reported
	}
	if err := w.t.One(`INSERT INTO devices(edge, name, kind, place, unit, rules, title, class) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
		ON CONFLICT(edge, name) DO UPDATE SET kind = excluded.kind, place = excluded.place, unit = excluded.unit, rules = excluded.rules,
		title = excluded.title, class = excluded.class
		RETURNING id`, w.edge, d.Name, next.kind, next.place, next.unit, next.rules, next.title, next.class)(&next.id); err != nil {
		return false, err
	}
	w.renamed = w.renamed || old == nil || old.title != next.title || old.class != next.class || old.rules != next.rules
	w.rows[d.Name] = &next
	w.listed, w.touched[d.Name] = true, true
	if old == nil && d.Place == nil || old != nil && old.place == next.place {
		return false, nil
	}
	if old != nil {
		if _, err := w.t.Exec(`DELETE FROM device_places WHERE id = ?`, next.id); err != nil {
			return false, err
		}
	}
	if d.Place == nil {
		return true, nil
	}
	return true, IndexPlace(w.t, next.id, *d.Place)
}

// IndexPlace adds the device with a number to the spatial index, which is another one on each engine.
func IndexPlace(t *db.Tx, id int64, p devices.Place) error {
	if t.Engine() == db.Postgres {
		_, err := t.Exec(`INSERT INTO device_places(id, place) VALUES (?, CAST(ST_MakePoint(?, ?) AS geography))`, id, p.Lon, p.Lat)
		return err
	}
	_, err := t.Exec(`INSERT INTO device_places(id, min_lat, max_lat, min_lon, max_lon) VALUES (?, ?, ?, ?, ?)`, id, p.Lat, p.Lat, p.Lon, p.Lon)
	return err
}

func (w *DeviceWriter) remove(name string, id int64) error {
	if _, err := w.t.Exec(`DELETE FROM device_places WHERE id = ?`, id); err != nil {
		return err
	}
	if _, err := w.t.Exec(`DELETE FROM devices WHERE id = ?`, id); err != nil {
		return err
	}
	delete(w.rows, name)
	delete(w.touched, name)
	w.listed = true
	return nil
}

// Status stores a device's state. A state that is stored already changes nothing, however its
// corrected time may differ. It returns db.ErrNotFound for a device that the inventory does not have: its
// inventory is still to come, or the device is gone.
func (w *DeviceWriter) Status(s Status) error {
	if err := w.load(); err != nil {
		return err
	}
	d := w.rows[s.Device]
	if d == nil {
		return db.ErrNotFound
	}
	params, err := encodeParams(s.Cause)
	if err != nil {
		return err
	}
	next := *d
	next.state, next.cause, next.code, next.params = string(s.State), s.Cause.Text, s.Cause.Code, params
	next.since, next.reported = nullTime(s.Corrected), nullTime(s.Since)
	if d.state == next.state && d.cause == next.cause && d.code == next.code && d.params == next.params && d.reported == next.reported {
		return nil
	}
	if _, err := w.t.Exec(`UPDATE devices SET state = ?, cause = ?, cause_code = ?, cause_params = ?, since = ?, since_reported = ? WHERE id = ?`,
		next.state, next.cause, next.code, next.params, next.since, next.reported, next.id); err != nil {
		return fmt.Errorf("storing the state of %s/%s: %w", w.edge, s.Device, err)
	}
	*d = next
	w.touched[s.Device] = true
	return nil
}

func nullTime(t time.Time) sql.NullInt64 {
	if t.IsZero() {
		return sql.NullInt64{}
	}
	return sql.NullInt64{Int64: db.Millis(t), Valid: true}
}

// Flush publishes what has changed: each device once, and the edge when its list of devices has.
func (w *DeviceWriter) Flush() error {
	if w.listed {
		if _, err := w.t.Exec(`UPDATE edges SET inventory = inventory + 1 WHERE name = ?`, w.edge); err != nil {
			return fmt.Errorf("noting a change of the devices of %s: %w", w.edge, err)
		}
		if err := w.r.publish(w.t, w.edge); err != nil {
			return err
		}
		if len(w.touched) > maxPublished {
			return nil
		}
	}
	names := make([]string, 0, len(w.touched))
	for name := range w.touched {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		d, err := w.rows[name].device(w.edge, w.site, name)
		if err != nil {
			return err
		}
		w.t.Publish(public.ChangeDevice, w.site, w.edge+"/"+name, w.r.o.PresentDevice(d), nil)
	}
	return nil
}

// device returns a row as a device whose edge is connected.
func (d *deviceRow) device(edge, site, name string) (Device, error) {
	out := Device{Edge: edge, Site: site, Name: name, Kind: devices.Kind(d.kind), State: devices.State(d.state), Unit: d.unit, Class: devices.Class(d.class), Since: db.TimePtr(d.since)}
	var errCause, errPlace error
	out.Cause, errCause = decodeCause(d.code, d.params, d.cause)
	out.Place, errPlace = decodePlace(d.place)
	if err := errors.Join(errCause, errPlace, json.Unmarshal([]byte(d.rules), &out.Rules), json.Unmarshal([]byte(d.title), &out.Title)); err != nil {
		return out, fmt.Errorf("reading device %s/%s: %w", edge, name, err)
	}
	return out, nil
}

// rulesOf converts rules as they are sent to rules as they are stored.
func rulesOf(all []api.Rule) []Rule {
	out := make([]Rule, len(all))
	for i, r := range all {
		out[i] = Rule(r)
	}
	return out
}
