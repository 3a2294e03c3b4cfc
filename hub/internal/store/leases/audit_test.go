package leases

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/store/audit"
)

// TestEndsOfViewsAreOnRecord: once for each view, also when its hub was stopped.
func TestEndsOfViewsAreOnRecord(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, func(l Lease) any { return l })
		k := NewKeeper(r, "hub-1", slog.New(slog.DiscardHandler))
		begin := func() string {
			t.Helper()
			id, err := k.Begin(t.Context(), Lease{Edge: "gate-7", Device: "yard", Who: "li", Reason: "noise", Began: d.Now().Add(-time.Minute), Until: d.Now().Add(time.Hour)})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}
		k.End(begin(), problem.NewCause("video_ended", "reason", "the viewer left"))
		if err := k.flush(t.Context()); err != nil {
			t.Fatal(err)
		}
		begin()
		if err := NewKeeper(r, "hub-1", slog.New(slog.DiscardHandler)).Start(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := NewKeeper(r, "hub-1", slog.New(slog.DiscardHandler)).Start(t.Context()); err != nil { // nothing is open any more
			t.Fatal(err)
		}
		all, err := audit.New(d).List(t.Context(), audit.Query{Limit: 100})
		if err != nil || len(all) != 4 {
			t.Fatalf("%+v, %v", all, err)
		}
		for i, want := range []string{"the hub was stopped", "", "the viewer left", ""} {
			action := "view"
			if want != "" {
				action = "view end"
			}
			if e := all[i]; e.Action != action || e.Who != "li" || e.Object != "gate-7/yard" || !strings.Contains(e.Detail, want) {
				t.Errorf("%+v", e)
			}
		}
	})
}
