package webrtc

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Rung is which of a camera's streams a viewer is sent.
type Rung int32

// The rungs, from the highest bitrate to the lowest.
const (
	MainStream Rung = iota
	SubStream
)

func (r Rung) String() string {
	if r == SubStream {
		return "sub"
	}
	return "main"
}

// ladder decides which of a camera's streams a viewer's line carries. It steps down once the line has carried less
// than the main stream for stepDownAfter, and up again once it has carried the sub-stream with ease for upAfter. What
// the line carries beyond the sub-stream is not known before it is tried, so a try that fails doubles upAfter.
//
// It has no goroutine and reads no clock; the sender's goroutine uses it, and wanted and requests only are for others.
type ladder struct {
	wanted   chan Rung           // room for one: the newest wish
	requests chan *switchRequest // room for one, which rings the sender's wake; nil: withdraw the last one
	rung     Rung

	pressure time.Duration // for how long the line has carried less than the main stream; relief counts half
	judgedAt time.Time
	freeFrom time.Time // since when the line has carried the sub-stream; zero: it does not
	upAfter  time.Duration
	upAt     time.Time // of the last step up; zero: there was none
	askedAt  time.Time // when a wish was sent last
}

// switchRequest asks a sender to continue with another feed.
type switchRequest struct {
	feed *Feed
	rung Rung
	done chan error // room for one; always answered while the sender runs
}

const (
	stepDownAfter = 2 * time.Second  // more than the sender needs to find out what the line carries
	tryAfter      = time.Second      // the same, while a step up is not proven
	stepUpAfter   = 20 * time.Second // doubled by each try that failed
	stepUpLongest = 5 * time.Minute
	stepUpProven  = time.Minute      // a step up that lasts has not failed
	askEvery      = 15 * time.Second // a wish that nobody could fulfil is repeated
	judgeLongest  = 500 * time.Millisecond
)

func newLadder() *ladder {
	return &ladder{wanted: make(chan Rung, 1), requests: make(chan *switchRequest, 1), upAfter: stepUpAfter}
}

// judge takes note of whether the line carries less than the stream of the current rung at now.
func (l *ladder) judge(congested bool, now time.Time) {
	passed := min(now.Sub(l.judgedAt), judgeLongest)
	l.judgedAt = now
	switch {
	case l.rung == MainStream && congested:
		l.pressure += passed
	case l.rung == MainStream:
		l.pressure = max(0, l.pressure-passed/2)
	case congested:
		l.freeFrom = time.Time{}
	case l.freeFrom.IsZero():
		l.freeFrom = now
	}
	after := stepDownAfter
	if !l.upAt.IsZero() && now.Sub(l.upAt) < stepUpProven {
		after = tryAfter
	}
	if l.rung == MainStream && congested && l.pressure >= after {
		l.want(SubStream, now)
	}
	if l.rung == SubStream && !l.freeFrom.IsZero() && now.Sub(l.freeFrom) >= l.upAfter {
		l.want(MainStream, now)
	}
}

// want sends a wish, at most every askEvery.
func (l *ladder) want(r Rung, now time.Time) {
	if now.Sub(l.askedAt) < askEvery {
		return
	}
	l.askedAt = now
	select {
	case <-l.wanted: // an older wish that nobody has read
	default:
	}
	l.wanted <- r // there is room: only this goroutine sends
}

// stepped notes that the viewer is sent another rung from now on.
func (l *ladder) stepped(r Rung, now time.Time) {
	if r == l.rung {
		return
	}
	l.rung, l.pressure, l.freeFrom, l.askedAt = r, 0, time.Time{}, time.Time{}
	switch {
	case r == MainStream:
		l.upAt = now
	case l.upAt.IsZero() || now.Sub(l.upAt) >= stepUpProven:
		l.upAfter = stepUpAfter
	default:
		l.upAfter = min(2*l.upAfter, stepUpLongest)
	}
}

// errWithdrawn answers a switchRequest that was withdrawn.
var errWithdrawn = errors.New("the switch to another stream was withdrawn")

// Wanted receives the rung that the viewer's line carries whenever it is not the one that the viewer is sent. The
// receiver may fulfil the wish by Switch; a wish that is not fulfilled is repeated after some seconds.
func (v *Viewer) Wanted() <-chan Rung { return v.sender.ladder.wanted }

// Switch continues with another feed of the same camera and blocks until the viewer is sent that, from its first
// keyframe on. Until then, and if Switch fails, the viewer is sent what it was sent before. The error is ErrCodec if the
// feed has another codec, ErrClosedByPeer if the session has ended, or ctx's cause. Run must have been called.
func (v *Viewer) Switch(ctx context.Context, f *Feed, to Rung) error {
	if f.sourceCodec().name != v.codec.name {
		return fmt.Errorf("switching to the %s stream: %w", to, CodecError{f.sourceCodec().name})
	}
	q := &switchRequest{feed: f, rung: to, done: make(chan error, 1)}
	for _, request := range []*switchRequest{q, nil} {
		select {
		case v.sender.ladder.requests <- request:
			v.sender.wake.ring()
		case <-v.ended:
			return ErrClosedByPeer
		}
		if request == nil {
			break
		}
		select {
		case err := <-q.done:
			return err
		case <-v.ended:
			return ErrClosedByPeer
		case <-ctx.Done():
		}
	}
	select {
	case err := <-q.done:
		if errors.Is(err, errWithdrawn) {
			return context.Cause(ctx)
		}
		return err // it was just in time
	case <-v.ended:
		return ErrClosedByPeer
	}
}

// requestSwitch takes a request, nil to withdraw the pending one.
func (s *sender) requestSwitch(q *switchRequest) {
	s.answerSwitch(errWithdrawn)
	if q == nil || q.feed == s.feed {
		if q != nil {
			q.done <- nil
		}
		return
	}
	s.pending = q
	q.feed.subscribe(s.wake)
}

// answerSwitch answers the pending request, if there is one, with err.
func (s *sender) answerSwitch(err error) {
	if q := s.pending; q != nil {
		s.pending = nil
		q.feed.unsubscribe(s.wake)
		q.done <- err
	}
}

// stepUpFrames is how old the GOP may be with which a step up begins: all of it is sent at once.
const stepUpFrames = 12

// trySwitch fulfils the pending request if the new feed has a GOP to begin with, and reports whether it did.
func (s *sender) trySwitch(now time.Time) bool {
	q := s.pending
	if q == nil {
		return false
	}
	g, ok := q.feed.current()
	if !ok || !g.live || q.rung < s.ladder.rung && g.newest-g.first > stepUpFrames {
		return false
	}
	at, stamp := s.feed.clock()
	newAt, newStamp := q.feed.clock()
	offset := stamp + s.offset + ticks(newAt.Sub(at)) - newStamp
	// The frames up to the newest have to fit behind the last one sent: see join.
	needed := uint32(g.newest-g.first) + 1
	if room := g.timestamp + offset - s.lastTimestamp; len(s.spans) > 0 && (room < needed || room >= 1<<31) {
		offset += needed - room
	}
	s.feed.unsubscribe(s.wake)
	s.feed, s.offset, s.cursor, s.joined, s.burstTo = q.feed, offset, 0, false, 0
	s.pacer.meter, s.pacer.rate, s.keyframeRequested = &q.feed.meter, 0, false
	s.switchedAt = now
	s.ladder.stepped(q.rung, now)
	s.pending = nil // its subscription is now that of the feed
	s.rung.Store(int32(q.rung))
	s.switches.Add(1)
	q.done <- nil
	return true
}

// forgetOldFeeds drops the spans of feeds before the last switch once nobody requests their packets any more, so that
// they do not hold the memory of those feeds.
func (s *sender) forgetOldFeeds(now time.Time) {
	if now.Sub(s.switchedAt) < patience {
		return
	}
	for len(s.spans) > 1 && s.spans[0].feed != s.feed {
		s.spans = append(s.spans[:0], s.spans[1:]...)
	}
}
