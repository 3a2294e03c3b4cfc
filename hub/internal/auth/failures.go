package auth

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gridpost/devices/retry"
)

// Bounds of what is recorded of failed log-ins: a flood of attempts must not become a flood of writes.
const (
	failuresDelay = 10 * time.Second // from the first failure to its record, so that those after it are in it
	failuresEvery = time.Minute      // between two records
	failuresOwn   = 20               // accounts and origins that have an entry of their own in a record
	maxFailing    = 1000             // accounts and origins that are counted apart until then; more are counted together
	failuresLimit = 3 * time.Second  // to store the last record when the hub stops
)

// Way says what a log-in was tried with.
type Way string

// The ways of log-ins that failed.
const (
	ByPassword Way = ""     // the password was wrong, or there is no such user
	ByCode     Way = "code" // the password was right, and the code of the second factor was not
	ByProvider Way = "oidc" // the OpenID Connect provider did not confirm it, or the hub does not admit the user
)

// Failure counts failed log-ins of one account from one origin, or of several accounts and origins together.
type Failure struct {
	Way     Way    // of several together: ByPassword
	User    string // empty: no user has the name that was given, which is not kept because it may be a password
	Origin  string // an address or a network; empty: several
	Count   int    // attempts that were looked at, or refused because of those before
	Refused int    // those that were refused
	First   time.Time
	Last    time.Time
}

// Failures collects failed log-ins and records them. Its methods may be called from any goroutine.
type Failures struct {
	record func(context.Context, []Failure) error
	now    func() time.Time
	log    *slog.Logger
	wake   chan struct{}

	mu   sync.Mutex
	all  map[failing]*Failure
	rest Failure // of what did not fit
}

// failing is an account, an origin, and the way of the log-in.
type failing struct {
	way          Way
	user, origin string
}

// NewFailures returns a collector that calls record from Run. record may be called again with the same failures when it
// has returned an error.
func NewFailures(record func(context.Context, []Failure) error, log *slog.Logger) *Failures {
	return &Failures{record: record, now: time.Now, log: log, wake: make(chan struct{}, 1), all: map[failing]*Failure{}}
}

// note counts a failure. f may be nil.
func (f *Failures) note(way Way, user, origin string, refused bool) {
	if f == nil {
		return
	}
	one := Failure{Way: way, User: user, Origin: origin, Count: 1, First: f.now(), Last: f.now()}
	if refused {
		one.Refused = 1
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.add(one)
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// add counts failures. f.mu is held.
func (f *Failures) add(one Failure) {
	key := failing{one.Way, one.User, one.Origin}
	to := f.all[key]
	switch {
	case one.Origin == "" || to == nil && len(f.all) >= maxFailing:
		f.rest = f.rest.plus(one)
	case to == nil:
		f.all[key] = &one
	default:
		sum := to.plus(one)
		sum.Way, sum.User, sum.Origin = to.Way, to.User, to.Origin
		*to = sum
	}
}

// plus returns the sum of failures of several accounts and origins.
func (a Failure) plus(b Failure) Failure {
	if a.Count == 0 {
		a.First = b.First
	}
	out := Failure{Count: a.Count + b.Count, Refused: a.Refused + b.Refused, First: a.First, Last: a.Last}
	if b.First.Before(out.First) {
		out.First = b.First
	}
	if b.Last.After(out.Last) {
		out.Last = b.Last
	}
	return out
}

// take returns what was counted, the most first, and counts anew.
func (f *Failures) take() []Failure {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []Failure
	for _, one := range f.all {
		out = append(out, *one)
	}
	slices.SortFunc(out, func(a, b Failure) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.User, b.User), cmp.Compare(a.Origin, b.Origin), cmp.Compare(a.Way, b.Way))
	})
	rest := f.rest
	for len(out) > failuresOwn {
		rest = rest.plus(out[len(out)-1])
		out = out[:len(out)-1]
	}
	if rest.Count > 0 {
		out = append(out, rest)
	}
	f.all, f.rest = map[failing]*Failure{}, Failure{}
	return out
}

// flush records what was counted. What cannot be recorded is counted again.
func (f *Failures) flush(ctx context.Context) {
	all := f.take()
	if len(all) == 0 {
		return
	}
	if err := f.record(ctx, all); err != nil {
		f.log.Error("recording failed log-ins; it is tried again", "error", err)
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, one := range all {
			f.add(one)
		}
		select {
		case f.wake <- struct{}{}:
		default:
		}
	}
}

// Run records failures until ctx ends, and then those that are left.
func (f *Failures) Run(ctx context.Context) error {
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-f.wake:
			if retry.Sleep(ctx, failuresDelay) {
				f.flush(ctx)
				retry.Sleep(ctx, failuresEvery-failuresDelay)
			}
		}
	}
	last, cancel := context.WithTimeout(context.WithoutCancel(ctx), failuresLimit)
	defer cancel()
	f.flush(last)
	return nil
}
