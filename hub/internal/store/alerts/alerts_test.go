package alerts

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/problem"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// each runs a test with a repository on each engine.
func each(t *testing.T, test func(t *testing.T, r *Repository)) {
	t.Helper()
	dbtest.Each(t, func(t *testing.T, d *db.DB) { test(t, New(d, Options{})) })
}

func addTarget(t testing.TB, r *Repository, ids ...string) {
	t.Helper()
	for _, id := range ids {
		if err := r.Add(t.Context(), "test", Webhook{ID: id, URL: "https://" + id + ".example", Secrets: []string{"whsec_AA=="}}); err != nil {
			t.Fatal(err)
		}
	}
}

// enqueue publishes a change of each incident, in one transaction, and enqueues its alert as the
// incidents' repository does. It returns the numbers.
func enqueue(t testing.TB, r *Repository, incidents ...string) (seqs []int64) {
	t.Helper()
	err := r.d.Update(t.Context(), "test", func(tx *db.Tx) error {
		seqs = nil
		for _, id := range incidents {
			tx.Publish("incident", "", id, nil, func(tx *db.Tx, seq int64) error {
				seqs = append(seqs, seq)
				return Enqueue(tx, seq, testAlert(id))
			})
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return seqs
}

func testAlert(incident string) Alert {
	return Alert{
		Kind: notify.Changed, Incident: incident, Device: "gate-7/yard",
		Data: func(*db.Tx) (json.RawMessage, error) { return json.RawMessage(`{"id":"` + incident + `"}`), nil },
	}
}

func acquire(t testing.TB, r *Repository, target string) notify.TargetQueue {
	t.Helper()
	q, err := r.Acquire(t.Context(), target, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return q
}

// due returns the numbers of the deliveries that are due.
func due(t testing.TB, q notify.TargetQueue, now time.Time, limit int) (all []notify.Delivery, seqs []int64, next time.Time) {
	t.Helper()
	all, next, err := q.Due(t.Context(), now, limit)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range all {
		seqs = append(seqs, d.Sequence)
	}
	return all, seqs, next
}

func outcome(d notify.Delivery, state notify.State, at time.Time, next time.Duration) notify.Outcome {
	o := notify.Outcome{Delivery: d.ID, Target: d.Target, Incident: d.Alert.Incident, Attempt: d.Attempts + 1, At: at, State: state, Next: at.Add(next)}
	if state != notify.Delivered {
		o.Cause = problem.NewCause("delivery_failed", "reason", "refused")
	}
	return o
}

func save(t testing.TB, q notify.TargetQueue, outcomes ...notify.Outcome) {
	t.Helper()
	if err := q.Record(t.Context(), outcomes); err != nil {
		t.Fatal(err)
	}
}

func equal(t testing.TB, what string, got []int64, want ...int64) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%s: %v, want %v", what, got, want)
	}
	for i := range got {
		if got[i] != want[i] {
			t.Fatalf("%s: %v, want %v", what, got, want)
		}
	}
}

func TestOrderOfAnIncident(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "one", "two")
		s := enqueue(t, r, "a", "a", "b", "a")
		q, now := acquire(t, r, "one"), time.Now().Add(time.Second)
		all, got, next := due(t, q, now, 10)
		equal(t, "the first of each incident", got, s[0], s[2])
		if all[0].Alert.Kind != notify.Changed || all[0].Alert.Device != "gate-7/yard" || string(all[0].Alert.Data) != `{"id":"a"}` || !next.IsZero() {
			t.Errorf("%+v, next %v", all[0], next)
		}
		if _, _, next := due(t, q, now, 1); !next.Equal(now) {
			t.Errorf("next %v, want now, for the one beyond the limit", next)
		}
		for range 2 { // a second outcome of the same delivery changes nothing
			save(t, q, outcome(all[0], notify.Delivered, now, 0))
		}
		all, got, _ = due(t, q, now, 10)
		equal(t, "after the first of a", got, s[1], s[2])

		// The second of a fails until the third may overtake it.
		d := all[0]
		for attempt := 1; attempt <= notify.OrderAttempts; attempt++ {
			save(t, q, outcome(d, notify.Pending, now, time.Hour))
			d.Attempts++
			_, got, next = due(t, q, now, 10)
			if attempt < notify.OrderAttempts {
				equal(t, "while the second of a waits", got, s[2])
			}
		}
		equal(t, "when the third of a overtakes", got, s[2], s[3])
		if next.Sub(now).Round(time.Minute) != time.Hour {
			t.Errorf("next in %v", next.Sub(now))
		}
		// A new alert of a waits behind the third only.
		s = append(s, enqueue(t, r, "a")...)
		all, got, _ = due(t, q, now, 10)
		equal(t, "with a fourth of a", got, s[2], s[3])
		save(t, q, outcome(all[1], notify.Dead, now, 0))
		_, got, _ = due(t, q, now, 10)
		equal(t, "after the third of a", got, s[2], s[4])
		// The other target has seen nothing of it.
		_, got, _ = due(t, acquire(t, r, "two"), now, 10)
		equal(t, "the other target", got, s[0], s[2])
	})
}

func TestGoneTargetIsDisabledAtOnceAndItsDeliveriesInSteps(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "one", "two")
		enqueue(t, r, "a", "b", "c", "d", "d")
		q, now := acquire(t, r, "one"), time.Now().Add(time.Second)
		all, _, _ := due(t, q, now, 10)
		gone := outcome(all[0], notify.Dead, now, 0)
		gone.Status, gone.Disable = 410, problem.NewCause("target_gone")
		save(t, q, gone)
		if _, got, _ := due(t, q, now, 10); len(got) != 0 {
			t.Errorf("a target that is gone still has %d due deliveries", len(got))
		}
		targets, err := r.Targets(t.Context())
		if err != nil || len(targets) != 1 || targets[0].ID != "two" {
			t.Fatalf("%+v, %v", targets, err)
		}
		var steps []int
		for n := 1; n > 0; {
			if n, err = r.Clean(t.Context(), now.Add(-time.Hour), 3); err != nil {
				t.Fatal(err)
			}
			steps = append(steps, n)
		}
		if len(steps) != 3 || steps[0] != 3 || steps[1] != 1 {
			t.Errorf("steps of %v deliveries, want 3 and 1", steps)
		}
		w, err := r.Get(t.Context(), "one")
		if err != nil || w.Pending != 0 || w.Dead != 5 || w.Disabled.Code != "target_gone" {
			t.Errorf("%+v, %v", w, err)
		}
		list, err := r.Deliveries(t.Context(), "one", 0, 10)
		if err != nil || len(list) != 5 || list[0].Cause.Code != "target_gone" || list[0].Next != nil || list[0].State != "dead" {
			t.Errorf("%+v, %v", list, err)
		}
		if _, got, _ := due(t, acquire(t, r, "two"), now, 10); len(got) != 4 {
			t.Errorf("%d due for the other target, want 4", len(got))
		}
		// Enabled again, it gets what comes from now on.
		if err := r.Switch(t.Context(), "li", "one", true); err != nil {
			t.Fatal(err)
		}
		s := enqueue(t, r, "d")
		_, got, _ := due(t, q, time.Now().Add(time.Second), 10)
		equal(t, "after it was enabled again", got, s...)
	})
}

// TestWebhookShowsWhatFails: while an alert waits for another attempt, its target has the newest failure with
// its cause; what was delivered or given up is no failure any more.
func TestWebhookShowsWhatFails(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "w")
		enqueue(t, r, "a", "b")
		q, now := acquire(t, r, "w"), time.Now().Add(time.Second).Truncate(time.Millisecond)
		all, _, _ := due(t, q, now, 10)
		get := func() Webhook {
			t.Helper()
			list, err := r.List(t.Context())
			if err != nil || len(list) != 1 {
				t.Fatalf("%+v, %v", list, err)
			}
			return list[0]
		}
		if w := get(); w.Failing != nil || w.Pending != 2 || w.Dead != 0 {
			t.Errorf("before any attempt: %+v", w)
		}
		second := outcome(all[1], notify.Pending, now.Add(time.Second), time.Minute)
		second.Cause = problem.NewCause("delivery_timed_out", "seconds", "15")
		save(t, q, outcome(all[0], notify.Pending, now, 5*time.Second), second)
		f := get().Failing
		if f == nil || f.Cause.Code != "delivery_timed_out" || f.Cause.Params["seconds"] != "15" || f.Cause.Text != "no answer within 15 s" ||
			!f.At.Equal(now.Add(time.Second)) || !f.Next.Equal(now.Add(5*time.Second)) {
			t.Errorf("after two failures: %+v", f)
		}
		save(t, q, outcome(all[1], notify.Delivered, now, 0), outcome(all[0], notify.Dead, now, 0))
		if w := get(); w.Failing != nil || w.Pending != 0 || w.Dead != 1 {
			t.Errorf("at the end: %+v", w)
		}
	})
}

func TestSwitchingAWebhook(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		ctx := t.Context()
		const secret = "https://receiver.example/hooks/very-secret?key=1"
		if err := r.Add(ctx, "test", Webhook{ID: "w", URL: secret, Secrets: []string{"x"}}); err != nil {
			t.Fatal(err)
		}
		before := enqueue(t, r, "a")
		if err := r.Switch(ctx, "wang", "w", false); err != nil {
			t.Fatal(err)
		}
		if w, err := r.Get(ctx, "w"); err != nil || w.Disabled.Text != "switched off by wang" || w.URL != secret {
			t.Errorf("%+v, %v", w, err)
		}
		if targets, err := r.Targets(ctx); err != nil || len(targets) != 0 {
			t.Errorf("%v, %v", targets, err)
		}
		if _, err := r.Acquire(ctx, "w", time.Minute); !errors.Is(err, notify.ErrLost) {
			t.Errorf("the lease of a disabled target: %v", err)
		}
		enqueue(t, r, "b")
		if err := r.Switch(ctx, "wang", "w", true); err != nil {
			t.Fatal(err)
		}
		_, got, _ := due(t, acquire(t, r, "w"), time.Now().Add(time.Second), 10)
		equal(t, "what waited, and not what happened meanwhile", got, before...)
		if err := r.Switch(ctx, "wang", "none", true); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("%v", err)
		}
		entries, err := db.Collect(db.ScanText)(r.d.Read(ctx).Rows(`SELECT who || ' ' || action || ' ' || object || ' ' || detail FROM audit ORDER BY id`))
		if err != nil {
			t.Fatal(err)
		}
		want := "test webhook add w https://receiver.example|wang webhook disable w switched off by wang|wang webhook enable w "
		if got := strings.Join(entries, "|"); got != want {
			t.Errorf("audit log %q, want %q", got, want)
		}
	})
}

// TestRemovedTargetIsDeletedInSteps: removing does not touch the deliveries.
func TestRemovedTargetIsDeletedInSteps(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "one", "two")
		enqueue(t, r, "a", "b", "c", "d", "e")
		q := acquire(t, r, "one")
		all, _, _ := due(t, q, time.Now().Add(time.Second), 1)
		if err := r.Remove(t.Context(), "li", "one"); err != nil {
			t.Fatal(err)
		}
		if n := rows(t, r, `SELECT count(*) FROM deliveries WHERE target = 'one'`); n != 5 {
			t.Errorf("%d deliveries right after the removal, want all 5", n)
		}
		if err := q.Record(t.Context(), []notify.Outcome{outcome(all[0], notify.Delivered, time.Now(), 0)}); !errors.Is(err, notify.ErrLost) {
			t.Errorf("an outcome after the removal: %v", err)
		}
		if err := r.Remove(t.Context(), "li", "one"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("the second removal: %v", err)
		}
		if list, err := r.List(t.Context()); err != nil || len(list) != 1 {
			t.Errorf("%+v, %v", list, err)
		}
		enqueue(t, r, "f")
		for _, want := range []int{2, 2, 1, 1, 0} {
			n, err := r.Clean(t.Context(), time.Time{}, 2)
			if err != nil || n != want {
				t.Fatalf("a step of %d rows, %v; want %d", n, err, want)
			}
		}
		if n := rows(t, r, `SELECT count(*) FROM deliveries`); n != 6 {
			t.Errorf("%d deliveries are left, want the 6 of the other target", n)
		}
	})
}

func TestRetentionKeepsWhatIsPending(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "w")
		enqueue(t, r, "a", "b", "c")
		q, now := acquire(t, r, "w"), time.Now().Add(time.Second)
		all, _, _ := due(t, q, now, 10)
		save(t, q, outcome(all[0], notify.Delivered, now, 0), outcome(all[1], notify.Dead, now, 0))
		clean := func(before time.Time) (deliveries, alerts int) {
			t.Helper()
			deliveries, err := r.DeleteDeliveriesBefore(t.Context(), before, 10)
			if err != nil {
				t.Fatal(err)
			}
			if alerts, err = r.DeleteAlertsBefore(t.Context(), before, 10); err != nil {
				t.Fatal(err)
			}
			return deliveries, alerts
		}
		if d, a := clean(now.Add(-time.Hour)); d != 0 || a != 0 {
			t.Errorf("%d deliveries and %d alerts that are not old were deleted", d, a)
		}
		if d, a := clean(now); d != 2 || a != 2 {
			t.Errorf("%d deliveries and %d alerts were deleted, want 2 and 2", d, a)
		}
		if _, got, _ := due(t, q, now, 10); len(got) != 1 {
			t.Errorf("%d due, want the one that was never delivered", len(got))
		}
	})
}

// TestClockThatWasSetBack: what was scheduled by a clock that was far ahead does not wait until then.
func TestClockThatWasSetBack(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "w")
		s := enqueue(t, r, "a", "b")
		q, ahead := acquire(t, r, "w"), time.Now().Add(365*24*time.Hour)
		all, _, _ := due(t, q, ahead, 10)
		save(t, q, outcome(all[0], notify.Pending, ahead, time.Minute))
		_, got, _ := due(t, q, time.Now().Add(time.Second), 10)
		equal(t, "after the clock was set back", got, s[1], s[0])
	})
}

func TestGiveUpAndResumeInSteps(t *testing.T) {
	each(t, func(t *testing.T, r *Repository) {
		addTarget(t, r, "w")
		incidents := make([]string, 2*batch+10)
		for i := range incidents {
			incidents[i] = string(rune('a'+i%3)) + time.Duration(i/2).String()
		}
		enqueue(t, r, incidents...)
		q, now := acquire(t, r, "w"), time.Now().Add(time.Second)
		all, _, _ := due(t, q, now, 1000)
		var later []notify.Outcome
		for _, d := range all {
			later = append(later, outcome(d, notify.Pending, now, time.Hour))
		}
		save(t, q, later...)
		for more, steps := true, 0; more; steps++ {
			var err error
			if more, err = q.Resume(t.Context(), now); err != nil || steps > 3 {
				t.Fatalf("step %d: %v", steps, err)
			}
		}
		if again, _, _ := due(t, q, now, 1000); len(again) != len(all) {
			t.Errorf("%d of %d are due again", len(again), len(all))
		}
		total := 0
		for more := true; more; {
			n, again, err := q.GiveUp(t.Context(), now)
			if err != nil {
				t.Fatal(err)
			}
			total, more = total+n, again
		}
		if total != len(incidents) {
			t.Errorf("%d of %d were given up", total, len(incidents))
		}
		if n := rows(t, r, `SELECT count(*) FROM deliveries WHERE held = 1 OR state <> 'dead' OR cause_code = ''`); n != 0 {
			t.Errorf("%d are held, not dead or without a cause", n)
		}
	})
}

func rows(t testing.TB, r *Repository, query string, args ...any) (n int) {
	t.Helper()
	if err := r.d.Read(t.Context()).One(query, args...)(&n); err != nil {
		t.Fatal(err)
	}
	return n
}
