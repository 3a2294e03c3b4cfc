package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ttl = time.Minute

// clock is a clock that a test moves.
type clock struct{ ms atomic.Int64 }

func newClock() *clock {
	c := &clock{}
	c.ms.Store(1_700_000_000_000)
	return c
}

func (c *clock) now() time.Time      { return time.UnixMilli(c.ms.Load()) }
func (c *clock) add(d time.Duration) { c.ms.Add(d.Milliseconds()) }

func update(t *testing.T, d *db.DB, fn func(*db.Tx) error) {
	t.Helper()
	if err := d.Update(t.Context(), "test", fn); err != nil {
		t.Fatal(err)
	}
}

func enqueue(t *testing.T, d *db.DB, key string, payload any, due time.Time) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error { return Enqueue(tx, "k", key, payload, due) })
}

func mustClaim(t *testing.T, d *db.DB) *Claim {
	t.Helper()
	c, err := claim(t.Context(), d, "k", ttl)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestRunnersCrashAndFail runs jobs on three hubs, whose handlers fail, panic and lose their hub. Each job's
// effect and its end are one transaction: it must be there exactly once.
func TestRunnersCrashAndFail(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const jobs = 60
		update(t, d, func(tx *db.Tx) error {
			_, err := tx.Exec(`CREATE TABLE effects(key TEXT PRIMARY KEY, hub BIGINT NOT NULL)`)
			for i := range jobs {
				err = errors.Join(err, Enqueue(tx, "k", fmt.Sprint(i), i, tx.Now()))
			}
			return err
		})
		var running sync.Map // key to whether it runs: the lease is long enough for all handlers
		var attempts atomic.Int64
		done := make(chan struct{}, jobs)
		handler := func(hub int) func(context.Context, *Claim) error {
			return func(ctx context.Context, c *Claim) error {
				if _, runs := running.LoadOrStore(c.Key, true); runs {
					t.Errorf("job %s runs twice at a time", c.Key)
				}
				defer running.Delete(c.Key)
				switch n := attempts.Add(1); {
				case n%7 == 1:
					return errors.New("the target is away")
				case n%7 == 3:
					panic("out of order")
				}
				err := d.Update(ctx, "test", func(tx *db.Tx) error {
					if _, err := tx.Exec(`INSERT INTO effects(key, hub) VALUES (?, ?)`, c.Key, hub); err != nil {
						return err
					}
					return c.Done(tx)
				})
				if err == nil {
					done <- struct{}{}
				}
				return err
			}
		}
		var hubs sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		start := func(ctx context.Context, hub int) {
			hubs.Go(func() {
				err := Run(ctx, d, []Kind{{
					Name: "k", Workers: 2, Run: handler(hub),
					Retry: retry.Policy{First: time.Millisecond, Longest: 10 * time.Millisecond},
				}}, slog.New(slog.DiscardHandler))
				if err != nil {
					t.Error(err)
				}
			})
		}
		start(ctx, 0)
		for hub := 1; hub < 4; hub++ { // come and go
			ctx, stop := context.WithCancel(ctx)
			start(ctx, hub)
			<-done
			stop()
		}
		for range jobs - 3 {
			<-done
		}
		stop()
		hubs.Wait()
		var effects int
		if err := d.Read(t.Context()).One(`SELECT count(*) FROM effects`)(&effects); err != nil || effects != jobs {
			t.Errorf("%d effects, %v", effects, err)
		}
		if n := rows(t, d); n != 0 {
			t.Errorf("%d jobs are left", n)
		}
	})
}

// TestJobOfACrashedHubRunsAgain takes the lease away from a handler that does not end.
func TestJobOfACrashedHubRunsAgain(t *testing.T) {
	c := newClock()
	dbtest.EachWith(t, db.Options{Now: c.now}, func(t *testing.T, d *db.DB) {
		enqueue(t, d, "a", 1, c.now())
		crashed := mustClaim(t, d)
		if again := mustClaim(t, d); crashed == nil || again != nil {
			t.Fatalf("claimed %+v, then %+v", crashed, again)
		}
		if at, ok, err := next(t.Context(), d, "k"); !ok || err != nil || !at.Equal(c.now().Add(ttl)) {
			t.Errorf("next at %s, %v, %v", at, ok, err)
		}
		c.add(ttl)
		again := mustClaim(t, d)
		if again == nil || again.Attempts != 2 {
			t.Fatalf("after the lease: %+v", again)
		}
		if err := d.Update(t.Context(), "test", crashed.Check); !errors.Is(err, ErrLost) {
			t.Errorf("the crashed owner: %v", err)
		}
		if err := d.Update(t.Context(), "test", again.Check); err != nil {
			t.Error(err)
		}
	})
}

func TestLease(t *testing.T) {
	c := newClock()
	dbtest.EachWith(t, db.Options{Now: c.now}, func(t *testing.T, d *db.DB) {
		a, err := Acquire(t.Context(), d, "target", "x", ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := Acquire(t.Context(), d, "target", "x", ttl); !errors.Is(err, ErrHeld) {
			t.Errorf("a second owner: %v", err)
		}
		if _, err := Acquire(t.Context(), d, "target", "y", ttl); err != nil {
			t.Errorf("another key: %v", err)
		}
		c.add(ttl / 2)
		if err := a.Renew(t.Context()); err != nil {
			t.Error(err)
		}
		c.add(ttl / 2)
		if _, err := Acquire(t.Context(), d, "target", "x", ttl); !errors.Is(err, ErrHeld) {
			t.Errorf("after a renewal: %v", err)
		}
		c.add(ttl)
		if err := d.Update(t.Context(), "test", a.Check); err != nil {
			t.Errorf("expired, and nobody else has it: %v", err)
		}
		b, err := Acquire(t.Context(), d, "target", "x", ttl)
		if err != nil {
			t.Fatal(err)
		}
		for name, err := range map[string]error{"check": d.Update(t.Context(), "test", a.Check), "renew": a.Renew(t.Context())} {
			if !errors.Is(err, ErrLost) {
				t.Errorf("%s of the old owner: %v", name, err)
			}
		}
		if err := a.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := Acquire(t.Context(), d, "target", "x", ttl); !errors.Is(err, ErrHeld) {
			t.Errorf("the old owner gave back what is not its own: %v", err)
		}
		if err := b.Release(t.Context()); err != nil {
			t.Error(err)
		}
		if _, err := Acquire(t.Context(), d, "target", "x", ttl); err != nil {
			t.Errorf("after the release: %v", err)
		}
		if _, ok, err := Oldest(t.Context(), d); ok || err != nil {
			t.Errorf("a lease counts as a job that waits: %v", err)
		}
	})
}

// TestPeriodicJobRuns runs a job that is due again at once.
func TestPeriodicJobRuns(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, stop := context.WithCancel(t.Context())
		runs := 0
		err := Run(ctx, d, []Kind{{Name: "p", Every: time.Millisecond, Run: func(context.Context, *Claim) error {
			if runs++; runs == 3 {
				stop()
			}
			return nil
		}}}, slog.New(slog.DiscardHandler))
		if err != nil || runs != 3 {
			t.Errorf("%d runs, %v", runs, err)
		}
		if _, ok, err := next(t.Context(), d, "p"); !ok || err != nil {
			t.Errorf("the job is not there any more: %v", err)
		}
	})
}

func TestOldest(t *testing.T) {
	c := newClock()
	dbtest.EachWith(t, db.Options{Now: c.now}, func(t *testing.T, d *db.DB) {
		enqueue(t, d, "later", 1, c.now().Add(time.Hour))
		if _, ok, err := Oldest(t.Context(), d); ok || err != nil {
			t.Errorf("%v, %v", ok, err)
		}
		enqueue(t, d, "a", 1, c.now().Add(-time.Hour))
		enqueue(t, d, "b", 1, c.now().Add(-time.Minute))
		if due, ok, err := Oldest(t.Context(), d); !ok || err != nil || !due.Equal(c.now().Add(-time.Hour)) {
			t.Errorf("%s, %v, %v", due, ok, err)
		}
		update(t, d, func(tx *db.Tx) error { return Remove(tx, "k", "a") })
		if due, ok, err := Oldest(t.Context(), d); !ok || err != nil || !due.Equal(c.now().Add(-time.Minute)) {
			t.Errorf("%s, %v, %v", due, ok, err)
		}
	})
}

func TestEndAll(t *testing.T) {
	c := newClock()
	dbtest.EachWith(t, db.Options{Now: c.now}, func(t *testing.T, d *db.DB) {
		enqueue(t, d, "k", 1, c.now())
		lease, err := Acquire(t.Context(), d, "target", "x", ttl)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := claim(t.Context(), d, "k", ttl); err != nil {
			t.Fatal(err)
		}
		if err := EndAll(t.Context(), d); err != nil {
			t.Fatal(err)
		}
		if err := d.Update(t.Context(), "test", lease.Check); !errors.Is(err, ErrLost) {
			t.Errorf("a lease that was ended: %v", err)
		}
		if _, err := Acquire(t.Context(), d, "target", "x", ttl); err != nil {
			t.Errorf("acquiring it again: %v", err)
		}
		if _, ok, err := Oldest(t.Context(), d); !ok || err != nil {
			t.Errorf("the job that was interrupted is not due: %v", err)
		}
	})
}
