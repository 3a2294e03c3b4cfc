package webrtc

import (
	"bytes"
	"testing"
	"time"

	"github.com/pion/webrtc/v4"
)

// lossyFor notes a loss every 200 ms for d, and updates the delay as often; it returns the time then.
func lossyFor(p *playoutDelay, d, trip time.Duration, sequence *uint64, now time.Time) time.Time {
	for end := now.Add(d); now.Before(end); now = now.Add(200 * time.Millisecond) {
		p.onLoss(now)
		*sequence += 80
		p.update(trip, *sequence, now)
	}
	return now
}

// TestPlayoutDelay: it rises in small steps to what two retransmissions take, is bounded, and falls when nothing is lost
// any more.
func TestPlayoutDelay(t *testing.T) {
	for trip, want := range map[time.Duration]time.Duration{
		50 * time.Millisecond: 160 * time.Millisecond, 100 * time.Millisecond: 260 * time.Millisecond, time.Second: playoutMost,
	} {
		var p playoutDelay
		sequence := uint64(1 << 16)
		now := time.Now()
		last := time.Duration(0)
		for range 100 {
			now = lossyFor(&p, 200*time.Millisecond, trip, &sequence, now)
			d := p.at(sequence)
			if d < last || d > last+playoutRaise {
				t.Errorf("%v: rises from %v to %v", trip, last, d)
			}
			last = d
		}
		if last != want {
			t.Errorf("round trip %v: a playout delay of %v, want %v", trip, last, want)
		}
		for range 600 {
			now = now.Add(200 * time.Millisecond)
			sequence += 80
			p.update(trip, sequence, now)
		}
		if d := p.at(sequence); d != 0 {
			t.Errorf("round trip %v: two minutes without a loss leave a playout delay of %v", trip, d)
		}
		if len(p.changes) > playoutChanges {
			t.Errorf("%d changes are kept", len(p.changes))
		}
	}
}

// TestRetransmissionKeepsItsPlayoutDelay: a packet that is sent again has the same header although the delay has changed
// since, and one of which that is not known any more is not sent again.
func TestRetransmissionKeepsItsPlayoutDelay(t *testing.T) {
	f := testFeed()
	w := f.writer()
	s, n := newTestSender(f)
	extensions := []webrtc.RTPHeaderExtensionParameter{{URI: playoutDelayURI, ID: playoutID}, {URI: transportURI, ID: 3}}
	if err := s.setExtensions(extensions); err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	values := map[string]bool{}
	for i := range 2 * playoutChanges {
		fillFeed(w, i, 1, 50, 3)
		drainSender(t, s)
		now = now.Add(time.Second) // it falls by a fifth of what it rises
		s.playout.lossyAt = time.Time{}
		if i%6 == 0 {
			s.playout.lossyAt = now
		}
		s.playout.update(100*time.Millisecond, s.sequence, now)
	}
	marshal := func(i int) []byte {
		b, err := n.headers[i].Marshal()
		if err != nil {
			t.Fatal(err)
		}
		values[string(n.headers[i].GetExtension(playoutID))] = true
		return b
	}
	sent := len(n.headers)
	again := 0
	for i := range sent {
		before := len(n.headers)
		s.handleFeedback(feedback{sequences: []uint16{n.headers[i].SequenceNumber}}, time.Now())
		drainSender(t, s)
		if len(n.headers) == before {
			continue
		}
		again++
		if !bytes.Equal(marshal(before), marshal(i)) {
			t.Errorf("packet %d of %d was sent again as %v, first as %v", i, sent, n.headers[before], n.headers[i])
		}
	}
	if again < 3*playoutChanges/2 || again == sent || len(values) < 5 {
		t.Errorf("%d packets of %d were sent again, with %d delays", again, sent, len(values))
	}
}

func TestPlayoutValue(t *testing.T) {
	for delay, want := range map[time.Duration][3]byte{
		0: {0, 0, 0}, 10 * time.Millisecond: {0x00, 0x10, 50}, 260 * time.Millisecond: {0x01, 0xa0, 50}, playoutMost: {0x03, 0x20, 50},
	} {
		if got := playoutValue(delay); got != want {
			t.Errorf("%v: %v, want %v", delay, got, want)
		}
	}
}
