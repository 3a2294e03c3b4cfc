package store

import (
	"context"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

func benchStore(b *testing.B) *Store {
	b.Helper()
	s, err := Open(b.Context(), Options{Dir: b.TempDir(), TelemetryBytes: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := s.Close(); err != nil {
			b.Error(err)
		}
	})
	return s
}

// BenchmarkIncidents saves incidents one by one, each on the disk before the next.
func BenchmarkIncidents(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	i := 0
	for b.Loop() {
		i++
		if err := s.SaveIncidents(ctx, []detection.Incident{incident(i)}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "incidents/s")
}

// BenchmarkIncidentsOfManyCallers shares synchronized transactions.
func BenchmarkIncidentsOfManyCallers(b *testing.B) {
	s := benchStore(b)
	b.SetParallelism(16)
	b.RunParallel(func(pb *testing.PB) {
		for i := 0; pb.Next(); i++ {
			if err := s.SaveIncidents(context.Background(), []detection.Incident{incident(i)}); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "incidents/s")
}

// BenchmarkReadings saves readings of 20 devices in batches of 500.
func BenchmarkReadings(b *testing.B) {
	s := benchStore(b)
	ctx := context.Background()
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	n := 0
	batch := make([]devices.Reading, 500)
	names := [20]string{}
	for i := range names {
		names[i] = "sensor-" + string(rune('a'+i))
	}
	for b.Loop() {
		for j := range batch {
			batch[j] = devices.Reading{Device: names[n%20], Time: start.Add(time.Duration(n) * 50 * time.Millisecond), Value: float64(n % 977), Unit: "m", Quality: devices.Good}
			n++
		}
		if err := s.SaveReadings(ctx, batch); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "readings/s")
}
