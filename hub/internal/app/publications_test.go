package app

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/audit"
)

// TestPublicationsAreOnRecord: both ends of a publication are in the audit log, also when the database failed
// at the end; a publication whose beginning cannot be stored does not begin.
func TestPublicationsAreOnRecord(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	l := newPublicationLog(d, slog.New(slog.DiscardHandler))
	exec := func(sql string) {
		t.Helper()
		if err := d.Update(t.Context(), "test", func(x *db.Tx) error { _, err := x.Exec(sql); return err }); err != nil {
			t.Fatal(err)
		}
	}
	p := relay.Publication{Edge: "gate-7", Device: "yard", Stream: relay.SubStream, By: "user:1", User: "anna"}
	if err := l.Begin(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	exec(`CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'broken'); END`)
	if err := l.Begin(t.Context(), p); err == nil {
		t.Error("a publication began without a record")
	}
	l.End(p, problem.New("video_upstream_ended").BecauseOf(errors.New("gone")).Reason)
	if err := l.flush(t.Context()); err == nil {
		t.Error("an end was stored in a broken table")
	}
	exec(`DROP TRIGGER broken`)
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Run stores what is left at its end
	if err := l.Run(ctx); err != nil {
		t.Fatal(err)
	}
	all, err := audit.New(d).List(t.Context(), 0, 10)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range all {
		if e.Action == "publish" || e.Action == "publish_end" {
			got = append(got, e.Who+" "+e.Action+" "+e.Object+" "+e.Detail)
		}
	}
	if len(got) != 2 || !strings.HasPrefix(got[0], "anna publish_end gate-7/yard/sub 20") || !strings.HasSuffix(got[0], "gone") || got[1] != "anna publish gate-7/yard/sub " {
		t.Errorf("%q", got)
	}
}
