package app

import (
	"context"
	"encoding/json"
	"fmt"

	"gridpost/hub/internal/feed"
	"gridpost/hub/internal/present"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/telemetry"
)

// newestStep bounds the readings that are read at once for the live stream; the others follow in the next
// round.
const newestStep = 2000

// liveDevices gives the live stream the newest readings. It is for one goroutine at a time for each method.
type liveDevices struct {
	edges     *edges.Repository
	telemetry *telemetry.Repository

	position telemetry.Position // of Changed
	started  bool
}

// Changed implements feed.Devices.
func (l *liveDevices) Changed(ctx context.Context) ([]feed.Received, error) {
	if !l.started {
		l.position, l.started = l.telemetry.Now(), true
		return nil, nil
	}
	newest, position, err := l.telemetry.NewestSince(ctx, scope.All(), l.position, newestStep)
	if err != nil {
		return nil, err
	}
	l.position = position
	out := make([]feed.Received, len(newest))
	for i, n := range newest {
		out[i] = feed.Received{Device: feed.Device{Edge: n.Edge, Name: n.Device}, At: n.Received}
	}
	return out, nil
}

// Present implements feed.Devices.
func (l *liveDevices) Present(ctx context.Context, of []feed.Device) ([]feed.Presented, error) {
	keys, series := make([]edges.Key, len(of)), make([]telemetry.Key, len(of))
	for i, d := range of {
		keys[i], series[i] = edges.Key{Edge: d.Edge, Name: d.Name}, telemetry.Key{Edge: d.Edge, Device: d.Name}
	}
	// The readings are read before the devices, so that the state of a device is never older than its
	// reading.
	newest, err := l.telemetry.Newest(ctx, scope.All(), series)
	if err != nil {
		return nil, err
	}
	devices, err := l.edges.DevicesByKey(ctx, scope.All(), keys)
	if err != nil {
		return nil, err
	}
	out := make([]feed.Presented, 0, len(devices))
	for _, d := range devices {
		record := present.Device(d)
		if n, ok := newest[telemetry.Key{Edge: d.Edge, Device: d.Name}]; ok {
			record.Reading = present.Reading(n, d.Unit)
		}
		data, err := json.Marshal(record)
		if err != nil {
			return nil, fmt.Errorf("encoding device %s/%s: %w", d.Edge, d.Name, err)
		}
		out = append(out, feed.Presented{Device: feed.Device{Edge: d.Edge, Name: d.Name}, Site: d.Site, Data: data})
	}
	return out, nil
}
