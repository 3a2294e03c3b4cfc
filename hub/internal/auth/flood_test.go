package auth

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/store/people"
)

// commits counts the transactions of a database.
type commits struct{ n atomic.Int64 }

func (c *commits) observer() db.Observer {
	return db.Observer{Commit: func(string, time.Duration, time.Duration, error) { c.n.Add(1) }}
}

// TestFloodWritesNothing sends a flood of log-ins from many origins, while alerts are written. Refused and
// failed attempts write nothing, an alert waits for none of them, and a user at a known origin logs in.
func TestFloodWritesNothing(t *testing.T) {
	var c commits
	dbtest.EachWith(t, db.Options{Observer: c.observer()}, func(t *testing.T, d *db.DB) {
		s := serviceOn(t, d, time.Now)
		ctx := context.WithoutCancel(t.Context())
		if _, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher); err != nil {
			t.Fatal(err)
		}
		if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1"); err != nil {
			t.Fatal(err)
		}
		before := c.n.Load()
		const flooders, each, alerts = 8, 150, 50
		var refused, denied atomic.Int64
		var wg sync.WaitGroup
		for f := range flooders {
			wg.Go(func() {
				for i := range each {
					name := "li"
					if i%3 == 0 {
						name = fmt.Sprint("nobody", i)
					}
					var slow *ThrottledError
					switch _, _, err := s.Login(ctx, name, "a guess", fmt.Sprintf("[2001:db8:%x:%x::1]:9", f, i)); {
					case errors.As(err, &slow):
						refused.Add(1)
					case errors.Is(err, ErrDenied):
						denied.Add(1)
					default:
						t.Errorf("%v", err)
					}
				}
			})
		}
		for i := range alerts {
			err := d.Update(ctx, "alert", func(tx *db.Tx) error {
				tx.Publish("incident", "gate-7", fmt.Sprint(i), nil, nil)
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}
		wg.Wait()
		if got := c.n.Load() - before; got != alerts {
			t.Errorf("%d transactions for %d alerts: a flood of log-ins writes", got, alerts)
		}
		if refused.Load()+denied.Load() != flooders*each || refused.Load() < flooders*each/2 {
			t.Errorf("%d refused, %d denied of %d", refused.Load(), denied.Load(), flooders*each)
		}
		if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.1:2"); err != nil {
			t.Errorf("from the known origin: %v", err)
		}
		if got := c.n.Load() - before - alerts; got != 1 {
			t.Errorf("%d transactions for one log-in", got)
		}
		if s.Stats().Refused == 0 {
			t.Error("refusals are not counted")
		}
	})
}

// TestStrangersDoNotLockOut: whoever guesses the password of an account from elsewhere, its user logs in from
// where the user did before, and strangers stay out also with the right password.
func TestStrangersDoNotLockOut(t *testing.T) {
	now := time.Now()
	s := newService(t, func() time.Time { return now })
	ctx := t.Context()
	if _, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Login(ctx, "li", "long enough", "[2001:db8:0:1::1]:1"); err != nil {
		t.Fatal(err)
	}
	for i := range 200 {
		now = now.Add(time.Second)
		_, _, err := s.Login(ctx, "li", "a guess", fmt.Sprintf("10.0.%d.%d:1", i/100, i%100))
		if err == nil {
			t.Fatal("a guess was right")
		}
	}
	var slow *ThrottledError
	if _, _, err := s.Login(ctx, "li", "long enough", "10.9.9.9:1"); !errors.As(err, &slow) {
		t.Errorf("a stranger with the right password, after 200 guesses of others: %v", err)
	}
	_, p, err := s.Login(ctx, "li", "long enough", "[2001:db8:0:1:ffff::9]:2") // the same /64
	if err != nil {
		t.Fatalf("at home: %v", err)
	}
	if err := s.ChangePassword(ctx, p, "long enough", "another one", "[2001:db8:0:1::1]:1"); err != nil {
		t.Errorf("changing the password during the attack: %v", err)
	}
	for range 5 { // at home, too, guessing is slowed down
		now = now.Add(time.Millisecond)
		if _, _, err := s.Login(ctx, "li", "a guess", "[2001:db8:0:1::1]:1"); !errors.Is(err, ErrDenied) {
			t.Errorf("%v", err)
		}
	}
	if _, _, err := s.Login(ctx, "li", "another one", "[2001:db8:0:1::1]:1"); !errors.As(err, &slow) {
		t.Errorf("after five guesses at home: %v", err)
	}
	now = now.Add(maxBlock)
	if _, _, err := s.Login(ctx, "li", "another one", "[2001:db8:0:1::1]:1"); err != nil {
		t.Errorf("after waiting: %v", err)
	}
}

// TestGuessesAtAnUnlockedDesk: the present password cannot be guessed through a session, and nobody
// elsewhere can use up its attempts.
func TestGuessesAtAnUnlockedDesk(t *testing.T) {
	s := newService(t, time.Now)
	ctx := t.Context()
	if _, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	_, p, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	var slow *ThrottledError
	for i := range 10 {
		err := s.ChangePassword(ctx, p, "a guess", "another one", fmt.Sprintf("10.0.0.%d:1", i))
		if want := i < freeOfPair; want != errors.Is(err, ErrDenied) || want == errors.As(err, &slow) {
			t.Errorf("guess %d: %v", i+1, err)
		}
	}
	_, other, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.ChangePassword(ctx, other, "long enough", "another one", "10.0.0.1:1"); err != nil {
		t.Errorf("from another session: %v", err)
	}
}

// TestChangeOfPasswordIsThrottledFirst: a change of a password that is throttled hashes nothing, and one whose request ends
// while it waits to be hashed returns at once, and does not count as a guess.
func TestChangeOfPasswordIsThrottledFirst(t *testing.T) {
	s := newService(t, time.Now)
	if _, err := s.AddUser(t.Context(), "test", "li", "long enough", Dispatcher); err != nil {
		t.Fatal(err)
	}
	_, p, err := s.Login(t.Context(), "li", "long enough", "10.0.0.1:1")
	if err != nil {
		t.Fatal(err)
	}
	var leave []func()
	for range maxHashing { // others hash
		l, err := s.gate.enter(t.Context(), true)
		if err != nil {
			t.Fatal(err)
		}
		leave = append(leave, l)
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for range 2 * freeOfPair {
		if err := s.ChangePassword(gone, p, "a guess", "another one", "10.0.0.1:1"); !errors.Is(err, context.Canceled) {
			t.Fatalf("a change whose request has ended: %v", err)
		}
	}
	a := attempt{account: p.ID, origin: "session " + hex.EncodeToString(p.hash), known: true}
	for range freeOfPair {
		if err := s.throttle.begin(a); err != nil {
			t.Fatalf("changes that were not looked at count: %v", err)
		}
	}
	var slow *ThrottledError // although there is no place to hash
	if err := s.ChangePassword(t.Context(), p, "a guess", "another one", "10.0.0.1:1"); !errors.As(err, &slow) {
		t.Errorf("a change too many: %v", err)
	}
	for _, l := range leave {
		l()
	}
}

// TestHashingIsBounded: strangers use one of the places at which passwords are hashed, and few of them wait.
func TestHashingIsBounded(t *testing.T) {
	g := newGate()
	ctx, cancel := context.WithCancel(t.Context())
	leave, err := g.enter(ctx, false)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var slow *ThrottledError
	results := make(chan error, 3*maxWaiting)
	for range 3 * maxWaiting {
		wg.Go(func() {
			leave, err := g.enter(ctx, false)
			if err == nil {
				leave()
			}
			results <- err
		})
	}
	for range 2 * maxWaiting {
		if err := <-results; !errors.As(err, &slow) {
			t.Errorf("one stranger too many: %v", err)
		}
	}
	if leave, err := g.enter(ctx, true); err != nil { // one who is known waits for no stranger
		t.Error(err)
	} else {
		leave()
	}
	cancel()
	for range maxWaiting {
		if err := <-results; !errors.Is(err, context.Canceled) {
			t.Errorf("one who waits when its request ends: %v", err)
		}
	}
	wg.Wait()
	leave()
	if leave, err := g.enter(t.Context(), false); err != nil {
		t.Error(err)
	} else {
		leave()
	}
	if len(g.places) != 0 || len(g.strangers) != 0 || g.waiting.Load() != 0 {
		t.Errorf("%d places, %d strangers, %d waiting are left", len(g.places), len(g.strangers), g.waiting.Load())
	}
}

// TestRemovedWhileLoggingIn: a user who is removed or disabled after the password was read gets no session.
func TestRemovedWhileLoggingIn(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	s := serviceOn(t, d, time.Now)
	ctx := t.Context()
	u, err := s.AddUser(ctx, "test", "li", "long enough", Dispatcher)
	if err != nil {
		t.Fatal(err)
	}
	if err := people.New(d, people.Hooks{}).SetDisabled(ctx, "test", "li", true); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.Login(ctx, "li", "long enough", "10.0.0.1:1"); !errors.Is(err, ErrDenied) {
		t.Errorf("a disabled user: %v", err)
	}
	if err := people.New(d, people.Hooks{}).AddSession(ctx, []byte("x"), u.ID, "x", time.Now().Add(time.Hour)); !errors.Is(err, db.ErrNotFound) {
		t.Errorf("%v", err)
	}
}
