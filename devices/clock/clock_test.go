package clock_test

import (
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/clock"
)

// machine is a clock that can be set.
type machine struct {
	ahead        time.Duration
	synchronized bool
}

func (m *machine) clock() *clock.Clock {
	return clock.New(clock.Options{
		Now:          func() time.Time { return time.Now().Add(m.ahead) },
		Synchronized: func() bool { return m.synchronized },
	})
}

func TestTrust(t *testing.T) {
	for _, c := range []struct {
		ahead        time.Duration // of the hub's clock
		synchronized bool
		answered     bool
		want         bool
	}{
		{0, false, false, false},
		{0, true, false, true},
		{0, false, true, true},
		{4 * time.Minute, false, true, true},
		{-4 * time.Minute, false, true, true},
		{6 * time.Minute, false, true, false},
		{20 * 24 * time.Hour, false, true, false},
		{-50 * 365 * 24 * time.Hour, false, true, false},
		{20 * 24 * time.Hour, true, true, true}, // the hub's clock is the wrong one
	} {
		m := &machine{ahead: c.ahead, synchronized: c.synchronized}
		k := m.clock()
		if c.answered {
			k.Observe(time.Now())
		}
		if got := k.Trusted(); got != c.want {
			t.Errorf("%+v: trusted %v", c, got)
		}
		if grade := k.Grade(); (grade == clock.GradeSynchronized) != c.synchronized {
			t.Errorf("%+v: grade %s", c, grade)
		}
		now, known := k.Estimate()
		if known != (c.answered || c.synchronized) {
			t.Errorf("%+v: estimate known %v", c, known)
		}
		if truth := time.Now(); known && !c.synchronized && now.Sub(truth).Abs() > clock.Tolerance+time.Second {
			t.Errorf("%+v: estimate is off by %v", c, now.Sub(truth))
		}
	}
}

func TestTimePassesSinceTheLastAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &machine{ahead: 365 * 24 * time.Hour}
		k := m.clock()
		k.Observe(time.Now())
		time.Sleep(48 * time.Hour)
		if now, known := k.Estimate(); !known || !now.Equal(time.Now()) {
			t.Errorf("after two days the estimate is %v, want %v", now, time.Now())
		}
		if offset, _ := k.Offset(); offset != m.ahead {
			t.Errorf("the clock is ahead by %v, want %v", offset, m.ahead)
		}
	})
}

func TestTheKernelCanBeAsked(t *testing.T) {
	k := clock.New(clock.Options{})
	if k.Trusted() != clock.Synchronized() || k.Now().IsZero() {
		t.Error("a clock without answers must be trusted as the kernel says")
	}
}
