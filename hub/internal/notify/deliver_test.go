package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestDelivered(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		a := alert(7, "inc-1", Opened)
		b.queue.add(a)
		b.queue.add(a) // queueing twice is queueing once
		after(time.Second)
		got := r.requests()
		if len(got) != 1 || b.queue.state("7", "a") != Delivered {
			t.Fatalf("%d requests, state %s", len(got), b.queue.state("7", "a"))
		}
		if err := verify(testSecret("a"), got[0].header, got[0].body, got[0].at); err != nil {
			t.Error(err)
		}
		if err := verify(testSecret("other"), got[0].header, got[0].body, got[0].at); err == nil {
			t.Error("another secret fits too")
		}
		if id := got[0].header.Get("webhook-id"); id != DeliveryID("event-7", "a") {
			t.Errorf("webhook-id %q", id)
		}
		if ct := got[0].header.Get("Content-Type"); ct != "application/cloudevents+json; charset=utf-8" {
			t.Errorf("content type %q", ct)
		}
		var event map[string]any
		if err := json.Unmarshal(got[0].body, &event); err != nil {
			t.Fatal(err)
		}
		for key, want := range map[string]string{
			"specversion": "1.0", "id": "event-7", "source": "urn:test:hub", "type": "gridpost.incident.opened", "subject": "gate-7/yard",
			"time": a.Time.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
			"sequence": "00000000000000000001", "incidentid": "inc-1",
		} {
			if event[key] != want {
				t.Errorf("%s is %v, expected %v", key, event[key], want)
			}
		}
		if data, ok := event["data"].(map[string]any); !ok || data["title"] != "somebody in the yard" {
			t.Errorf("data %v", event["data"])
		}
		if s := b.n.Stats(); s != (Stats{Delivered: 1}) {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestRetries follows one delivery until it is given up because of its age: the same webhook-id and
// body in each attempt, a new timestamp and a signature that fits it, and waits that are those of
// the schedule within a quarter.
func TestRetries(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(500)}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		began := time.Now()
		b.queue.add(alert(1, "inc-1", Opened))
		after(GiveUpAfter - time.Minute)
		if s := b.queue.state("1", "a"); s != Pending {
			t.Errorf("%s before it is too old", s)
		}
		after(10 * 24 * time.Hour)
		got, outcomes := r.requests(), b.queue.outcomes("1", "a")
		if len(outcomes) != len(got) || b.queue.state("1", "a") != Dead {
			t.Fatalf("%d requests, %d outcomes, state %s", len(got), len(outcomes), b.queue.state("1", "a"))
		}
		for i, g := range got {
			if err := verify(testSecret("a"), g.header, g.body, g.at); err != nil {
				t.Errorf("attempt %d: %v", i+1, err)
			}
			if g.header.Get("webhook-id") != got[0].header.Get("webhook-id") || string(g.body) != string(got[0].body) {
				t.Errorf("attempt %d: another webhook-id or another body", i+1)
			}
			if i == 0 {
				continue
			}
			if g.header.Get("webhook-timestamp") == got[i-1].header.Get("webhook-timestamp") {
				t.Errorf("attempt %d: the timestamp of the one before", i+1)
			}
			scheduled, wait := waitAfter(i), g.at.Sub(got[i-1].at)
			if wait < scheduled*3/4 || wait > scheduled*5/4+maxPause+time.Second {
				t.Errorf("attempt %d came after %s, scheduled after %s", i+1, wait, scheduled)
			}
		}
		last := outcomes[len(outcomes)-1]
		if age := last.At.Sub(began); age > GiveUpAfter+2*sweepEvery {
			t.Errorf("attempted when it was %s old", age)
		}
		if last.Cause.Text != "the target answered 500 Internal Server Error" || last.Attempt != len(got) {
			t.Errorf("last outcome %+v", last)
		}
		if s := b.n.Stats(); s != (Stats{Failed: uint64(len(got)), Dead: 1}) {
			t.Errorf("stats %+v", s)
		}
	})
}

// TestFailingTargetKeepsNoBacklog: a target that fails for days with far more alerts than it is
// probed for never has a backlog older than the limit. (Eleven attempts, one a minute, used to be
// needed for each delivery.)
func TestFailingTargetKeepsNoBacklog(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(500)}
		b.net.Serve(t, "a.example", r)
		b.giveUp = 6 * time.Hour
		b.start(t)
		for i := range int64(48) { // a day
			for j := range int64(5) {
				b.queue.add(alert(i*5+j+1, fmt.Sprintf("inc-%d", i*5+j), Opened))
			}
			after(30 * time.Minute)
		}
		for seq := int64(1); seq <= 48*5; seq++ {
			queued := time.Duration((seq-1)/5) * 30 * time.Minute
			want := Pending
			if age := 24*time.Hour - queued; age > b.giveUp+sweepEvery {
				want = Dead
			}
			if s := b.queue.state(strconv.FormatInt(seq, 10), "a"); s != want {
				t.Errorf("alert %d, %s old: %s, want %s", seq, 24*time.Hour-queued, s, want)
			}
		}
		if n := len(r.requests()); n > 24*60*2 {
			t.Errorf("%d requests in a day to a target that fails", n)
		}
	})
}

// TestOutageOfTheHubGivesUpNothing: a hub that was off for a week still delivers what was pending,
// also when the target is away at first.
func TestOutageOfTheHubGivesUpNothing(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(502, 502, 502, 502, 204)}
		b.net.Serve(t, "a.example", r)
		b.queue.add(alert(1, "inc-1", Opened))
		after(7 * 24 * time.Hour)
		b.start(t)
		after(time.Hour)
		if s := b.queue.state("1", "a"); s != Delivered {
			t.Errorf("%s after %d requests", s, len(r.requests()))
		}
	})
}

// TestRecoveredTargetGetsItsBacklogAtOnce: when a target works again after an outage, deliveries
// that would be retried hours later are not kept waiting, and rounds grow.
func TestRecoveredTargetGetsItsBacklogAtOnce(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		var down atomic.Bool
		down.Store(true)
		var most, now atomic.Int64
		r := &receiver{answer: func(_ int, w http.ResponseWriter) {
			if down.Load() {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			most.Store(max(most.Load(), now.Add(1)))
			time.Sleep(time.Second)
			now.Add(-1)
		}}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		const n = 300
		for i := range int64(n) {
			b.queue.add(alert(i+1, fmt.Sprintf("inc-%d", i), Opened))
		}
		after(10 * time.Hour)
		down.Store(false)
		after(maxPause + 40*time.Second)
		for i := range n {
			if s := b.queue.state(strconv.Itoa(i+1), "a"); s != Delivered {
				t.Fatalf("alert %d is %s: not everything was delivered within 40 s of the first probe", i+1, s)
			}
		}
		if got := most.Load(); got > maxRequests || got <= minRound {
			t.Errorf("%d concurrent requests; want more than %d and at most %d", got, minRound, maxRequests)
		}
	})
}

// TestTwoHubs: two notifiers on one queue; one serves the target, the other takes over when the
// first one ends, at once if it ends in an orderly way and after the lease's time if it does not.
func TestTwoHubs(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		stopFirst := b.stop
		after(time.Second)
		b.start(t)
		deliver := func(seq int64, within time.Duration) {
			t.Helper()
			b.queue.add(alert(seq, "inc-1", Changed))
			after(within)
			if s := b.queue.state(strconv.FormatInt(seq, 10), "a"); s != Delivered {
				t.Errorf("alert %d is %s after %s", seq, s, within)
			}
		}
		deliver(1, time.Second)
		stopFirst()
		deliver(2, leaseRenew+time.Second)
		if n := len(r.requests()); n != 2 {
			t.Errorf("%d requests for 2 alerts", n)
		}
	})
}

// TestLostLeaseStopsAttempts: a hub whose lease another one has taken stops what it is doing and
// records nothing.
func TestLostLeaseStopsAttempts(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		never := make(chan struct{})
		b.net.Serve(t, "a.example", &receiver{answer: func(n int, _ http.ResponseWriter) {
			if n == 1 {
				<-never
			}
		}})
		t.Cleanup(func() { close(never) })
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.queue.takeLease("a")
		after(leaseRenew + time.Second)
		if o := b.queue.outcomes("1", "a"); len(o) != 0 || b.queue.state("1", "a") != Pending {
			t.Errorf("outcomes %+v of a hub that had lost its lease", o)
		}
		after(2 * leaseTTL) // the other hub died
		if s := b.queue.state("1", "a"); s != Delivered {
			t.Errorf("%s after the lease was free again", s)
		}
	})
}

// TestUnreachableDatabaseStopsAttemptsBeforeTheLeaseExpires: from then on another hub may attempt.
func TestUnreachableDatabaseStopsAttemptsBeforeTheLeaseExpires(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(500)}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.queue.setFull(1 << 30) // no write succeeds
		expires := b.queue.leaseUntil("a")
		after(time.Hour)
		for _, g := range r.requests() {
			if g.at.After(expires.Add(-leaseMargin)) {
				t.Errorf("a request %s after the margin of the lease", g.at.Sub(expires.Add(-leaseMargin)))
			}
		}
	})
}

// TestSlowTargetDelaysNobody has one target that never answers and a long queue for both.
func TestSlowTargetDelaysNobody(t *testing.T) {
	under(t, []Target{target("slow", "slow.example"), target("good", "good.example")}, func(t *testing.T, b *bench) {
		never := make(chan struct{})
		slow := &receiver{answer: func(int, http.ResponseWriter) { <-never }}
		good := &receiver{}
		b.net.Serve(t, "slow.example", slow)
		b.net.Serve(t, "good.example", good)
		t.Cleanup(func() { close(never) }) // before the servers' own cleanup
		b.start(t)
		const n = 100
		for i := range int64(n) {
			b.queue.add(alert(i+1, fmt.Sprintf("inc-%d", i), Opened))
		}
		after(time.Second)
		if got := len(good.requests()); got != n {
			t.Errorf("the good target has %d of %d after a second", got, n)
		}
		after(time.Hour)
		outcomes := b.queue.outcomes("1", "slow")
		if len(outcomes) == 0 || outcomes[0].Cause.Text != "no answer within 15 s" || outcomes[0].Status != 0 {
			t.Errorf("outcomes %+v", outcomes)
		}
		if got := len(slow.requests()); got > 90 {
			t.Errorf("a target that is down was asked %d times in an hour", got)
		}
	})
}

func TestOrderWithinAnIncident(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		first := true
		r := &receiver{}
		r.answer = func(n int, w http.ResponseWriter) {
			if first {
				first = false
				w.WriteHeader(http.StatusBadGateway)
			}
		}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Changed))
		b.queue.add(alert(3, "inc-1", Closed))
		after(time.Minute)
		var order []string
		for _, g := range r.requests() {
			var event cloudEvent
			if err := json.Unmarshal(g.body, &event); err != nil {
				t.Fatal(err)
			}
			order = append(order, event.ID)
		}
		if want := []string{"event-1", "event-1", "event-2", "event-3"}; !slices.Equal(order, want) {
			t.Errorf("order %q, expected %q", order, want)
		}
	})
}

// TestPoisonIsOvertaken has a target that accepts everything but one alert.
func TestPoisonIsOvertaken(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		b.net.Serve(t, "a.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("webhook-id"), DeliveryID("event-1", "a")) {
				w.WriteHeader(http.StatusBadRequest)
			}
		}))
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Minute)
		if s := b.queue.state("2", "a"); s != Pending {
			t.Errorf("the second alert is %s although the first has not been tried %d times", s, OrderAttempts)
		}
		after(2 * time.Hour)
		if s := b.queue.state("2", "a"); s != Delivered {
			t.Errorf("the second alert is %s behind one that is refused for ever", s)
		}
		if s := b.queue.state("1", "a"); s != Pending {
			t.Errorf("the refused alert is %s, expected that it is tried on", s)
		}
	})
}
