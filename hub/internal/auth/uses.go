package auth

import (
	"context"
	"sync"
	"time"

	"gridpost/devices/retry"
)

// Times and bounds of uses.
const (
	storeUsesEvery = 30 * time.Second
	storeUsesLimit = 3 * time.Second
	maxUses        = 10_000
)

// uses holds when tokens were last used, until it is stored. It holds one time for each token, and at most
// maxUses: the uses of further tokens are stored with their next request.
type uses struct {
	mu   sync.Mutex
	last map[string]time.Time // by the token's ID
}

func newUses() *uses { return &uses{last: map[string]time.Time{}} }

func (u *uses) note(id string, at time.Time) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if _, there := u.last[id]; there || len(u.last) < maxUses {
		u.last[id] = at
	}
}

// take returns what is to be stored, and forgets it.
func (u *uses) take() map[string]time.Time {
	u.mu.Lock()
	defer u.mu.Unlock()
	all := u.last
	u.last = map[string]time.Time{}
	return all
}

// Run stores when tokens were last used, until ctx ends.
func (s *Service) Run(ctx context.Context) error {
	for retry.Sleep(ctx, storeUsesEvery) {
		s.storeUses(ctx)
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), storeUsesLimit)
	defer cancel()
	s.storeUses(ctx)
	return nil
}

func (s *Service) storeUses(ctx context.Context) {
	used := s.uses.take()
	if len(used) == 0 {
		return
	}
	if err := s.o.People.NoteTokensUsed(ctx, used); err != nil {
		s.o.Logger.Warn("storing when tokens were used; the next use of each is stored", "error", err)
	}
}
