package retention

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Room keeps room on a disk for alerts. When less than Reserve is free, it deletes what matters least, one
// kind after the other; when less than half of that is free, it says that nothing but alerts may be
// written. Alerts are written as long as there is any room at all.
type Room struct {
	keeper  *Keeper
	reserve int64
	free    func(ctx context.Context) (int64, error)
	kinds   []Kind
	log     *slog.Logger
	now     func() time.Time

	mu      sync.Mutex
	checked time.Time
	last    int64
	full    bool
}

// RoomOptions of a Room.
type RoomOptions struct {
	Reserve int64 // bytes; 0: none, and the Room does nothing

	// Free returns how many bytes can still be written, those included that a database has free inside of
	// its file.
	Free func(ctx context.Context) (int64, error)

	// Sacrifice lists the kinds of which entries are deleted before their age, in this order. Their Delete
	// leaves alone what is protected. Age and Max do not matter.
	Sacrifice []Kind

	Logger *slog.Logger
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) bool
}

// NewRoom returns a room. It starts nothing.
func NewRoom(o RoomOptions) *Room {
	k := New(Options{Kinds: o.Sacrifice, Logger: o.Logger, Now: o.Now, Sleep: o.Sleep})
	return &Room{keeper: k, reserve: o.Reserve, free: o.Free, kinds: o.Sacrifice, log: k.o.Logger, now: k.o.Now}
}

// Deleted returns how many entries of each kind were deleted for want of room since the start.
func (r *Room) Deleted() map[string]int64 { return r.keeper.Deleted() }

// minAge is how old at least that is which is deleted for want of room.
const minAge = time.Hour

// checkEvery is how long one look at the disk counts.
const checkEvery = time.Second

// Full says whether only alerts may be written. It looks at the disk once a second at most. When the
// disk cannot be asked, it says no.
func (r *Room) Full(ctx context.Context) bool {
	if r.reserve <= 0 {
		return false
	}
	r.mu.Lock()
	now := r.now()
	fresh := !r.checked.IsZero() && now.Sub(r.checked) < checkEvery && !now.Before(r.checked)
	full := r.full
	r.mu.Unlock()
	if fresh {
		return full
	}
	free, err := r.free(ctx)
	if err != nil {
		r.log.Warn("asking for the room on the disk", "error", err)
		return false
	}
	return r.note(now, free)
}

func (r *Room) note(now time.Time, free int64) bool {
	r.mu.Lock()
	before := r.full
	r.checked, r.last, r.full = now, free, free < r.reserve/2
	full := r.full
	r.mu.Unlock()
	if full != before {
		r.log.Warn("room on the disk", "free_bytes", free, "only_alerts_are_accepted", full)
	}
	return full
}

// Pass deletes until the reserve is free again, or until nothing is left that may be deleted.
func (r *Room) Pass(ctx context.Context) error {
	if r.reserve <= 0 {
		return nil
	}
	for _, kind := range r.kinds {
		deleted := 0
		for {
			free, err := r.free(ctx)
			if err != nil {
				return fmt.Errorf("asking for the room on the disk: %w", err)
			}
			r.note(r.now(), free)
			if free >= r.reserve {
				return nil
			}
			n, err := r.keeper.delete(ctx, kind, r.now().Add(-minAge))
			if err != nil {
				return fmt.Errorf("making room: deleting %s: %w", kind.Name, err)
			}
			if deleted += n; n == 0 {
				break
			}
		}
		if deleted > 0 {
			r.log.Warn("deleted for want of room on the disk", "kind", kind.Name, "count", deleted)
		}
	}
	return nil
}
