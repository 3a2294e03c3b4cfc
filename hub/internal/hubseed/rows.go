package main

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
)

func edgeName(n int) string { return fmt.Sprintf("seed-%d", n%edgeCount+1) }

func deviceName(n int) string { return fmt.Sprintf("device-%d", n/edgeCount+1) }

func isSensor(n int) bool { return n/edgeCount%2 == 1 }

func place(n int) devices.Place {
	r := rand.New(rand.NewPCG(uint64(n), 1))
	p := devices.Place{Lat: 30.8 + r.Float64()/5, Lon: 120.8 + r.Float64()/5}
	if !isSensor(n) {
		p.Heading, p.FOV, p.Range, p.Height = float64(r.IntN(360)), 70, 60, 4
	}
	return p
}

// writeDevices adds the edges, each with its share of the devices.
func (t *town) writeDevices(ctx context.Context, d *db.DB, r *edges.Repository) error {
	for e := range edgeCount {
		name := edgeName(e)
		token := sha256.Sum256([]byte(name))
		if err := r.Add(ctx, "hubseed", name, token[:], t.now.Add(time.Hour)); err != nil {
			return err
		}
		inv := api.Inventory{Version: "seed"}
		for n := e; n < t.devices; n += edgeCount {
			p := place(n)
			dev := api.Device{Name: deviceName(n), Kind: devices.Camera, Place: &p, Rules: []api.Rule{{Name: "yard", Kind: detection.Zone, Severity: detection.Moderate}}}
			if isSensor(n) {
				limit := 2.0
				dev.Kind, dev.Unit = devices.Sensor, "m"
				dev.Rules = []api.Rule{{Name: "flood", Kind: detection.Above, Severity: detection.Severe, Value: &limit}}
			}
			inv.Devices = append(inv.Devices, dev)
		}
		if err := d.Update(ctx, "seed", func(tx *db.Tx) error {
			w := r.WriteDevices(tx, name, name)
			if _, err := w.Inventory(inv); err != nil {
				return err
			}
			return w.Flush()
		}); err != nil {
			return err
		}
	}
	return nil
}

// writeReadings gives each sensor the same number of readings, by statements that make the rows inside the
// database.
func (t *town) writeReadings(ctx context.Context, d *db.DB) error {
	each := int64(t.readings / max(1, t.devices/2))
	end := db.Millis(t.now)
	step := sampled.Milliseconds() / max(1, each)
	for n := range t.devices {
		if !isSensor(n) {
			continue
		}
		if err := d.Update(ctx, "seed", func(tx *db.Tx) error {
			var id int64
			if err := tx.One(`INSERT INTO series(edge, device, site, stored, newest_at, newest_value, newest_received) VALUES (?, ?, ?, ?, ?, 1, ?) RETURNING id`,
				edgeName(n), deviceName(n), edgeName(n), each, end, end)(&id); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO readings(series, at, value, bad, text)
				WITH RECURSIVE c(n) AS (SELECT CAST(0 AS BIGINT) UNION ALL SELECT n + 1 FROM c WHERE n + 1 < CAST(? AS BIGINT))
				SELECT CAST(? AS BIGINT), CAST(? AS BIGINT) - n * CAST(? AS BIGINT), (n % 997) / 100.0, 0, '' FROM c ORDER BY 2`, each, id, end, step); err != nil {
				return err
			}
			_, err := tx.Exec(`INSERT INTO summaries(series, bucket, stored, n, sum, low, high, last_at, received)
				SELECT series, at / 600000, count(*), count(*), sum(value), min(value), max(value), max(at), max(at) FROM readings WHERE series = ? GROUP BY series, at / 600000`, id)
			return err
		}); err != nil {
			return fmt.Errorf("writing the readings of %s/%s: %w", edgeName(n), deviceName(n), err)
		}
	}
	return nil
}

const (
	incidentsAtOnce = 50_000
	repeats         = 4 // incidents of one device and rule, a minute apart, which are one group
)

// writeIncidents spreads incidents over the period. Those of the last hours are open, those of the last
// days have ended, and the others are closed. The rows are made inside the database, because a million alerts one by
// one would take the time that an edge needs for them; the search index is made by the hub's own code.
func (t *town) writeIncidents(ctx context.Context, d *db.DB, r *incidents.Repository) error {
	pad := `substr('000000000000' || n, -12)`
	if d.Engine() == db.Postgres {
		pad = `lpad(CAST(n AS TEXT), 12, '0')`
	}
	begin, step := db.Millis(t.now.Add(-period)), period.Milliseconds()/int64(t.incidents)
	ended, closed := db.Millis(t.now.Add(-6*time.Hour)), db.Millis(t.now.Add(-3*24*time.Hour))
	for from := 0; from < t.incidents; from += incidentsAtOnce {
		if err := d.Update(ctx, "seed", func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, site, group_id,
				opened_at, occurred_at, received_at, updated_at, closed_at, ended_at, clock, place, class, count, edge_version, version, state_by, assignee, outcome)
			WITH RECURSIVE c(n) AS (SELECT CAST(?1 AS BIGINT) UNION ALL SELECT n + 1 FROM c WHERE n + 1 < CAST(?2 AS BIGINT)),
			i AS (SELECT n, n / ?3 * ?3 AS g, n / ?3 * 7919 % ?4 AS device, CAST(?5 AS BIGINT) + n * CAST(?6 AS BIGINT) AS at FROM c)
			SELECT '00000000-0000-7000-8000-' || `+pad+`, d.edge, d.name, CASE d.kind WHEN 'camera' THEN 'yard' ELSE 'flood' END,
				CASE d.kind WHEN 'camera' THEN 'zone' ELSE 'above' END,
				CASE WHEN n % 1000 = 7 THEN 'serial' || (n / 1000 % 1000) || ' at the gate' WHEN n % 5 = 0 THEN 'a person in the yard' WHEN n % 5 = 1 THEN 'smoke over the river'
					WHEN n % 5 = 2 THEN 'somebody crossed the crossing' WHEN n % 5 = 3 THEN '西门水位超过警戒线' ELSE 'a fallen tree' END,
				CASE WHEN n % 500 = 0 THEN 'extreme' WHEN n % 4 = 0 THEN 'severe' WHEN n % 4 = 1 THEN 'moderate' ELSE 'minor' END,
				CASE WHEN at < ?8 THEN 'closed' WHEN n % 10 = 0 THEN 'acknowledged' ELSE 'open' END, CASE WHEN at < ?7 THEN 'closed' ELSE 'open' END,
				'edge', d.edge, '00000000-0000-7000-8000-' || `+strings.ReplaceAll(pad, "n", "g")+`,
				at, at, at, at, CASE WHEN at < ?7 THEN at + 60000 END, CASE WHEN at < ?7 THEN at + 60000 END, 'synchronized', d.place, 'person', 1, 2, 2,
				CASE WHEN at < ?8 THEN 'li.wei' WHEN n % 10 = 0 THEN 'li.wei' ELSE '' END,
				CASE WHEN n % 10 = 0 THEN 'li.wei' WHEN n % 10 < 4 AND at < ?8 THEN 'user-' || (n % 40) ELSE '' END,
				CASE WHEN at >= ?8 THEN '' WHEN n % 2000 = 11 THEN 'handed_on' WHEN n % 3 = 0 THEN 'false_alarm' ELSE 'dealt_with' END
			FROM i JOIN devices d ON d.id = (SELECT min(id) FROM devices WHERE edge = ?9) + i.device ORDER BY n`,
				from, min(from+incidentsAtOnce, t.incidents), repeats, t.devices, begin, step, ended, closed, edgeName(0))
			return err
		}); err != nil {
			return fmt.Errorf("writing incidents: %w", err)
		}
		fmt.Printf("%d incidents\n", from+incidentsAtOnce)
	}
	if err := derive(ctx, d); err != nil {
		return err
	}
	fmt.Println("indexing the incidents")
	return r.IndexBacklog(ctx)
}

// derive makes the rows that follow from the incidents.
func derive(ctx context.Context, d *db.DB) error {
	for _, text := range []string{
		`INSERT INTO incident_groups(id, edge, device, rule, first_at, active_at)
			SELECT group_id, min(edge), min(device), min(rule), min(occurred_at), max(occurred_at) FROM incidents GROUP BY group_id`,
		`INSERT INTO group_summaries(id, edge, device, rule, kind, site, source, severity, first_at, last_at, newest, open, acknowledged, closed, holding)
			SELECT group_id, min(edge), min(device), min(rule), min(kind), min(site), 'edge',
				max(CASE severity WHEN 'extreme' THEN 4 WHEN 'severe' THEN 3 WHEN 'moderate' THEN 2 ELSE 1 END), min(occurred_at), max(occurred_at), max(id),
				sum(CASE state WHEN 'open' THEN 1 ELSE 0 END), sum(CASE state WHEN 'acknowledged' THEN 1 ELSE 0 END),
				sum(CASE state WHEN 'closed' THEN 1 ELSE 0 END), sum(CASE condition WHEN 'open' THEN 1 ELSE 0 END)
			FROM incidents GROUP BY group_id`,
		`INSERT INTO incident_counts(site, state, severity, n) SELECT site, state, severity, count(*) FROM incidents GROUP BY site, state, severity`,
		`INSERT INTO facts(incident, occurred_at, recorded_at, kind, who, text) SELECT id, occurred_at, occurred_at, 'opened', 'edge ' || edge, title FROM incidents`,
		`INSERT INTO facts(incident, occurred_at, recorded_at, kind, who, text) SELECT id, ended_at, ended_at, 'over', 'edge ' || edge, title FROM incidents WHERE ended_at IS NOT NULL`,
	} {
		if err := d.Update(ctx, "seed", func(tx *db.Tx) error {
			_, err := tx.Exec(text)
			return err
		}); err != nil {
			return fmt.Errorf("deriving rows: %w", err)
		}
	}
	return nil
}
