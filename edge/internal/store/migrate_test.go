package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// previous makes the database of the version before migrations were numbered, from its schema,
// and fills it.
func previous(t *testing.T, dir, name string, fill func(exec func(query string, args ...any))) {
	t.Helper()
	schema, err := os.ReadFile(filepath.Join("testdata", name+"-0.sql"))
	must(t, err)
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, name+".db")+"?_pragma=journal_mode(WAL)")
	must(t, err)
	exec := func(query string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), query, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(string(schema))
	fill(exec)
	must(t, db.Close())
}

func TestMigrationFromThePreviousVersionLosesNothing(t *testing.T) {
	dir := t.TempDir()
	first, second := incident(1), incident(2)
	second.Version, second.State = 4, detection.Closed
	middle := incident(3)
	middle.Version = 7
	text := func(v any) string {
		data, err := json.Marshal(v)
		must(t, err)
		return string(data)
	}
	snapshot := api.Evidence{Incident: first.ID, Name: "snapshot.jpg", Size: 5, SHA256: "x", Time: first.Opened}
	previous(t, dir, "incidents", func(exec func(string, ...any)) {
		exec(`INSERT INTO meta VALUES ('epoch', 'e'), ('reserved', '3000')`)
		exec(`INSERT INTO lanes VALUES ('alerts', 9), ('state', 4)`)
		for _, inc := range []detection.Incident{first, second, middle} {
			exec(`INSERT INTO incidents VALUES (?, ?, ?, ?, ?, ?)`, inc.ID, inc.Device, string(inc.State), inc.Version, inc.Updated.UnixMilli(), text(inc))
		}
		exec(`INSERT INTO outbox VALUES ('alerts', 6, 'incident', '', 1000, ?)`, text(first))
		exec(`INSERT INTO outbox VALUES ('alerts', 7, 'evidence', '', 2000, ?)`, text(snapshot))
		exec(`INSERT INTO outbox VALUES ('alerts', 8, 'incident', '', 3000, ?)`, text(second))
		exec(`INSERT INTO outbox VALUES ('alerts', 9, 'incident', ?, 4000, ?)`, middle.ID, text(middle))
		exec(`INSERT INTO outbox VALUES ('state', 4, 'inventory', 'inventory', 0, '{}')`)
		exec(`INSERT INTO evidence VALUES (?, 'snapshot.jpg', 5, 1000, 7, 0, ?)`, first.ID, text(snapshot))
		exec(`INSERT INTO evidence VALUES (?, 'snapshot.jpg', 5, 1000, 3, 1, ?)`, second.ID, text(snapshot))
	})
	// Rows 1 to 50 were packed: 1 to 20 and what was trimmed before them are at the hub, 21 to 50
	// wait in two events, of which the first's readings were trimmed from the table, and health.
	previous(t, dir, "telemetry", func(exec func(string, ...any)) {
		for i := 1; i <= 80; i++ {
			if i <= 20 || i > 35 {
				r := reading(i)
				exec(`INSERT INTO readings VALUES (?, ?, ?, ?, ?, ?)`, i, r.Device, r.Time.UnixMilli(), r.Value, r.Unit, string(r.Quality))
			}
		}
		again := reading(80) // stored twice, as the previous version did
		exec(`INSERT INTO readings VALUES (81, ?, ?, ?, ?, ?)`, again.Device, again.Time.UnixMilli(), again.Value, again.Unit, string(again.Quality))
		exec(`INSERT INTO marks VALUES ('sealed', 50), ('thinned', 0)`)
		for event, rows := range map[int][2]int{11: {21, 35}, 12: {36, 50}} {
			var packed []devices.Reading
			for i := rows[0]; i <= rows[1]; i++ {
				packed = append(packed, reading(i))
			}
			exec(`INSERT INTO outbox VALUES (?, 'readings', 0, ?)`, event, text(packed))
		}
		exec(`INSERT INTO outbox VALUES (13, 'health', 0, '{}')`)
	})

	s := open(t, Options{Dir: dir})
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("problems: %v", p)
	}
	alerts := outbox(t, s, api.LaneAlerts)
	var kinds []string
	for _, e := range alerts {
		kinds = append(kinds, fmt.Sprint(e.Seq, e.Kind, e.Time.UnixMilli(), e.AgeMS == nil))
	}
	if want := "[6incident1000 true 7evidence2000 true 8incident3000 true 9incident4000 true]"; fmt.Sprint(kinds) != want {
		t.Errorf("alerts %v, want %s", kinds, want)
	}
	middle.Version = 8 // replaces the alert in the middle
	must(t, save(t.Context(), s, middle))
	if got := versions(t, s); fmt.Sprint(got) != "[1 4 8]" {
		t.Errorf("versions %v wait", got)
	}
	if all, err := s.OpenIncidents(t.Context()); err != nil || len(all) != 2 {
		t.Errorf("open incidents: %v, %v", all, err)
	}
	if n := s.Waiting()[api.LaneTelemetry]; n != 60 {
		t.Errorf("%d readings wait, want 60", n)
	}
	events := outbox(t, s, api.LaneTelemetry)
	var values []float64
	for _, e := range events {
		var some []devices.Reading
		must(t, json.Unmarshal(e.Data, &some))
		for _, r := range some {
			values = append(values, r.Value)
		}
	}
	if len(values) != 60 || values[0] != 21 || values[59] != 80 {
		t.Errorf("readings to send: %v", values)
	}
	for i := 1; i < len(values); i++ {
		if values[i] != values[i-1]+1 {
			t.Fatalf("order: %v", values)
		}
	}
	must(t, s.AlertsDelivered(t.Context(), alerts[1].Seq, nil))
	if w, err := s.WaitingEvidence(t.Context(), 5, nil); err != nil || len(w) != 1 || w[0].Incident != first.ID {
		t.Errorf("evidence to upload: %v, %v", w, err)
	}
}

func TestNewerDatabasesAreRefused(t *testing.T) {
	for _, name := range []string{"incidents.db", "telemetry.db"} {
		dir := t.TempDir()
		s, err := Open(t.Context(), Options{Dir: dir})
		must(t, err)
		must(t, s.Close())
		db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, name))
		must(t, err)
		_, err = db.ExecContext(t.Context(), "PRAGMA user_version = 99")
		must(t, errors.Join(err, db.Close()))
		if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrNewer) {
			t.Errorf("%s of a newer version: %v", name, err)
		}
	}
}

// TestHotQueriesUseIndexes holds the plans of the queries that run often.
func TestHotQueriesUseIndexes(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	for query, f := range map[string]*file{
		`SELECT seq, kind, at, boot, boot_ms, clock, data FROM outbox WHERE seq > 5 ORDER BY seq LIMIT 5`: s.incidents,
		`DELETE FROM outbox WHERE incident = 'x' AND middle = 1 RETURNING length(data)`:                   s.incidents,
		`DELETE FROM outbox WHERE incident = 'x' AND (middle = 1 OR data = 'y') RETURNING length(data)`:   s.incidents,
		`SELECT seq, data FROM outbox WHERE kind = 'gap' ORDER BY seq`:                                    s.incidents,
		`SELECT i.id FROM incidents i WHERE state = 'closed' AND updated < 5 AND NOT EXISTS (SELECT 1 FROM evidence WHERE incident = i.id)
			AND NOT EXISTS (SELECT 1 FROM outbox WHERE incident = i.id) AND NOT EXISTS (SELECT 1 FROM held WHERE incident = i.id)`: s.incidents,
		`DELETE FROM outbox WHERE seq <= 5 RETURNING length(data)`:                                       s.incidents,
		`SELECT id, data FROM incidents WHERE state = 'open'`:                                            s.incidents,
		`SELECT id FROM incidents WHERE state = 'closed' AND updated < 5`:                                s.incidents,
		`SELECT data FROM evidence WHERE uploaded = 0 AND clip IN (0, 1) AND seq > 0 ORDER BY clip, seq`: s.incidents,
		`SELECT name FROM evidence WHERE clip = 1 AND (uploaded != 0 OR seq = 0) ORDER BY at LIMIT 1`:    s.incidents,
		`DELETE FROM pending WHERE device = 'x'`:                                                         s.incidents,
		`SELECT id FROM readings WHERE id > 5 ORDER BY id LIMIT 5`:                                       s.telemetry,
		`SELECT min(at) FROM readings WHERE device = 'x' AND at < 5 AND at >= 1`:                         s.telemetry,
		`SELECT at FROM readings WHERE device = 'x' AND at < 5 ORDER BY at LIMIT 5`:                      s.telemetry,
		strings.NewReplacer("device = ?", "device = 'x'", "<= ?", "<= 5").Replace(newestReading):         s.telemetry,
	} {
		must(t, f.read(t.Context(), func(q querier) error {
			rows, err := q.QueryContext(context.Background(), "EXPLAIN QUERY PLAN "+query)
			if err != nil {
				return err
			}
			return eachRow(rows, func(scan func(...any) error) error {
				var id, parent, unused int
				var detail string
				if err := scan(&id, &parent, &unused, &detail); err != nil {
					return err
				}
				if strings.HasPrefix(detail, "SCAN") && !strings.Contains(detail, "(subquery") && !strings.Contains(detail, "outbox_gaps") || detail == "USE TEMP B-TREE FOR ORDER BY" {
					t.Errorf("%s: %s", query, detail)
				}
				return nil
			})
		}))
	}
}

func TestEverythingIsPrivate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	ids := fill(t, s, 10)
	snapshot(t, s, detection.Incident{ID: ids[0], Opened: time.Now()}, 10)
	must(t, s.Close())
	// As an earlier version, or a careless restore, leaves it.
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return errors.Join(err, os.Chmod(path, 0o755))
		}
		return os.Chmod(path, 0o644)
	}))
	must(t, os.Truncate(filepath.Join(dir, "telemetry.db"), 0)) // its repair writes files too
	s = open(t, Options{Dir: dir})
	fill(t, s, 10)
	snapshot(t, s, detection.Incident{ID: ids[1], Opened: time.Now()}, 10)
	files := 0
	must(t, filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err != nil {
			return err
		}
		fi, err := d.Info()
		if err != nil {
			return err
		}
		want := os.FileMode(0o600)
		if d.IsDir() {
			want = 0o700
		} else {
			files++
		}
		if fi.Mode().Perm() != want {
			t.Errorf("%s has the rights %v, want %v", path, fi.Mode().Perm(), want)
		}
		return nil
	}))
	if files < 9 {
		t.Errorf("only %d files: two databases with their companions, the reserve, the original and two snapshots are expected", files)
	}
}
