package webrtc

import (
	"testing"
	"testing/synctest"
	"time"

	"gridpost/streams"
)

// TestOldGOPIsNotSentAsLive: a viewer that joins after the publisher has fallen silent, or asks for a keyframe then,
// gets nothing until packets arrive again.
func TestOldGOPIsNotSentAsLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed()
		w := f.writer()
		fillFeed(w, 0, 10, 50, 2)

		early, sent := newTestSender(f)
		drainSender(t, early)
		if len(sent.headers) != 20 {
			t.Fatalf("while live, a viewer was sent %d packets, want the GOP of 20", len(sent.headers))
		}
		time.Sleep(streams.LiveWithin + time.Millisecond)
		early.handleFeedback(feedback{keyframe: true}, time.Now())
		drainSender(t, early)
		if len(sent.headers) != 20 {
			t.Errorf("a viewer that asked for a keyframe was sent %d packets of the past", len(sent.headers)-20)
		}
		late, sentLate := newTestSender(f)
		drainSender(t, late)
		if len(sentLate.headers) != 0 {
			t.Errorf("a viewer that joined late was sent %d packets of the past", len(sentLate.headers))
		}
		fillFeed(w, 10, 1, 50, 2) // the same GOP goes on
		drainSender(t, early)
		drainSender(t, late)
		if len(sent.headers) != 42 || len(sentLate.headers) != 22 { // the first one asked for the keyframe, and gets it now
			t.Errorf("once it goes on: %d and %d packets, want 42 and 22", len(sent.headers), len(sentLate.headers))
		}
	})
}

// TestPublisherDoesNotSendAnOldGOP: the same where the publisher paces what it sends.
func TestPublisherDoesNotSendAnOldGOP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := testFeed()
		w := f.writer()
		fillFeed(w, 0, 10, 50, 2)
		s, _ := newTestSender(f)
		p := newPacedSender(s, PublishOptions{})
		time.Sleep(streams.LiveWithin + time.Millisecond)
		if p.choose(time.Now()); p.joined {
			t.Error("it began with a GOP of the past")
		}
		fillFeed(w, 10, 1, 50, 2)
		if p.choose(time.Now()); !p.joined {
			t.Error("it did not begin when the stream went on")
		}
	})
}
