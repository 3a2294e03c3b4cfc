package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
	"gridpost/devices"
)

// Judge is one rule at work: it decides when its incidents open, change and close, and returns
// an alert for each of these. A judge also implements those of FrameJudge, DetectionJudge,
// ReadingJudge, RetainedJudge, PendingJudge, TickJudge, SampleJudge and ActivityJudge whose input it needs. The engine
// calls it from one goroutine.
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

// DetectionJudge judges what was detected in a frame, whether a track was made of it or not.
type DetectionJudge interface {
	// Detections takes the detections of the frame of time at, as the worker sent them: their numbers have not
	// been checked. now is the time since the engine's first frame.
	Detections(now time.Duration, at time.Time, found []detection.Detection) []detection.Incident
}

// ReadingJudge judges readings of good quality, with finite values, in the order of their times.
type ReadingJudge interface {
	Reading(a Arrival) []detection.Incident
}

// RetainedJudge judges readings of good quality, with finite values, that a broker had retained. They
// must not open anything. One that is dated is newer than all readings before it; the age of another
// one is not known.
type RetainedJudge interface {
	Retained(a Arrival) []detection.Incident
}

// Arrival is a reading and its place on the clocks of the engine.
type Arrival struct {
	devices.Reading
	Dated    bool          // the sensor says when it was measured
	Measured time.Duration // since the engine's first reading, by their times; 0 if it is retained and not dated
	Arrived  time.Duration // since the engine's first tick
}

// TickJudge judges what time alone tells.
type TickJudge interface {
	Tick(t Tick) []detection.Incident
}

// Tick is a moment of the machine's clock. Its durations are monotonic.
type Tick struct {
	Now           time.Time
	Elapsed       time.Duration // since the engine's first tick
	Step          time.Duration // since the tick before
	Offline       bool          // the device is unreachable, or silent for longer than it should be
	SinceFrame    time.Duration // since the last frame, or since the first tick
	SinceActivity time.Duration // since the device's last sign of life, or since the first tick

	Clock      health.Verdict // of a camera: whether its clock is wrong
	ClockAhead time.Duration  // by how much, unless Clock is Unknown
}

// ActivityJudge judges signs of life of the device, whatever it sent.
type ActivityJudge interface {
	Active(at time.Time) []detection.Incident
}
