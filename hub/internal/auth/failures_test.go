package auth

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// records collects what is recorded.
type records struct {
	mu    sync.Mutex
	all   [][]Failure
	fails bool
}

func (r *records) record(_ context.Context, all []Failure) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fails {
		return errors.New("the disk is full")
	}
	r.all = append(r.all, all)
	return nil
}

func (r *records) take() [][]Failure {
	r.mu.Lock()
	defer r.mu.Unlock()
	out := r.all
	r.all = nil
	return out
}

func (r *records) fail(v bool) { r.mu.Lock(); defer r.mu.Unlock(); r.fails = v }

// TestFailuresAreRecordedInBoundedWrites: one record in a minute at most, with a bounded number of entries, whose sum is
// that of the attempts.
func TestFailuresAreRecordedInBoundedWrites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &records{}
		f := NewFailures(r.record, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- f.Run(ctx) }()
		step := func(d time.Duration) { time.Sleep(d); synctest.Wait() }
		f.note(ByPassword, "li", "192.0.2.1", false)
		f.note(ByPassword, "li", "192.0.2.1", true)
		f.note(ByPassword, "", "192.0.2.2", false)
		step(11 * time.Second)
		got := r.take()
		if len(got) != 1 || len(got[0]) != 2 || got[0][0].User != "li" || got[0][0].Count != 2 || got[0][0].Refused != 1 || got[0][1].Origin != "192.0.2.2" {
			t.Fatalf("%+v", got)
		}
		count := func(got [][]Failure) (n int) {
			for _, all := range got {
				if len(all) > failuresOwn+1 {
					t.Errorf("%d entries in one record", len(all))
				}
				for _, one := range all {
					n += one.Count
					if one.Last.Before(one.First) || one.Refused > one.Count {
						t.Errorf("%+v", one)
					}
				}
			}
			return n
		}
		const flood = 30_000
		for i := range flood { // within five minutes, from many origins
			f.note(ByPassword, "", fmt.Sprint(i%5000), i%2 == 0)
			if i%100 == 0 {
				step(time.Second)
			}
		}
		step(time.Minute)
		got = r.take()
		if n := count(got); n != flood || len(got) > 7 {
			t.Errorf("%d attempts in %d records", n, len(got))
		}
		step(time.Hour)
		r.fail(true)
		f.note(ByPassword, "li", "192.0.2.1", false)
		step(time.Minute)
		f.note(ByPassword, "li", "192.0.2.1", false)
		step(time.Minute)
		r.fail(false)
		step(2 * time.Minute)
		if got := r.take(); count(got) != 2 || len(got) != 1 {
			t.Errorf("after a failure: %+v", got)
		}
		step(time.Hour)
		f.note(ByPassword, "wang", "192.0.2.3", false)
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if got := r.take(); count(got) != 1 {
			t.Errorf("at the stop: %+v", got)
		}
	})
}
