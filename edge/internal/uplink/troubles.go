package uplink

import (
	"sync"
	"time"

	"gridpost/devices"
)

// loop names one of the independent loops.
type loop string

// The loops.
const (
	loopSession   loop = "session" // the greeting
	loopAlerts    loop = "alerts"
	loopState     loop = "state"
	loopTelemetry loop = "telemetry"
	loopEvidence  loop = "evidence"
	loopCheck     loop = "check"
	loopCommands  loop = "commands"
	loopRenewal   loop = "renewal"
)

// prompt lists the loops that say whether the hub is reached, first come first.
var prompt = [...]loop{loopSession, loopAlerts, loopState}

// troubles holds why each loop fails.
type troubles struct {
	mu      sync.Mutex
	reached bool // once since the start
	causes  map[loop]devices.Cause
}

// set notes how a loop's last attempt went; a zero cause is a success. It says whether the loop's
// cause is another than before, and whether the hub has just come back.
func (t *troubles) set(l loop, cause devices.Cause) (changed, back bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	before := t.reached && t.online().IsZero()
	old, failed := t.causes[l]
	if cause.IsZero() {
		delete(t.causes, l)
		t.reached = true
	} else {
		t.causes[l] = cause
	}
	changed = failed == cause.IsZero() || old.Code != cause.Code
	return changed, !before && t.reached && t.online().IsZero()
}

// online returns why the hub is not reached; zero: it is. t.mu is held.
func (t *troubles) online() devices.Cause {
	for _, l := range prompt {
		if c, ok := t.causes[l]; ok {
			return c
		}
	}
	return devices.Cause{}
}

// state says whether the hub is reached, and why not.
func (t *troubles) state() (online bool, cause devices.Cause) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if cause := t.online(); !cause.IsZero() {
		return false, cause
	}
	if !t.reached {
		return false, devices.NewCause("hub_not_reached")
	}
	return true, devices.Cause{}
}

// wrapped are the codes of the loops that do not say whether the hub is reached.
var wrapped = [...]struct {
	loop loop
	code string
}{
	{loopTelemetry, "telemetry_failing"},
	{loopEvidence, "evidence_failing"},
	{loopCommands, "commands_failing"},
	{loopCheck, "check_failing"},
}

// problems lists what an operator must know, worst first. What fails for the same reason as the
// whole connection is not listed again.
func (t *troubles) problems() []devices.Cause {
	online, cause := t.state()
	var out []devices.Cause
	if !online {
		out = append(out, cause)
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, w := range wrapped {
		c, ok := t.causes[w.loop]
		if !ok || !online && c.Code == cause.Code {
			continue
		}
		out = append(out, devices.NewCause(w.code).Because(c))
	}
	if c, ok := t.causes[loopRenewal]; ok {
		out = append(out, c)
	}
	return out
}

// hubClock estimates the hub's clock from the Date of its answers (RFC 9110, section 6.6.1).
type hubClock struct {
	now func() time.Time

	mu     sync.Mutex
	known  bool
	offset time.Duration // the hub's clock minus this machine's
	seen   time.Time     // by the hub's clock, at seenAt
	seenAt time.Time     // with the monotonic clock
}

// observe takes over a Date. It has whole seconds and came some time after it was written.
func (c *hubClock) observe(date time.Time) {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.known, c.offset, c.seen, c.seenAt = true, date.Sub(now), date, now
}

// hubNow returns the time by the hub's clock: the last Date and what has passed since on the
// monotonic clock; this machine's time while no answer has come.
func (c *hubClock) hubNow() time.Time {
	now := c.now()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return now
	}
	return c.seen.Add(now.Sub(c.seenAt))
}

// maxClockDifference is what an operator need not know of: it disturbs nothing.
const maxClockDifference = time.Minute

// problem says that the two clocks differ.
func (c *hubClock) problem() (devices.Cause, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.offset.Abs() <= maxClockDifference {
		return devices.Cause{}, false
	}
	code := "clock_behind"
	if c.offset < 0 {
		code = "clock_ahead"
	}
	return devices.NewCause(code, "seconds", devices.Seconds(c.offset.Abs().Round(time.Second))), true
}
