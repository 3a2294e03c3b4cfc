package alerts

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/notify"
)

// TestSourceIsOfTheInstallation: two databases have two sources, and one has the same for each hub on it.
func TestSourceIsOfTheInstallation(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			seen := map[string]bool{}
			for range 2 {
				o := db.Options{Dir: t.TempDir(), Name: "hub", Schema: schema.Hub()}
				if e == db.Postgres {
					o.URL = dbtest.URL(t)
				}
				d, err := db.Open(t.Context(), o)
				if err != nil {
					t.Fatal(err)
				}
				defer d.Close() //nolint:errcheck // the test is over
				source, err := New(d, Options{}).Source(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				id, ok := strings.CutPrefix(source, "urn:gridpost:hub:")
				if _, err := uuid.Parse(id); !ok || err != nil {
					t.Errorf("%s has no UUID: %v", source, err)
				}
				if again, err := New(d, Options{}).Source(t.Context()); again != source || err != nil {
					t.Errorf("another hub of the database has the source %s, want %s; %v", again, source, err)
				}
				seen[source] = true
			}
			if len(seen) != 2 {
				t.Errorf("two installations have the sources %v", seen)
			}
		})
	}
}

// TestSequenceOfATargetHasNoGaps: whatever else the change feed numbers, whoever else is a target, and however
// transactions fail.
func TestSequenceOfATargetHasNoGaps(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		publish := func(alert bool) {
			t.Helper()
			failed := errors.New("failed")
			for _, fail := range []error{failed, nil} {
				err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
					tx.Publish("device", "", "d", nil, nil)
					if alert {
						tx.Publish("incident", "", "a", nil, func(tx *db.Tx, seq int64) error {
							return errors.Join(Enqueue(tx, seq, testAlert("a")), fail)
						})
					}
					return nil
				})
				if alert && !errors.Is(err, fail) || !alert && err != nil {
					t.Fatal(err)
				}
			}
		}
		publish(true)
		addTarget(t, r, "one")
		publish(true)
		publish(false)
		addTarget(t, r, "two")
		publish(true)
		if err := r.Switch(t.Context(), "test", "two", false); err != nil {
			t.Fatal(err)
		}
		publish(true)
		if err := r.Switch(t.Context(), "test", "two", true); err != nil {
			t.Fatal(err)
		}
		publish(true)
		for target, want := range map[string][]int64{"one": {4, 3, 2, 1}, "two": {2, 1}} {
			all, err := r.Deliveries(t.Context(), target, 0, 100)
			if err != nil {
				t.Fatal(err)
			}
			var got []int64
			for _, d := range all {
				got = append(got, d.Sequence)
			}
			equal(t, target, got, want...)
		}
	})
}

// TestEventsOfTheVersionBefore: deliveries that were enqueued before the upgrade keep their identity and their
// place before all later ones, and their target keeps the names of types.
func TestEventsOfTheVersionBefore(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			o := db.Options{Dir: t.TempDir(), Name: "hub", Schema: dbtest.Before(t, 50)}
			if e == db.Postgres {
				o.URL = dbtest.URL(t)
			}
			old, err := db.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			err = old.Update(t.Context(), "test", func(tx *db.Tx) error {
				for _, text := range []string{
					`UPDATE feed SET last = 70`,
					`INSERT INTO webhooks(id, url, secrets, created_at) VALUES ('one', 'https://one.example', '["whsec_AA=="]', 1)`,
					`INSERT INTO alerts(seq, kind, incident, device, at, data) VALUES (69, 'closed', 'a', 'gate-7/yard', 1, '{}')`,
					`INSERT INTO deliveries(id, target, seq, incident, queued_at, next_at, state) VALUES ('msg_old', 'one', 69, 'a', 1, 1, 'pending')`,
				} {
					if _, err := tx.Exec(text); err != nil {
						return err
					}
				}
				return nil
			})
			if err := errors.Join(err, old.Close()); err != nil {
				t.Fatal(err)
			}
			o.Schema = schema.Hub()
			d, err := db.Open(t.Context(), o)
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close() //nolint:errcheck // the test is over
			r := New(d, Options{})
			enqueue(t, r, "b")
			targets, err := r.Targets(t.Context())
			if err != nil || len(targets) != 1 || targets[0].Format != 1 {
				t.Fatalf("%+v, %v", targets, err)
			}
			all, seqs, _ := due(t, acquire(t, r, "one"), time.Now().Add(time.Second), 10)
			equal(t, "sequence", seqs, 69, 71)
			if all[0].ID != "msg_old" || all[0].Alert.ID != "" || all[0].Alert.Kind != notify.Closed || all[1].Alert.ID == "" {
				t.Errorf("%+v", all)
			}
			addTarget(t, r, "two")
			if w, err := r.Get(t.Context(), "two"); err != nil || w.Format != notify.Format {
				t.Errorf("a new target: %+v, %v", w, err)
			}
		})
	}
}

// TestPauseIsNotShortened: of several answers that ask for pauses, the longest counts, in whatever order they are
// recorded, and whoever serves the target next honours it.
func TestPauseIsNotShortened(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "one")
		enqueue(t, r, "a", "b")
		q, now := acquire(t, r, "one"), time.Now().Truncate(time.Millisecond).Add(time.Second)
		all, _, _ := due(t, q, now, 10)
		for i, pause := range []time.Duration{10 * time.Minute, 5 * time.Minute} {
			o := outcome(all[i], notify.Pending, now, pause)
			o.Pause = o.Next
			save(t, q, o)
		}
		want := notify.Pace{Until: now.Add(10 * time.Minute)}
		check := func(want notify.Pace) notify.TargetQueue {
			t.Helper()
			if err := q.Release(t.Context()); err != nil {
				t.Fatal(err)
			}
			q := acquire(t, r, "one")
			if got := q.Pace(); got.Failures != want.Failures || !got.Until.Equal(want.Until) {
				t.Errorf("%+v, want %+v", got, want)
			}
			return q
		}
		q = check(want)
		want = notify.Pace{Until: now.Add(time.Minute), Failures: 7}
		if err := q.SavePace(t.Context(), want); err != nil {
			t.Fatal(err)
		}
		q = check(want)
	})
}
