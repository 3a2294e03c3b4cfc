package telemetry

import (
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// BenchmarkApply applies batches of a thousand edges, each with one reading of each of 20 devices.
func BenchmarkApply(b *testing.B) {
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		b.Run(e.String(), func(b *testing.B) {
			r := New(dbtest.Open(b, e, Options(db.Options{})), nil)
			var seq atomic.Int64
			began := time.Now()
			b.SetParallelism(32) // edges that send at the same time
			b.ResetTimer()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					n := seq.Add(1)
					var all []Reading
					for d := range 20 {
						all = append(all, number(fmt.Sprint("d", d), began.Add(time.Duration(n)*time.Millisecond), float64(n)))
					}
					batch := Batch{Edge: fmt.Sprint("edge", n%1000), Epoch: "e", Events: []Event{{Seq: uint64(n), Readings: all}}}
					if _, err := r.Apply(b.Context(), batch); err != nil {
						b.Error(err)
					}
				}
			})
			b.ReportMetric(20*float64(b.N)/b.Elapsed().Seconds(), "readings/s")
		})
	}
}

// BenchmarkCurve reads curves of a month of a sensor with a reading each ten seconds.
func BenchmarkCurve(b *testing.B) {
	const values = 30 * 8640
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		b.Run(e.String(), func(b *testing.B) {
			r := New(dbtest.Open(b, e, Options(db.Options{})), nil)
			end := time.Now()
			for i := 0; i < values; i += 10_000 {
				var all []Reading
				for k := i; k < min(i+10_000, values); k++ {
					all = append(all, number("level", end.Add(time.Duration(k-values)*10*time.Second), float64(k%1000)))
				}
				if _, err := r.Apply(b.Context(), batch("e", uint64(i+1), all...)); err != nil {
					b.Fatal(err)
				}
			}
			for _, length := range []time.Duration{time.Hour, 24 * time.Hour, 7 * 24 * time.Hour, 30 * 24 * time.Hour} {
				b.Run(length.String(), func(b *testing.B) {
					for b.Loop() {
						c, err := r.Curve(b.Context(), scope.All(), "weir", "level", end.Add(-length), end, 120)
						if err != nil || len(c.At) < 60 {
							b.Fatalf("%d points, %v", len(c.At), err)
						}
					}
				})
			}
		})
	}
}
