package edges

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/api/public"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func add(t testing.TB, r *Repository, names ...string) {
	t.Helper()
	for _, name := range names {
		if err := r.Add(t.Context(), "test", name, []byte("hash of "+name), time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
	}
}

func update(t testing.TB, d *db.DB, fn func(*db.Tx) error) {
	t.Helper()
	if err := d.Update(t.Context(), "test", fn); err != nil {
		t.Fatal(err)
	}
}

// entries returns the entries of the change feed after a number, as "kind key".
func entries(t testing.TB, d *db.DB, after int64) []string {
	t.Helper()
	all, _, err := d.ChangesAfter(t.Context(), after, 10_000)
	if err != nil {
		t.Fatal(err)
	}
	out := []string{}
	for _, c := range all {
		out = append(out, c.Kind+" "+c.Key)
	}
	return out
}

func last(t testing.TB, d *db.DB) int64 {
	t.Helper()
	n, err := d.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func TestEnrolment(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, r := t.Context(), New(d, Options{})
		add(t, r, "gate-7")
		token, key := []byte("hash of gate-7"), []byte("key")
		if _, err := r.Redeem(ctx, []byte("another"), key); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an unknown token: %v", err)
		}
		for range 2 {
			if edge, err := r.Redeem(ctx, token, key); err != nil || edge != "gate-7" {
				t.Fatalf("%s, %v", edge, err)
			}
		}
		if _, err := r.Redeem(ctx, token, []byte("other key")); !errors.Is(err, db.ErrConflict) {
			t.Errorf("another key: %v", err)
		}
		if err := r.AddCertificate(ctx, "gate-7", "01", token, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if err := r.CheckCertificate(ctx, "gate-7", "01"); err != nil {
				t.Fatal(err)
			}
		}
		if err := r.CheckCertificate(ctx, "gate-8", "01"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a certificate of another edge: %v", err)
		}
		if _, err := r.Redeem(ctx, token, key); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a burnt token: %v", err)
		}
		woken := r.CommandAdded("gate-7")
		if err := r.Revoke(ctx, "test", "gate-7"); err != nil {
			t.Fatal(err)
		}
		select {
		case <-woken:
		case <-time.After(10 * time.Second):
			t.Error("a revocation does not wake the edge's stream")
		}
		if err := r.CheckCertificate(ctx, "gate-7", "01"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a certificate of a revoked edge: %v", err)
		}
		if err := r.AddCertificate(ctx, "gate-7", "02", nil, time.Now()); !errors.Is(err, db.ErrConflict) {
			t.Errorf("a certificate for a revoked edge: %v", err)
		}
	})
}

// TestEdgeShowsItsToken: an edge shows until when its newest token holds, and not once that was used.
func TestEdgeShowsItsToken(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, r := t.Context(), New(d, Options{})
		until := time.Now().Add(time.Hour).Truncate(time.Second)
		for hash, ends := range map[string]time.Time{"first": until.Add(-2 * time.Hour), "second": until} {
			if err := r.Add(ctx, "test", "gate-7", []byte(hash), ends); err != nil {
				t.Fatal(err)
			}
		}
		e, err := r.Edge(ctx, scope.All(), "gate-7")
		if err != nil || e.TokenUntil == nil || !e.TokenUntil.Equal(until) {
			t.Fatalf("%v, %v; want until %v", e.TokenUntil, err, until)
		}
		for _, hash := range []string{"first", "second"} {
			if err := errors.Join(r.AddCertificate(ctx, "gate-7", hash, []byte(hash), until), r.CheckCertificate(ctx, "gate-7", hash)); err != nil {
				t.Fatal(err)
			}
		}
		if e, err = r.Edge(ctx, scope.All(), "gate-7"); err != nil || e.TokenUntil != nil {
			t.Errorf("after its use: %v, %v", e.TokenUntil, err)
		}
		for range 2 {
			if _, err := r.DeleteTokensBefore(ctx, until.Add(time.Minute), 1); err != nil {
				t.Fatal(err)
			}
		}
		// The use of the second certificate has deleted the first one.
		if n, err := r.DeleteCertificatesBefore(ctx, until.Add(time.Minute), 10); err != nil || n != 1 {
			t.Errorf("deleted %d certificates, %v", n, err)
		}
	})
}

func TestScopes(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{})
		add(t, r, "north", "south")
		inv := api.Inventory{Devices: []api.Device{{Name: "yard", Kind: devices.Camera, Place: &devices.Place{Lat: 1, Lon: 2}}}}
		write(t, d, r, "north", &inv)
		write(t, d, r, "south", &inv)
		for s, want := range map[string]int{"all": 2, "north": 1, "nowhere": 0} {
			sc := scope.All()
			if s != "all" {
				sc = scope.Sites(s)
			}
			edges, err1 := r.Edges(t.Context(), sc)
			devs, err2 := r.Devices(t.Context(), sc, DeviceQuery{Limit: 10})
			near, err3 := r.CamerasWithin(t.Context(), sc, 1, 2, 100)
			if err := errors.Join(err1, err2, err3); err != nil || len(edges) != want || len(devs) != want || len(near) != want {
				t.Errorf("scope %s: %d edges, %d devices, %d near, %v; want %d", s, len(edges), len(devs), len(near), err, want)
			}
			_, err := r.Device(t.Context(), sc, "north", "yard")
			if (err == nil) != (want > 0) {
				t.Errorf("scope %s: device: %v", s, err)
			}
			if _, err = r.Edge(t.Context(), sc, "north"); (err == nil) != (want > 0) {
				t.Errorf("scope %s: edge: %v", s, err)
			}
		}
	})
}

func TestCommandsWakeOneEdge(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, r := t.Context(), New(d, Options{})
		add(t, r, "gate-7", "gate-8")
		mine, other, finished := r.CommandAdded("gate-7"), r.CommandAdded("gate-8"), r.CommandFinished("one")
		closed := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		now := time.Now()
		if err := r.AddCommand(ctx, "gate-7", api.Command{ID: "one", Kind: api.CommandPublish, Issued: now}, now.Add(time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := r.AddCommand(ctx, "gate-7", api.Command{ID: "late", Issued: now}, now.Add(-time.Minute)); err != nil {
			t.Fatal(err)
		}
		if err := r.AddCommand(ctx, "nobody", api.Command{ID: "x"}, now); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("a command for nobody: %v", err)
		}
		if !closed(mine) || closed(other) || closed(finished) {
			t.Errorf("woken: mine %v, other %v, result %v", closed(mine), closed(other), closed(finished))
		}
		all, err := r.CommandsFor(ctx, "gate-7", 0)
		if err != nil || len(all) != 1 || !strings.Contains(string(all[0].Body), `"one"`) {
			t.Fatalf("%+v, %v", all, err)
		}
		if more, err := r.CommandsFor(ctx, "gate-7", all[0].Row); err != nil || len(more) != 0 {
			t.Errorf("%+v, %v", more, err)
		}
		mine = r.CommandAdded("gate-7")
		for _, res := range []api.Result{{Cause: devices.NewCause("camera_no_frames", "seconds", "10")}, {OK: true}} {
			if err := r.FinishCommand(ctx, "gate-7", "one", res); err != nil {
				t.Fatal(err)
			}
		}
		if closed(mine) || !closed(finished) {
			t.Error("a result must wake who waits for it, not the edge's stream")
		}
		if err := r.FinishCommand(ctx, "gate-8", "one", api.Result{}); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an answer of another edge: %v", err)
		}
		if res, done, err := r.CommandResult(ctx, "one"); err != nil || !done || res.OK || res.Cause.Params["seconds"] != "10" {
			t.Errorf("%+v, %v, %v: want the first answer", res, done, err)
		}
		if n, err := r.DeleteCommandsBefore(ctx, now, 10); err != nil || n != 1 {
			t.Errorf("deleted %d, %v", n, err)
		}
	})
}

func TestEpochs(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{})
		add(t, r, "gate-7")
		begin := func(q Request) (s Session, err error) {
			q.Edge = "gate-7"
			err = d.Update(context.WithoutCancel(t.Context()), "test", func(tx *db.Tx) error {
				s, err = r.Begin(tx, q)
				return err
			})
			return s, err
		}
		for _, step := range []struct {
			q    Request
			want error
		}{
			{Request{Epoch: "a", Protocol: 2}, ErrSuperseded},
			{Request{Epoch: "a", Protocol: 2, Greets: true}, nil},
			{Request{Epoch: "a", Protocol: 2}, nil},
			{Request{Epoch: "b", Protocol: 2, Greets: true}, nil},
			{Request{Epoch: "a", Protocol: 2}, ErrSuperseded},
			{Request{Epoch: "a", Protocol: 2, Greets: true}, ErrSuperseded},
			{Request{Epoch: "b", Protocol: 2, Greets: true}, nil},
			{Request{Epoch: "old", Protocol: 1}, nil},
			{Request{Epoch: "b", Protocol: 1}, nil},
		} {
			if s, err := begin(step.q); !errors.Is(err, step.want) || err == nil && s.Site != "gate-7" {
				t.Errorf("%+v: %+v, %v; want %v", step.q, s, err, step.want)
			}
		}
		pending := Greeting{End: []string{"x"}, Resume: []string{"y"}}
		update(t, d, func(tx *db.Tx) error {
			if err := r.SetMarks(tx, "gate-7", "b", map[api.Lane]uint64{api.LaneAlerts: 7, api.LaneState: 9}); err != nil {
				return err
			}
			if err := r.SetMarks(tx, "gate-7", "b", map[api.Lane]uint64{api.LaneAlerts: 3}); err != nil {
				return err
			}
			return r.SetPending(tx, "gate-7", "b", pending)
		})
		s, err := r.Present(d.Read(t.Context()), "gate-7", "b")
		if got, _ := json.Marshal(s.Pending); err != nil || string(got) != `{"end":["x"],"resume":["y"]}` {
			t.Errorf("%s, %v", got, err)
		}
		if marks, err := r.Marks(d.Read(t.Context()), "gate-7", "b"); err != nil || marks[api.LaneAlerts] != 7 || marks[api.LaneState] != 9 {
			t.Errorf("marks %v, %v", marks, err)
		}
		for i := range 3 * keepEpochs {
			if _, err := begin(Request{Epoch: fmt.Sprint("epoch ", i), Protocol: 2, Greets: true}); err != nil {
				t.Fatal(err)
			}
		}
		var epochs, marks int
		if err := d.Read(t.Context()).One(`SELECT (SELECT count(*) FROM epochs), (SELECT count(*) FROM marks)`)(&epochs, &marks); err != nil || epochs > keepEpochs+1 || marks != 0 {
			t.Errorf("%d epochs and %d marks are kept, %v", epochs, marks, err)
		}
		if _, err := r.Present(d.Read(t.Context()), "nobody", "b"); !errors.Is(err, db.ErrNotFound) {
			t.Errorf("an unknown edge: %v", err)
		}
	})
}

// TestFeedIsPublic: what is published is what the hooks make of it.
func TestFeedIsPublic(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{PresentEdge: func(e Edge) any { return map[string]string{"edge": e.Name} }})
		add(t, r, "gate-7")
		all, _, err := d.ChangesAfter(t.Context(), 0, 10)
		if err != nil || len(all) != 1 || all[0].Kind != public.ChangeEdge || string(all[0].Data) != `{"edge":"gate-7"}` {
			t.Errorf("%+v, %v", all, err)
		}
	})
}
