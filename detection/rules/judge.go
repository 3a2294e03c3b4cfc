package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// Judge is one rule at work: it decides when its incidents open, change and close, and returns
// an alert for each of these. A judge also implements those of FrameJudge, ReadingJudge,
// TickJudge and ActivityJudge whose input it needs. The engine calls it from one goroutine.
type Judge interface {
	// Open returns the open incidents.
	Open() []detection.Incident

	// Restore takes over an incident of this rule that was open before a restart or a change of
	// the rule. It returns false when the rule cannot have one more open incident.
	Restore(inc detection.Incident) bool
}

// FrameJudge judges the tracks of a frame.
type FrameJudge interface {
	// Frame takes the confirmed tracks at a frame's time. A track whose Last is not at was not
	// detected in this frame. now is the time since the engine's first frame.
	Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident
}

// ReadingJudge judges readings of good quality, with finite values, in the order of their times.
type ReadingJudge interface {
	// Reading takes a reading. now is the time since the engine's first reading.
	Reading(now time.Duration, r devices.Reading) []detection.Incident
}

// TickJudge judges what time alone tells.
type TickJudge interface {
	Tick(t Tick) []detection.Incident
}

// Tick is a moment of the machine's clock. Its durations are monotonic.
type Tick struct {
	Now           time.Time
	Elapsed       time.Duration // since the engine's first tick
	SinceFrame    time.Duration // since the last frame, or since the first tick
	SinceActivity time.Duration // since the device's last sign of life, or since the first tick
}

// ActivityJudge judges signs of life of the device, whatever it sent.
type ActivityJudge interface {
	Active(at time.Time) []detection.Incident
}
