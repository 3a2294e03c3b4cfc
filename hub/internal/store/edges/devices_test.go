package edges

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// write applies an inventory and states as one batch of an edge.
func write(t testing.TB, d *db.DB, r *Repository, edge string, inv *api.Inventory, all ...Status) {
	t.Helper()
	update(t, d, func(tx *db.Tx) error {
		w := r.WriteDevices(tx, edge, edge)
		if inv != nil {
			if _, err := w.Inventory(*inv); err != nil {
				return err
			}
		}
		for _, s := range all {
			if err := w.Status(s); err != nil {
				return err
			}
		}
		return w.Flush()
	})
}

func TestDevicesComeGoAndMove(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		ctx, r, all := t.Context(), New(d, Options{}), scope.All()
		add(t, r, "gate-7")
		if err := NewPresence(r, nil).Seen(ctx, "gate-7"); err != nil {
			t.Fatal(err)
		}
		place := &devices.Place{Lat: 30.92, Lon: 120.93, FOV: 90, Range: 60}
		inv := api.Inventory{Version: "1", Devices: []api.Device{
			{Name: "yard", Kind: devices.Camera, Place: place, Rules: []api.Rule{{Name: "zone", Kind: "zone"}}}, {Name: "river", Kind: devices.Sensor, Unit: "m"},
		}}
		since := time.Now().Add(-time.Hour).Truncate(time.Millisecond).UTC()
		status := Status{devices.Status{Device: "yard", State: devices.Offline, Cause: devices.NewCause("camera_no_frames", "seconds", "10"), Since: time.Unix(100, 0)}, since}
		write(t, d, r, "gate-7", &inv, status)
		update(t, d, func(tx *db.Tx) error {
			if err := r.WriteDevices(tx, "gate-7", "gate-7").Status(Status{Status: devices.Status{Device: "gone"}}); !errors.Is(err, db.ErrNotFound) {
				t.Errorf("a device that is not there: %v", err)
			}
			return nil
		})
		got, err := r.Devices(ctx, all, DeviceQuery{Limit: 10})
		if err != nil || len(got) != 2 || got[1].State != devices.Offline || !got[1].Since.Equal(since) || got[1].Cause.Params["seconds"] != "10" || len(got[1].Rules) != 1 {
			t.Fatalf("%+v, %v", got, err)
		}
		for lat, want := range map[float64]int{30.921: 1, 31.921: 0} {
			if near, err := r.CamerasWithin(ctx, all, lat, 120.931, 500); err != nil || len(near) != want {
				t.Errorf("at %v: %+v, %v; want %d", lat, near, err, want)
			}
		}
		inv.Devices = slices.Clone(inv.Devices[:1])
		inv.Devices[0].Place = &devices.Place{Lat: 10, Lon: 179.9999}
		write(t, d, r, "gate-7", &inv)
		if got, err = r.Devices(ctx, all, DeviceQuery{Edge: "gate-7", Kind: devices.Camera, Limit: 10}); err != nil || len(got) != 1 || got[0].State != devices.Offline {
			t.Errorf("%+v, %v: want the state kept", got, err)
		}
		if near, err := r.CamerasWithin(ctx, all, 10, -179.9999, 500); err != nil || len(near) != 1 {
			t.Errorf("across the 180th meridian: %+v, %v", near, err)
		}
		if err := r.Revoke(ctx, "test", "gate-7"); err != nil {
			t.Fatal(err)
		}
		if near, err := r.CamerasWithin(ctx, all, 10, 179.9999, 500); err != nil || len(near) != 0 {
			t.Errorf("cameras of a revoked edge: %+v, %v", near, err)
		}
	})
}

func TestDevicesArePaged(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{})
		var want []Key
		for _, edge := range []string{"a", "a-b", "a0", "b"} {
			add(t, r, edge)
			inv := api.Inventory{}
			for _, name := range []string{"-", "0", "a", "a-", "z"} {
				inv.Devices = append(inv.Devices, api.Device{Name: name, Kind: devices.Sensor})
				want = append(want, Key{edge, name})
			}
			write(t, d, r, edge, &inv)
		}
		for _, edge := range []string{"", "a-b"} {
			var got []Key
			q := DeviceQuery{Edge: edge, Limit: 3}
			for {
				page, err := r.Devices(t.Context(), scope.All(), q)
				if err != nil {
					t.Fatal(err)
				}
				for _, d := range page {
					got = append(got, Key{d.Edge, d.Name})
				}
				if len(page) < q.Limit {
					break
				}
				q.After = got[len(got)-1]
			}
			expect := slices.DeleteFunc(slices.Clone(want), func(k Key) bool { return edge != "" && k.Edge != edge })
			if !slices.Equal(got, expect) {
				t.Errorf("edge %q: %v, want %v", edge, got, expect)
			}
		}
		for _, n := range []int{0, 1, 3} {
			got, err := r.DevicesByKey(t.Context(), scope.All(), append([]Key{{"a", "none"}}, want[:n]...))
			if err != nil || len(got) != n {
				t.Errorf("%d of %d devices by key, %v", len(got), n, err)
			}
		}
	})
}

// TestNothingNewIsNotPublished: an edge that connects again sends its whole inventory and every state
// again. That must not be told to anybody.
func TestNothingNewIsNotPublished(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Options{})
		add(t, r, "gate-7")
		inv := api.Inventory{Version: "1"}
		var all []Status
		now := time.Now()
		for i := range 20 {
			name := fmt.Sprint("device-", i)
			inv.Devices = append(inv.Devices, api.Device{Name: name, Kind: devices.Camera, Place: &devices.Place{Lat: float64(i)}, Rules: []api.Rule{{Name: "zone"}}})
			all = append(all, Status{devices.Status{Device: name, State: devices.Online, Since: now}, now})
		}
		health := Health{Time: now, Problems: []devices.Cause{devices.NewCause("outbox_full")}, Counters: map[string]uint64{"frames": 1}}
		everything := func() {
			t.Helper()
			write(t, d, r, "gate-7", &inv, all...)
			update(t, d, func(tx *db.Tx) error { return r.ApplyHealth(tx, "gate-7", health) })
		}
		start := last(t, d)
		everything()
		if got := entries(t, d, start); len(got) != 22 {
			t.Errorf("the first time %d entries: %v", len(got), got)
		}
		start = last(t, d)
		for i := range all { // dated anew, a little differently
			all[i].Corrected = now.Add(time.Duration(i) * time.Millisecond)
		}
		health.Counters["frames"], health.Time = 2, now.Add(time.Second)
		everything()
		if got := entries(t, d, start); len(got) != 0 {
			t.Errorf("the same again: %v", got)
		}
		all[3].State, all[3].Cause = devices.Offline, devices.NewCause("camera_no_frames", "seconds", "10")
		inv.Devices[7].Unit = "m"
		everything()
		if got, want := entries(t, d, start), []string{"edge gate-7", "device gate-7/device-3", "device gate-7/device-7"}; !slices.Equal(got, want) {
			t.Errorf("%v, want %v", got, want)
		}
		e, err := r.Edge(t.Context(), scope.All(), "gate-7")
		if err != nil || e.Inventory != 2 || e.Health == nil || e.Health.Counters["frames"] != 2 {
			t.Errorf("%+v, %v", e, err)
		}
		// A long inventory is one entry.
		for i := range 2 * maxPublished {
			inv.Devices = append(inv.Devices, api.Device{Name: fmt.Sprint("more-", i), Kind: devices.Sensor})
		}
		start = last(t, d)
		write(t, d, r, "gate-7", &inv)
		if got := entries(t, d, start); !slices.Equal(got, []string{"edge gate-7"}) {
			t.Errorf("a long inventory: %d entries", len(got))
		}
	})
}
