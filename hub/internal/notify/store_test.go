package notify_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/store"
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
	open := func() *store.Store {
		s, err := store.Open(store.Options{Dir: dir, Logger: log})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	closeStore := func(s *store.Store) {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}

	s := open()
	if err := s.AddWebhook(t.Context(), "test", store.Webhook{ID: "one", URL: srv.URL, Secrets: []string{notify.NewSecret()}}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Report(t.Context(), "test", api.Incident{ID: "inc-1", Title: "water on the road", Severity: "minor"}, "by phone"); err != nil {
		t.Fatal(err)
	}
	closeStore(s)

	s = open()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- notify.New(notify.Options{Store: s, Wake: s.AlertsQueued, Logger: log, AllowPrivate: true}).Run(ctx)
	}()
	first := receive(t, got)
	if _, err := s.Work(t.Context(), "test", "inc-1", func(inc *api.Incident) (*api.TimelineEntry, error) {
		inc.State = api.StateAcknowledged
		return &api.TimelineEntry{Kind: "acknowledged"}, nil
	}); err != nil {
		t.Fatal(err)
	}
	second := receive(t, got)
	deadline := time.Now().Add(10 * time.Second)
	for {
		all, err := s.Deliveries(t.Context(), "one", 0, 10)
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
