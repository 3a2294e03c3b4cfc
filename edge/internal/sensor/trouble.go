package sensor

import (
	"time"

	"gridpost/devices"
)

// repeatTrouble is how long after trouble was shown for the first time it may be shown again. A sensor
// whose every second message is not understood would otherwise announce two states for each.
const repeatTrouble = time.Minute

// trouble is what is wrong with what a sensor sends although it is heard of: its last message was not
// understood, or its time could not be used.
type trouble struct {
	latest devices.Cause // of the last message; zero: there was nothing wrong
	shown  devices.Cause // the first one of the code that lasts
	at     time.Time     // when something was shown last
}

// note takes the outcome of a message.
func (t *trouble) note(c devices.Cause, now time.Time) {
	t.latest = c
	if t.shown.Code != c.Code {
		t.shown = devices.Cause{}
		t.show(now)
	}
}

// show shows what has lasted, and says whether that is new.
func (t *trouble) show(now time.Time) bool {
	if t.latest.IsZero() || !t.shown.IsZero() || !t.at.IsZero() && now.Sub(t.at) < repeatTrouble {
		return false
	}
	t.shown, t.at = t.latest, now
	return true
}
