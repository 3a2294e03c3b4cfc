package incidents

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

func allow(Incident) error { return nil }

func kinds(inc Incident) string {
	all := make([]string, len(inc.Facts))
	for i, f := range inc.Facts {
		all[i] = string(f.Kind)
	}
	return strings.Join(all, " ")
}

func TestReportsOpenAndJoin(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		seen := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		add := func(id, join string) string {
			t.Helper()
			incident, err := r.AddReport(t.Context(), NewReport{Scope: scope.All(), Join: join, Allow: allow, Report: Report{
				ID: id, Who: "li", Title: "a tree on the road", Kind: "report", Severity: detection.Moderate, OccurredAt: seen,
			}})
			if err != nil {
				t.Fatal(err)
			}
			return incident
		}
		first := newID(t)
		if got := add(first, ""); got != first {
			t.Errorf("opened %s", got)
		}
		if got := add(first, ""); got != first || get(t, r, first).Version != 1 {
			t.Errorf("sent twice: %s, version %d", got, get(t, r, first).Version)
		}
		second := newID(t)
		if got := add(second, first); got != first {
			t.Errorf("joined %s", got)
		}
		if got := add(second, ""); got != first {
			t.Errorf("sent twice, now without the incident: %s", got)
		}
		inc := get(t, r, first)
		if inc.Version != 2 || len(inc.Reports) != 2 || kinds(inc) != "reported reported" || !inc.Facts[1].OccurredAt.Equal(seen) ||
			!inc.Facts[1].RecordedAt.After(seen) || inc.Facts[1].Text != "a tree on the road" || !inc.OccurredAt.Equal(seen) {
			t.Errorf("%+v", inc)
		}
		refusal := errors.New("refused")
		_, err := r.AddReport(t.Context(), NewReport{Scope: scope.All(), Join: first, Allow: func(Incident) error { return refusal }, Report: Report{ID: newID(t)}})
		if !errors.Is(err, refusal) || len(get(t, r, first).Reports) != 2 {
			t.Errorf("a refused report: %v", err)
		}
		if _, err := r.AddReport(t.Context(), NewReport{Scope: scope.All(), Join: "none", Allow: allow, Report: Report{ID: newID(t)}}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("joining nothing: %v", err)
		}

		other := newID(t)
		add(other, "")
		closed := func(inc *Incident) (*Fact, error) {
			inc.State, inc.Outcome = Closed, Joined
			return &Fact{Kind: FactJoined}, nil
		}
		got, err := r.Join(t.Context(), Join{Edit: Edit{Who: "li", ID: first, Scope: scope.All(), Versions: []int{1}, Apply: closed}, Into: other, Allow: allow})
		var version *VersionError
		if !errors.As(err, &version) || version.Current != 2 {
			t.Errorf("another version: %+v, %v", got, err)
		}
		got, err = r.Join(t.Context(), Join{Edit: Edit{Who: "li", ID: first, Scope: scope.All(), Versions: []int{2}, Apply: closed}, Into: other, Allow: allow})
		if err != nil || got.State != Closed || len(got.Reports) != 0 || kinds(got) != "reported reported joined" {
			t.Errorf("%+v, %v", got, err)
		}
		if into := get(t, r, other); len(into.Reports) != 3 || kinds(into) != "reported reported reported" || into.Version != 2 {
			t.Errorf("%+v", into)
		}
	})
}

// TestRetentionKeepsWhatIsOpenOrHeld deletes everything that it may, and checks that nothing is left of
// it and that the sums still agree.
func TestRetentionKeepsWhatIsOpenOrHeld(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		now := time.Now().Add(-time.Hour)
		var all []Incident
		for i := range 9 {
			a := alertAt(t, now.Add(time.Duration(i)*time.Minute))
			ev := picture(a.Incident.ID, "a.jpg", now)
			applyAll(t, d, r, "gate-7", a)
			if err := announce(t, d, r, "gate-7", ev); err != nil {
				t.Fatal(err)
			}
			inc, err := r.Edit(t.Context(), Edit{Who: "li", ID: a.Incident.ID, Scope: scope.All(), Apply: func(inc *Incident) (*Fact, error) {
				if i%3 > 0 {
					inc.State = Closed
				}
				inc.Held = i%3 == 1
				return &Fact{Kind: FactNoted, Text: "seen"}, nil
			}})
			if err != nil {
				t.Fatal(err)
			}
			all = append(all, inc)
		}
		if err := announce(t, d, r, "gate-7", picture(newID(t), "orphan.jpg", now)); err != nil {
			t.Fatal(err)
		}
		if n, files, err := r.DeleteIncidentsBefore(t.Context(), now, 100); n != 0 || len(files) != 0 || err != nil {
			t.Errorf("changed since: %d, %v", n, err)
		}
		later := time.Now().Add(time.Minute)
		files, err := r.DeleteEvidenceBefore(t.Context(), Pictures, later, 2)
		if err != nil || len(files) != 2 {
			t.Errorf("%v, %v", files, err)
		}
		if n, rest, err := r.DeleteIncidentsBefore(t.Context(), later, 2); n != 2 || err != nil {
			t.Errorf("%d, %v, %v", n, rest, err)
		} else {
			files = append(files, rest...)
		}
		n, rest, err := r.DeleteIncidentsBefore(t.Context(), later, 100)
		if err != nil || n != 1 || len(files)+len(rest) < 3 {
			t.Errorf("%d, %d files, %v", n, len(files)+len(rest), err)
		}
		if _, err := r.DeleteEvidenceBefore(t.Context(), Pictures, later, 100); err != nil {
			t.Error(err)
		}
		for query, want := range map[string]int64{
			`SELECT count(*) FROM incidents`: 6, `SELECT count(*) FROM incident_search`: 6, `SELECT count(*) FROM evidence`: 6,
			`SELECT count(DISTINCT incident) FROM facts`: 6, `SELECT sum(n) FROM incident_counts`: 6,
			`SELECT count(*) FROM incidents WHERE state = 'closed' AND held = 0`: 0,
		} {
			if got := number64(t, d, query); got != want {
				t.Errorf("%s: %d, want %d", query, got, want)
			}
		}
		left, err := r.List(t.Context(), Query{Scope: scope.All(), Limit: 100})
		if err != nil || len(left) != 6 {
			t.Fatalf("%d incidents, %v", len(left), err)
		}
		groups, err := r.Groups(t.Context(), Query{Scope: scope.All(), Limit: 100}, GroupPosition{})
		if err != nil || len(groups) != 1 || groups[0].Count() != 6 || groups[0].Newest.ID != all[7].ID {
			t.Errorf("%+v, %v", groups, err)
		}
		for _, inc := range left {
			if _, err := r.Edit(t.Context(), Edit{Who: "li", ID: inc.ID, Scope: scope.All(), Apply: func(inc *Incident) (*Fact, error) {
				inc.State, inc.Held = Closed, false
				return &Fact{Kind: FactClosed}, nil
			}}); err != nil {
				t.Fatal(err)
			}
		}
		if n, _, err := r.DeleteIncidentsBefore(t.Context(), later, 100); n != 6 || err != nil {
			t.Errorf("%d, %v", n, err)
		}
		for _, table := range []string{"incidents", "facts", "evidence", "group_summaries", "incident_groups", "incident_search"} {
			if n := number64(t, d, `SELECT count(*) FROM `+table); n != 0 {
				t.Errorf("%d rows are left in %s", n, table)
			}
		}
	})
}

// TestBacklogIsIndexed: incidents of before there was an index, or from another database, are found.
func TestBacklogIsIndexed(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		const n = backlogStep + 5
		alerts := make([]Alert, n)
		for i := range alerts {
			alerts[i] = alertAt(t, time.Now().Add(-time.Hour))
		}
		applyAll(t, d, r, "gate-7", alerts...)
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			if _, err := tx.Exec(`DELETE FROM incident_search`); err != nil {
				return err
			}
			_, err := tx.Exec(`UPDATE incidents SET indexed = 0`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		narrow := Query{Scope: scope.All(), Edge: "gate-7", Rule: "fence", Limit: 500}
		if all, err := r.List(t.Context(), narrow); err != nil || len(all) != n {
			t.Errorf("%d incidents are listed while the index lacks them, %v", len(all), err)
		}
		if err := r.IndexBacklog(t.Context()); err != nil {
			t.Fatal(err)
		}
		if all, err := r.List(t.Context(), narrow); err != nil || len(all) != n {
			t.Errorf("%d incidents are listed, %v", len(all), err)
		}
		if all, err := r.List(t.Context(), Query{Scope: scope.All(), Text: "yard", Limit: 500}); err != nil || len(all) != n {
			t.Errorf("%d incidents, %v", len(all), err)
		}
	})
}

// TestAReportThatIsTaken: its incident is its reporter's from the first version, is announced as opened all the
// same, and counts as acknowledged; sending it again and joining change nothing of that.
func TestAReportThatIsTaken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var alerts []AlertKind
		r := New(d, Hooks{Alert: func(_ *db.Tx, _ int64, kind AlertKind, inc Incident) error {
			alerts = append(alerts, kind)
			return nil
		}})
		id := newID(t)
		for range 2 {
			if _, err := r.AddReport(t.Context(), NewReport{Scope: scope.All(), Taken: true, Allow: allow, Report: Report{ID: id, Who: "li", Title: "a tree", Kind: "report", Severity: detection.Severe}}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := r.AddReport(t.Context(), NewReport{Scope: scope.All(), Join: id, Taken: true, Allow: allow, Report: Report{ID: newID(t), Who: "wang", Title: "a tree", Kind: "report", Severity: detection.Severe}}); err != nil {
			t.Fatal(err)
		}
		inc := get(t, r, id)
		if inc.State != Acknowledged || inc.StateBy != "li" || inc.Assignee != "li" || inc.Version != 2 || kinds(inc) != "reported assigned reported" {
			t.Errorf("%+v", inc)
		}
		if !slices.Equal(alerts, []AlertKind{AlertOpened, AlertChanged}) {
			t.Errorf("alerts %v", alerts)
		}
		var acknowledged, open int
		err := d.Read(t.Context()).One(`SELECT COALESCE(SUM(CASE WHEN state = 'acknowledged' THEN n END), 0), COALESCE(SUM(CASE WHEN state = 'open' THEN n END), 0) FROM incident_counts`)(&acknowledged, &open)
		if err != nil || acknowledged != 1 || open != 0 {
			t.Errorf("%d acknowledged, %d open, %v", acknowledged, open, err)
		}
	})
}
