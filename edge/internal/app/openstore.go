package app

import (
	"context"
	"errors"
	"time"

	"gridpost/devices/retry"
	"gridpost/edge/internal/store"
)

// openEvery is how often a start is tried again that found no room on the disk.
const openEvery = 5 * time.Second

// openStore opens the store. When the disk is so full that even the store's reserve is not
// enough, it waits for room: an edge must not need a hand to start.
func openStore(ctx context.Context, o Options) (*store.Store, error) {
	for first := true; ; first = false {
		st, err := store.Open(ctx, store.Options{Dir: o.Dir, Logger: o.Logger})
		if !errors.Is(err, store.ErrFull) {
			return st, err
		}
		if first {
			o.Logger.Error("the edge starts as soon as the disk has room", "error", err)
		}
		if !retry.Sleep(ctx, openEvery) {
			return nil, errors.Join(err, ctx.Err())
		}
	}
}
