package leases_test

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/leases"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// shown is a lease as the tests publish it.
func shown(l leases.Lease) any {
	state := "open"
	if l.Ended != nil {
		state = "ended: " + l.Why.Text
	}
	return l.ID + " " + state
}

func lease(edge, device string) leases.Lease {
	now := time.Now()
	return leases.Lease{Edge: edge, Device: device, Who: "li", Reason: "a look", Began: now, Until: now.Add(time.Minute)}
}

func begin(t *testing.T, k *leases.Keeper, edge string) string {
	t.Helper()
	id, err := k.Begin(t.Context(), lease(edge, "yard"))
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func keeper(r *leases.Repository, hub string) *leases.Keeper {
	return leases.NewKeeper(r, hub, slog.New(slog.DiscardHandler))
}

// states returns the leases of a scope, the newest first, as "edge: open" or "edge: why it ended".
func states(t *testing.T, r *leases.Repository, s scope.Scope) []string {
	t.Helper()
	all, err := r.List(t.Context(), leases.Query{Scope: s, Limit: 100})
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, l := range all {
		state := "open"
		if l.Ended != nil {
			state = l.Why.Text
		}
		out = append(out, l.Edge+": "+state)
	}
	slices.Sort(out)
	return out
}

func TestLeasesOfAScopeByPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		k := keeper(r, "here")
		err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT INTO edges(name, site, created_at) VALUES ('gate-7', 'harbour', 1)`)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		for range 5 {
			begin(t, k, "gate-7")
			begin(t, k, "bridge")
		}
		for want, s := range map[int]scope.Scope{
			10: scope.All(), 5: scope.Sites("harbour"), 0: scope.Sites("gate-7"),
		} {
			if got := states(t, r, s); len(got) != want {
				t.Errorf("%q, want %d", got, want)
			}
		}
		if got := states(t, r, scope.Scope{}); len(got) != 0 {
			t.Errorf("the zero scope sees %q", got)
		}
		if got := states(t, r, scope.Sites("harbour", "bridge")); len(got) != 10 {
			t.Errorf("%q", got)
		}
		seen := map[string]bool{}
		for after := (leases.Position{}); ; {
			page, err := r.List(t.Context(), leases.Query{Scope: scope.All(), After: after, Limit: 3})
			if err != nil {
				t.Fatal(err)
			}
			for _, l := range page {
				seen[l.ID] = true
			}
			if len(page) < 3 {
				break
			}
			after = leases.Position{Began: page[2].Began, ID: page[2].ID}
		}
		if len(seen) != 10 {
			t.Errorf("%d leases on all pages", len(seen))
		}
	})
}

// TestEndsAreStoredLater: while the database fails, ends wait, and they are stored with the time when they
// happened.
func TestEndsAreStoredLater(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		k := keeper(r, "here")
		if err := k.Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		ids := []string{begin(t, k, "a"), begin(t, k, "b")}
		exec(t, d, `ALTER TABLE leases RENAME TO leases_away`) // every transaction of leases fails
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() {
			if err := k.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		defer running.Wait()
		defer stop()
		ended := time.Now()
		for i, id := range ids {
			k.End(id, devices.Cause{Code: "video_viewer_ended", Params: map[string]string{"n": fmt.Sprint(i)}, Text: "the viewer ended it"})
		}
		k.End(ids[0], devices.Cause{Text: "again"}) // a lease ends once
		wait(t, func() bool { return k.Attempts() > 0 })
		if n := k.Waiting(); n != 2 {
			t.Errorf("%d ends wait", n)
		}
		again := time.Now()
		exec(t, d, `ALTER TABLE leases_away RENAME TO leases`)
		wait(t, func() bool { return k.Waiting() == 0 })
		all, err := r.List(t.Context(), leases.Query{Scope: scope.All(), Limit: 10})
		if err != nil || len(all) != 2 {
			t.Fatalf("%+v, %v", all, err)
		}
		for _, l := range all {
			if l.Ended == nil || l.Ended.Before(ended.Truncate(time.Millisecond)) || l.Ended.After(again) ||
				l.Why.Code != "video_viewer_ended" || l.Why.Params["n"] == "" || l.Why.Text != "the viewer ended it" {
				t.Errorf("%+v; it ended between %v and %v", l, ended, again)
			}
		}
	})
}

func exec(t *testing.T, d *db.DB, text string, args ...any) {
	t.Helper()
	err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(text, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// wait waits until a condition holds that another goroutine brings about.
func wait(t *testing.T, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it has not come within 30 s")
		}
	}
}

// TestStartEndsItsOwn: a hub that starts ends what its earlier run left open, and nothing of another hub.
func TestStartEndsItsOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		a, b := keeper(r, "a"), keeper(r, "b")
		for _, k := range []*leases.Keeper{a, b} {
			if err := k.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		begin(t, a, "of-a")
		begin(t, b, "of-b")
		before, err := d.LastChange(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if err := keeper(r, "a").Start(t.Context()); err != nil { // a was killed and starts again
			t.Fatal(err)
		}
		if got := states(t, r, scope.All()); !slices.Equal(got, []string{"of-a: the hub was stopped", "of-b: open"}) {
			t.Errorf("%q", got)
		}
		changes, _, err := d.ChangesAfter(t.Context(), before, 10)
		if err != nil || len(changes) != 1 || !strings.Contains(string(changes[0].Data), "ended") || changes[0].Site != "of-a" {
			t.Errorf("what is published: %+v, %v", changes, err)
		}
	})
}

// TestDeadHubIsBuried: the leases of a hub whose beat stands still are ended by another one, and opened
// again when it was only slow.
func TestDeadHubIsBuried(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		a, b := keeper(r, "a"), keeper(r, "b")
		for _, k := range []*leases.Keeper{a, b} {
			if err := k.Start(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		slow := begin(t, a, "of-a")
		begin(t, b, "of-b")
		exec(t, d, `INSERT INTO leases(id, edge, device, site, who, incident, reason, began_at, until, hub)
			VALUES ('old', 'from-a-backup', 'yard', '', 'li', '', '', 1, 2, 'nobody')`)
		now := time.Now()
		watch := func(k *leases.Keeper, after time.Duration) {
			t.Helper()
			now = now.Add(after)
			if err := k.Watch(t.Context(), now); err != nil {
				t.Fatal(err)
			}
		}
		watch(b, 0)
		for range 10 { // both beat
			watch(a, 5*time.Second)
			watch(b, 0)
		}
		if got := states(t, r, scope.All()); !slices.Equal(got, []string{"from-a-backup: the hub that served it is gone", "of-a: open", "of-b: open"}) {
			t.Errorf("while both run: %q", got)
		}
		for range 5 { // a is stuck
			watch(b, 5*time.Second)
		}
		if got := states(t, r, scope.All()); !slices.Contains(got, "of-a: open") {
			t.Errorf("after 25 s: %q", got)
		}
		watch(b, 6*time.Second)
		if got := states(t, r, scope.All()); !slices.Equal(got, []string{
			"from-a-backup: the hub that served it is gone", "of-a: the hub that served it is gone", "of-b: open",
		}) {
			t.Errorf("after 31 s: %q", got)
		}
		watch(a, 0) // it was only slow, and its viewer still watches
		if got := states(t, r, scope.All()); !slices.Contains(got, "of-a: open") {
			t.Errorf("after it came back: %q", got)
		}
		a.End(slow, devices.Cause{Text: "the viewer ended it"})
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := a.Run(stopped); err != nil {
			t.Fatal(err)
		}
		if got := states(t, r, scope.All()); !slices.Contains(got, "of-a: the viewer ended it") {
			t.Errorf("%q", got)
		}
		watch(b, time.Minute) // nothing is left of a
		watch(b, time.Minute)
		if got := states(t, r, scope.All()); !slices.Contains(got, "of-a: the viewer ended it") || !slices.Contains(got, "of-b: open") {
			t.Errorf("%q", got)
		}
	})
}

func TestOldLeasesAreDeleted(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := leases.New(d, shown)
		k := keeper(r, "here")
		for i := range 5 {
			id := begin(t, k, fmt.Sprint("edge-", i))
			if i > 0 {
				k.End(id, devices.Cause{Text: "done"})
			}
		}
		stopped, stop := context.WithCancel(t.Context())
		stop()
		if err := k.Run(stopped); err != nil {
			t.Fatal(err)
		}
		later := time.Now().Add(time.Minute)
		for _, want := range []int{3, 1, 0} {
			if n, err := r.DeleteBefore(t.Context(), later, 3); n != want || err != nil {
				t.Errorf("%d were deleted, want %d: %v", n, want, err)
			}
		}
		if got := states(t, r, scope.All()); !slices.Equal(got, []string{"edge-0: open"}) {
			t.Errorf("%q", got)
		}
	})
}

// TestRunEnds: Run returns when its context ends, also when the database fails.
func TestRunEnds(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	k := keeper(leases.New(d, shown), "here")
	k.End(begin(t, k, "a"), devices.Cause{Text: "done"})
	exec(t, d, `ALTER TABLE leases RENAME TO leases_away`)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	if err := k.Run(ctx); err != nil || k.Waiting() != 1 {
		t.Errorf("%v; %d ends wait", err, k.Waiting())
	}
}
