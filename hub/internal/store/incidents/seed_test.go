package incidents

import (
	"fmt"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
)

// seeded are the sizes of a database for tests of plans: enough that no engine takes a scan for cheaper.
const (
	seededIncidents = 4000
	seededEdges     = 40
)

// seed fills a database with incidents by plain inserts, as years of a town would.
func seed(t testing.TB, d *db.DB, n int) {
	t.Helper()
	start := time.Now().Add(-300 * 24 * time.Hour).Truncate(time.Millisecond)
	severities := []detection.Severity{detection.Minor, detection.Minor, detection.Moderate, detection.Severe}
	for from := 0; from < n; from += 2000 {
		if err := d.Update(t.Context(), "seed", func(tx *db.Tx) error {
			for i := from; i < min(from+2000, n); i++ {
				at := start.Add(time.Duration(i) * 100 * time.Minute)
				inc := row{Incident: Incident{
					ID: fmt.Sprintf("00000000-0000-7000-8000-%012d", i), Edge: fmt.Sprintf("edge-%d", i%seededEdges), Device: fmt.Sprintf("cam-%d", i%(seededEdges*5)/seededEdges),
					Rule: fmt.Sprintf("rule-%d", i%7), Kind: "line", Title: "somebody crossed the line", Severity: severities[i%4],
					State: Closed, Condition: detection.Closed, Source: FromEdge, OpenedAt: at, OccurredAt: at, ReceivedAt: at, UpdatedAt: at, Version: 1,
				}}
				switch {
				case i%197 == 0:
					inc.State, inc.Severity = Open, detection.Extreme
				case i%401 == 0:
					inc.State, inc.Assignee = Acknowledged, "li"
				case i%403 == 0:
					inc.Edge, inc.Device, inc.Rule, inc.Kind, inc.Source, inc.Title = "", "", "", "report", FromReport, "西门水位超过警戒线"
				}
				switch {
				case inc.State != Closed:
				case i%1000 == 9:
					inc.Outcome = HandedOn
				case i%11 == 0:
					inc.Outcome = FalseAlarm
				}
				if i%801 == 0 {
					inc.Condition, inc.Kind, inc.Rule = detection.Open, "silence", "rare"
				}
				inc.Site, inc.Group = inc.Edge, inc.ID
				var err error
				if inc.Edge != "" {
					if inc.Group, err = assignGroup(tx, inc.Incident); err != nil {
						return err
					}
				}
				if err := insert(tx, &inc); err != nil {
					return err
				}
				if err := addFact(tx, inc.ID, Fact{Kind: FactOpened, Who: "edge", Text: inc.Title}); err != nil {
					return err
				}
				if err := index(tx, inc); err != nil {
					return err
				}
				if err := countChange(tx, nil, inc); err != nil {
					return err
				}
				if _, _, err := addReport(tx, Report{ID: inc.ID, Incident: inc.ID}); err != nil {
					return err
				}
				if i%3 == 0 && inc.Edge != "" {
					if _, err := tx.Exec(`INSERT INTO evidence(incident, name, edge, content_type, size, sha256, at, complete, device, taken_at, recorded_at)
						VALUES (?, 'a.jpg', ?, 'image/jpeg', 1, 'x', ?, 1, ?, ?, ?)`, inc.ID, inc.Edge, db.Millis(at), inc.Device, db.Millis(at), db.Millis(at)); err != nil {
						return err
					}
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	analyze(t, d)
}

// analyze lets PostgreSQL see what was written; SQLite has no statistics here, as in the hub.
func analyze(t testing.TB, d *db.DB) {
	t.Helper()
	if d.Engine() != db.Postgres {
		return
	}
	if err := d.Update(t.Context(), "analyze", func(tx *db.Tx) error {
		_, err := tx.Exec(`ANALYZE`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
}
