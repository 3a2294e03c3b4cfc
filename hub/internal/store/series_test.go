package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

func fillReadings(t testing.TB, s *Store, from time.Time, n int, every time.Duration) {
	t.Helper()
	withEdge(t, s, "gate-7")
	all := make([]devices.Reading, n)
	for i := range all {
		all[i] = devices.Reading{Device: "river", Time: from.Add(time.Duration(i) * every), Value: float64(i % 10), Quality: devices.Good}
	}
	all[n/2].Value = 99
	all[n/2+1].Value, all[n/2+1].Quality = -999, devices.Bad
	got, err := applyEvents(context.WithoutCancel(t.Context()), s, "gate-7", "a", []Event{
		{Lane: api.LaneState, Seq: 1, Value: api.Inventory{Devices: []api.Device{{Name: "river", Kind: devices.Sensor, Unit: "m"}}}},
		{Lane: api.LaneTelemetry, Seq: 1, Value: all},
	})
	if err != nil || len(got.Ack.Refused) > 0 {
		t.Fatalf("%+v, %v", got, err)
	}
}

func TestSeriesKeepsPeaks(t *testing.T) {
	s := newStore(t)
	from := time.UnixMilli(1_700_000_000_000)
	fillReadings(t, s, from, 600, time.Second)
	got, err := s.Series(t.Context(), "gate-7", "river", from, from.Add(10*time.Minute), 20)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(got.At); n != 20 || len(got.Mean) != n || len(got.Low) != n || len(got.High) != n || got.Unit != "m" {
		t.Fatalf("%+v", got)
	}
	low, high := got.Low[0], got.High[0]
	for i := range got.At {
		if i > 0 && got.At[i] <= got.At[i-1] {
			t.Errorf("the times do not rise: %v", got.At)
		}
		if got.Mean[i] < got.Low[i] || got.Mean[i] > got.High[i] {
			t.Errorf("the mean %v is not within %v and %v", got.Mean[i], got.Low[i], got.High[i])
		}
		low, high = min(low, got.Low[i]), max(high, got.High[i])
	}
	if high != 99 || low != 0 {
		t.Errorf("from %v to %v: a peak was lost, or a bad value taken", low, high)
	}
	if none, err := s.Series(t.Context(), "gate-7", "river", from.Add(-time.Hour), from.Add(-time.Minute), 20); err != nil || len(none.At) != 0 {
		t.Errorf("%+v, %v", none, err)
	}
	if _, err := s.Series(t.Context(), "gate-7", "none", from, from.Add(time.Minute), 20); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
}

func TestLastPicture(t *testing.T) {
	s, ctx := newStore(t), context.WithoutCancel(t.Context())
	withEdge(t, s, "gate-7")
	if _, err := s.LastPicture(ctx, "gate-7", "yard"); !errors.Is(err, ErrNotFound) {
		t.Errorf("%v", err)
	}
	now := time.Now().Truncate(time.Millisecond)
	for i, name := range []string{"old.jpg", "new.jpg", "coming.jpg"} {
		alert := opened(t, uint64(2*i+1))
		inc := alert.Value.(Alert)
		inc.Incident.Opened = now.Add(time.Duration(i) * time.Minute)
		alert.Value = inc
		ev := api.Evidence{Incident: inc.Incident.ID, Name: name, ContentType: "image/jpeg", Size: 1, SHA256: "x", Time: now.Add(time.Duration(i) * time.Minute)}
		if got, err := applyEvents(ctx, s, "gate-7", "a", []Event{alert, {Lane: api.LaneAlerts, Seq: uint64(2*i + 2), Value: ev}}); err != nil || len(got.Ack.Refused) > 0 {
			t.Fatalf("%+v, %v", got, err)
		}
		if name == "coming.jpg" {
			continue // announced only
		}
		if err := s.CompleteEvidence(ctx, "gate-7", Upload{Evidence: ev}); err != nil {
			t.Fatal(err)
		}
	}
	p, err := s.LastPicture(ctx, "gate-7", "yard")
	if err != nil || !p.Time.Equal(now.Add(time.Minute)) || p.URL != "/api/v1/evidence/"+p.Incident+"/new.jpg" {
		t.Errorf("%+v, %v", p, err)
	}
}

// BenchmarkSeries reads a day of a sensor that speaks every second.
func BenchmarkSeries(b *testing.B) {
	s := newStore(b)
	from := time.UnixMilli(1_700_000_000_000)
	fillReadings(b, s, from, 86_400, time.Second)
	for b.Loop() {
		if _, err := s.Series(b.Context(), "gate-7", "river", from, from.Add(24*time.Hour), 300); err != nil {
			b.Fatal(err)
		}
	}
}
