package auth

import (
	"fmt"
	"hash/maphash"
	"maps"
	"net"
	"net/netip"
	"sync"
	"time"
)

// ThrottledError is the refusal of an attempt that was not looked at.
type ThrottledError struct{ After time.Duration }

func (e *ThrottledError) Error() string {
	return fmt.Sprintf("too many attempts; try again in %s", e.After.Round(time.Second))
}

// Bounds of what is tried and remembered.
const (
	maxBlock      = 15 * time.Minute
	maxKnownBlock = time.Minute // where the account has logged in before: others may be behind the same address
	forgetAge     = time.Hour   // after the last failure the count begins anew

	// Failures that cost nothing.
	freeOfPair    = 5   // of one account from one address
	freeOfOrigin  = 30  // of all accounts from one origin, against guessing many accounts
	freeOfAccount = 100 // of one account from all unknown origins, against guessing from many origins
	freeOfBlock   = 30  // of one account from all addresses of a known origin

	// Wide keys, which many people share, are not blocked: who uses up their attempts would lock out the others.
	// After the free ones, there is one attempt in this time.
	everyOfOrigin  = 10 * time.Second
	everyOfAccount = time.Minute
	everyOfBlock   = 30 * time.Second

	// Attempts from unknown origins all together, because each costs tens of milliseconds of all cores.
	strangerBurst = 20
	strangerRate  = 4 // per second

	maxFailures = 50_000 // keys with failures of their own; about 6 MB
	sharedSlots = 1024   // for the keys beyond them

	provenAge = 30 * 24 * time.Hour // after the last success an address has to prove itself again
)

// ThrottleStats counts what a throttle did since the start.
type ThrottleStats struct {
	Keys    int    // keys with failures of their own now
	Refused uint64 // attempts that were refused without a look at the password
	Shared  uint64 // failures that were counted in a slot shared with other keys, because the table was full
}

// throttle slows down guessing. It counts failed attempts by account and address together, by origin,
// and by account. A pair of account and address that has used its free failures is blocked for a time that doubles
// with each further failure. The others, the wide keys, have a rate from then on.
//
// An origin (the block of addresses that one subscriber has) from which an account has logged in before is known for
// this account. For it only the pair, and the rate of its block, count: failures elsewhere, or of other accounts, cannot lock
// its user out. An address from which the account has logged in since the start is exempt from the rate of its
// block too.
//
// Everything is in memory, because a flood of attempts must not become a flood of writes: a restart
// forgets the blocks. Two hubs on one database count separately, so who reaches both has twice the
// attempts. The table is bounded. It never forgets a key before forgetAge: keys that do not fit share
// counters, so that a flood from many origins blocks more than it should, and never unblocks anybody.
// Known pairs have a table of their own, whose keys a stranger cannot add.
type throttle struct {
	now  func() time.Time
	max  int          // keys of a table
	seed maphash.Seed // keys are hashes with a secret: nobody can choose who shares a counter

	mu      sync.Mutex
	table   map[uint64]*failures
	known   map[uint64]*failures // of pairs and blocks at known origins
	proven  map[uint64]time.Time // pairs that have succeeded, and when they did last
	shared  [sharedSlots]failures
	swept   time.Time
	budget  float64 // attempts from unknown origins that may be looked at now
	filled  time.Time
	refused uint64
	crowded uint64
}

// failures counts the failed attempts of a key.
type failures struct {
	count   int
	last    time.Time
	blocked time.Time // of a pair: until then

	// paid is, of a wide key, when all its attempts will have been earned back at its rate (GCRA's theoretical
	// arrival time).
	paid time.Time
}

func newThrottle(now func() time.Time) *throttle {
	return &throttle{
		now: now, max: maxFailures, seed: maphash.MakeSeed(), table: map[uint64]*failures{}, known: map[uint64]*failures{},
		proven: map[uint64]time.Time{}, budget: strangerBurst, filled: now(),
	}
}

// attempt is one attempt to prove to be the user of an account.
type attempt struct {
	account string
	origin  string
	address string // of the client, within the origin; empty: the origin is a session
	known   bool   // the account has logged in from the origin before
}

// from returns the narrowest name of where an attempt comes from.
func (a attempt) from() string {
	if a.address != "" {
		return a.address
	}
	return a.origin
}

// kind separates the keys of a throttle.
type kind byte

const (
	ofPair kind = iota
	ofOrigin
	ofAccount
	ofBlock
)

func (t *throttle) key(k kind, account, origin string) uint64 {
	return maphash.Comparable(t.seed, struct {
		kind            kind
		account, origin string
	}{k, account, origin})
}

// counted is a key that counts for an attempt.
type counted struct {
	table map[uint64]*failures
	key   uint64
	free  int
	every time.Duration // of a wide key: between two attempts after the free ones
	most  time.Duration // of a pair: its longest block
}

// counts returns the keys that count for an attempt, first that of the pair.
func (t *throttle) counts(a attempt) []counted {
	pair := t.key(ofPair, a.account, a.from())
	if !a.known {
		return []counted{
			{table: t.table, key: pair, free: freeOfPair, most: maxBlock},
			{table: t.table, key: t.key(ofOrigin, "", a.origin), free: freeOfOrigin, every: everyOfOrigin},
			{table: t.table, key: t.key(ofAccount, a.account, ""), free: freeOfAccount, every: everyOfAccount},
		}
	}
	keys := []counted{{table: t.known, key: pair, free: freeOfPair, most: maxKnownBlock}}
	if a.address == "" { // a session, which nobody else shares
		keys[0].most = maxBlock
	}
	if _, proven := t.proven[pair]; !proven && a.from() != a.origin {
		keys = append(keys, counted{table: t.known, key: t.key(ofBlock, a.account, a.origin), free: freeOfBlock, every: everyOfBlock})
	}
	return keys
}

// wait returns how long a key with such failures has no attempt.
func (c counted) wait(f failures, now time.Time) time.Duration {
	if c.every == 0 {
		return f.blocked.Sub(now)
	}
	// The attempt would be paid at later; all free ones together are worth free times every.
	return later(f.paid, now).Add(c.every).Sub(now) - time.Duration(c.free)*c.every
}

// fail counts a failure of a key.
func (c counted) fail(f *failures, now time.Time) {
	f.count++
	f.last = now
	if c.every != 0 {
		f.paid = later(f.paid, now).Add(c.every)
		return
	}
	if over := f.count - c.free; over >= 0 {
		f.blocked = later(f.blocked, now.Add(min(time.Second<<min(over, 20), c.most)))
	}
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// find returns the failures of a key, without adding it: a copy of none if there are none, and those of
// its shared counter if the table is full. t.mu is held.
func (t *throttle) find(c counted) failures {
	if f := t.own(c); f != nil {
		return *f
	}
	if len(c.table) >= t.max {
		return t.shared[c.key%sharedSlots]
	}
	return failures{}
}

// own returns the failures that a key has of its own, nil if there are none. Those that are old enough to
// be forgotten are removed. t.mu is held.
func (t *throttle) own(c counted) *failures {
	f := c.table[c.key]
	if f != nil && t.now().Sub(f.last) > forgetAge {
		delete(c.table, c.key)
		return nil
	}
	return f
}

// add returns the failures of a key, and adds it if there is room. t.mu is held.
func (t *throttle) add(c counted) *failures {
	if f := t.own(c); f != nil {
		return f
	}
	if len(c.table) < t.max {
		f := &failures{}
		c.table[c.key] = f
		return f
	}
	t.crowded++
	f := &t.shared[c.key%sharedSlots]
	if t.now().Sub(f.last) > forgetAge {
		*f = failures{}
	}
	return f
}

// sweep removes what is forgotten, at most once a minute. t.mu is held.
func (t *throttle) sweep() {
	now := t.now()
	if now.Sub(t.swept) < time.Minute {
		return
	}
	t.swept = now
	for _, table := range []map[uint64]*failures{t.table, t.known} {
		maps.DeleteFunc(table, func(_ uint64, f *failures) bool { return now.Sub(f.last) > forgetAge })
	}
	maps.DeleteFunc(t.proven, func(_ uint64, at time.Time) bool { return now.Sub(at) > provenAge })
}

// blocked returns how long the pair of an account and an address is blocked. It needs nothing from the
// database, and so it comes first.
func (t *throttle) blocked(a attempt) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	key := t.key(ofPair, a.account, a.from())
	var wait time.Duration
	for _, table := range []map[uint64]*failures{t.table, t.known} {
		if f := table[key]; f != nil {
			wait = max(wait, f.blocked.Sub(t.now()))
		}
	}
	return t.refuse(wait)
}

// begin counts an attempt as a failure before it is looked at, in one step with the decision whether
// it is looked at: concurrent attempts cannot slip through. succeed takes the count back. It returns
// a *ThrottledError if the attempt must not be looked at.
func (t *throttle) begin(a attempt) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	if max(len(t.table), len(t.known)) >= t.max {
		t.sweep()
	}
	keys := t.counts(a)
	var wait time.Duration
	for _, c := range keys {
		wait = max(wait, c.wait(t.find(c), now))
	}
	if wait <= 0 && !a.known {
		wait = t.spend(now)
	}
	if wait > 0 {
		return t.refuse(wait)
	}
	for _, c := range keys {
		c.fail(t.add(c), now)
	}
	return nil
}

// spend takes one attempt from the budget of all unknown origins, and returns how long to wait if it
// is used up. t.mu is held.
func (t *throttle) spend(now time.Time) time.Duration {
	t.budget = min(strangerBurst, t.budget+now.Sub(t.filled).Seconds()*strangerRate)
	t.filled = now
	if t.budget < 1 {
		return time.Second
	}
	t.budget--
	return 0
}

// refuse counts a refusal. t.mu is held.
func (t *throttle) refuse(wait time.Duration) error {
	if wait <= 0 {
		return nil
	}
	t.refused++
	return &ThrottledError{After: wait}
}

// succeed takes the attempt back that was right after all, and forgets what the account failed from
// this address before.
func (t *throttle) succeed(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	keys := t.counts(a)
	delete(keys[0].table, keys[0].key)
	t.takeBack(a, keys[1:])
	if a.address != "" && len(t.proven) < t.max {
		t.proven[keys[0].key] = t.now()
	}
}

// cancel takes back an attempt that was not looked at.
func (t *throttle) cancel(a attempt) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.takeBack(a, t.counts(a))
}

// takeBack removes one failure of keys that an attempt was counted by. t.mu is held.
func (t *throttle) takeBack(a attempt, keys []counted) {
	if !a.known {
		t.budget = min(strangerBurst, t.budget+1)
	}
	for _, c := range keys {
		f := c.table[c.key]
		if f == nil {
			continue // its counter is shared, and the failures of others stay
		}
		f.count--
		f.paid = f.paid.Add(-c.every)
		if f.count < c.free {
			f.blocked = time.Time{}
		}
		if f.count == 0 {
			delete(c.table, c.key)
		}
	}
}

func (t *throttle) stats() ThrottleStats {
	t.mu.Lock()
	defer t.mu.Unlock()
	return ThrottleStats{Keys: len(t.table) + len(t.known), Refused: t.refused, Shared: t.crowded}
}

// originOf returns what attempts are counted by: the address of a client without its port, and its origin, which is the
// same, or the /64 of an IPv6 address, because one subscriber has all of it.
func originOf(remote string) (origin, address string) {
	address = remote
	if host, _, err := net.SplitHostPort(remote); err == nil {
		address = host
	}
	ip, err := netip.ParseAddr(address)
	if err != nil {
		address = address[:min(len(address), 100)]
		return address, address
	}
	ip = ip.Unmap().WithZone("")
	if ip.Is6() {
		if prefix, err := ip.Prefix(64); err == nil {
			return prefix.String(), ip.String()
		}
	}
	return ip.String(), ip.String()
}
