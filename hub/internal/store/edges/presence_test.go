package edges

import (
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// fakeClock is a clock that a test moves.
type fakeClock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *fakeClock) read() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *fakeClock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// hubAt is the presence of one hub, with a wall clock that differs from the others'.
func hubAt(r *Repository, clock *fakeClock, ahead time.Duration) *Presence {
	p := NewPresence(r, slog.New(slog.DiscardHandler))
	p.now = func() time.Time { return clock.read().Add(ahead) }
	return p
}

func state(t *testing.T, r *Repository, edge string) State {
	t.Helper()
	e, err := r.Edge(t.Context(), scope.All(), edge)
	if err != nil {
		t.Fatal(err)
	}
	return e.State
}

// pass lets time pass in steps of a sweep, and calls between before each sweep.
func pass(t *testing.T, clock *fakeClock, d time.Duration, between func(), hubs ...*Presence) {
	t.Helper()
	for range int(d / FlushInterval) {
		clock.add(FlushInterval)
		between()
		for _, p := range hubs {
			if err := p.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
	}
}

func seen(t *testing.T, p *Presence, edge string) func() {
	return func() {
		t.Helper()
		if err := p.Seen(t.Context(), edge); err != nil {
			t.Fatal(err)
		}
	}
}

func nothing() {}

func TestSilentEdgesGoOffline(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, clock := New(d, Options{}), &fakeClock{now: time.Now()}
		add(t, r, "gate-7", "gate-8")
		p := hubAt(r, clock, 0)
		if got := state(t, r, "gate-7"); got != Pending {
			t.Errorf("before its first contact: %s", got)
		}
		seen(t, p, "gate-7")()
		seen(t, p, "gate-8")()
		if got := state(t, r, "gate-7"); got != Online {
			t.Errorf("at once: %s", got)
		}
		start := last(t, d)
		pass(t, clock, 5*time.Minute, seen(t, p, "gate-8"), p)
		if got := state(t, r, "gate-7"); got != Offline {
			t.Errorf("after five minutes: %s", got)
		}
		if got := state(t, r, "gate-8"); got != Online {
			t.Errorf("an edge that is heard: %s", got)
		}
		seen(t, p, "gate-7")()
		if got, want := entries(t, d, start), []string{"edge gate-7", "edge gate-7"}; !slices.Equal(got, want) {
			t.Errorf("published %v, want %v", got, want)
		}
	})
}

// TestRestartMarksNobody: a hub that was down for an hour marks nobody offline who comes back, and
// publishes nothing.
func TestRestartMarksNobody(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, clock := New(d, Options{}), &fakeClock{now: time.Now()}
		add(t, r, "gate-7", "gone")
		p := hubAt(r, clock, 0)
		seen(t, p, "gate-7")()
		seen(t, p, "gone")()
		pass(t, clock, time.Minute, func() { seen(t, p, "gate-7")(); seen(t, p, "gone")() }, p)
		start := last(t, d)
		clock.add(time.Hour)
		p = hubAt(r, clock, 0)
		pass(t, clock, Grace+AwayAfter-FlushInterval, nothing, p)
		if got := state(t, r, "gate-7"); got != Online {
			t.Errorf("within the grace: %s", got)
		}
		pass(t, clock, 2*time.Minute, seen(t, p, "gate-7"), p)
		if got, want := entries(t, d, start), []string{"edge gone"}; !slices.Equal(got, want) {
			t.Errorf("published %v, want %v", got, want)
		}
		// A pause, of the machine or of the database, is like a restart.
		start = last(t, d)
		clock.add(time.Hour)
		pass(t, clock, Grace, nothing, p)
		pass(t, clock, 2*time.Minute, seen(t, p, "gate-7"), p)
		if got := entries(t, d, start); len(got) != 0 {
			t.Errorf("after a pause: %v", got)
		}
	})
}

// TestPresenceOfTwoHubs: what one hub hears counts for both, whatever their clocks say; when a hub dies,
// its edges are offline, or online at the other one.
func TestPresenceOfTwoHubs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, clock := New(d, Options{}), &fakeClock{now: time.Now()}
		add(t, r, "gate-7", "gate-8")
		a, b := hubAt(r, clock, -10*time.Minute), hubAt(r, clock, 10*time.Minute)
		seen(t, a, "gate-7")()
		seen(t, b, "gate-8")()
		start := last(t, d)
		pass(t, clock, 5*time.Minute, func() { seen(t, a, "gate-7")(); seen(t, b, "gate-8")() }, a, b)
		if got := entries(t, d, start); len(got) != 0 {
			t.Errorf("while both are heard: %v", got)
		}
		// Hub a dies; gate-7 goes over to b, and then falls silent.
		pass(t, clock, 5*time.Minute, func() { seen(t, b, "gate-7")(); seen(t, b, "gate-8")() }, b)
		if got := entries(t, d, start); len(got) != 0 {
			t.Errorf("when an edge changes its hub: %v", got)
		}
		pass(t, clock, 5*time.Minute, seen(t, b, "gate-8"), b)
		if got, want := entries(t, d, start), []string{"edge gate-7"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		// An edge that a hub still hears, and the other one took for silent, comes back by itself.
		update(t, d, func(tx *db.Tx) error { return tx.Affected(`UPDATE edges SET online = 0 WHERE name = 'gate-8'`) })
		pass(t, clock, FlushInterval, seen(t, b, "gate-8"), b)
		if got := state(t, r, "gate-8"); got != Online {
			t.Errorf("an edge that is heard: %s", got)
		}
	})
}

// TestReconnectionOfManyEdges: 1,000 edges that connect again within the grace publish nothing, and
// those that were offline one entry each; contacts are one statement.
func TestReconnectionOfManyEdges(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, clock := New(d, Options{}), &fakeClock{now: time.Now()}
		const n = 1000
		update(t, d, func(tx *db.Tx) error {
			for i := range n {
				if _, err := tx.Exec(`INSERT INTO edges(name, site, created_at, online, last_seen_at) VALUES (?, ?, 0, ?, 1)`,
					fmt.Sprint("edge-", i), fmt.Sprint("edge-", i), i%2); err != nil {
					return err
				}
			}
			return nil
		})
		p := hubAt(r, clock, 0)
		start := last(t, d)
		var wg sync.WaitGroup
		for i := range 20 {
			wg.Go(func() {
				for j := i; j < n; j += 20 {
					if err := p.Seen(t.Context(), fmt.Sprint("edge-", j)); err != nil {
						t.Error(err)
					}
				}
			})
		}
		wg.Wait()
		if got := entries(t, d, start); len(got) != n/2 {
			t.Errorf("%d entries, want %d", len(got), n/2)
		}
		start = last(t, d)
		pass(t, clock, time.Minute, nothing, p)
		if got := entries(t, d, start); len(got) != 0 {
			t.Errorf("%d more entries", len(got))
		}
		var flushed int
		if err := d.Read(t.Context()).One(`SELECT count(*) FROM edges WHERE last_seen_at > 1000`)(&flushed); err != nil || flushed != n {
			t.Errorf("%d contacts stored, %v", flushed, err)
		}
	})
}

func TestRevokedEdgeIsForgotten(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r, clock := New(d, Options{}), &fakeClock{now: time.Now()}
		add(t, r, "gate-7")
		p := hubAt(r, clock, 0)
		seen(t, p, "gate-7")()
		if err := r.Revoke(t.Context(), "test", "gate-7"); err != nil {
			t.Fatal(err)
		}
		seen(t, p, "gate-7")() // a request that was admitted before
		pass(t, clock, FlushInterval, nothing, p)
		if err := p.Seen(t.Context(), "gate-7"); err == nil {
			t.Error("a revoked edge is remembered")
		}
		if got := state(t, r, "gate-7"); got != Revoked {
			t.Errorf("it is %s", got)
		}
	})
}
