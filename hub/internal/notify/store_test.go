package notify_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gridpost/hub/internal/announce"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/alerts"
	"gridpost/hub/internal/store/incidents"
)

// TestRealQueue queues an alert in the hub's real store, closes it as a hub that ends, opens it
// again and delivers over real sockets: once, although the hub is started twice.
func TestRealQueue(t *testing.T) {
	got := make(chan string, 10)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		got <- r.Header.Get("webhook-id")
	}))
	defer srv.Close()
	dir, log := t.TempDir(), slog.New(slog.DiscardHandler)
	open := func() *db.DB {
		s, err := db.Open(t.Context(), db.Options{Dir: dir, Schema: schema.Hub(), Name: "hub", Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closeStore := func(s *db.DB) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	s := open()
	if err := alertsOf(s).Add(t.Context(), "test", alerts.Webhook{ID: "one", URL: srv.URL, Secrets: []string{notify.NewSecret()}}); err != nil {
		t.Fatal(err)
	}
	report := incidents.NewReport{Report: incidents.Report{ID: "inc-1", Who: "test", Title: "water on the road", Severity: "minor", Text: "by phone"}}
	if _, err := announce.Incidents(s).AddReport(t.Context(), report); err != nil {
		t.Fatal(err)
	}
	closeStore(s)

	s = open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- notify.New(notify.Options{Queue: alertsOf(s), Wake: func() <-chan struct{} { return s.Wait(db.Alerts, "") }, Logger: log, AllowPrivate: true}).Run(ctx)
	}()
	first := receive(t, got)
	acknowledge := incidents.Edit{Who: "test", ID: "inc-1", Scope: scope.All(), Apply: func(inc *incidents.Incident) (*incidents.Fact, error) {
		inc.State = incidents.Acknowledged
		return &incidents.Fact{Kind: incidents.FactAcknowledged}, nil
	}}
	if _, err := announce.Incidents(s).Edit(t.Context(), acknowledge); err != nil {
		t.Fatal(err)
	}
	second := receive(t, got)
	deadline := time.Now().Add(10 * time.Second)
	for {
		all, err := alertsOf(s).Deliveries(t.Context(), "one", 0, 10)
		if err != nil {
			t.Fatal(err)
		}
		if len(all) == 2 && all[0].State == "delivered" && all[1].State == "delivered" {
			if all[0].ID != second || all[1].ID != first || first == second {
				t.Errorf("webhook-ids %s and %s, deliveries %+v", first, second, all)
			}
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("deliveries %+v", all)
		}
		time.Sleep(5 * time.Millisecond)
	}
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	closeStore(s)
	if len(got) != 0 {
		t.Errorf("%d requests too many", len(got))
	}
}

func alertsOf(s *db.DB) *alerts.Repository {
	return alerts.New(s, alerts.Options{})
}

func receive(t *testing.T, got <-chan string) string {
	t.Helper()
	select {
	case id := <-got:
		return id
	case <-time.After(10 * time.Second):
		t.Fatal("nothing was delivered")
		return ""
	}
}
