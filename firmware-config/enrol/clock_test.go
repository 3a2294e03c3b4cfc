package enrol

import (
	"crypto/tls"
	"crypto/x509"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gridpost/devices/clock"
)

const year = 365 * 24 * time.Hour

// wrongClock is a clock that is ahead of the true time, behind it if ahead is negative.
func wrongClock(ahead time.Duration, synchronized bool) *clock.Clock {
	return clock.New(clock.Options{
		Now:          func() time.Time { return time.Now().Add(ahead) },
		Synchronized: func() bool { return synchronized },
	})
}

// TestAnUntrustedClockDoesNotLockOut: certificates of the test's hub are valid for a day.
func TestAnUntrustedClockDoesNotLockOut(t *testing.T) {
	for name, ahead := range map[string]time.Duration{
		"right": 0, "20 days ahead": 20 * 24 * time.Hour, "20 years ahead": 20 * year, "beyond the certificate's life": 25 * time.Hour,
		"in 1970": -time.Since(time.Unix(60, 0)), "an hour before the certificate's life": -2 * time.Hour,
	} {
		t.Run(name, func(t *testing.T) {
			h := newHub(t, "gate-7", time.Now().Add(-time.Hour).Truncate(time.Second))
			dir := t.TempDir()
			k := wrongClock(ahead, false)
			if _, err := enrolBy(t.Context(), k, dir, h.URL, h.token()); err != nil {
				t.Fatalf("enrolling: %v", err)
			}
			id, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			id.UseClock(k)
			c := id.Client()
			defer c.CloseIdleConnections()
			if err := id.Renew(t.Context(), c, h.URL); err != nil {
				t.Fatalf("renewing: %v", err)
			}
			again, err := Load(dir)
			if err != nil {
				t.Fatal(err)
			}
			again.UseClock(k)
			if k.Observe(time.Now().Add(2 * time.Hour)); again.RenewIn() < renewInterval-time.Minute {
				t.Errorf("after a restart the next renewal is due in %v, less than an hour after the last", again.RenewIn())
			}
			if len(h.seen) != 1 {
				t.Errorf("the hub saw client certificates of %v", h.seen)
			}
			// The authority and the name are verified whatever the clock.
			foreign := newHub(t, "gate-7", time.Now().Add(-time.Hour))
			if err := id.Renew(t.Context(), c, foreign.URL); err == nil || !strings.Contains(err.Error(), "not from the authority") {
				t.Errorf("a foreign hub with an untrusted clock: %v", err)
			}
			if _, err := enrolBy(t.Context(), k, t.TempDir(), foreign.URL, h.token()); err == nil {
				t.Error("enrolled at a foreign hub")
			}
		})
	}
}

func TestATrustedClockEnforcesTheValidity(t *testing.T) {
	h := newHub(t, "gate-7", time.Now().Add(-time.Hour).Truncate(time.Second))
	for ahead, accepted := range map[time.Duration]bool{
		0: true, 24 * time.Hour: false, -2 * time.Hour: false, 20 * year: false,
		-time.Hour - 4*time.Minute: true, 23*time.Hour + 4*time.Minute: true, // within the tolerance
	} {
		_, err := enrolBy(t.Context(), wrongClock(ahead, true), t.TempDir(), h.URL, h.token())
		if (err == nil) != accepted {
			t.Errorf("a synchronized clock that is ahead by %v: %v", ahead, err)
		}
		if err != nil && !strings.Contains(err.Error(), "not valid at this time") {
			t.Errorf("a synchronized clock that is ahead by %v: the error does not speak of time: %v", ahead, err)
		}
	}
}

// TestAgreementWithTheHubIsTrust: a clock that agrees with the hub's last answer is trusted, and a
// certificate that has expired is refused by it from then on.
func TestAgreementWithTheHubIsTrust(t *testing.T) {
	h := newHub(t, "gate-7", time.Now().Add(-48*time.Hour).Truncate(time.Second))
	k := wrongClock(0, false)
	if _, err := enrolBy(t.Context(), k, t.TempDir(), h.URL, h.token()); err != nil {
		t.Fatalf("with an untrusted clock: %v", err)
	}
	k.Observe(time.Now())
	if _, err := enrolBy(t.Context(), k, t.TempDir(), h.URL, h.token()); err == nil {
		t.Error("an expired certificate was accepted by a clock that agrees with the hub")
	}
	k.Observe(time.Now().Add(-48 * time.Hour)) // now it does not agree any more
	if _, err := enrolBy(t.Context(), k, t.TempDir(), h.URL, h.token()); err != nil {
		t.Errorf("with a clock that does not agree: %v", err)
	}
}

// TestRenewalsUnderAnyClock runs 200 days of an edge whose clock is wrong, is set now and then, and
// which is restarted often, against a hub that issues certificates of 30 days. No two renewals may
// be closer than an hour, and the certificate may not expire.
func TestRenewalsUnderAnyClock(t *testing.T) {
	const step, life = 20 * time.Minute, 30 * 24 * time.Hour
	for _, ahead := range []time.Duration{0, 20 * 24 * time.Hour, 20 * year, -20 * 24 * time.Hour, -50 * year} {
		for seed := range uint64(2) {
			rng := rand.New(rand.NewPCG(seed, 11)) // repeatable
			truth := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
			skew, synchronized := ahead, false
			newClock := func() *clock.Clock {
				return clock.New(clock.Options{Now: func() time.Time { return truth.Add(skew) }, Synchronized: func() bool { return synchronized }})
			}
			k := newClock()
			issue := func() credentials {
				return credentials{
					certificate: tls.Certificate{Leaf: &x509.Certificate{NotBefore: truth, NotAfter: truth.Add(life)}},
					renewed:     k.Now(),
				}
			}
			id := &Identity{held: issue(), clock: k}
			last, renewals := truth, 0
			for range 200 * 24 * time.Hour / step {
				truth = truth.Add(step)
				// The times here have no monotonic reading, so that a clock is set only while the edge does
				// not run; after its start the hub has not answered yet.
				event := rng.IntN(300)
				switch event {
				case 1: // somebody sets the clock
					synchronized, skew = false, time.Duration(rng.Float64()*float64(100*year))-50*year
				case 2:
					synchronized, skew = true, 0
				case 3:
					synchronized, skew = false, ahead
				}
				if event < 4 {
					k = newClock()
					id.UseClock(k)
				}
				if rng.IntN(3) == 0 {
					k.Observe(truth)
				}
				if id.RenewIn() <= 0 {
					if since := truth.Sub(last); since < renewInterval {
						t.Fatalf("clock ahead by %v, seed %d: two renewals within %v", ahead, seed, since)
					}
					id.held = issue()
					last, renewals = truth, renewals+1
				}
				if truth.After(id.Expires()) {
					t.Fatalf("clock ahead by %v, seed %d: the certificate expired at %v", ahead, seed, truth)
				}
			}
			if renewals < 9 || renewals > 12 {
				t.Errorf("clock ahead by %v, seed %d: %d renewals in 200 days, want one in 20 days", ahead, seed, renewals)
			}
		}
	}
}
