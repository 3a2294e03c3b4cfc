package health

import "time"

const (
	wrongClock = 10 * time.Second // from which a camera's clock is wrong
	rightClock = 5 * time.Second  // up to which it is right

	// Some cameras send their local time as if it were UTC. Time zones differ by quarters of an hour.
	zoneStep = 15 * time.Minute
	farZone  = 14 * time.Hour
)

// JudgeClock judges a frame's time by the clock of its camera, against that at which it arrived by a clock that is right.
// It returns how far the camera's clock is ahead. Cameras that count the time since they were started from 1970 or 1900
// tell nothing.
func JudgeClock(captured, arrived time.Time) (Verdict, time.Duration) {
	const known = 2001 // year: cameras without a battery begin in 2000, or before
	if captured.IsZero() || captured.Year() < known {
		return Unknown, 0
	}
	ahead := captured.Round(0).Sub(arrived.Round(0))
	if ahead.Abs() <= farZone+wrongClock {
		ahead -= ahead.Round(zoneStep)
	}
	return between(ahead.Abs().Seconds(), rightClock.Seconds(), wrongClock.Seconds()), ahead
}
