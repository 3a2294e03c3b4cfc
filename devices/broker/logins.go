package broker

import (
	"net/netip"
	"sync"
	"time"
)

// Bounds of failed attempts to log in.
const (
	maxFailures  = 10          // of one user from one address within blockFor; then it is blocked
	blockFor     = time.Minute // after the last failure that counted
	maxAttackers = 1024        // pairs that are remembered; beyond it the one that failed least lately is forgotten
)

// logins counts attempts to log in with a wrong password, by user and address: guessing is slow, and neither
// other users behind the same address nor the same user elsewhere are blocked. It is safe for concurrent use.
type logins struct {
	mu    sync.Mutex
	pairs map[loginKey]attempts
}

type loginKey struct{ from, user string }

type attempts struct {
	count int
	last  time.Time
}

func newLogins() *logins { return &logins{pairs: map[loginKey]attempts{}} }

// key takes the network of an IPv6 address, in which a machine can choose any address.
func key(from, user string) loginKey {
	if a, err := netip.ParseAddr(from); err == nil && a.Is6() && !a.Is4In6() {
		if p, err := a.WithZone("").Prefix(64); err == nil {
			from = p.String()
		}
	}
	return loginKey{from, user}
}

// blocked returns for how long a user cannot log in from an address; 0: it can.
func (l *logins) blocked(from, user string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	a := l.pairs[key(from, user)]
	if a.count < maxFailures {
		return 0
	}
	return max(blockFor-time.Since(a.last), 0)
}

// fail notes a wrong password of a user.
func (l *logins) fail(from, user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := key(from, user)
	a := l.pairs[k]
	if time.Since(a.last) > blockFor {
		a.count = 0
	}
	l.pairs[k] = attempts{a.count + 1, time.Now()}
	if len(l.pairs) > maxAttackers {
		l.forget()
	}
}

// forget removes the oldest entry. l.mu is held.
func (l *logins) forget() {
	var oldest loginKey
	first := true
	for k, a := range l.pairs {
		if first || a.last.Before(l.pairs[oldest].last) {
			oldest, first = k, false
		}
	}
	delete(l.pairs, oldest)
}

// succeeded forgets the failures of a user.
func (l *logins) succeeded(from, user string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.pairs, key(from, user))
}
