package notify

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestRestart stops a hub while a target is down and starts another one on what is on disk.
func TestRestart(t *testing.T) {
	under(t, []Target{target("a", "a.example")}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(503, 503, 204)}
		b.net.Serve(t, "a.example", r)
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
		if len(ids) != 2 || ids[DeliveryID("event-1", "a")] != 2 || ids[DeliveryID("event-2", "a")] != 2 {
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
		b.net.Serve(t, "a.example", &receiver{answer: func(int, http.ResponseWriter) { <-never }})
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
		b.net.Serve(t, "a.example", &receiver{})
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
		b.net.Serve(t, "a.example", r)
		b.start(t)
		after(time.Second) // it has its lease
		b.queue.setFull(5)
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
		b.net.Serve(t, "a.example", r)
		b.net.Serve(t, "b.example", moved)
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
		b.net.Serve(t, "a.example", r)
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
