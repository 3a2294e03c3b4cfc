package ingest

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/google/uuid"

	"gridpost/hub/api"
)

// BenchmarkEvents posts batches of 100 alerts over mutual TLS, one after the other, as one edge
// does: each is decoded, checked, committed to the disk and acknowledged.
func BenchmarkEvents(b *testing.B) {
	p := newPort(b)
	c := p.enrol(b, "gate-7")
	const batch = 100
	seq := uint64(0)
	next := func() []byte {
		out := api.Batch{Epoch: "a", Sent: time.Now()}
		for range batch {
			seq++
			id, err := uuid.NewV7()
			if err != nil {
				b.Fatal(err)
			}
			out.Events = append(out.Events, newEvent(b, api.LaneAlerts, seq, api.KindIncident, incident(id.String())))
		}
		text, err := json.Marshal(out)
		if err != nil {
			b.Fatal(err)
		}
		return text
	}
	for b.Loop() {
		b.StopTimer()
		body := next()
		b.StartTimer()
		res, err := c.Post(p.URL+"/edge/v1/events", "application/json", bytes.NewReader(body))
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusOK {
			b.Fatal(res.Status)
		}
	}
	b.ReportMetric(float64(b.N*batch)/b.Elapsed().Seconds(), "events/s")
}
