package incidents

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newID(t testing.TB) string {
	t.Helper()
	id, err := uuid.NewV7()
	if err != nil {
		t.Fatal(err)
	}
	return id.String()
}

// alertAt is an alert that opens an incident at a time.
func alertAt(t testing.TB, at time.Time) Alert {
	t.Helper()
	return Alert{Title: "motion in the yard", Occurred: at, Changed: at, Incident: detection.Incident{
		ID: newID(t), Device: "yard", Rule: "fence", Kind: detection.Line, Severity: detection.Moderate,
		State: detection.Open, Opened: at, Updated: at, Version: 1, Class: detection.Motion, Count: 1,
	}}
}

// next is the next alert about the same incident.
func (a Alert) next() Alert {
	a.Incident.Version++
	a.Incident.Count++
	return a
}

// over is the alert that ends it.
func (a Alert) over(at time.Time) Alert {
	a = a.next()
	a.Incident.State, a.Incident.Closed, a.Incident.Updated, a.Ended, a.Changed = detection.Closed, at, at, at, at
	return a
}

func applyAll(t testing.TB, d *db.DB, r *Repository, edge string, alerts ...Alert) {
	t.Helper()
	if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
		for _, a := range alerts {
			if err := r.ApplyAlert(tx, edge, edge, a); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func get(t testing.TB, r *Repository, id string) Incident {
	t.Helper()
	inc, err := r.Get(t.Context(), scope.All(), id)
	if err != nil {
		t.Fatal(err)
	}
	return inc
}

func number64(t testing.TB, d *db.DB, query string, args ...any) (n int64) {
	t.Helper()
	if err := d.Read(t.Context()).One(query, args...)(&n); err != nil {
		t.Fatalf("%s: %v", query, err)
	}
	return n
}

func announce(t testing.TB, d *db.DB, r *Repository, edge string, ev api.Evidence) error {
	t.Helper()
	return d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.AnnounceEvidence(tx, edge, ev, ev.Time) })
}

func picture(incident, name string, at time.Time) api.Evidence {
	return api.Evidence{Incident: incident, Name: name, ContentType: "image/jpeg", Size: 7, SHA256: fmt.Sprintf("%064x", len(name)), Time: at}
}

// TestEachChangeHasItsVersion makes every kind of change that is not a person's, and wants a new version
// and one entry of the change feed for each: a console discards entries of a version that it has.
func TestEachChangeHasItsVersion(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		var alerts []AlertKind
		r := New(d, Hooks{Alert: func(_ *db.Tx, _ int64, kind AlertKind, _ Incident) error {
			alerts = append(alerts, kind)
			return nil
		}})
		now := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
		a := alertAt(t, now)
		ev := picture(a.Incident.ID, "a.jpg", now)
		other := ev
		other.SHA256 = picture("", "another", now).SHA256
		want := 0
		for _, step := range []struct {
			name string
			do   func() error
			kind AlertKind
		}{
			{"open", func() error { applyAll(t, d, r, "gate-7", a); return nil }, AlertOpened},
			{"announce evidence", func() error { return announce(t, d, r, "gate-7", ev) }, ""},
			{"announce another file under the name", func() error { return announce(t, d, r, "gate-7", other) }, ""},
			{"place", func() error {
				return d.Update(t.Context(), "test", func(tx *db.Tx) error {
					return r.SetPlace(tx, "gate-7", "yard", devices.Place{Lat: 1, Lon: 2})
				})
			}, ""},
			{"complete evidence", func() error { return r.CompleteEvidence(t.Context(), "gate-7", Upload{Evidence: other}) }, AlertChanged},
			{"change", func() error { applyAll(t, d, r, "gate-7", a.next()); return nil }, AlertChanged},
			{"end", func() error { applyAll(t, d, r, "gate-7", a.next().over(now.Add(time.Minute))); return nil }, AlertCleared},
			{"resume", func() error {
				return d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.SetCondition(tx, "gate-7", a.Incident.ID, detection.Open) })
			}, AlertChanged},
			{"lose", func() error {
				return d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.SetCondition(tx, "gate-7", a.Incident.ID, detection.Closed) })
			}, AlertCleared},
		} {
			alerts = nil
			if err := step.do(); err != nil {
				t.Fatalf("%s: %v", step.name, err)
			}
			want++
			if got := get(t, r, a.Incident.ID).Version; got != want {
				t.Errorf("%s: version %d, want %d", step.name, got, want)
			}
			entries, _, err := d.ChangesAfter(t.Context(), 0, 100)
			if err != nil || len(entries) != want || entries[want-1].Key != a.Incident.ID || entries[want-1].Site != "gate-7" {
				t.Errorf("%s: %d entries, %v", step.name, len(entries), err)
			}
			if step.kind != "" && (len(alerts) != 1 || alerts[0] != step.kind) || step.kind == "" && len(alerts) != 0 {
				t.Errorf("%s: alerts %v, want %q", step.name, alerts, step.kind)
			}
		}
		// What was known already changes nothing.
		for name, do := range map[string]func() error{
			"an old alert":              func() error { applyAll(t, d, r, "gate-7", a); return nil },
			"evidence that is there":    func() error { return announce(t, d, r, "gate-7", ev) },
			"evidence that is complete": func() error { return r.CompleteEvidence(t.Context(), "gate-7", Upload{Evidence: other}) },
			"a condition that is the same": func() error {
				return d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.SetCondition(tx, "gate-7", a.Incident.ID, detection.Closed) })
			},
			"the condition of another edge": func() error {
				return d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.SetCondition(tx, "gate-8", a.Incident.ID, detection.Open) })
			},
		} {
			if err := do(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if got := get(t, r, a.Incident.ID).Version; got != want {
				t.Errorf("%s: version %d, want %d", name, got, want)
			}
		}
		if err := announce(t, d, r, "gate-8", picture(a.Incident.ID, "b.jpg", now)); !errors.Is(err, ErrForeign) {
			t.Errorf("evidence of another edge: %v", err)
		}
	})
}

// TestAWrongClockDecidesNothing opens incidents on edges whose clocks are far off. A live alarm must come
// first in the list, and be within every period that ends now.
func TestAWrongClockDecidesNothing(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		now := time.Now()
		old := alertAt(t, now.Add(-time.Minute))
		applyAll(t, d, r, "gate-1", old)
		for _, clock := range []time.Time{time.Unix(0, 0), now.Add(50 * 365 * 24 * time.Hour), now.Add(-20 * 365 * 24 * time.Hour)} {
			a := alertAt(t, clock)
			a.Occurred, a.Changed = time.Time{}, time.Time{} // ingest knows nothing better
			applyAll(t, d, r, "gate-2", a)
			all, err := r.List(t.Context(), Query{Scope: scope.All(), Since: now.Add(-time.Second), Limit: 10})
			if err != nil || len(all) == 0 || all[0].ID != a.Incident.ID {
				t.Errorf("a clock at %v: %d incidents since a second ago, %v", clock, len(all), err)
				continue
			}
			if inc := all[0]; inc.OccurredAt.After(inc.ReceivedAt) || !inc.OpenedAt.Equal(clock.Truncate(time.Millisecond)) {
				t.Errorf("a clock at %v: opened %v, occurred %v, received %v", clock, inc.OpenedAt, inc.OccurredAt, inc.ReceivedAt)
			}
			for _, f := range get(t, r, a.Incident.ID).Facts {
				if f.OccurredAt.After(f.RecordedAt) {
					t.Errorf("a clock at %v: %s at %v, recorded at %v", clock, f.Kind, f.OccurredAt, f.RecordedAt)
				}
			}
		}
	})
}

func TestLastPicture(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		if _, err := r.LastPicture(t.Context(), scope.All(), "gate-7", "yard"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("%v", err)
		}
		now := time.Now().Truncate(time.Millisecond)
		for i, name := range []string{"old.jpg", "early.jpg", "new.jpg", "coming.jpg"} {
			at := now.Add(time.Duration(i-5) * time.Minute)
			a := alertAt(t, at)
			ev := picture(a.Incident.ID, name, at)
			if name == "early.jpg" { // before its incident
				if err := announce(t, d, r, "gate-7", ev); err != nil {
					t.Fatal(err)
				}
			}
			applyAll(t, d, r, "gate-7", a)
			if err := announce(t, d, r, "gate-7", ev); err != nil {
				t.Fatal(err)
			}
			if name == "coming.jpg" {
				continue
			}
			if err := r.CompleteEvidence(t.Context(), "gate-7", Upload{Evidence: ev}); err != nil {
				t.Fatal(err)
			}
			f, err := r.LastPicture(t.Context(), scope.All(), "gate-7", "yard")
			if err != nil || f.Name != name || !f.Time.Equal(at) {
				t.Errorf("%+v, %v; want %s", f, err, name)
			}
		}
		if f, err := r.LastPicture(t.Context(), scope.All(), "gate-7", "yard"); err != nil || f.Name != "new.jpg" {
			t.Errorf("%+v, %v", f, err)
		}
		if _, err := r.LastPicture(t.Context(), scope.Sites("elsewhere"), "gate-7", "yard"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("outside of the scope: %v", err)
		}
	})
}

// TestMissingAndCompare compares many incidents of an edge with a bounded number of queries.
func TestMissingAndCompare(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		now := time.Now().Add(-time.Hour)
		a, b, theirs := alertAt(t, now), alertAt(t, now), alertAt(t, now)
		applyAll(t, d, r, "gate-7", a, b.next())
		applyAll(t, d, r, "gate-8", theirs)
		refs := []api.IncidentRef{{ID: a.Incident.ID, Version: 1, Evidence: 1}, {ID: b.Incident.ID, Version: 1}, {ID: theirs.Incident.ID, Version: 9}}
		const unknown = 50_000
		for range unknown {
			refs = append(refs, api.IncidentRef{ID: newID(t), Version: 1})
		}
		before := d.Queries()
		missing, err := r.Missing(d.Read(t.Context()), "gate-7", refs)
		if err != nil || len(missing) != maxMissing || missing[0] != a.Incident.ID || missing[1] != refs[3].ID {
			t.Errorf("%d missing, %v", len(missing), err)
		}
		end, resume, err := r.CompareOpen(d.Read(t.Context()), "gate-7", refs[1:])
		if err != nil || len(end) != 1 || end[0] != a.Incident.ID || len(resume) != 0 {
			t.Errorf("end %v, resume %v, %v", end, resume, err)
		}
		if n := d.Queries() - before; n > 20 {
			t.Errorf("%d queries for %d incidents", n, len(refs))
		}
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error { return r.SetCondition(tx, "gate-7", a.Incident.ID, detection.Closed) }); err != nil {
			t.Fatal(err)
		}
		if end, resume, err = r.CompareOpen(d.Read(t.Context()), "gate-7", refs); err != nil || len(end) != 0 || len(resume) != 1 || resume[0] != a.Incident.ID {
			t.Errorf("end %v, resume %v, %v", end, resume, err)
		}
	})
}
