package app

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/evidence"
	"gridpost/hub/internal/retention"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/incidents"
	"gridpost/hub/internal/store/telemetry"
)

// prepared returns a hub whose parts are made and do not run.
func prepared(t *testing.T, c Config) *hub {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	open := func(o db.Options) *db.DB {
		d, err := db.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := d.Close(); err != nil {
				t.Error(err)
			}
		})
		return d
	}
	d := open(db.Options{Dir: c.Data, URL: c.Database, Schema: schema.Hub(), Name: "hub", Exclusive: true, Logger: log})
	h := &hub{
		config: c, log: log, db: d, incidents: announce.Incidents(d), metrics: newMetrics(),
		telemetry: telemetry.New(open(telemetry.Options(db.Options{Dir: c.Data, URL: c.Database, Exclusive: true, Logger: log})), log),
	}
	h.alerts, h.edges = alerts.New(d, alerts.Options{}), NewEdges(d)
	h.presence = edges.NewPresence(h.edges, log)
	h.metrics.h = h
	if err := h.prepare(t.Context(), "test"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := h.close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

// TestKindsAreListedOnce: two lines of one kind would share its counter and its step.
func TestKindsAreListedOnce(t *testing.T) {
	seen := map[string]bool{}
	for _, k := range prepared(t, config(t)).retained() {
		if seen[k.Name] || strings.Contains(k.Name, " ") {
			t.Errorf("the kind %q is listed twice, or is not a valid label", k.Name)
		}
		seen[k.Name] = true
	}
	if !seen["readings"] {
		t.Error("readings do not expire")
	}
}

// TestWhatIsOldIsDeleted: what every kind of data has that is old goes, with its files, and open incidents and
// those that are held stay, with theirs.
func TestWhatIsOldIsDeleted(t *testing.T) {
	for _, url := range map[string]string{"sqlite": "", "postgres": dbtest.URL(t)} {
		c := config(t)
		c.Database, c.Retention = url, retention.Defaults()
		h := prepared(t, c)
		long := time.Now().AddDate(-3, 0, 0)
		for _, v := range []struct {
			id, state string
			held      int
			at        time.Time
		}{{"old", "closed", 0, long}, {"held", "closed", 1, long}, {"open", "open", 0, long}, {"new", "closed", 0, time.Now()}} {
			content := []byte("picture of " + v.id)
			sum := sha256.Sum256(content)
			k := evidence.Key{Incident: v.id, Name: "a.jpg"}
			if _, err := h.evidence.Write(t.Context(), k, 0, strings.NewReader(string(content))); err != nil {
				t.Fatal(err)
			}
			if err := h.evidence.Publish(t.Context(), k); err != nil {
				t.Fatal(err)
			}
			at := v.at.UnixMilli()
			insert(t, h.db, `INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, site, group_id, opened_at, occurred_at, received_at, updated_at, held)
				VALUES (?, 'weir', 'yard', 'r', 'zone', '', 'minor', ?, 'closed', 'edge', 'weir', ?, ?, ?, ?, ?, ?)`, v.id, v.state, v.id, at, at, at, at, v.held)
			insert(t, h.db, `INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, recorded_at, received, complete) VALUES (?, 'a.jpg', 'weir', 'image/jpeg', ?, ?, ?, ?, ?, 1)`,
				v.id, len(content), hex.EncodeToString(sum[:]), at, at, len(content))
		}
		insert(t, h.db, `INSERT INTO changes(id, kind, site, key, data, at) VALUES (1, 'x', '', '', '{}', 1)`)
		insert(t, h.db, `INSERT INTO edges(name, created_at, site) VALUES ('weir', 1, 'weir')`)
		insert(t, h.db, `INSERT INTO edge_tokens(hash, edge, created_at, expires_at) VALUES (?, 'weir', 1, 1)`, []byte("h"))
		insert(t, h.db, `INSERT INTO commands(id, edge, body, issued_at, expires_at) VALUES ('c', 'weir', '{}', 1, 1)`)
		for i, at := range []time.Time{long, time.Now()} {
			r := telemetry.Reading{Reading: devices.Reading{Device: "level", Time: at, Value: 1, Quality: devices.Good}}
			if _, err := h.telemetry.Apply(t.Context(), telemetry.Batch{Edge: "weir", Epoch: "e", Events: []telemetry.Event{{Seq: uint64(i + 1), Readings: []telemetry.Reading{r}}}}); err != nil {
				t.Fatal(err)
			}
		}
		insert(t, h.telemetry.DB(), `UPDATE summaries SET received = bucket * 600000`)
		if err := h.keeper.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, v := range []struct {
			d           *db.DB
			table, want string
		}{
			{h.db, "incidents", "[held new open]"},
			{h.db, "evidence", "[held new open]"},
			{h.db, "changes", "[]"},
			{h.db, "edge_tokens", "[]"},
			{h.db, "commands", "[]"},
			{h.telemetry.DB(), "readings", "[1]"},
		} {
			column := map[string]string{"evidence": "incident", "readings": "CAST(series AS TEXT)", "edge_tokens": "edge", "changes": "kind"}[v.table]
			if column == "" {
				column = "id"
			}
			got, err := db.Collect(db.ScanText)(v.d.Read(t.Context()).Rows(`SELECT ` + column + ` FROM ` + v.table + ` ORDER BY 1`))
			if err != nil || fmt.Sprint(got) != v.want {
				t.Errorf("%s: %v is left instead of %s, %v", v.table, got, v.want, err)
			}
		}
		for id, want := range map[string]bool{"old": false, "held": true, "open": true, "new": true} {
			f, err := h.evidence.Open(t.Context(), evidence.Key{Incident: id, Name: "a.jpg"})
			if there := err == nil; there != want || err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Errorf("the picture of %s: %v", id, err)
			}
			if err == nil {
				if err := f.Close(); err != nil {
					t.Error(err)
				}
			}
		}
		if h.keeper.Deleted()["incidents"] != 1 {
			t.Errorf("%v", h.keeper.Deleted())
		}
	}
}

func insert(t *testing.T, d *db.DB, text string, args ...any) {
	t.Helper()
	if err := d.Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}

// TestFilesWithoutARecord: when a hub ends between the deletion of records and that of their files, the files are removed
// later, and no others.
func TestFilesWithoutARecord(t *testing.T) {
	for engine, url := range map[string]string{"sqlite": "", "postgres": dbtest.URL(t)} {
		c := config(t)
		c.Database = url
		h := prepared(t, c)
		at := time.Now().UnixMilli()
		keys := map[string]evidence.Key{}
		for _, id := range []string{"orphan", "kept", "coming", "abandoned"} {
			k := evidence.Key{Incident: id, Name: "a.jpg"}
			keys[id] = k
			if _, err := h.evidence.Write(t.Context(), k, 0, strings.NewReader("picture")); err != nil {
				t.Fatal(err)
			}
			complete := 0
			if id == "orphan" || id == "kept" {
				complete = 1
				if err := h.evidence.Publish(t.Context(), k); err != nil {
					t.Fatal(err)
				}
			}
			recorded := at
			if id == "orphan" || id == "abandoned" {
				recorded = 1
			}
			insert(t, h.db, `INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, recorded_at, received, complete) VALUES (?, 'a.jpg', 'weir', 'image/jpeg', 7, 'x', ?, ?, 7, ?)`,
				id, at, recorded, complete)
		}
		// The hub ends after these, before it removes the files.
		long := time.Now().Add(-time.Hour)
		if deleted, err := h.incidents.DeleteAbandonedBefore(t.Context(), long, 10); err != nil || len(deleted) != 1 {
			t.Fatalf("%s: %v, %v", engine, deleted, err)
		}
		if deleted, err := h.incidents.DeleteEvidenceBefore(t.Context(), incidents.Pictures, long, 10); err != nil || len(deleted) != 1 {
			t.Fatalf("%s: %v, %v", engine, deleted, err)
		}
		if url == "" { // files that are new may be about to get their records
			if n, err := h.evidence.Sweep(t.Context(), long, h.knownEvidence); err != nil || n != 0 {
				t.Errorf("%s: %d new files were removed, %v", engine, n, err)
			}
		}
		for _, want := range []int{2, 0} {
			if n, err := h.evidence.Sweep(t.Context(), time.Now().Add(time.Hour), h.knownEvidence); err != nil || n != want {
				t.Errorf("%s: %d files were removed, want %d: %v", engine, n, want, err)
			}
		}
		for id, there := range map[string]bool{"orphan": false, "kept": true, "coming": true, "abandoned": false} {
			if _, err := h.evidence.Sum(t.Context(), keys[id], 7); (err == nil) != there {
				t.Errorf("%s: %s: %v", engine, id, err)
			}
		}
	}
}
