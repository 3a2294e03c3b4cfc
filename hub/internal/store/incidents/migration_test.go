package incidents

import (
	"fmt"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/scope"
)

// TestMigration opens a database of the version before this schema, with rows in every table of incidents.
func TestMigration(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			o := db.Options{Dir: t.TempDir(), Name: "hub", Schema: dbtest.Before(t, 12)}
			if e == db.Postgres {
				o.URL = dbtest.URL(t)
			}
			start := time.Now().Add(-24 * time.Hour).Truncate(time.Millisecond)
			fillOld(t, o, start)
			o.Schema = schema.Hub()
			d, err := db.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // the test is over
			checkMigrated(t, d, start)
		})
	}
}

// at returns a time of the old rows, in milliseconds.
func at(start time.Time, minutes int) int64 {
	return db.Millis(start.Add(time.Duration(minutes) * time.Minute))
}

// fillOld writes a database of the old schema: incident i-N opened N minutes after start; those of minutes 0,
// 8 and 25 are of one rule, the second ended at minute 16; one is acknowledged, one closed, one a report.
func fillOld(t *testing.T, o db.Options, start time.Time) {
	t.Helper()
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	incident := func(tx *db.Tx, minutes int, edge, rule, state, condition string, closed any) error {
		source := "edge"
		if edge == "" {
			source = "report"
		}
		_, err := tx.Exec(`INSERT INTO incidents(id, edge, device, rule, kind, title, severity, state, condition, source, opened_at, received_at, updated_at,
			closed_at, place, edge_version, version, occurred_at, clock) VALUES (?, ?, 'yard', ?, 'line', 'motion in the yard', 'severe', ?, ?, ?, ?, ?, ?, ?, ?, 2, 3, ?, 'synchronized')`,
			fmt.Sprintf("i-%d", minutes), edge, rule, state, condition, source, at(start, minutes), at(start, minutes), at(start, 600), closed,
			`{"lat":1,"lon":2,"heading":0,"fov":0,"range":0}`, at(start, minutes))
		return err
	}
	fact := func(tx *db.Tx, incident string, minutes int, kind, who, text string) error {
		_, err := tx.Exec(`INSERT INTO timeline(incident, at, kind, who, text, data) VALUES (?, ?, ?, ?, ?, ?)`, incident, at(start, minutes), kind, who, text, `{"a":1}`)
		return err
	}
	if err := d.Update(t.Context(), "old", func(tx *db.Tx) error {
		for _, step := range []func() error{
			func() error { return incident(tx, 0, "gate-7", "fence", "open", "open", nil) },
			func() error { return incident(tx, 8, "gate-7", "fence", "closed", "closed", at(start, 16)) },
			func() error { return incident(tx, 25, "gate-7", "fence", "acknowledged", "closed", at(start, 26)) },
			func() error { return incident(tx, 40, "gate-7", "fence", "closed", "open", at(start, 41)) },
			func() error { return incident(tx, 41, "gate-8", "fence", "open", "open", nil) },
			func() error { return incident(tx, 50, "", "", "open", "open", nil) },
			func() error { return fact(tx, "i-8", 16, "over", "edge gate-7", "") },
			func() error { return fact(tx, "i-8", 17, "acknowledged", "wang", "") },
			func() error { return fact(tx, "i-8", 18, "closed", "li", "a fox") },
			func() error { return fact(tx, "i-25", 27, "assigned", "zhao", "li") },
			func() error { return fact(tx, "i-50", 50, "reported", "li", "by phone") },
			func() error {
				_, err := tx.Exec(`INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, received, complete)
					VALUES ('i-8', 'a.jpg', 'gate-7', 'image/jpeg', 7, 'x', ?, 7, 1), ('i-later', 'b.jpg', 'gate-7', 'image/jpeg', 7, 'x', ?, 0, 0)`, at(start, 8), at(start, 9))
				return err
			},
		} {
			if err := step(); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
}

func checkMigrated(t *testing.T, d *db.DB, start time.Time) {
	t.Helper()
	r := New(d, Hooks{})
	groups := map[string]string{"i-0": "i-0", "i-8": "i-0", "i-25": "i-0", "i-40": "i-40", "i-41": "i-41", "i-50": "i-50"}
	all, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: 10})
	if err != nil || len(all) != len(groups) || all[0].ID != "i-50" {
		t.Fatalf("%+v, %v", all, err)
	}
	for _, inc := range all {
		if inc.Group != groups[inc.ID] || inc.Site != inc.Edge || inc.Version != 3 || inc.Place == nil || inc.Clock != "synchronized" {
			t.Errorf("%+v", inc)
		}
	}
	closed := get(t, r, "i-8")
	if closed.StateBy != "li" || closed.EndedAt == nil || db.Millis(*closed.EndedAt) != at(start, 16) || kinds(closed) != "over acknowledged closed" ||
		!closed.Facts[2].RecordedAt.Equal(closed.Facts[2].OccurredAt) || string(closed.Facts[0].Data) != `{"a":1}` || len(closed.Evidence) != 1 {
		t.Errorf("%+v", closed)
	}
	if inc := get(t, r, "i-25"); inc.StateBy != "zhao" {
		t.Errorf("%+v", inc)
	}
	if inc := get(t, r, "i-50"); len(inc.Reports) != 1 || inc.Reports[0].Who != "li" || inc.Reports[0].Text != "by phone" || inc.Reports[0].Title != "motion in the yard" {
		t.Errorf("%+v", inc.Reports)
	}
	list, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 10}, GroupPosition{})
	if err != nil || len(list) != 4 || list[3].ID != "i-0" || list[3].Count() != 3 || list[3].Open != 1 || list[3].Newest.ID != "i-25" || list[3].Severity != detection.Severe {
		t.Errorf("%+v, %v", list, err)
	}
	if counts, err := r.Counts(t.Context(), scope.All()); err != nil || total(counts) != 6 || len(counts) != 3 {
		t.Errorf("%+v, %v", counts, err)
	}
	if f, err := r.LastPicture(t.Context(), scope.All(), "gate-7", "yard"); err != nil || f.Name != "a.jpg" {
		t.Errorf("%+v, %v", f, err)
	}
	if err := r.IndexBacklog(t.Context()); err != nil {
		t.Error(err)
	}
	if found, err := r.List(t.Context(), Query{Scope: scope.All(), Text: "fox", Limit: 10}); err != nil || len(found) != 1 || found[0].ID != "i-8" {
		t.Errorf("%+v, %v", found, err)
	}
	// Life goes on: a new incident joins the group of i-40, whose condition holds, and has the next number.
	a := alertAt(t, start.Add(70*time.Minute))
	applyAll(t, d, r, "gate-7", a)
	if inc := get(t, r, a.Incident.ID); inc.Group != "i-40" || inc.Number != 7 {
		t.Errorf("%+v", inc)
	}
}
