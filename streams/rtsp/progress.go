package rtsp

import (
	"time"

	"gridpost/devices"
)

// progress is what has arrived in a session since the camera accepted PLAY. "No frame yet" and "give up the session"
// are two questions: a session goes on for as long as packets arrive, up to a bound, and meanwhile the camera's
// state says what is missing.
type progress struct {
	played     time.Time // when the camera accepted PLAY
	lastPacket time.Time // of video, with content; zero: none yet
	lastFrame  time.Time // published; zero: none yet
}

// patience bounds how long a session waits.
type patience struct {
	packet   time.Duration // for the first packet
	frame    time.Duration // for the next packet; also how long after the last frame the camera is offline
	keyframe time.Duration // for a frame while packets arrive
	notice   time.Duration // for the first frame, before the wait is reported
	byUDP    bool
}

// outlook is what a session does next.
type outlook struct {
	end     error         // not nil: the session ends for this reason
	missing devices.Cause // not zero: why the camera is not online although the session goes on
	after   time.Duration // when to look again, at the latest
}

// judge returns what to do at now.
func (p progress) judge(now time.Time, limit patience) outlook {
	if p.lastPacket.IsZero() {
		return p.beforePackets(now, limit)
	}
	idle := now.Sub(p.lastPacket)
	if idle >= limit.frame {
		return outlook{end: errNoFrames}
	}
	since, notice := p.lastFrame, limit.frame
	if since.IsZero() {
		since, notice = p.played, limit.notice
	}
	wait := now.Sub(since)
	if wait >= limit.keyframe {
		return outlook{end: errNoKeyframe}
	}
	next := outlook{after: min(limit.frame-idle, limit.keyframe-wait)}
	if wait < notice {
		next.after = min(next.after, notice-wait)
		return next
	}
	// The wait is reported in steps, because each is a change of the camera's state.
	said := notice
	if wait >= limit.frame {
		said = wait.Truncate(limit.frame)
	}
	next.missing = devices.NewCause("camera_waiting_for_keyframe", "seconds", devices.Seconds(said))
	next.after = min(next.after, (wait+limit.frame).Truncate(limit.frame)-wait)
	return next
}

// beforePackets judges a session in which nothing has arrived yet.
func (p progress) beforePackets(now time.Time, limit patience) outlook {
	wait := now.Sub(p.played)
	switch {
	case wait >= limit.packet && limit.byUDP:
		return outlook{end: errNoUDPPackets}
	case wait >= limit.packet:
		return outlook{end: errNoFrames}
	case wait < limit.frame:
		return outlook{after: min(limit.frame, limit.packet) - wait}
	}
	return outlook{
		missing: devices.NewCause("camera_no_frames", "seconds", devices.Seconds(limit.frame)),
		after:   limit.packet - wait,
	}
}
