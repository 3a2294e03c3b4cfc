package audit_test

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/audit"
)

// add appends entries.
func add(t *testing.T, d *db.DB, n int) {
	t.Helper()
	err := d.Update(t.Context(), "test", func(t *db.Tx) error {
		for i := range n {
			audit.Append(t, "li", "edge add", fmt.Sprint(i), "")
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func exec(t *testing.T, d *db.DB, text string, args ...any) {
	t.Helper()
	err := d.Update(t.Context(), "test", func(t *db.Tx) error {
		_, err := t.Exec(text, args...)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// empty makes a new log.
func empty(t *testing.T, d *db.DB) {
	t.Helper()
	exec(t, d, `DELETE FROM audit`)
	exec(t, d, `UPDATE audit_head SET last = 0, base = 0, hash = ?, base_hash = ?, keyed_from = 0, key_id = '', seal = ''`, []byte{}, []byte{})
	exec(t, d, `UPDATE audit_check SET verified = 0, verified_hash = ?, broken = 0, pass = 0, pass_hash = ?, pass_began_at = NULL, full_at = NULL`, []byte{}, []byte{})
}

// settle verifies until there is nothing left to do now.
func settle(t *testing.T, r *audit.Repository) audit.State {
	t.Helper()
	for range 1000 {
		more, err := r.Step(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if !more {
			s, err := r.State(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
	}
	t.Fatal("the verification has no end")
	return audit.State{}
}

// TestConcurrentWritersKeepOneChain appends in many transactions at once, some of which fail or lock rows
// in another order, and verifies while they do.
func TestConcurrentWritersKeepOneChain(t *testing.T) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		t.Run(e.String(), func(t *testing.T) { testConcurrentWriters(t, twice(t, e)) })
	}
}

// twice opens one database two times, as two hubs do, or a hub and a command.
func twice(t *testing.T, e db.Engine) [2]*db.DB {
	t.Helper()
	o := db.Options{Dir: t.TempDir()}
	if e == db.Postgres {
		o.URL = dbtest.URL(t)
	}
	return [2]*db.DB{dbtest.Open(t, e, o), dbtest.Open(t, e, o)}
}

func testConcurrentWriters(t *testing.T, both [2]*db.DB) {
	const writers, each = 8, 30
	d := both[0]
	errFails := errors.New("fails")
	r := audit.New(d)
	var wg sync.WaitGroup
	var mu sync.Mutex
	written := map[string]bool{}
	for w := range writers {
		wg.Go(func() {
			random := rand.New(rand.NewPCG(uint64(w), 1))
			for i := range each {
				fails, several := random.IntN(4) == 0, 1+random.IntN(3)
				err := both[w%2].Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
					for n := range several {
						audit.Append(tx, fmt.Sprint(w), "test", fmt.Sprintf("%d.%d.%d", w, i, n), "")
						if n == 0 {
							tx.Publish("edge", "", "", w, nil)
						}
					}
					if fails {
						return errFails
					}
					return nil
				})
				if fails != errors.Is(err, errFails) || !fails && err != nil {
					t.Errorf("%v", err)
				}
				if fails {
					continue
				}
				mu.Lock()
				for n := range several {
					written[fmt.Sprintf("%d.%d.%d", w, i, n)] = true
				}
				mu.Unlock()
			}
		})
	}
	done := make(chan struct{})
	wg.Go(func() { // verifies beside them
		for {
			select {
			case <-done:
				return
			default:
			}
			if _, err := r.Step(context.WithoutCancel(t.Context())); err != nil {
				t.Error(err)
				return
			}
			time.Sleep(time.Millisecond)
		}
	})
	defer wg.Wait()
	for {
		mu.Lock()
		n := len(written)
		mu.Unlock()
		if n > writers*each/2 || t.Failed() {
			break
		}
		time.Sleep(time.Millisecond)
	}
	close(done)
	wg.Wait()
	if s, err := r.Verify(t.Context(), "test"); err != nil || s.Broken != 0 || s.Verified != s.Last || s.Full == nil || s.VerifiedAt == nil {
		t.Errorf("%+v, %v", s, err)
	}
	all, err := r.List(t.Context(), audit.Query{Limit: 10_000})
	if err != nil {
		t.Fatal(err)
	}
	// In the order of the chain; the list is by time, which a transaction that waits for another one has earlier.
	slices.SortFunc(all, func(a, b audit.Entry) int { return cmp.Compare(a.ID, b.ID) })
	for i, e := range all {
		if e.ID != int64(i+1) {
			t.Fatalf("entry %d has the number %d: numbers are not dense", i+1, e.ID)
		}
		delete(written, e.Object)
	}
	if len(written) > 0 {
		t.Errorf("%d entries were lost", len(written))
	}
	last := map[string]string{} // each writer's entries are in its own order
	for _, e := range all {
		var w, i, n int
		if _, err := fmt.Sscanf(e.Object, "%d.%d.%d", &w, &i, &n); err != nil {
			continue
		}
		key := fmt.Sprintf("%04d.%d", i, n)
		if key <= last[e.Who] {
			t.Errorf("entry %s of %s comes after %s", key, e.Who, last[e.Who])
		}
		last[e.Who] = key
	}
}

// TestTamperingIsFound changes each part of the log in each way.
func TestTamperingIsFound(t *testing.T) {
	const entries = 40
	random := rand.New(rand.NewPCG(3, 4))
	at := func() int64 { return 2 + random.Int64N(entries-3) }
	cases := map[string]struct {
		text  string
		id    int64
		found func(id int64) int64
	}{
		"who":                  {`UPDATE audit SET who = 'wang' WHERE id = ?`, at(), nil},
		"user":                 {`UPDATE audit SET user_id = 'x' WHERE id = ?`, at(), nil},
		"user made unknown":    {`UPDATE audit SET user_id = NULL WHERE id = ?`, at(), nil},
		"action":               {`UPDATE audit SET action = 'edge revoke' WHERE id = ?`, at(), nil},
		"object":               {`UPDATE audit SET object = 'x' WHERE id = ?`, at(), nil},
		"detail":               {`UPDATE audit SET detail = 'x' WHERE id = ?`, at(), nil},
		"time":                 {`UPDATE audit SET at = at + 1 WHERE id = ?`, at(), nil},
		"hash":                 {`UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 1) WHERE id = ?`, at(), nil},
		"number":               {`UPDATE audit SET id = -id WHERE id = ?`, at(), nil},
		"removed":              {`DELETE FROM audit WHERE id = ?`, at(), nil},
		"the first":            {`UPDATE audit SET who = 'wang' WHERE id = ?`, 1, nil},
		"the last":             {`UPDATE audit SET who = 'wang' WHERE id = ?`, entries, nil},
		"the end cut off":      {`DELETE FROM audit WHERE id >= ?`, entries - 5, nil},
		"everything cut off":   {`DELETE FROM audit WHERE id >= ?`, 1, nil},
		"two entries swapped":  {`UPDATE audit SET object = CASE object WHEN '10' THEN '11' ELSE '10' END WHERE object IN ('10', '11') AND id > ?`, 0, func(int64) int64 { return 11 }},
		"head of another hash": {`UPDATE audit_head SET hash = (SELECT hash FROM audit WHERE id = ?) WHERE id = 1`, 7, func(int64) int64 { return entries + 1 }}, // what is appended next
	}
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		for name, c := range cases {
			empty(t, d)
			add(t, d, entries)
			if s := settle(t, r); s.Broken != 0 || s.Verified != entries {
				t.Fatalf("%s: %+v", name, s)
			}
			exec(t, d, c.text, c.id)
			want := c.id
			if c.found != nil {
				want = c.found(c.id)
			}
			for range 2 {
				if s, err := r.Verify(t.Context(), "test"); err != nil || s.Broken != want {
					t.Errorf("%s: entry %d was found, want %d: %+v, %v", name, s.Broken, want, s, err)
				}
			}
		}
	})
}

// TestEndCutOffWithTheHead: who cuts off the end together with the head is found by what was verified.
func TestEndCutOffWithTheHead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		add(t, d, 10)
		settle(t, r)
		exec(t, d, `DELETE FROM audit WHERE id > 6`)
		exec(t, d, `UPDATE audit_head SET last = 6, hash = (SELECT hash FROM audit WHERE id = 6) WHERE id = 1`)
		if s := settle(t, r); s.Broken != 7 {
			t.Errorf("%+v", s)
		}
		add(t, d, 10) // the chain fits again, and the fault stays known
		if s, err := r.Verify(t.Context(), "test"); err != nil || s.Broken != 7 {
			t.Errorf("%+v, %v", s, err)
		}
	})
}

// TestVerificationIsIncremental: new entries are verified without reading the old ones, and the whole log
// once a day.
func TestVerificationIsIncremental(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	dbtest.EachWith(t, db.Options{Now: clock}, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		add(t, d, 10)
		if s := settle(t, r); s.Verified != 10 || s.Full == nil || s.Running {
			t.Fatalf("%+v", s)
		}
		exec(t, d, `UPDATE audit SET who = 'wang' WHERE id = 3`)
		add(t, d, 5)
		if s := settle(t, r); s.Verified != 15 || s.Broken != 0 {
			t.Errorf("%+v: old entries were read again", s)
		}
		exec(t, d, `UPDATE audit SET who = 'wang' WHERE id = 15`) // not its hash: found with the next full verification
		exec(t, d, `UPDATE audit SET hash = (SELECT hash FROM audit WHERE id = 1) WHERE id = 15`)
		if s := settle(t, r); s.Broken != 15 {
			t.Errorf("%+v: the end of the verified part was changed", s)
		}
		mu.Lock()
		now = now.Add(25 * time.Hour)
		mu.Unlock()
		if s := settle(t, r); s.Broken != 3 || s.Full == nil || s.Full.Before(now.Add(-time.Hour)) {
			t.Errorf("%+v after a day", s)
		}
	})
}

func TestDeletingTheOldest(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	dbtest.EachWith(t, db.Options{Now: clock}, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		add(t, d, 20)
		later := clock().Add(time.Hour)
		if n, err := r.DeleteBefore(t.Context(), later, 100); n != 0 || err != nil {
			t.Errorf("%d entries that are not verified were removed, %v", n, err)
		}
		settle(t, r)
		mu.Lock()
		now = later
		mu.Unlock()
		add(t, d, 10)
		for _, want := range []int{15, 5, 0} {
			if n, err := r.DeleteBefore(t.Context(), later, 15); n != want || err != nil {
				t.Errorf("%d entries were removed, want %d: %v", n, want, err)
			}
		}
		if s, err := r.Verify(t.Context(), "test"); err != nil || s.Broken != 0 || s.Last != 31 {
			t.Errorf("%+v, %v", s, err)
		}
		all, err := r.List(t.Context(), audit.Query{Limit: 100})
		if err != nil || len(all) != 11 || all[10].ID != 21 {
			t.Errorf("%d entries, %v", len(all), err)
		}
		exec(t, d, `UPDATE audit SET who = 'wang' WHERE id = 21`)
		if s, err := r.Verify(t.Context(), "test"); err != nil || s.Broken != 21 {
			t.Errorf("%+v, %v", s, err)
		}
		if n, err := r.DeleteBefore(t.Context(), later.Add(time.Hour), 100); n != 0 || err != nil {
			t.Errorf("%d entries were removed after a fault was found, %v", n, err)
		}
	})
}

func TestPages(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := audit.New(d)
		add(t, d, 25)
		var ids []string
		for after := (audit.Position{}); ; {
			page, err := r.List(t.Context(), audit.Query{After: after, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			for _, e := range page {
				ids = append(ids, e.Object)
			}
			if len(page) < 10 {
				break
			}
			last := page[len(page)-1]
			after = audit.Position{At: last.At, ID: last.ID}
		}
		if got := strings.Join(ids, " "); got != "24 23 22 21 20 19 18 17 16 15 14 13 12 11 10 9 8 7 6 5 4 3 2 1 0" {
			t.Errorf("%s", got)
		}
	})
}
