package leases

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"
	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// Times and bounds of a Keeper.
const (
	beatEvery = 5 * time.Second
	deadAfter = 30 * time.Second // without a beat; counted by the clock of who watches
	stopLimit = 3 * time.Second  // to store the last ends when the hub stops
	maxBatch  = 500              // leases changed in one transaction
)

// Codes of why a lease ended that nobody ended.
const (
	stopped = "video_hub_restarted"
	gone    = "video_hub_gone"
)

// Keeper begins and ends the leases of one hub. Its methods may be called from any goroutine.
//
// An end that cannot be stored is stored later, with its time: the Keeper holds it and tries again. It
// holds one end at most for each lease that was stored, so it is bounded by the viewers of the hub.
//
// The hubs of a database watch each other: each increments its beat in the table hubs, and ends the
// leases of a hub whose beat has not changed for deadAfter. No hub compares its clock with another's.
type Keeper struct {
	r   *Repository
	hub string
	log *slog.Logger

	mu     sync.Mutex
	held   map[string]bool   // leases that were begun and not ended
	ended  map[string]ending // ends that are not stored yet, by lease
	wake   chan struct{}
	failed int

	seen map[string]beat // of other hubs; used by Watch only
}

// beat is what a hub has seen of another one.
type beat struct {
	count int64
	since time.Time
}

// NewKeeper returns the keeper of a hub. hub identifies the hub on its database, also after a restart.
func NewKeeper(r *Repository, hub string, log *slog.Logger) *Keeper {
	return &Keeper{
		r: r, hub: hub, log: log, held: map[string]bool{}, ended: map[string]ending{}, wake: make(chan struct{}, 1), seen: map[string]beat{},
	}
}

// Start registers the hub and ends the leases that an earlier run of it left open. It is called before
// the first Begin.
func (k *Keeper) Start(ctx context.Context) error {
	for more := true; more; {
		err := k.r.db.Update(ctx, "end_leases", func(t *db.Tx) error {
			n, err := k.r.endSome(t, k.hub, problem.NewCause(stopped), maxBatch)
			more = n == maxBatch
			return err
		})
		if err != nil {
			return fmt.Errorf("ending the leases of an earlier run: %w", err)
		}
	}
	if err := k.beat(ctx); err != nil {
		return fmt.Errorf("registering the hub: %w", err)
	}
	return nil
}

// Begin stores a lease and returns its ID.
func (k *Keeper) Begin(ctx context.Context, l Lease) (string, error) {
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("generating the ID of a lease: %w", err)
	}
	l.ID = id.String()
	if err := k.r.Begin(ctx, k.hub, l); err != nil {
		return "", err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.held[l.ID] = true
	return l.ID, nil
}

// End ends a lease now. Run stores it; it does not wait.
func (k *Keeper) End(id string, why devices.Cause) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if !k.held[id] {
		return
	}
	delete(k.held, id)
	k.ended[id] = ending{id: id, at: k.r.db.Now(), why: why}
	select {
	case k.wake <- struct{}{}:
	default:
	}
}

// Attempts returns how often ends could not be stored since the start.
func (k *Keeper) Attempts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.failed
}

// Waiting returns how many ends are not stored yet.
func (k *Keeper) Waiting() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.ended)
}

// Run stores ends and watches the other hubs until ctx ends. Then it stores what has ended by then, and
// removes the hub from the list of those that run.
func (k *Keeper) Run(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { k.watchAll(ctx) })
	backoff := retry.Policy{First: 200 * time.Millisecond, Longest: 10 * time.Second}.New()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-k.wake:
		}
		for ctx.Err() == nil {
			err := k.flush(ctx)
			if err == nil {
				backoff.Reset()
				break
			}
			k.log.Error("storing the ends of leases; it is tried again", "leases", k.Waiting(), "error", err)
			backoff.Wait(ctx)
		}
	}
	watching.Wait()
	k.stop(ctx)
	return nil
}

// watchAll beats and watches the other hubs until ctx ends.
func (k *Keeper) watchAll(ctx context.Context) {
	tick := time.NewTicker(beatEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if err := k.Watch(ctx, time.Now()); err != nil && ctx.Err() == nil {
			k.log.Error("watching the other hubs on the database", "error", err)
		}
	}
}

// stop is the end of Run.
func (k *Keeper) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), stopLimit)
	defer cancel()
	if err := k.flush(ctx); err != nil {
		k.log.Error("storing the ends of leases; the next start of the hub ends them", "leases", k.Waiting(), "error", err)
		return
	}
	err := k.r.db.Update(ctx, "hub_beat", func(t *db.Tx) error {
		_, err := t.Exec(`DELETE FROM hubs WHERE id = ?`, k.hub)
		return err
	})
	if err != nil {
		k.log.Error("removing the hub from those that run", "error", err)
	}
}

// flush stores the ends that wait.
func (k *Keeper) flush(ctx context.Context) error {
	for {
		k.mu.Lock()
		all := make([]ending, 0, min(len(k.ended), maxBatch))
		for _, e := range k.ended {
			if len(all) < maxBatch {
				all = append(all, e)
			}
		}
		k.mu.Unlock()
		if len(all) == 0 {
			return nil
		}
		slices.SortFunc(all, func(a, b ending) int { return a.at.Compare(b.at) })
		if err := k.r.end(ctx, all); err != nil {
			k.mu.Lock()
			k.failed++
			k.mu.Unlock()
			return err
		}
		k.mu.Lock()
		for _, e := range all {
			delete(k.ended, e.id)
		}
		k.mu.Unlock()
	}
}

// beat increments the hub's beat. A hub that the others took for dead registers again, and opens its
// leases again, because their views go on.
func (k *Keeper) beat(ctx context.Context) error {
	k.mu.Lock()
	held := slices.Sorted(maps.Keys(k.held))
	k.mu.Unlock()
	return k.r.db.Update(ctx, "hub_beat", func(t *db.Tx) error {
		err := t.Affected(`UPDATE hubs SET beat = beat + 1 WHERE id = ?`, k.hub)
		if !errors.Is(err, db.ErrNotFound) {
			return err
		}
		if _, err := t.Exec(`INSERT INTO hubs(id, beat, started_at) VALUES (?, 1, ?)`, k.hub, db.Millis(t.Now())); err != nil {
			return err
		}
		for _, id := range held {
			if err := k.r.reopen(t, id); err != nil {
				return err
			}
		}
		return nil
	})
}

// reopen opens a lease again that was ended because its hub was taken for dead.
func (r *Repository) reopen(t *db.Tx, id string) error {
	l, err := scan(t.One(`UPDATE leases SET ended_at = NULL, ended_why = '', ended_code = '', ended_params = '{}'
		WHERE id = ? AND ended_code = ? RETURNING `+columns, id, gone))
	if errors.Is(err, db.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	r.publish(t, l)
	return nil
}

// Watch beats, and ends the leases of hubs whose beat stands still by the clock of now. Run calls it; it is
// not for several goroutines at once.
func (k *Keeper) Watch(ctx context.Context, now time.Time) error {
	if err := k.beat(ctx); err != nil {
		return fmt.Errorf("beating: %w", err)
	}
	others, err := k.others(ctx)
	if err != nil {
		return fmt.Errorf("reading the beats of hubs: %w", err)
	}
	for hub, count := range others {
		last, known := k.seen[hub]
		switch {
		case !known || last.count != count:
			k.seen[hub] = beat{count, now}
		case now.Sub(last.since) >= deadAfter || count == noHub:
			if err := k.bury(ctx, hub, count); err != nil {
				return fmt.Errorf("ending the leases of hub %s: %w", hub, err)
			}
		}
	}
	maps.DeleteFunc(k.seen, func(hub string, _ beat) bool { _, there := others[hub]; return !there })
	return nil
}

// noHub is the beat of a hub that has leases and is not registered: its leases come from a backup, or
// from a version that stored no hub.
const noHub = -1

// others returns the beats of the other hubs.
func (k *Keeper) others(ctx context.Context) (map[string]int64, error) {
	rows, err := k.r.db.Read(ctx).Rows(`SELECT id, beat FROM hubs WHERE id != ?
		UNION ALL SELECT DISTINCT hub, -1 FROM leases WHERE ended_at IS NULL AND NOT EXISTS (SELECT 1 FROM hubs WHERE hubs.id = leases.hub)`, k.hub)
	others := map[string]int64{}
	_, err = db.Collect(func(scan func(...any) error) (struct{}, error) {
		var hub string
		var count int64
		err := scan(&hub, &count)
		others[hub] = count
		return struct{}{}, err
	})(rows, err)
	return others, err
}

// bury ends the leases of a hub, unless it has beaten since, and removes it from the list.
func (k *Keeper) bury(ctx context.Context, hub string, count int64) error {
	for more := true; more; {
		ended := 0
		err := k.r.db.Update(ctx, "end_leases", func(t *db.Tx) error {
			more, ended = false, 0
			now := int64(noHub)
			err := t.One(`SELECT beat FROM hubs WHERE id = ?`+t.ForUpdate(), hub)(&now)
			if err != nil && !errors.Is(err, db.ErrNotFound) {
				return err
			}
			if now != count {
				return nil // it lives, or another hub was faster
			}
			if ended, err = k.r.endSome(t, hub, problem.NewCause(gone), maxBatch); err != nil {
				return err
			}
			if more = ended == maxBatch; more {
				return nil
			}
			_, err = t.Exec(`DELETE FROM hubs WHERE id = ?`, hub)
			return err
		})
		if err != nil {
			return err
		}
		if ended > 0 {
			k.log.Warn("the leases of a hub that is gone were ended", "hub", hub, "leases", ended)
		}
	}
	return nil
}
