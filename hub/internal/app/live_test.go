package app

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/store/telemetry"
)

func TestLiveDevicesGivesWhatCameSince(t *testing.T) {
	ctx := t.Context()
	d := dbtest.Open(t, db.SQLite, db.Options{})
	r := NewEdges(d)
	readings := telemetry.New(dbtest.Open(t, db.SQLite, telemetry.Options(db.Options{})), slog.New(slog.DiscardHandler))
	if err := r.Add(ctx, "test", "gate-7", []byte("x"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if err := d.Update(ctx, "test", func(tx *db.Tx) error {
		_, err := r.WriteDevices(tx, "gate-7", "gate-7").Inventory(api.Inventory{
			Version: "1", Devices: []api.Device{{Name: "river", Kind: devices.Sensor, Unit: "m"}, {Name: "yard", Kind: devices.Camera}},
		})
		return err
	}); err != nil {
		t.Fatal(err)
	}
	apply := func(seq uint64, device string, value float64) {
		t.Helper()
		reading := devices.Reading{Device: device, Time: time.Now(), Value: value, Quality: devices.Good}
		if _, err := readings.Apply(ctx, telemetry.Batch{Edge: "gate-7", Epoch: "a", Events: []telemetry.Event{{Seq: seq, Readings: []telemetry.Reading{{Reading: reading}}}}}); err != nil {
			t.Fatal(err)
		}
	}
	live := &liveDevices{edges: r, telemetry: readings}
	if all, err := live.Changed(ctx); err != nil || len(all) != 0 {
		t.Errorf("at the start: %v, %v", all, err)
	}
	apply(1, "river", 3.4)
	apply(2, "gone", 1) // no device of the edge any more
	all, err := live.Changed(ctx)
	if err != nil || len(all) != 2 || all[0].Device != (feed.Device{Edge: "gate-7", Name: "river"}) {
		t.Fatalf("%v, %v", all, err)
	}
	presented, err := live.Present(ctx, []feed.Device{all[0].Device, all[1].Device})
	if err != nil || len(presented) != 1 || presented[0].Site != "gate-7" {
		t.Fatalf("%v, %v", presented, err)
	}
	for _, part := range []string{`"edge":"gate-7"`, `"name":"river"`, `"kind":"sensor"`, `"reading":{"time":`, `"value":3.4,"unit":"m","quality":"good"`} {
		if !strings.Contains(string(presented[0].Data), part) {
			t.Errorf("%s lacks %s", presented[0].Data, part)
		}
	}
}
