package db

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func newSQLite(t testing.TB) *DB { return open(t, hubOptions(t.TempDir())) }

func open(t testing.TB, o Options) *DB {
	t.Helper()
	d, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d
}

// publish writes one entry of the change feed.
func publish(d *DB, text string) error {
	return d.Update(context.Background(), "test", func(t *Tx) error {
		t.Publish("test", "site", text, text, nil)
		return nil
	})
}

// texts returns the data of all entries of the change feed, and checks that the numbers are dense.
func texts(t *testing.T, d *DB) []string {
	t.Helper()
	all, kept, err := d.ChangesAfter(t.Context(), 0, 10_000)
	if err != nil || !kept {
		t.Fatalf("kept %v, %v", kept, err)
	}
	list := make([]string, len(all))
	for i, c := range all {
		if c.ID != int64(i)+1 {
			t.Fatalf("entry %d has number %d", i+1, c.ID)
		}
		if err := json.Unmarshal(c.Data, &list[i]); err != nil {
			t.Fatal(err)
		}
	}
	return list
}

func TestDurabilityOfSQLite(t *testing.T) {
	for durability, want := range map[Durability]int{Full: 2, Normal: 1} {
		o := hubOptions(t.TempDir())
		o.Durability = durability
		d, err := Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		var synchronous int
		var journal string
		if err := d.Update(t.Context(), "test", func(t *Tx) error {
			return errors.Join(t.One("PRAGMA synchronous")(&synchronous), t.One("PRAGMA journal_mode")(&journal))
		}); err != nil {
			t.Fatal(err)
		}
		if synchronous != want || journal != "wal" {
			t.Errorf("durability %d: synchronous %d, journal %s", durability, synchronous, journal)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	}
}

// TestPanicLeavesTheDatabaseUsable panics, and ends the goroutine, in transactions that others wait for.
func TestPanicLeavesTheDatabaseUsable(t *testing.T) {
	d := newSQLite(t)
	var wg sync.WaitGroup
	for i := range 40 {
		wg.Go(func() {
			defer func() {
				if r := recover(); (r != nil) != (i%4 == 1) {
					t.Errorf("writer %d: recovered %v", i, r)
				}
			}()
			err := d.Update(t.Context(), "test", func(tx *Tx) error {
				tx.Publish("test", "", "", fmt.Sprint(i), nil)
				if _, err := tx.Exec(`INSERT INTO users(id, name, role, created_at) VALUES (?1, ?1, '', 0)`, fmt.Sprint(i)); err != nil {
					return err
				}
				switch i % 4 {
				case 1:
					panic("out of order")
				case 2:
					runtime.Goexit()
				case 3:
					return ErrConflict
				}
				return nil
			})
			if want := i%4 == 3; errors.Is(err, ErrConflict) != want || err != nil && !want {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	wg.Wait()
	var users int
	if err := d.Read(t.Context()).One(`SELECT count(*) FROM users`)(&users); err != nil || users != 10 {
		t.Errorf("%d users, %v; want 10", users, err)
	}
	if got := texts(t, d); len(got) != 10 {
		t.Errorf("published %q", got)
	}
}

// TestGroupCommit lets transactions wait for the turn: one commit must write all of them, and one that
// fails must not harm the others.
func TestGroupCommit(t *testing.T) {
	var groups []int // read when all is over
	var commits, failed atomic.Int32
	o := hubOptions(t.TempDir())
	o.Observer.Group = func(n int) { groups = append(groups, n) }
	o.Observer.Commit = func(name string, wait, took time.Duration, err error) {
		if name != "test" || wait < 0 || took < 0 {
			t.Errorf("%s waited %s and took %s", name, wait, took)
		}
		if err != nil {
			failed.Add(1)
		}
		commits.Add(1)
	}
	d := open(t, o)
	w := d.writer.(*sqliteWriter)
	if err := w.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const waiting = 20
	for i := range waiting {
		wg.Go(func() {
			err := d.Update(t.Context(), "test", func(tx *Tx) error {
				w.group.began = time.Now().Add(time.Hour) // a slow machine must not split the group
				tx.Publish("test", "", "", fmt.Sprint(i), nil)
				if i%5 == 0 {
					return ErrConflict
				}
				return nil
			})
			if errors.Is(err, ErrConflict) != (i%5 == 0) {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	waitForQueue(w, waiting)
	w.handOver()
	wg.Wait()
	if got := texts(t, d); len(got) != 16 {
		t.Errorf("published %q", got)
	}
	if !slices.Equal(groups, []int{16}) {
		t.Errorf("commits wrote %d transactions, want one of 16", groups)
	}
	if commits.Load() != waiting || failed.Load() != 4 {
		t.Errorf("observed %d transactions, %d of which failed", commits.Load(), failed.Load())
	}
}

// TestGroupThatCannotCommit makes the first commit fail: every transaction of the group runs again.
func TestGroupThatCannotCommit(t *testing.T) {
	d := newSQLite(t)
	w := d.writer.(*sqliteWriter)
	if err := d.Update(t.Context(), "test", func(t *Tx) error {
		_, err := t.Exec(`CREATE TABLE children(parent TEXT REFERENCES users(name) DEFERRABLE INITIALLY DEFERRED)`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if err := w.acquire(t.Context()); err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	const waiting = 5
	for i := range waiting {
		wg.Go(func() {
			err := d.Update(t.Context(), "test", func(tx *Tx) error {
				w.group.began = time.Now().Add(time.Hour) // a slow machine must not split the group
				tx.Publish("test", "", "", fmt.Sprint(i), nil)
				if i == 3 { // breaks a constraint that is checked at the commit
					_, err := tx.Exec(`INSERT INTO children VALUES ('nobody')`)
					return err
				}
				return nil
			})
			if (err != nil) != (i == 3) {
				t.Errorf("writer %d: %v", i, err)
			}
		})
	}
	waitForQueue(w, waiting)
	w.handOver()
	wg.Wait()
	got := texts(t, d)
	slices.Sort(got)
	if !slices.Equal(got, []string{"0", "1", "2", "4"}) {
		t.Errorf("published %q", got)
	}
}

// waitForQueue returns when n transactions wait for the turn.
func waitForQueue(w *sqliteWriter, n int) {
	for queued := 0; queued < n; runtime.Gosched() {
		w.mu.Lock()
		queued = len(w.queue)
		w.mu.Unlock()
	}
}

func TestWaitIsPerTopicAndKey(t *testing.T) {
	d := newSQLite(t)
	a, b, changes := d.Wait(Commands, "a"), d.Wait(Commands, "b"), d.Wait(Changes, "")
	if err := d.Update(t.Context(), "test", func(t *Tx) error {
		t.Notify(Commands, "a")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if !closed(a) || closed(b) || closed(changes) {
		t.Errorf("woken: a %v, b %v, changes %v", closed(a), closed(b), closed(changes))
	}
	if err := d.Update(t.Context(), "test", func(t *Tx) error {
		t.Notify(Commands, "b")
		return ErrConflict
	}); !errors.Is(err, ErrConflict) {
		t.Fatal(err)
	}
	if closed(b) {
		t.Error("a transaction that was rolled back woke somebody")
	}
	if err := publish(d, "x"); err != nil {
		t.Fatal(err)
	}
	if !closed(changes) || closed(b) {
		t.Errorf("woken: changes %v, b %v", closed(changes), closed(b))
	}
}

func closed(ch <-chan struct{}) bool {
	select {
	case <-ch:
		return true
	default:
		return false
	}
}

// TestRunNoticesOtherProcesses writes through a second database handle, as hub token create does.
func TestRunNoticesOtherProcesses(t *testing.T) {
	dir := t.TempDir()
	var handles [2]*DB
	for i := range handles {
		var err error
		if handles[i], err = Open(t.Context(), hubOptions(dir)); err != nil {
			t.Fatal(err)
		}
		defer handles[i].Close() //nolint:errcheck // the end of the test
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- handles[0].Run(ctx) }()
	wake := handles[0].Wait(Changes, "")
	for i := 0; !closed(wake); i++ { // the first round of Run may come after the first writes
		if err := publish(handles[1], fmt.Sprint(i)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-wake:
		case <-time.After(100 * time.Millisecond):
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestCanceledWaitForTheTurn(t *testing.T) {
	d := newSQLite(t)
	err := d.Update(t.Context(), "test", func(tx *Tx) error {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := d.Update(ctx, "test", func(*Tx) error { return nil }); !errors.Is(err, context.Canceled) {
			t.Errorf("a canceled wait: %v", err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := publish(d, "after"); err != nil {
		t.Fatal(err)
	}
}

// TestChangesAfter asks from positions that are kept, removed and not used yet.
func TestChangesAfter(t *testing.T) {
	d := newSQLite(t)
	for _, text := range []string{"1", "2", "3", "4"} {
		if err := publish(d, text); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Update(t.Context(), "test", func(t *Tx) error { return t.Affected(`DELETE FROM changes WHERE id <= 2`) }); err != nil {
		t.Fatal(err)
	}
	for after, want := range map[int64]struct {
		kept bool
		n    int
	}{0: {false, 2}, 1: {false, 2}, 2: {true, 2}, 3: {true, 1}, 4: {true, 0}, 5: {false, 0}} {
		entries, kept, err := d.ChangesAfter(t.Context(), after, 10)
		if err != nil || kept != want.kept || len(entries) != want.n {
			t.Errorf("after %d: %d entries, kept %v, %v", after, len(entries), kept, err)
		}
	}
}

// TestLateComesBeforeTheFeed orders what a transaction writes at its end.
func TestLateComesBeforeTheFeed(t *testing.T) {
	d := newSQLite(t)
	var order []string
	step := func(name string) func(*Tx) error {
		return func(*Tx) error { order = append(order, name); return nil }
	}
	before := d.Queries()
	err := d.Update(t.Context(), "test", func(tx *Tx) error {
		tx.Publish("test", "", "", 1, func(tx *Tx, n int64) error {
			tx.Late(step("late of then"))
			return step(fmt.Sprint("entry ", n))(tx)
		})
		tx.Late(step("late 1"))
		tx.Late(step("late 2"))
		return step("body")(tx)
	})
	if err != nil || !slices.Equal(order, []string{"body", "late 1", "late 2", "entry 1", "late of then"}) {
		t.Errorf("%q, %v", order, err)
	}
	if n := d.Queries() - before; n != 2 { // the counter and the entry
		t.Errorf("%d statements, want 2", n)
	}
}
