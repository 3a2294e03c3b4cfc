package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/audit"
)

// publicationsOf returns the entries about publications, oldest first.
func publicationsOf(t *testing.T, d *db.DB) (got []audit.Entry) {
	t.Helper()
	all, err := audit.New(d).List(t.Context(), audit.Query{Limit: 500})
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range all {
		if strings.HasPrefix(e.Action, "publish") {
			got = append([]audit.Entry{e}, got...)
		}
	}
	return got
}

func change(t *testing.T, d *db.DB, sql string) {
	t.Helper()
	if err := d.Update(t.Context(), "test", func(x *db.Tx) error { _, err := x.Exec(sql); return err }); err != nil {
		t.Fatal(err)
	}
}

const breakAudit, repairAudit = `CREATE TRIGGER broken BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'broken'); END`, `DROP TRIGGER broken`

var errGone = errors.New("gone")

func gone() devices.Cause { return problem.New("video_upstream_ended").BecauseOf(errGone).Reason }

// stopped returns a context that has ended: Run then stores what is left.
func stopped(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	return ctx
}

// TestPublicationsAreOnRecord: both ends of a publication are in the audit log, also when the database failed
// at the end; a publication whose beginning cannot be stored does not begin.
func TestPublicationsAreOnRecord(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	l := newPublicationLog(d, slog.New(slog.DiscardHandler))
	p := relay.Publication{Edge: "gate-7", Device: "yard", Stream: relay.SubStream, By: "user:1", User: "anna"}
	end, err := l.Begin(t.Context(), p)
	if err != nil {
		t.Fatal(err)
	}
	if got := publicationsOf(t, d); len(got) != 1 {
		t.Errorf("it began without a record: %+v", got)
	}
	change(t, d, breakAudit)
	if _, err := l.Begin(t.Context(), p); err == nil {
		t.Error("a publication began without a record")
	}
	end(gone())
	if err := l.flush(t.Context(), time.Time{}); err == nil {
		t.Error("an end was stored in a broken table")
	}
	change(t, d, repairAudit)
	if err := l.Run(stopped(t)); err != nil {
		t.Fatal(err)
	}
	got := publicationsOf(t, d)
	if len(got) != 2 || got[0].Action != "publish" || got[1].Action != "publish end" || !strings.HasSuffix(got[1].Detail, "gone") {
		t.Fatalf("%+v", got)
	}
	for _, e := range got {
		if e.Who != "anna" || e.Object != "gate-7/yard/sub" {
			t.Errorf("%+v", e)
		}
	}
}

// TestPublicationsOfEdgesAreOnRecord: a publication by an edge begins without a transaction, also while the database
// fails. Its entries are written together with others.
func TestPublicationsOfEdgesAreOnRecord(t *testing.T) {
	commits := 0
	d := dbtest.Open(t, db.SQLite, db.Options{Observer: db.Observer{Commit: func(string, time.Duration, time.Duration, error) { commits++ }}})
	l := newPublicationLog(d, slog.New(slog.DiscardHandler))
	change(t, d, breakAudit)
	const cameras = 20
	commits = 0
	for i := range cameras {
		end, err := l.Begin(t.Context(), relay.Publication{Edge: "gate-7", Device: fmt.Sprint("camera-", i), By: "edge:gate-7"})
		if err != nil {
			t.Fatal(err)
		}
		if i > 0 { // the first one goes on
			end(gone())
		}
	}
	if commits != 0 {
		t.Errorf("%d transactions for the beginnings", commits)
	}
	if err := l.flush(t.Context(), time.Time{}); err == nil {
		t.Error("entries were stored in a broken table")
	}
	change(t, d, repairAudit)
	commits = 0
	if err := l.Run(stopped(t)); err != nil {
		t.Fatal(err)
	}
	if commits != 1 {
		t.Errorf("%d transactions", commits)
	}
	got := publicationsOf(t, d)
	if len(got) != 2*cameras-1 || got[0].Action != "publish" || got[0].Who != "edge gate-7" || got[0].Object != "gate-7/camera-0" {
		t.Fatalf("%d: %+v", len(got), got)
	}
	if last := got[len(got)-1]; last.Action != "publish end" || last.Object != "gate-7/camera-19" || !strings.HasSuffix(last.Detail, "gone") {
		t.Errorf("%+v", last)
	}
}

// TestPublicationsOfAFlappingEdgeAreBounded: an edge that publishes a stream again and again fills neither the memory
// nor the log; the log has the number. Another stream has entries of its own.
func TestPublicationsOfAFlappingEdgeAreBounded(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	l := newPublicationLog(d, slog.New(slog.DiscardHandler))
	publish := func(device string) {
		t.Helper()
		end, err := l.Begin(t.Context(), relay.Publication{Edge: "gate-7", Device: device, By: "edge:gate-7"})
		if err != nil {
			t.Fatal(err)
		}
		end(gone())
	}
	const times = 10_000
	for range times {
		publish("yard")
	}
	publish("road")
	if n := len(l.waiting); n != 2*maxRecorded+2 {
		t.Errorf("%d entries wait", n)
	}
	if err := l.flush(t.Context(), d.Now().Add(-repeatWindow)); err != nil { // within the window
		t.Fatal(err)
	}
	publish("yard")
	if err := l.flush(t.Context(), d.Now()); err != nil { // the window is over
		t.Fatal(err)
	}
	got := publicationsOf(t, d)
	if len(got) != 2*maxRecorded+2+1 {
		t.Errorf("%d entries", len(got))
	}
	last := got[len(got)-1]
	if want := fmt.Sprint(times+1-maxRecorded, " more since"); last.Action != "publish repeated" || last.Object != "gate-7/yard" ||
		!strings.Contains(last.Detail, want) || !strings.HasSuffix(last.Detail, "gone") {
		t.Errorf("%+v, want %s", last, want)
	}
	if len(l.repeats) != 0 || len(l.waiting) != 0 {
		t.Errorf("%d streams and %d entries are left", len(l.repeats), len(l.waiting))
	}
	publish("yard") // a new window
	if len(l.waiting) != 2 {
		t.Errorf("%+v", l.waiting)
	}
}

// TestPublicationEntriesWaitWithinBounds: while the database fails, the entries of many streams do not pile up.
func TestPublicationEntriesWaitWithinBounds(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	l := newPublicationLog(d, slog.New(slog.DiscardHandler))
	const streams = 2 * maxWaiting
	for i := range streams {
		end, err := l.Begin(t.Context(), relay.Publication{Edge: "gate-7", Device: fmt.Sprint("camera-", i), By: "edge:gate-7"})
		if err != nil {
			t.Fatal(err)
		}
		end(gone())
	}
	if n := len(l.waiting); n > maxWaiting+1 {
		t.Errorf("%d entries wait", n)
	}
	for range 3 { // what did not fit is counted, and stored later
		if err := l.flush(t.Context(), d.Now()); err != nil {
			t.Fatal(err)
		}
	}
	var n int
	if err := d.Read(t.Context()).One(`SELECT count(DISTINCT object) FROM audit WHERE action LIKE 'publish%'`)(&n); err != nil {
		t.Fatal(err)
	}
	if n != streams {
		t.Errorf("%d of %d streams are on record", n, streams)
	}
}
