package auth

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"time"

	"gridpost/hub/internal/store"
)

// ThrottledError says that an attempt was not even looked at.
type ThrottledError struct{ After time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many attempts; try again in %s", e.After.Round(time.Second))
}

// throttleKey is one thing that attempts are counted by.
type throttleKey struct {
	key  string
	free int // failures that cost nothing
}

const (
	maxBlock   = 15 * time.Minute
	forgetting = time.Hour // after the last failure the count begins anew
)

// throttleKeys counts by account and address together, so that nobody can lock another one out
// from elsewhere; by address alone, against guessing many accounts; and by account alone, against
// many addresses.
func throttleKeys(name, remote string) []throttleKey {
	address := remote
	if host, _, err := net.SplitHostPort(remote); err == nil {
		address = host
	}
	if ip, err := netip.ParseAddr(address); err == nil && ip.Unmap().Is6() {
		if prefix, err := ip.WithZone("").Prefix(64); err == nil { // one subscriber has a whole /64
			address = prefix.String()
		}
	}
	if len(name) > 200 {
		name = name[:200]
	}
	return []throttleKey{
		{key: "account " + name + " address " + address, free: 5},
		{key: "address " + address, free: 30},
		{key: "account " + name, free: 100},
	}
}

// countAttempt counts an attempt as a failure before it is looked at, in one transaction with
// the decision whether it is looked at: concurrent attempts cannot slip through. Success takes
// the count back.
func (s *Service) countAttempt(ctx context.Context, keys []throttleKey) error {
	now := s.o.Now()
	var wait time.Duration
	err := s.o.Store.UpdateLoginFailures(ctx, names(keys), func(all []store.Failures) {
		wait = 0
		for _, f := range all {
			wait = max(wait, f.Blocked.Sub(now))
		}
		if wait > 0 {
			return
		}
		for i := range all {
			f := &all[i]
			if now.Sub(f.Last) > forgetting {
				f.Count = 0
			}
			f.Count++
			f.Last, f.Blocked = now, now
			if over := f.Count - keys[i].free; over >= 0 {
				f.Blocked = now.Add(min(time.Second<<min(over, 20), maxBlock))
			}
		}
	})
	if err != nil {
		return err
	}
	if wait > 0 {
		return &ThrottledError{After: wait}
	}
	return nil
}

// forgive takes the attempt back that was right after all, and forgets what the account
// failed from this address before.
func (s *Service) forgive(ctx context.Context, keys []throttleKey) error {
	return s.o.Store.UpdateLoginFailures(ctx, names(keys), func(all []store.Failures) {
		all[0] = store.Failures{}
		for i := range all[1:] {
			f := &all[i+1]
			f.Count = max(0, f.Count-1)
			if f.Count < keys[i+1].free {
				f.Blocked = time.Time{}
			}
		}
	})
}

func names(keys []throttleKey) []string {
	out := make([]string, len(keys))
	for i, k := range keys {
		out[i] = k.key
	}
	return out
}
