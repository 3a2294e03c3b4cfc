package store

import (
	"testing"
	"time"

	"gridpost/hub/internal/notify"
)

// TestWebhookTellsWhatFails: while an alert waits for another attempt, its target has the newest failure with
// its cause; what was delivered or given up is no failure any more.
func TestWebhookTellsWhatFails(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if err := s.AddWebhook(t.Context(), "test", Webhook{ID: "w", URL: "https://x.example", Secrets: []string{"whsec_AA=="}}); err != nil {
		t.Fatal(err)
	}
	if _, err := applyEvents(t.Context(), s, "gate-7", "x", []Event{opened(t, 1), opened(t, 2)}); err != nil {
		t.Fatal(err)
	}
	now := time.Now().Add(time.Second).Truncate(time.Millisecond)
	due, _, err := s.DueDeliveries(t.Context(), "w", now, 10)
	if err != nil || len(due) != 2 {
		t.Fatalf("%d due, %v", len(due), err)
	}
	target := func() Webhook {
		t.Helper()
		all, err := s.Webhooks(t.Context())
		if err != nil || len(all) != 1 {
			t.Fatalf("%+v, %v", all, err)
		}
		return all[0]
	}
	if w := target(); w.Failing != nil || w.Pending != 2 || w.Dead != 0 {
		t.Errorf("before any attempt: %+v", w)
	}
	record := func(n int, o notify.Outcome) {
		t.Helper()
		o.Delivery, o.Target, o.Attempt = due[n].ID, "w", 1
		if err := s.RecordDelivery(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	record(0, notify.Outcome{State: notify.Pending, At: now, Next: now.Add(5 * time.Second), Cause: "refused"})
	record(1, notify.Outcome{State: notify.Pending, At: now.Add(time.Second), Next: now.Add(time.Minute), Cause: "no answer"})
	if f := target().Failing; f == nil || f.Cause != "no answer" || !f.At.Equal(now.Add(time.Second)) || !f.Next.Equal(now.Add(5*time.Second)) {
		t.Errorf("after two failures: %+v", f)
	}
	record(1, notify.Outcome{State: notify.Delivered, At: now.Add(2 * time.Second)})
	record(0, notify.Outcome{State: notify.Dead, At: now.Add(2 * time.Second), Cause: "refused"})
	if w := target(); w.Failing != nil || w.Pending != 0 || w.Dead != 1 {
		t.Errorf("at the end: %+v", w)
	}
}

// TestEdgeTellsHowLongItsTokenHolds, and no longer once the token was used.
func TestEdgeTellsHowLongItsTokenHolds(t *testing.T) {
	s := newStore(t)
	until := time.Now().Add(time.Hour).Truncate(time.Second)
	for _, token := range []struct {
		hash string
		ends time.Time
	}{{"first", until.Add(-2 * time.Hour)}, {"second", until}} {
		if err := s.AddEdge(t.Context(), "test", "gate-7", []byte(token.hash), token.ends); err != nil {
			t.Fatal(err)
		}
	}
	e, err := s.Edge(t.Context(), "gate-7")
	if err != nil || e.Token == nil || !e.Token.Equal(until) {
		t.Fatalf("%v, %v; want until %v", e.Token, err, until)
	}
	for _, hash := range []string{"first", "second"} {
		if err := s.AddCertificate(t.Context(), "gate-7", hash, []byte(hash), until); err != nil {
			t.Fatal(err)
		}
		if err := s.CheckCertificate(t.Context(), "gate-7", hash); err != nil {
			t.Fatal(err)
		}
	}
	if e, err = s.Edge(t.Context(), "gate-7"); err != nil || e.Token != nil {
		t.Errorf("after its use: %v, %v", e.Token, err)
	}
}
