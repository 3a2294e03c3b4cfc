package webrtc

import (
	"context"
	"time"
)

// wake is how the goroutine of a sender learns that there is something to do: packets in one of its feeds, feedback,
// a request, a time that has come, the end of its context. It then looks at each of them. It receives from one channel,
// because a select over one channel per source costs a multiple, and happens for each frame of each viewer.
type wake chan struct{} // of capacity one

func newWake() wake { return make(wake, 1) }

// ring wakes the goroutine, or does nothing if it has been rung already.
func (w wake) ring() {
	select {
	case w <- struct{}{}:
	default:
	}
}

// onEnd rings once ctx ends, unless the result is called before.
func (w wake) onEnd(ctx context.Context) (stop func()) {
	unregister := context.AfterFunc(ctx, w.ring)
	return func() { unregister() }
}

// alarm rings a wake at a time. Only one goroutine may use it.
type alarm struct {
	timer *time.Timer
	at    time.Time // when it rings next; in the past: it has rung
}

func newAlarm(w wake) *alarm {
	timer := time.AfterFunc(time.Hour, w.ring)
	timer.Stop()
	return &alarm{timer: timer}
}

// ringIn lets it ring in wait from now, at the latest: an earlier time that was set before stays, because it is cheaper
// to wake too early, now and then, than to set the timer for each frame.
func (a *alarm) ringIn(wait time.Duration, now time.Time) {
	at := now.Add(wait)
	if a.at.After(now) && !at.Before(a.at) {
		return
	}
	a.at = at
	a.timer.Reset(wait)
}

func (a *alarm) stop() { a.timer.Stop() }

// start lets everything that run waits for ring its wake, until the result is called.
func (s *sender) start(ctx context.Context) (end func()) {
	stop := s.wake.onEnd(ctx)
	s.alarm = newAlarm(s.wake)
	s.reportAt = time.Now().Add(reportEvery)
	s.feed.subscribe(s.wake)
	s.audio.begin(s.wake)
	return func() {
		stop()
		s.alarm.stop()
		s.feed.unsubscribe(s.wake)
		s.answerSwitch(ErrClosedByPeer)
		s.flush(s.plain.SSRC) // what a failed write has left
		if s.audio.end(s.wake); s.audio != nil {
			s.flush(s.audio.header.SSRC)
		}
	}
}

// readMessages takes the requests and the feedback that have come, and reports whether there were any.
func (s *sender) readMessages(onFeedback func(feedback)) (some bool) {
	for ; ; some = true {
		select {
		case f := <-s.feedback:
			onFeedback(f)
		case q := <-s.ladder.requests:
			s.requestSwitch(q)
		default:
			return some
		}
	}
}

// reportDue reports whether a sender report is due, at most every reportEvery.
func (s *sender) reportDue(now time.Time) bool {
	if now.Before(s.reportAt) {
		return false
	}
	s.reportAt = now.Add(reportEvery)
	s.forgetOldFeeds(now)
	return true
}

// sleep waits until there may be something to do: in wait from now, or at due, at the latest. Packets are held back if
// wait is less than idleWait.
func (s *sender) sleep(wait time.Duration, due, now time.Time) {
	if wait == 0 {
		return
	}
	s.held.Store(wait < idleWait)
	if len(s.feedback) > 0 { // it may have come before held was set
		return
	}
	s.alarm.ringIn(min(wait, max(due.Sub(now), 0)), now)
	<-s.wake
}
