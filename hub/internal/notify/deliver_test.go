package notify

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestDelivered(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.net.serve(t, "a.example", r)
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
		if id := got[0].header.Get("webhook-id"); id != DeliveryID("7", "a") {
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
			"specversion": "1.0", "id": "7", "source": "urn:test:hub", "type": "gridpost.incident.opened", "subject": "gate-7/yard",
			"time": a.Time.UTC().Format(time.RFC3339Nano), "datacontenttype": "application/json",
			"sequence": "00000000000000000007", "incidentid": "inc-1",
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

// TestRetries follows one delivery through every attempt until it is given up: the same
// webhook-id and body each time, a new timestamp and a signature that fits it, and waits that
// are those of the schedule give or take a quarter.
func TestRetries(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(500)}
		b.net.serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(5 * 24 * time.Hour)
		got, outcomes := r.requests(), b.queue.outcomes("1", "a")
		waits := schedule()
		if len(got) != len(waits)+1 || len(outcomes) != len(got) || b.queue.state("1", "a") != Dead {
			t.Fatalf("%d requests, %d outcomes, state %s; expected %d", len(got), len(outcomes), b.queue.state("1", "a"), len(waits)+1)
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
			wait := g.at.Sub(got[i-1].at)
			if least := waits[i-1] * 3 / 4; wait < least || wait > waits[i-1]*5/4+maxPause*5/4+time.Second {
				t.Errorf("attempt %d came after %s, scheduled after %s", i+1, wait, waits[i-1])
			}
		}
		last := outcomes[len(outcomes)-1]
		if last.Cause != "the target answered 500 Internal Server Error; given up after 11 attempts" || last.Attempt != 11 {
			t.Errorf("last outcome %+v", last)
		}
		if s := b.n.Stats(); s != (Stats{Failed: 11, Dead: 1}) {
			t.Errorf("stats %+v", s)
		}
	})
}

func TestGone(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(410)}
		b.net.serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Hour)
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d requests, expected that 410 ends them", n)
		}
		if b.queue.disabled["a"] == "" || b.queue.state("1", "a") != Dead || b.queue.state("2", "a") != Dead {
			t.Error("the target is not disabled, or its deliveries are still pending")
		}
	})
}

func TestTooMany(t *testing.T) {
	for name, c := range map[string]struct {
		value func() string
		wait  time.Duration
	}{
		"seconds": {func() string { return "120" }, 2 * time.Minute},
		"date":    {func() string { return time.Now().Add(3 * time.Minute).UTC().Format(http.TimeFormat) }, 3*time.Minute - time.Second},
		"nothing": {func() string { return "" }, 5 * time.Second * 3 / 4},
		"garbage": {func() string { return "soon" }, 5 * time.Second * 3 / 4},
		"years":   {func() string { return "4000000000" }, longestRetryAfter},
	} {
		t.Run(name, func(t *testing.T) {
			under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
				r := &receiver{answer: func(n int, w http.ResponseWriter) {
					if n == 1 {
						w.Header().Set("Retry-After", c.value())
						w.WriteHeader(http.StatusTooManyRequests)
					}
				}}
				b.net.serve(t, "a.example", r)
				b.start(t)
				b.queue.add(alert(1, "inc-1", Opened))
				after(time.Second)
				b.queue.add(alert(2, "inc-2", Opened)) // waits too: it is the target that has enough
				after(c.wait + 10*time.Second)
				got := r.requests()
				if len(got) != 3 {
					t.Fatalf("%d requests, expected 3", len(got))
				}
				if wait := got[1].at.Sub(got[0].at); wait < c.wait || wait > c.wait+6*time.Second {
					t.Errorf("waited %s, expected %s", wait, c.wait)
				}
				if b.queue.state("1", "a") != Delivered || b.queue.state("2", "a") != Delivered {
					t.Error("not delivered in the end")
				}
			})
		})
	}
}

func TestUnsupportedMediaType(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(415, 204)}
		b.net.serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Second)
		if b.queue.state("1", "a") != Dead || b.queue.state("2", "a") != Delivered || len(r.requests()) != 2 {
			t.Errorf("states %s, %s after %d requests", b.queue.state("1", "a"), b.queue.state("2", "a"), len(r.requests()))
		}
	})
}

// TestSlowTargetDelaysNobody has one target that never answers and a long queue for both.
func TestSlowTargetDelaysNobody(t *testing.T) {
	under(t, []Target{target("slow", "slow.example"), target("good", "good.example")}, func(t *testing.T, b *bench) {
		never := make(chan struct{})
		slow := &receiver{answer: func(int, http.ResponseWriter) { <-never }}
		good := &receiver{}
		b.net.serve(t, "slow.example", slow)
		b.net.serve(t, "good.example", good)
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
		if len(outcomes) == 0 || outcomes[0].Cause != "no answer within 15s" || outcomes[0].Status != 0 {
			t.Errorf("outcomes %+v", outcomes)
		}
		if got := len(slow.requests()); got > 70 {
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
		b.net.serve(t, "a.example", r)
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
		if want := []string{"1", "1", "2", "3"}; !slices.Equal(order, want) {
			t.Errorf("order %q, expected %q", order, want)
		}
	})
}

// TestPoisonIsOvertaken has a target that accepts everything but one alert.
func TestPoisonIsOvertaken(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		b.net.serve(t, "a.example", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.HasSuffix(r.Header.Get("webhook-id"), DeliveryID("1", "a")) {
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

// TestRestart stops a hub while a target is down and starts another one on what is on disk.
func TestRestart(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(503, 503, 204)}
		b.net.serve(t, "a.example", r)
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		b.queue.add(alert(2, "inc-2", Opened))
		after(time.Second)
		b.stop()
		b.queue = b.queue.reopened(t)
		b.start(t)
		after(time.Minute)
		if b.queue.state("1", "a") != Delivered || b.queue.state("2", "a") != Delivered {
			t.Fatalf("states %s and %s after the restart", b.queue.state("1", "a"), b.queue.state("2", "a"))
		}
		ids := map[string]int{}
		for _, g := range r.requests() {
			ids[g.header.Get("webhook-id")]++
		}
		if len(ids) != 2 || ids[DeliveryID("1", "a")] != 2 || ids[DeliveryID("2", "a")] != 2 {
			t.Errorf("webhook-ids %v, expected each of the two twice", ids)
		}
		b.stop()
		b.queue = b.queue.reopened(t)
		b.start(t)
		after(time.Hour)
		if n := len(r.requests()); n != 4 {
			t.Errorf("%d requests: what was delivered was sent again", n)
		}
	})
}

// TestStopInTheMiddle ends Run while a target thinks: the attempt does not count.
func TestStopInTheMiddle(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		never := make(chan struct{})
		b.net.serve(t, "a.example", &receiver{answer: func(int, http.ResponseWriter) { <-never }})
		t.Cleanup(func() { close(never) })
		b.start(t)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.stop()
		if o := b.queue.outcomes("1", "a"); len(o) != 0 || b.queue.state("1", "a") != Pending {
			t.Errorf("outcomes %+v, state %s", o, b.queue.state("1", "a"))
		}
	})
}

// TestStopBeforeTheOutcomeIsWritten ends Run between a target's answer and its record.
func TestStopBeforeTheOutcomeIsWritten(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		b.net.serve(t, "a.example", &receiver{})
		b.start(t)
		b.queue.onWrite = b.cancel
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.stop()
		if s := b.queue.state("1", "a"); s != Delivered {
			t.Errorf("an accepted delivery is %s", s)
		}
	})
}

// TestFullDisk: a success that could not be written down at once is not sent again.
func TestFullDisk(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.net.serve(t, "a.example", r)
		b.start(t)
		b.queue.full = 5
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Minute)
		if n := len(r.requests()); n != 1 || b.queue.state("1", "a") != Delivered {
			t.Errorf("%d requests, state %s", n, b.queue.state("1", "a"))
		}
	})
}

// TestRotation has two secrets in force, then a target that moved: each fits what is sent.
func TestRotation(t *testing.T) {
	before := target("a", "a.example")
	under(t, []Target{before}, func(t *testing.T, b *bench) {
		r, moved := &receiver{}, &receiver{}
		b.net.serve(t, "a.example", r)
		b.net.serve(t, "b.example", moved)
		b.start(t)
		during := before
		during.Secrets = []string{testSecret("new"), testSecret("a")}
		b.queue.setTargets(during)
		after(time.Second)
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		done := target("a", "b.example")
		done.Secrets = []string{testSecret("new")}
		b.queue.setTargets(done)
		after(time.Second)
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Second)
		if len(r.requests()) != 1 || len(moved.requests()) != 1 {
			t.Fatalf("%d and %d requests", len(r.requests()), len(moved.requests()))
		}
		g := r.requests()[0]
		if n := len(strings.Fields(g.header.Get("webhook-signature"))); n != 2 {
			t.Errorf("%d signatures", n)
		}
		for _, secret := range during.Secrets {
			if err := verify(secret, g.header, g.body, g.at); err != nil {
				t.Error(err)
			}
		}
		g = moved.requests()[0]
		if verify(testSecret("a"), g.header, g.body, g.at) == nil || verify(testSecret("new"), g.header, g.body, g.at) != nil {
			t.Error("after the rotation the old secret still fits, or the new one does not")
		}
	})
}

// TestTargetsComeAndGo: a new target is served at once, a deleted one no more.
func TestTargetsComeAndGo(t *testing.T) {
	under(t, nil, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.net.serve(t, "a.example", r)
		b.start(t)
		after(time.Minute)
		b.queue.setTargets(target("a", "a.example"))
		b.queue.add(alert(1, "inc-1", Opened))
		after(time.Second)
		b.queue.setTargets()
		after(time.Second)
		b.queue.add(alert(2, "inc-1", Closed))
		after(time.Hour)
		if n := len(r.requests()); n != 1 {
			t.Errorf("%d requests, expected the one of the time when there was a target", n)
		}
	})
}
