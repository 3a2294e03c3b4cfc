package webrtc

import (
	"testing"
	"time"

	"github.com/pion/rtcp"
)

// line is a publisher whose clock is wrong by off.
type testPublisher struct {
	clock      sourceClock
	start      time.Time
	clockError time.Duration
}

func (l *testPublisher) stamp(sent time.Duration) uint32 { return 4_000_000_000 + ticks(sent) } // runs over soon

func (l *testPublisher) report(sent, came time.Duration) {
	r := rtcp.SenderReport{NTPTime: ntp(l.start.Add(sent + l.clockError)), RTPTime: l.stamp(sent)}
	l.clock.report(&r, l.start.Add(came))
}

// age returns how old a frame sent at sent is taken to be when it comes at came.
func (l *testPublisher) age(sent, came time.Duration) time.Duration {
	now := l.start.Add(came)
	return now.Sub(l.clock.frameTime(l.stamp(sent), now)).Round(time.Millisecond)
}

func TestAQueueOnTheLineIsSeen(t *testing.T) {
	const ms = time.Millisecond
	l := testPublisher{start: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC), clockError: -56 * 365 * 24 * time.Hour}
	if got := l.age(0, 30*ms); got != 0 {
		t.Errorf("without a report: %v, want the arrival", got)
	}
	l.report(0, 30*ms)
	for _, c := range []struct{ sent, came, want time.Duration }{
		{1000 * ms, 1030 * ms, 0},         // the way itself is not seen
		{2000 * ms, 2050 * ms, 20 * ms},   // late
		{3000 * ms, 3020 * ms, 0},         // a shorter way
		{4000 * ms, 6520 * ms, 2500 * ms}, // a queue
	} {
		if got := l.age(c.sent, c.came); got != c.want {
			t.Errorf("sent at %v, came at %v: %v old, want %v", c.sent, c.came, got, c.want)
		}
	}
	l.report(10*time.Minute, 10*time.Minute+2520*ms)
	if got := l.age(10*time.Minute, 10*time.Minute+2520*ms); got < 2400*ms || got > 2500*ms {
		t.Errorf("a queue of ten minutes is taken for %v, want nearly 2.5 s", got)
	}
}

func TestAClockThatIsSetBeginsAnew(t *testing.T) {
	l := testPublisher{start: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC)}
	l.report(0, 0)
	l.age(time.Second, time.Second)
	l.clockError = -time.Hour
	l.report(2*time.Second, 2*time.Second)
	if got := l.age(3*time.Second, 3*time.Second); got != 0 {
		t.Errorf("after the clock was set back: %v old, want 0", got)
	}
}

func TestAnOldFrameAtTheBeginningIsOld(t *testing.T) {
	l := testPublisher{start: time.Date(2026, 5, 1, 8, 0, 0, 0, time.UTC), clockError: time.Hour}
	l.report(30*time.Second, 30*time.Second)
	if got := l.age(0, 30*time.Second); got != 30*time.Second {
		t.Errorf("a frame of 30 s is taken for one of %v", got)
	}
}

func TestNTPThereAndBack(t *testing.T) {
	at := time.Date(2026, 5, 1, 8, 0, 0, 123_456_000, time.UTC)
	if got := fromNTP(ntp(at)); got.Sub(at).Abs() > time.Microsecond {
		t.Errorf("got %v, want %v", got, at)
	}
}
