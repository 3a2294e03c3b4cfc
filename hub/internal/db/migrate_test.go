package db

import (
	"database/sql"
	"errors"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/hub/internal/db/schema"
)

// oldDatabase makes a database with the first migrations and some rows.
func oldDatabase(t *testing.T, newest int, rows ...string) (dir string) {
	t.Helper()
	dir = t.TempDir()
	pool, err := sql.Open("sqlite", filepath.Join(dir, "hub.db"))
	if err != nil {
		t.Fatal(err)
	}
	all, err := migrations(schema.Hub(), SQLite)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range all {
		if m.number > newest {
			break
		}
		if err := applySQLite(t.Context(), pool, m); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range rows {
		if _, err := pool.Exec(text); err != nil {
			t.Fatal(err)
		}
	}
	if err := pool.Close(); err != nil {
		t.Fatal(err)
	}
	return dir
}

func hubOptions(dir string) Options { return Options{Dir: dir, Name: "hub", Schema: schema.Hub()} }

// TestMigrationKeepsRows opens databases of earlier versions.
func TestMigrationKeepsRows(t *testing.T) {
	for name, test := range map[string]struct {
		newest int
		rows   []string
		want   map[string]int
	}{
		"readings apart by value": {
			newest: 7,
			rows: []string{
				`INSERT INTO edges(name, created_at) VALUES ('gate-7', 1)`,
				`INSERT INTO readings VALUES ('gate-7', 'river', 1000, 2.5, 'good')`,
				`INSERT INTO marks VALUES ('gate-7', 'old', 'alerts', 5, 1)`,
				`INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, opened_at, received_at, updated_at)
					VALUES ('x', 'gate-7', 'yard', 'r', 'line', 't', 'minor', 'open', 'open', 'edge', 5000, 4000, 5000)`,
			},
			want: map[string]int{
				`SELECT count(*) FROM epochs WHERE epoch = 'old'`:  1,
				`SELECT occurred_at FROM incidents WHERE id = 'x'`: 4000, // its edge's clock was ahead of the hub's
			},
		},
		"the change feed goes on after entries that were removed": {
			newest: 10,
			rows: []string{
				`INSERT INTO changes(id, kind, data, at) VALUES (40, 'edge', '{}', 7), (41, 'edge', '{"name":"a"}', 8), (42, 'edge', '{}', 9)`,
				`DELETE FROM changes WHERE id != 41`,
			},
			want: map[string]int{
				`SELECT last FROM feed`:                              42,
				`SELECT at FROM changes WHERE id = 41`:               8,
				`SELECT count(*) FROM changes WHERE data LIKE '%a%'`: 1,
			},
		},
		"sessions": {
			newest: 10,
			rows: []string{
				`INSERT INTO users(name, password, role, created_at) VALUES ('li', 'x', 'monitor', 1)`,
				`INSERT INTO sessions(hash, user, created_at, expires_at) VALUES (x'01', 'li', 1, 2)`,
			},
			want: map[string]int{`SELECT count(*) FROM users`: 1},
		},
		"a row in every table": {
			newest: 10,
			rows: []string{
				`INSERT INTO edges(name, created_at, online, epoch, health) VALUES ('gate-7', 1, 1, 'e1', '{}')`,
				`INSERT INTO edge_tokens(hash, edge, created_at, expires_at) VALUES (x'01', 'gate-7', 1, 2)`,
				`INSERT INTO edge_certificates(serial, edge, token_hash, issued_at, not_after) VALUES ('ab', 'gate-7', x'01', 1, 2)`,
				`INSERT INTO marks VALUES ('gate-7', 'e1', 'alerts', 5, 1)`,
				`INSERT INTO epochs(edge, epoch, began_at) VALUES ('gate-7', 'e1', 1)`,
				`INSERT INTO commands(id, edge, body, issued_at, expires_at) VALUES ('c', 'gate-7', '{}', 1, 2)`,
				`INSERT INTO devices(id, edge, name, kind, place) VALUES (1, 'gate-7', 'yard', 'camera', '{"lat":1,"lon":2}'), (2, 'gate-7', 'river', 'sensor', NULL)`,
				`INSERT INTO device_places VALUES (1, 1, 1, 2, 2)`,
				`INSERT INTO readings(edge, device, at, value, quality) VALUES ('gate-7', 'river', 1000, 2.5, 'good')`,
				`INSERT INTO gaps VALUES ('gate-7', 'g', 'readings', '', 1, 2, 3, 'disk_full', 4)`,
				`INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, opened_at, received_at, updated_at, closed_at, occurred_at) VALUES
					('i1', 'gate-7', 'yard', 'r', 'line', 'somebody', 'minor', 'open', 'open', 'edge', 5000, 5001, 5002, NULL, 5000),
					('i2', 'gate-7', 'yard', 'r', 'line', 'somebody', 'severe', 'closed', 'closed', 'edge', 6000, 6001, 9002, 9000, 6000),
					('r1', '', '', '', 'fire', 'smoke', 'severe', 'acknowledged', 'open', 'report', 7000, 7001, 7002, NULL, 7000)`,
				`INSERT INTO timeline(incident, at, kind, who, text, data) VALUES ('i1', 5000, 'opened', 'edge gate-7', 'somebody', NULL),
					('i2', 9000, 'closed', 'li', 'false alarm', NULL), ('r1', 7000, 'reported', 'li', 'by phone', NULL), ('r1', 7001, 'acknowledged', 'wang', '', '{}')`,
				`INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, received, complete) VALUES ('i1', 'a.jpg', 'gate-7', 'image/jpeg', 9, 'x', 5000, 9, 1)`,
				`INSERT INTO changes(id, kind, data, at) VALUES (40, 'incident', '{}', 7)`,
				`INSERT INTO users(name, password, role, created_at, disabled_at) VALUES ('li', 'secret', 'administrator', 1, NULL), ('wang', 'secret', 'monitor', 1, 5)`,
				`INSERT INTO sessions(hash, user, created_at, expires_at) VALUES (x'02', 'li', 1, 2)`,
				`INSERT INTO tokens(id, hash, name, role, created_at, created_by) VALUES ('t', x'03', 'program', 'monitor', 1, 'li')`,
				`INSERT INTO login_failures VALUES ('user li', 3, 1, 2)`,
				`INSERT INTO views(id, edge, device, who, reason, began_at, until) VALUES ('v', 'gate-7', 'yard', 'li', 'look', 1, 2)`,
				`INSERT INTO audit(at, who, action, object, hash) VALUES (1, 'li', 'view', 'gate-7/yard', x'04')`,
				`INSERT INTO webhooks(id, url, secrets, created_at) VALUES ('w', 'https://example.org', '["s"]', 1)`,
				`INSERT INTO alerts VALUES (40, 'opened', 'i1', 'gate-7/yard', 7, '{}'), (39, 'opened', 'i2', 'gate-7/yard', 6, '{}')`,
				`INSERT INTO deliveries(id, target, seq, incident, queued_at, next_at, state) VALUES ('d1', 'w', 40, 'i1', 7, 7, 'pending'), ('d2', 'w', 39, 'i2', 6, 6, 'dead')`,
			},
			want: map[string]int{
				`SELECT count(*) FROM edges WHERE name = 'gate-7' AND site = 'gate-7' AND epoch = 'e1'`: 1,
				`SELECT count(*) FROM edge_tokens t JOIN edge_certificates c ON c.token_hash = t.hash`:  1,
				`SELECT seq FROM marks WHERE edge = 'gate-7' AND epoch = 'e1' AND lane = 'alerts'`:      5,
				`SELECT count(*) FROM epochs`:   1,
				`SELECT count(*) FROM commands`: 1,
				`SELECT count(*) FROM devices`:  2,
				`SELECT count(*) FROM device_places WHERE id = 1 AND min_lat = 1 AND min_lon = 2`:                     1,
				`SELECT count(*) FROM readings WHERE value = 2.5`:                                                     1, // until telemetry has them
				`SELECT count(*) FROM gaps`:                                                                           1,
				`SELECT count(*) FROM incidents WHERE site = edge`:                                                    3,
				`SELECT count(DISTINCT group_id) FROM incidents`:                                                      2,
				`SELECT count(*) FROM incidents WHERE id = 'r1' AND state_by = 'wang'`:                                1,
				`SELECT count(*) FROM incidents WHERE id = 'i2' AND ended_at = 9000`:                                  1,
				`SELECT count(*) FROM facts WHERE recorded_at = occurred_at`:                                          4,
				`SELECT count(*) FROM reports WHERE incident = 'r1' AND text = 'by phone'`:                            1,
				`SELECT count(*) FROM evidence WHERE device = 'yard' AND complete = 1`:                                1,
				`SELECT last FROM feed`:                                                                               40,
				`SELECT count(*) FROM users u JOIN identities i ON i.user_id = u.id AND i.secret = 'secret'`:          2,
				`SELECT count(*) FROM users WHERE disabled_at = 5`:                                                    1,
				`SELECT count(*) FROM sessions s JOIN users u ON u.id = s.user_id AND u.name = 'li'`:                  1,
				`SELECT count(*) FROM tokens t JOIN users u ON u.id = t.created_by_id`:                                1,
				`SELECT count(*) FROM leases l JOIN users u ON u.id = l.user_id WHERE l.site = 'gate-7'`:              1,
				`SELECT count(*) FROM audit a JOIN audit_head h ON h.last = a.id AND h.hash = a.hash`:                 1,
				`SELECT count(*) FROM webhooks`:                                                                       1,
				`SELECT count(*) FROM deliveries d JOIN alerts a ON a.seq = d.seq JOIN webhooks w ON w.id = d.target`: 2,
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(t.Context(), hubOptions(oldDatabase(t, test.newest, test.rows...)))
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // only read
			for query, want := range test.want {
				var got int
				if err := d.Read(t.Context()).One(query)(&got); err != nil || got != want {
					t.Errorf("%s: %d, %v; want %d", query, got, err, want)
				}
			}
		})
	}
}

func TestNewerSchemaIsRefused(t *testing.T) {
	dir := oldDatabase(t, 3, "PRAGMA user_version = 99")
	if d, err := Open(t.Context(), hubOptions(dir)); err == nil || !strings.Contains(err.Error(), "later version") {
		t.Errorf("a newer schema: %v, %v", d, err)
	}
}

// TestRunningHubIsNotMigrated holds the lock as a hub of an earlier version does.
func TestRunningHubIsNotMigrated(t *testing.T) {
	dir := oldDatabase(t, 9)
	unlock, err := lockFile(filepath.Join(dir, "hub.lock"))
	if err != nil {
		t.Fatal(err)
	}
	o := hubOptions(dir)
	o.lockWait = 1
	if d, err := Open(t.Context(), o); !errors.Is(err, errRunning) {
		t.Fatalf("beside a hub of an earlier version: %v, %v", d, err)
	}
	o.Exclusive = true
	if d, err := Open(t.Context(), o); !errors.Is(err, errRunning) {
		t.Fatalf("a second hub: %v, %v", d, err)
	}
	unlock()
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()                                    //nolint:errcheck // the end of the test
	command, err := Open(t.Context(), hubOptions(dir)) // beside the running hub, of the same version
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Close(); err != nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), o); !errors.Is(err, errRunning) {
		t.Errorf("a second hub: %v", err)
	}
}
