package uplink

import (
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/clock"
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

// maxClockDifference is what an operator need not know of: it disturbs nothing.
const maxClockDifference = time.Minute

// clockProblem says that the edge's clock differs from the hub's, or that it cannot be trusted.
func clockProblem(k *clock.Clock) (devices.Cause, bool) {
	offset, known := k.Offset()
	switch {
	case known && offset > maxClockDifference:
		return devices.NewCause("clock_ahead", "seconds", devices.Seconds(offset.Round(time.Second))), true
	case known && offset < -maxClockDifference:
		return devices.NewCause("clock_behind", "seconds", devices.Seconds(-offset.Round(time.Second))), true
	case !k.Trusted():
		return devices.NewCause("clock_untrusted"), true
	}
	return devices.Cause{}, false
}
