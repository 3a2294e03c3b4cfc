package db_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// handles opens two handles on one new database, as two hubs have, and runs them until the test ends.
func handles(t *testing.T, e db.Engine) [2]*db.DB {
	t.Helper()
	first := dbtest.Open(t, e, db.Options{Logger: slog.New(slog.DiscardHandler)})
	both := [2]*db.DB{first, dbtest.Beside(t, first, db.Options{Logger: slog.New(slog.DiscardHandler)})}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for _, d := range both {
		running.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(func() {
		cancel()
		running.Wait()
	})
	return both
}

// committed is what writers got committed, and what they did not.
type committed struct {
	mu     sync.Mutex
	in     map[string]bool
	failed map[string]error
}

func newCommitted() *committed { return &committed{in: map[string]bool{}, failed: map[string]error{}} }

func (c *committed) note(texts []string, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, text := range texts {
		if err == nil {
			c.in[text] = true
		} else {
			c.failed[text] = err
		}
	}
}

var errOnPurpose = errors.New("failed on purpose")

// write publishes one to three entries in one transaction, which is slow, fails or panics now and then.
func write(d *db.DB, c *committed, name string, random *rand.Rand) {
	var texts []string
	for i := range 1 + random.IntN(3) {
		texts = append(texts, fmt.Sprint(name, " ", i))
	}
	fate, late := random.IntN(8), random.IntN(2) == 0
	var err error
	defer func() {
		if recover() != nil {
			err = errOnPurpose
		}
		c.note(texts, err)
	}()
	err = d.Update(context.Background(), "test", func(tx *db.Tx) error {
		for _, text := range texts {
			tx.Publish("test", "site", text, text, func(tx *db.Tx, number int64) error {
				if fate == 0 {
					return errOnPurpose
				}
				var stored int64
				return tx.One(`SELECT id FROM changes WHERE id = ?`, number)(&stored)
			})
		}
		if late {
			tx.Late(func(*db.Tx) error { runtime.Gosched(); return nil })
		}
		switch fate {
		case 1:
			return errOnPurpose
		case 2:
			panic("on purpose")
		case 3, 4:
			time.Sleep(time.Duration(random.IntN(4)) * time.Millisecond) // slow: others overtake it
		}
		return nil
	})
}

// read reads the feed from its beginning until done is closed and its end is reached. wait says whether it
// waits for wakes. It fails when a number is missing or comes twice.
func read(t *testing.T, d *db.DB, wait bool, done <-chan struct{}) (texts []string) {
	var after int64
	for {
		over := closed(done) // before the look: what is committed before is seen
		wake := d.Wait(db.Changes, "")
		entries, kept, err := d.ChangesAfter(t.Context(), after, 7)
		if err != nil {
			t.Logf("reading after %d: %v", after, err) // its connection was killed
			continue
		}
		if !kept {
			t.Errorf("the entries after %d are not there", after)
			return texts
		}
		for _, e := range entries {
			if e.ID != after+1 {
				t.Errorf("entry %d after %d", e.ID, after)
			}
			after = e.ID
			var text string
			if err := json.Unmarshal(e.Data, &text); err != nil || e.Key != text || e.Site != "site" || e.Kind != "test" {
				t.Errorf("entry %+v, %v", e, err)
			}
			texts = append(texts, text)
		}
		switch {
		case len(entries) > 0:
		case over:
			return texts
		case wait:
			select {
			case <-wake:
			case <-done:
			}
		default:
			time.Sleep(time.Millisecond)
		}
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

// TestEveryReaderSeesEveryEntryOnce lets slow, failing and panicking writers on two handles publish, and
// compares what readers on both see, who poll or wait, with what was committed.
func TestEveryReaderSeesEveryEntryOnce(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			both := handles(t, e)
			c, seen := run(t, both, seed, 15, func() {})
			check(t, both[0], c, seen)
		})
	}
}

// run runs three writers and two readers on each handle, and during while they write.
func run(t *testing.T, both [2]*db.DB, seed uint64, updates int, during func()) (*committed, [][]string) {
	c := newCommitted()
	done := make(chan struct{})
	seen := make([][]string, 4)
	var readers, writers sync.WaitGroup
	for i := range seen {
		readers.Go(func() { seen[i] = read(t, both[i%2], i < 2, done) })
	}
	for i := range 6 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(seed, uint64(i)))
			for n := range updates {
				write(both[i%2], c, fmt.Sprintf("writer %d update %d entry", i, n), random)
			}
		})
	}
	during()
	writers.Wait()
	close(done)
	readers.Wait()
	return c, seen
}

// check compares what readers saw with what was committed.
func check(t *testing.T, d *db.DB, c *committed, seen [][]string) {
	t.Helper()
	last, err := d.LastChange(t.Context())
	if err != nil || last != int64(len(c.in)) {
		t.Errorf("the last number is %d, %v; %d entries were committed", last, err, len(c.in))
	}
	for i, texts := range seen {
		if i > 0 && !slices.Equal(texts, seen[0]) {
			t.Errorf("reader %d saw another order than reader 0", i)
		}
		once := map[string]bool{}
		for _, text := range texts {
			if once[text] {
				t.Errorf("reader %d saw %q twice", i, text)
			}
			once[text] = true
			if !c.in[text] {
				t.Errorf("reader %d saw %q, which failed: %v", i, text, c.failed[text])
			}
		}
		if len(once) != len(c.in) {
			t.Errorf("reader %d saw %d entries of %d", i, len(once), len(c.in))
		}
	}
}

// TestKilledConnectionsLoseNothing kills every connection of both handles again and again while they write:
// what an Update says of its fate must be true.
func TestKilledConnectionsLoseNothing(t *testing.T) {
	both := handles(t, db.Postgres)
	killer := dbtest.Beside(t, both[0], db.Options{Logger: slog.New(slog.DiscardHandler)})
	c, seen := run(t, both, rand.Uint64(), 20, func() {
		for range 5 {
			var n int
			err := killer.Read(t.Context()).One(`SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
				WHERE datname = current_database() AND backend_type = 'client backend' AND pid != pg_backend_pid()`)(&n)
			if err != nil {
				t.Error(err)
			}
			t.Logf("killed %d connections", n)
			time.Sleep(20 * time.Millisecond) // the writers go on meanwhile
		}
	})
	check(t, both[0], c, seen)
	for text, err := range c.failed {
		if !errors.Is(err, errOnPurpose) {
			t.Errorf("%q failed because of a killed connection: %v", text, err)
		}
	}
}

// TestHubThatHangsIsCutOff lets one hub hang in a transaction that holds the locks of the feed and of a row.
// The other hub must go on, and the first one's transaction is done when it wakes up.
func TestHubThatHangsIsCutOff(t *testing.T) {
	first := dbtest.Open(t, db.Postgres, db.Options{Logger: slog.New(slog.DiscardHandler)})
	url := first.URL() + "&idle_in_transaction_session_timeout=200"
	hung := dbtest.Open(t, db.Postgres, db.Options{URL: url, Logger: slog.New(slog.DiscardHandler)})
	hangs, wakes, done := make(chan struct{}), make(chan struct{}), make(chan error, 1)
	calls := 0
	go func() {
		done <- hung.Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
			tx.Publish("test", "", "", "hung", func(*db.Tx, int64) error { // the counter is locked
				if calls++; calls == 1 {
					close(hangs)
					<-wakes
				}
				return nil
			})
			return nil
		})
	}()
	<-hangs
	add(t, first, 1)
	close(wakes)
	if err := <-done; err != nil {
		t.Errorf("the hub that hung: %v", err)
	}
	if last, err := first.LastChange(t.Context()); last != 2 || calls != 2 || err != nil {
		t.Errorf("%d entries after %d calls, %v", last, calls, err)
	}
}

// TestWriteOfAnotherProcessIsNoticed: a command such as hub edge revoke writes the file of a hub that has just
// started, before the hub has looked for other writers for the first time.
func TestWriteOfAnotherProcessIsNoticed(t *testing.T) {
	first := dbtest.Open(t, db.SQLite, db.Options{Logger: slog.New(slog.DiscardHandler)})
	beside := dbtest.Beside(t, first, db.Options{Logger: slog.New(slog.DiscardHandler)})
	wake := first.Wait(db.Commands, "gate-7")
	if err := beside.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE feed SET last = last`)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- first.Run(ctx) }()
	select {
	case <-wake:
	case <-time.After(20 * time.Second):
		t.Error("nobody was woken")
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// TestHandlesWakeEachOther notifies on one handle and waits on the other.
func TestHandlesWakeEachOther(t *testing.T) {
	both := handles(t, db.Postgres)
	for i := range 3 {
		edge := fmt.Sprintf("gate %d", i) // a key may have spaces
		for _, pair := range [][2]*db.DB{{both[0], both[1]}, {both[1], both[0]}} {
			for wake := pair[1].Wait(db.Commands, edge); !closed(wake); { // until both listen
				if err := pair[0].Update(t.Context(), "test", func(tx *db.Tx) error {
					tx.Notify(db.Commands, edge)
					return nil
				}); err != nil {
					t.Fatal(err)
				}
				select {
				case <-wake:
				case <-time.After(200 * time.Millisecond):
				}
			}
		}
	}
	other := both[0].Wait(db.Commands, "another edge")
	mine := both[0].Wait(db.Commands, "mine")
	if err := both[1].Update(t.Context(), "test", func(tx *db.Tx) error {
		tx.Notify(db.Commands, "mine")
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	<-mine
	if closed(other) {
		t.Error("a notification for one edge woke who waits for another")
	}
}
