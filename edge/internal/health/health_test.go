package health

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func texts(all []devices.Cause) string {
	var out []string
	for _, c := range all {
		out = append(out, c.Text)
	}
	return strings.Join(out, ", ")
}

func TestProblemsAreWorstFirstAndClear(t *testing.T) {
	r := NewRegistry()
	r.AddSource(Undelivered, func() []devices.Cause { return []devices.Cause{{Text: "hub away"}} })
	r.AddSource(Losing, func() []devices.Cause { return nil })
	r.Set(Degraded, "status", devices.Cause{Text: "port in use"})
	r.Set(Blind, "broker b", devices.Cause{Text: "broker b"})
	r.Set(Blind, "broker a", devices.Cause{Text: "broker a"})
	r.Set(Losing, "alerts", devices.Cause{Text: "alerts"})
	if got := texts(r.Problems()); got != "alerts, hub away, broker a, broker b, port in use" {
		t.Error(got)
	}
	if got := r.Find("broker "); got.Text != "broker a" {
		t.Errorf("found %+v", got)
	}
	r.Set(Losing, "alerts", devices.Cause{})
	r.Clear("broker a")
	r.Set(Blind, "broker b", devices.Cause{Text: "broker b again"})
	if got := texts(r.Problems()); got != "hub away, broker b again, port in use" {
		t.Error(got)
	}
	if got := r.Find("camera "); !got.IsZero() {
		t.Errorf("found %+v", got)
	}
}

type hub struct{ reports []api.Health }

func (h *hub) SetHealth(r api.Health) { h.reports = append(h.reports, r) }

func TestReports(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var problems []devices.Cause
		for i := range maxProblems + 10 {
			problems = append(problems, devices.Cause{Text: fmt.Sprint(i)})
		}
		h := &hub{}
		r := NewReporter(h, func() []devices.Cause { return problems }, func() map[string]uint64 { return map[string]uint64{"x_total": 1} })
		ctx, cancel := context.WithTimeout(t.Context(), 35*time.Second)
		defer cancel()
		if err := r.Run(ctx); err != nil || len(h.reports) != 4 {
			t.Fatalf("%d reports, %v", len(h.reports), err)
		}
		got := h.reports[3]
		if len(got.Problems) != maxProblems || got.Problems[maxProblems-1].Text != "and 11 more" || got.Problems[48].Text != "48" || got.Counters["x_total"] != 1 {
			t.Errorf("report: %+v", got)
		}
		if len(problems) != maxProblems+10 || problems[maxProblems-1].Text != "49" {
			t.Error("the list of problems was changed")
		}
	})
}
