package auth

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"
)

// try makes attempts until one is refused, at most n, and returns how many were looked at.
func try(th *throttle, n int, make func(i int) attempt) (looked int, slow *ThrottledError) {
	for i := range n {
		if err := th.begin(make(i)); err != nil {
			errors.As(err, &slow)
			return i, slow
		}
	}
	return n, nil
}

func TestKeysOfTheThrottle(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			attempt func(i int) attempt
			looked  int
		}{
			"one account from one origin":    {func(int) attempt { return attempt{account: "li", origin: "10.0.0.1"} }, freeOfPair},
			"one account from a known one":   {func(int) attempt { return attempt{account: "li", origin: "10.0.0.1", known: true} }, freeOfPair},
			"many accounts from one origin":  {func(i int) attempt { return attempt{account: fmt.Sprint(i), origin: "10.0.0.1"} }, freeOfOrigin},
			"one account from many origins":  {func(i int) attempt { return attempt{account: "li", origin: fmt.Sprint(i)} }, freeOfAccount},
			"many accounts and many origins": {func(i int) attempt { return attempt{account: fmt.Sprint(i), origin: fmt.Sprint(i)} }, 200},
		} {
			th := newThrottle(time.Now)
			looked, _ := try(th, 200, func(i int) attempt {
				time.Sleep(time.Second / strangerRate) // not to use up the budget of all
				return c.attempt(i)
			})
			if looked != c.looked {
				t.Errorf("%s: %d attempts were looked at, want %d", name, looked, c.looked)
			}
		}
	})
}

func TestBlocksDouble(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(time.Now)
		a := attempt{account: "li", origin: "10.0.0.1"}
		want := time.Second
		_, slow := try(th, 10, func(int) attempt { return a })
		for range 14 {
			if slow == nil || slow.After != min(want, maxBlock) {
				t.Fatalf("blocked for %v, want %v", slow, want)
			}
			time.Sleep(slow.After - 1)
			if err := th.begin(a); err == nil {
				t.Fatal("an attempt before the block was over")
			}
			time.Sleep(time.Nanosecond)
			want *= 2
			if _, slow = try(th, 2, func(int) attempt { return a }); slow == nil {
				t.Fatal("no block")
			}
		}
		time.Sleep(forgetAge + time.Second)
		if looked, _ := try(th, 10, func(int) attempt { return a }); looked != freeOfPair {
			t.Errorf("%d free attempts after an hour of peace", looked)
		}
	})
}

// TestStrangersCannotLockOut: whatever strangers do, a user at a known origin may try the password.
func TestStrangersCannotLockOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(time.Now)
		th.max = 500
		home := attempt{account: "li", origin: "10.0.0.1", known: true}
		for i := range 3 * th.max { // a flood that fills the table and uses up the budget of all
			_ = th.begin(attempt{account: "li", origin: fmt.Sprint(i)})
			_ = th.begin(attempt{account: fmt.Sprint(i), origin: "10.0.0.1"}) // behind the same address
			time.Sleep(100 * time.Millisecond)
		}
		if err := th.begin(attempt{account: "li", origin: "10.9.9.9"}); err == nil {
			t.Error("the account is not blocked for strangers")
		}
		if err := th.blocked(home); err != nil {
			t.Errorf("before the database is read: %v", err)
		}
		if err := th.begin(home); err != nil {
			t.Errorf("at home: %v", err)
		}
		th.succeed(home)
		if looked, _ := try(th, 10, func(int) attempt { return home }); looked != freeOfPair {
			t.Errorf("%d free attempts at home", looked)
		}
	})
}

// TestFloodResetsNoBlock: the table is bounded, and filling it from many origins makes nobody's block
// shorter.
func TestFloodResetsNoBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(time.Now)
		th.max = 5000
		guesser := attempt{account: "li", origin: "10.0.0.1"}
		for range 12 {
			_, slow := try(th, 100, func(int) attempt { return guesser })
			time.Sleep(slow.After)
		}
		if err := th.begin(guesser); err != nil { // blocked for maxBlock from here on
			t.Fatal(err)
		}
		until := time.Now().Add(maxBlock)
		fill := func() {
			for i := range th.max + 1000 {
				key := counted{table: th.table, key: th.key(ofPair, fmt.Sprint(i), "x"), free: freeOfPair, most: maxBlock}
				f := th.add(key)
				f.count, f.last = freeOfPair-1, time.Now()
			}
		}
		fill()
		for time.Now().Before(until) {
			if err := th.begin(guesser); err == nil {
				t.Fatalf("a flood ended the block %v early", time.Until(until))
			}
			th.sweep()
			time.Sleep(time.Minute)
		}
		if s := th.stats(); s.Keys > th.max || s.Shared < 1000 || s.Refused == 0 {
			t.Errorf("%+v", s)
		}
		// Keys that do not fit are counted all the same.
		for i := range sharedSlots {
			th.shared[i] = failures{count: 30, last: time.Now(), blocked: time.Now().Add(time.Minute)}
		}
		fill()
		if err := th.begin(attempt{account: "new", origin: "new"}); err == nil {
			t.Error("a key that does not fit into the table is not throttled")
		}
		time.Sleep(forgetAge + time.Second)
		if err := th.begin(attempt{account: "new", origin: "new"}); err != nil {
			t.Errorf("after an hour of peace: %v", err)
		}
		if s := th.stats(); s.Keys > 10 {
			t.Errorf("%d keys are kept after they were forgotten", s.Keys)
		}
	})
}

// TestRefusedAttemptsAddNothing: a blocked origin cannot fill the table with names.
func TestRefusedAttemptsAddNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(time.Now)
		for i := range 10_000 {
			_ = th.begin(attempt{account: fmt.Sprint(i), origin: "10.0.0.1"})
		}
		if s := th.stats(); s.Keys > 2*freeOfOrigin+1 || s.Refused < 9_900 {
			t.Errorf("%+v", s)
		}
	})
}

// TestSuccessTakesBackItsOwnAttemptOnly is a random walk: as many failures stay counted as there were,
// however many successes of other accounts come in between.
func TestSuccessTakesBackItsOwnAttemptOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		random := rand.New(rand.NewPCG(1, 2))
		th := newThrottle(time.Now)
		failed := 0
		for failed < freeOfOrigin-1 {
			time.Sleep(time.Second)
			a := attempt{account: fmt.Sprint(random.IntN(1000)), origin: "10.0.0.1"}
			if err := th.begin(a); err != nil {
				t.Fatalf("after %d failures: %v", failed, err)
			}
			if random.IntN(2) == 0 {
				th.succeed(a)
			} else {
				failed++
			}
			if got := th.find(counted{table: th.table, key: th.key(ofOrigin, "", "10.0.0.1"), free: freeOfOrigin, every: everyOfOrigin}).count; got != failed {
				t.Fatalf("%d failures are counted, want %d", got, failed)
			}
		}
	})
}

// TestWideKeysHaveARate: a flood uses up the attempts of an account or an origin, but does not block them: they have
// attempts again as soon as it ends, whatever it was like.
func TestWideKeysHaveARate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		for name, c := range map[string]struct {
			flood func(i int) attempt
			other attempt
			every time.Duration
		}{
			"account": {
				func(i int) attempt { return attempt{account: "li", origin: fmt.Sprint(i)} },
				attempt{account: "li", origin: "10.9.9.9"},
				everyOfAccount,
			},
			"origin": {
				func(i int) attempt { return attempt{account: fmt.Sprint(i), origin: "10.0.0.1"} },
				attempt{account: "li", origin: "10.0.0.1"},
				everyOfOrigin,
			},
			"known block": {
				func(i int) attempt {
					return attempt{account: "li", origin: "2001:db8::/64", address: fmt.Sprint(i), known: true}
				},
				attempt{account: "li", origin: "2001:db8::/64", address: "2001:db8::1", known: true},
				everyOfBlock,
			},
		} {
			th := newThrottle(time.Now)
			looked := 0
			began := time.Now()
			for i := range 20_000 {
				time.Sleep(time.Second / strangerRate)
				if th.begin(c.flood(i)) == nil {
					looked++
				}
			}
			if most := freeOfAccount + int(time.Since(began)/c.every); looked > most {
				t.Errorf("%s: %d attempts were looked at, want at most %d", name, looked, most)
			}
			time.Sleep(c.every)
			if err := th.begin(c.other); err != nil {
				t.Errorf("%s: after the flood: %v", name, err)
			}
		}
	})
}

// TestNeighbours: somebody in the same /64 cannot lock out a user whose address has proven itself, nor for long one
// behind the same IPv4 address.
func TestNeighbours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		th := newThrottle(time.Now)
		home := attempt{account: "li", origin: "2001:db8::/64", address: "2001:db8::1", known: true}
		if err := th.begin(home); err != nil {
			t.Fatal(err)
		}
		th.succeed(home)
		neighbour := home
		for i := range 1000 {
			neighbour.address = fmt.Sprint("2001:db8::", i+2)
			_ = th.begin(neighbour)
		}
		var slow *ThrottledError
		if err := th.begin(neighbour); !errors.As(err, &slow) {
			t.Errorf("the neighbours may guess on: %v", err)
		}
		if err := errors.Join(th.blocked(home), th.begin(home)); err != nil {
			t.Errorf("at home: %v", err)
		}
		behind := attempt{account: "li", origin: "192.0.2.1", address: "192.0.2.1", known: true}
		for range 1000 {
			_ = th.begin(behind)
			time.Sleep(time.Second)
		}
		if err := th.begin(behind); err != nil && (!errors.As(err, &slow) || slow.After > maxKnownBlock) {
			t.Errorf("behind the same address: %v", err)
		}
	})
}

func TestOrigin(t *testing.T) {
	for remote, want := range map[string]string{
		"192.0.2.7:40000":              "192.0.2.7",
		"192.0.2.7":                    "192.0.2.7",
		"[::ffff:192.0.2.7]:40000":     "192.0.2.7",
		"[2001:db8:1:2:3:4:5:6]:40000": "2001:db8:1:2::/64",
		"2001:db8:1:2::9":              "2001:db8:1:2::/64",
		"[fe80::1%eth0]:40000":         "fe80::/64",
		"unknown":                      "unknown",
		"":                             "",
	} {
		if got, _ := originOf(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}
