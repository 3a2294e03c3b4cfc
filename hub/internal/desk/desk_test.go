package desk

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/incidents"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// eachDesk runs a test on each engine, with a desk on a new database.
func eachDesk(t *testing.T, test func(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := incidents.New(d, incidents.Hooks{})
		test(t, d, r, New(r, time.Now))
	})
}

// alarm opens an incident as an edge does, and returns its alert.
func alarm(t *testing.T, d *db.DB, r *incidents.Repository, id string) incidents.Alert {
	t.Helper()
	at := time.Now().Add(-time.Minute)
	a := incidents.Alert{Title: "motion", Occurred: at, Incident: detection.Incident{
		ID: id, Device: "yard", Rule: "fence", Kind: detection.Line, Severity: detection.Moderate, State: detection.Open, Opened: at, Updated: at, Version: 1,
	}}
	apply(t, d, r, a)
	return a
}

func apply(t *testing.T, d *db.DB, r *incidents.Repository, a incidents.Alert) {
	t.Helper()
	if err := d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.ApplyAlert(tx, "gate-7", "gate-7", a) }); err != nil {
		t.Fatal(err)
	}
}

func request(id string, versions ...int) Request {
	return Request{Who: "li", Scope: scope.All(), ID: id, Versions: versions}
}

// TestTableIsWhole: each action has one row for each state, which changes nothing it does not say.
func TestTableIsWhole(t *testing.T) {
	states := []incidents.State{incidents.Open, incidents.Acknowledged, incidents.Closed}
	rows := map[Action][]incidents.State{}
	for _, row := range Transitions() {
		rows[row.Action] = append(rows[row.Action], row.From)
		if (row.Done || row.Refusal != "") && row.To != row.From || row.Done && row.Refusal != "" || row.May == "" || !slices.Contains(states, row.To) {
			t.Errorf("%+v", row)
		}
		if row.May != May(row.Action) {
			t.Errorf("%s needs %s in the state %s and %s in another", row.Action, row.May, row.From, May(row.Action))
		}
	}
	for action, from := range rows {
		if !slices.Equal(from, states) {
			t.Errorf("%s has rows for %v", action, from)
		}
	}
	if len(rows) != 10 {
		t.Errorf("%d actions", len(rows))
	}
}

func TestDoingThingsTwice(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk) {
		const id = "0190f000-0000-7000-8000-000000000001"
		alarm(t, d, r, id)
		ctx := t.Context()
		for _, step := range []struct {
			name string
			do   func() (incidents.Incident, error)
		}{
			{"acknowledge", func() (incidents.Incident, error) { return desk.Acknowledge(ctx, request(id)) }},
			{"unacknowledge", func() (incidents.Incident, error) { return desk.Unacknowledge(ctx, request(id)) }},
			{"assign", func() (incidents.Incident, error) { return desk.Assign(ctx, request(id), "wang") }},
			{"unassign", func() (incidents.Incident, error) { return desk.Assign(ctx, request(id), "") }},
			{"hold", func() (incidents.Incident, error) { return desk.Hold(ctx, request(id), true) }},
			{"release", func() (incidents.Incident, error) { return desk.Hold(ctx, request(id), false) }},
			{"close", func() (incidents.Incident, error) { return desk.Close(ctx, request(id), incidents.DealtWith, "a fox") }},
			{"reopen", func() (incidents.Incident, error) { return desk.Reopen(ctx, request(id), "it is back") }},
		} {
			before, err := r.Get(ctx, scope.All(), id)
			if err != nil {
				t.Fatal(err)
			}
			once, err := step.do()
			if err != nil || once.Version != before.Version+1 {
				t.Fatalf("%s: version %d after %d, %v", step.name, once.Version, before.Version, err)
			}
			if twice, err := step.do(); err != nil || twice.Version != once.Version {
				t.Errorf("%s twice: version %d after %d, %v", step.name, twice.Version, once.Version, err)
			}
		}
		inc, err := desk.Close(ctx, request(id), "", "")
		if err != nil || inc.State != incidents.Closed || inc.Condition != detection.Open || inc.ClosedAt == nil || inc.Outcome != "" || inc.StateBy != "li" {
			t.Errorf("%+v, %v", inc, err)
		}
		for name, err := range map[string]error{
			"assign":        second(desk.Assign(ctx, request(id), "zhao")),
			"unacknowledge": second(desk.Unacknowledge(ctx, request(id))),
		} {
			if !errors.Is(err, problem.New("incident_closed")) {
				t.Errorf("%s of a closed incident: %v", name, err)
			}
		}
		for name, want := range map[error]string{
			second(desk.Assign(ctx, request(id), "a\nb")):                       "input_not_one_line",
			second(desk.Note(ctx, request(id), " ")):                            "input_empty",
			second(desk.Note(ctx, request(id), strings.Repeat("x", MaxText+1))): "input_too_long",
			second(desk.Close(ctx, request(id), "eaten", "")):                   "outcome_unknown",
			second(desk.Join(ctx, request(id), id)):                             "incident_join_self",
			second(desk.Reopen(ctx, request(id, inc.Version-1), "")):            "incident_changed",
		} {
			if !errors.Is(name, problem.New(want)) {
				t.Errorf("%v, want %s", name, want)
			}
		}
	})
}

func second(_ incidents.Incident, err error) error { return err }

// TestReopenAtAnyTime: an incident that was closed long ago opens again, and shows again when its
// condition ended.
func TestReopenAtAnyTime(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk) {
		const id = "0190f000-0000-7000-8000-000000000001"
		a := alarm(t, d, r, id)
		old := New(r, func() time.Time { return time.Now().Add(-20 * time.Second) })
		if _, err := old.Close(t.Context(), request(id), incidents.FalseAlarm, ""); err != nil {
			t.Fatal(err)
		}
		ended := time.Now().Add(-10 * time.Second).UTC().Truncate(time.Millisecond)
		a.Incident.Version, a.Incident.State, a.Ended = 2, detection.Closed, ended
		apply(t, d, r, a)
		inc, err := desk.Reopen(t.Context(), request(id), "")
		if err != nil || inc.State != incidents.Acknowledged || inc.ClosedAt == nil || !inc.ClosedAt.Equal(ended) || inc.Outcome != "" {
			t.Errorf("%+v, %v", inc, err)
		}
		report, err := desk.Report(t.Context(), "li", scope.All(), Report{Title: "a tree"})
		if err != nil {
			t.Fatal(err)
		}
		if inc, err = desk.Close(t.Context(), request(report.ID), "", ""); err != nil || inc.Condition != detection.Closed {
			t.Errorf("%+v, %v", inc, err)
		}
		if inc, err = desk.Reopen(t.Context(), request(report.ID), ""); err != nil || inc.ClosedAt != nil || inc.EndedAt != nil || inc.Condition != detection.Open {
			t.Errorf("%+v, %v", inc, err)
		}
	})
}

func TestReports(t *testing.T) {
	eachDesk(t, func(t *testing.T, d *db.DB, r *incidents.Repository, desk *Desk) {
		ctx, all := t.Context(), scope.All()
		inc, err := desk.Report(ctx, "li", all, Report{Title: " a tree "})
		if err != nil || inc.Title != "a tree" || inc.Severity != detection.Moderate || inc.Kind != "report" || len(inc.ID) != 36 {
			t.Errorf("%+v, %v", inc, err)
		}
		now := time.Now()
		for code, bad := range map[string][]Report{
			"input_empty":        {{}, {Text: "x"}},
			"input_not_one_line": {{Title: strings.Repeat("x", MaxTitle+1)}, {Title: "a\x00"}},
			"input_too_long":     {{Title: "x", Text: strings.Repeat("x", MaxText+1)}},
			"time_invalid":       {{Title: "x", At: now.Add(MaxAhead + time.Minute)}, {Title: "x", At: now.Add(-MaxAge - time.Minute)}, {Title: "x", At: time.Unix(0, 0)}},
		} {
			for _, report := range bad {
				if _, err := desk.Report(ctx, "li", all, report); !errors.Is(err, problem.New(code)) {
					t.Errorf("%+v: %v, want %s", report, err, code)
				}
			}
		}
		ahead, err := desk.Report(ctx, "li", all, Report{Title: "x", At: now.Add(MaxAhead - time.Minute)})
		if err != nil || ahead.OccurredAt.After(ahead.ReceivedAt) {
			t.Errorf("a little ahead: occurred %v, received %v, %v", ahead.OccurredAt, ahead.ReceivedAt, err)
		}
		joined, err := desk.Report(ctx, "wang", all, Report{Title: "a big tree", Join: inc.ID, Key: "1"})
		if err != nil || joined.ID != inc.ID || len(joined.Reports) != 2 {
			t.Errorf("%+v, %v", joined, err)
		}
		if again, err := desk.Report(ctx, "wang", all, Report{Title: "a big tree", Join: inc.ID, Key: "1"}); err != nil || again.Version != joined.Version {
			t.Errorf("sent again: %+v, %v", again, err)
		}
		if other, err := desk.Report(ctx, "zhao", all, Report{Title: "a big tree", Key: "1"}); err != nil || other.ID == inc.ID {
			t.Errorf("the key of another person: %+v, %v", other, err)
		}
		alarm(t, d, r, "0190f000-0000-7000-8000-000000000001")
		if _, err := desk.Join(ctx, request("0190f000-0000-7000-8000-000000000001"), inc.ID); !errors.Is(err, problem.New("incident_not_reported")) {
			t.Errorf("joining what an edge detected: %v", err)
		}
		gone, err := desk.Join(ctx, request(inc.ID), "0190f000-0000-7000-8000-000000000001")
		if err != nil || gone.State != incidents.Closed || gone.Outcome != incidents.Joined || gone.ClosedAt == nil {
			t.Errorf("%+v, %v", gone, err)
		}
		into, err := r.Get(ctx, all, "0190f000-0000-7000-8000-000000000001")
		if err != nil || len(into.Reports) != 2 {
			t.Errorf("%+v, %v", into, err)
		}
		if _, err := desk.Report(ctx, "li", all, Report{Title: "late", Join: inc.ID}); !errors.Is(err, problem.New("incident_closed")) {
			t.Errorf("a report that joins a closed incident: %v", err)
		}
	})
}
