package feed_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/feed"
)

// counted counts the reads of the feed.
type counted struct {
	*db.DB
	reads atomic.Int64
}

func (c *counted) ChangesAfter(ctx context.Context, after int64, limit int) ([]db.Change, bool, error) {
	c.reads.Add(1)
	return c.DB.ChangesAfter(ctx, after, limit)
}

func publish(t *testing.T, d *db.DB, n int) {
	t.Helper()
	if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
		for i := range n {
			tx.Publish("incident", "site", fmt.Sprint(i), map[string]int{"i": i}, nil)
		}
		return nil
	}); err != nil {
		t.Error(err)
	}
}

// run runs a tail until the returned function is called.
func run(t *testing.T, tail *feed.Tail) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- tail.Run(ctx) }()
	return sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

// console reads until it has seen number last, as the handler of a live stream does, and checks that it gets
// every number once and in order, or a reset.
type console struct {
	seen   int64
	resets int
}

// read reads until until is true; it returns false when the reader has ended.
func (c *console) read(ctx context.Context, t *testing.T, r *feed.Reader, pause func(), until func() bool) bool {
	for !until() {
		wake := r.Wait()
		b, err := r.Read(ctx)
		if errors.Is(err, feed.ErrClosed) || ctx.Err() != nil {
			return false
		}
		if err != nil {
			t.Error(err)
			return false
		}
		if b.Reset {
			if b.After < c.seen {
				t.Errorf("a reset goes back from %d to %d", c.seen, b.After)
			}
			c.seen = b.After
			c.resets++
		}
		for _, e := range b.Entries {
			if e.ID == 0 {
				continue
			}
			if e.ID != c.seen+1 || !strings.HasPrefix(string(e.Text), fmt.Sprintf("id: %d\nevent: incident\n", e.ID)) {
				t.Errorf("%d came after %d: %q", e.ID, c.seen, e.Text)
			}
			c.seen = e.ID
		}
		pause()
		if b.More || until() {
			continue
		}
		select {
		case <-wake:
		case <-r.Stopped():
		case <-ctx.Done():
		}
	}
	return true
}

// TestEveryConsoleSeesEveryEntryOnce runs writers, consoles of different speed that disconnect and reconnect
// with the number that they saw last, and restarts of the tail, at random.
func TestEveryConsoleSeesEveryEntryOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		const writers, commits = 3, 40
		tail := feed.New(feed.Options{Source: d, Logger: slog.New(slog.DiscardHandler), Entries: 16, Recheck: 50 * time.Millisecond})
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		defer cancel()
		var writing, reading sync.WaitGroup
		var total atomic.Int64
		var written atomic.Bool
		begun := make(chan struct{})
		for range writers {
			writing.Go(func() {
				<-begun
				for range commits {
					n := 1 + rand.IntN(5)
					publish(t, d, n)
					total.Add(int64(n))
				}
			})
		}
		stop := run(t, tail)
		var ready sync.WaitGroup
		for i := range 8 {
			ready.Add(1)
			reading.Go(func() {
				c := console{}
				first := sync.OnceFunc(ready.Done)
				for !written.Load() || c.seen < total.Load() {
					r, err := tail.Subscribe(ctx, feed.Start{After: c.seen, Principal: "user:console"})
					if err != nil {
						t.Error(err)
						first()
						return
					}
					first()
					left := 1 + rand.IntN(40)
					c.read(ctx, t, r, func() {
						left--
						if i%4 == 0 { // a slow one: the ring passes it
							time.Sleep(time.Millisecond)
						}
					}, func() bool { return left < 0 || written.Load() && c.seen >= total.Load() })
					r.Close()
					if ctx.Err() != nil {
						t.Errorf("console %d got %d of %d", i, c.seen, total.Load())
						return
					}
				}
				if c.resets > 0 {
					t.Errorf("%d resets although everything is kept", c.resets)
				}
			})
		}
		ready.Wait()
		close(begun)
		for range 4 {
			stop()
			stop = run(t, tail)
			publish(t, d, 1)
			total.Add(1)
		}
		writing.Wait()
		written.Store(true)
		publish(t, d, 1) // wakes those that have seen all and did not know
		total.Add(1)
		reading.Wait()
		stop()
		if s := tail.Stats(); s.Readers != 0 || s.Resets != 0 {
			t.Errorf("%+v", s)
		}
		t.Logf("%d entries, %+v", total.Load(), tail.Stats())
	})
}

func TestConsolesShareOneRead(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		source := &counted{DB: d}
		tail := feed.New(feed.Options{Source: source, Logger: slog.New(slog.DiscardHandler), Recheck: time.Hour})
		defer run(t, tail)()
		const consoles, commits = 100, 20
		var reading sync.WaitGroup
		readers := make([]*feed.Reader, consoles)
		for i := range readers {
			r, err := tail.Subscribe(t.Context(), feed.Start{Now: true})
			if err != nil {
				t.Fatal(err)
			}
			defer r.Close()
			readers[i] = r
		}
		before := source.reads.Load()
		for _, r := range readers {
			reading.Go(func() {
				c := console{}
				c.read(t.Context(), t, r, func() {}, func() bool { return c.seen == commits })
			})
		}
		for range commits {
			publish(t, d, 1)
		}
		reading.Wait()
		if n := source.reads.Load() - before; n > 2*commits {
			t.Errorf("%d reads of the feed for %d commits and %d consoles", n, commits, consoles)
		}
		if s := tail.Stats(); s.Fallbacks != 0 {
			t.Errorf("%+v", s)
		}
	})
}

func TestAConsoleBehindWhatIsKeptIsReset(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		tail := feed.New(feed.Options{Source: d, Histories: d, Logger: slog.New(slog.DiscardHandler), Entries: 4})
		defer run(t, tail)()
		slow, err := tail.Subscribe(t.Context(), feed.Start{Now: true})
		if err != nil {
			t.Fatal(err)
		}
		defer slow.Close()
		quick, err := tail.Subscribe(t.Context(), feed.Start{Now: true})
		if err != nil {
			t.Fatal(err)
		}
		defer quick.Close()
		for range 10 {
			publish(t, d, 2)
		}
		c := console{}
		c.read(t.Context(), t, quick, func() {}, func() bool { return c.seen == 20 }) // the tail has read all of it
		if err := d.Update(t.Context(), "test", func(tx *db.Tx) error {
			_, err := tx.Exec(`DELETE FROM changes WHERE id <= 18`)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		behind := console{}
		behind.read(t.Context(), t, slow, func() {}, func() bool { return behind.seen == 20 })
		if c.resets != 0 || behind.resets != 1 {
			t.Errorf("%d and %d resets", c.resets, behind.resets)
		}
		for after, want := range map[int64]bool{20: false, 18: false, 10: true, 21: true, -1: true} {
			r, err := tail.Subscribe(t.Context(), feed.Start{After: after})
			if err != nil {
				t.Fatal(err)
			}
			b, err := r.Read(t.Context())
			if err != nil || b.Reset != want {
				t.Errorf("after %d: reset is %v, %v", after, b.Reset, err)
			}
			r.Close()
		}
	})
}
