package desk

import (
	"context"
	"errors"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/hub/api"
	"gridpost/hub/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// oneIncident stands for the store: it does the work on one incident.
type oneIncident struct{ inc api.Incident }

func (o *oneIncident) Work(_ context.Context, _, _ string, work store.Work) (api.Incident, error) {
	inc := o.inc
	e, err := work(&inc)
	if err != nil {
		return api.Incident{}, err
	}
	if e != nil {
		inc.Version++
		o.inc = inc
	}
	return o.inc, nil
}

func (o *oneIncident) Report(_ context.Context, _ string, inc api.Incident, _ string) (api.Incident, error) {
	return inc, nil
}

func TestDoingThingsTwice(t *testing.T) {
	o := &oneIncident{inc: api.Incident{State: api.StateOpen, Source: api.SourceEdge, Condition: detection.Open}}
	d, ctx := New(o), t.Context()
	for name, do := range map[string]func() (api.Incident, error){
		"acknowledge": func() (api.Incident, error) { return d.Acknowledge(ctx, "li", "x") },
		"assign":      func() (api.Incident, error) { return d.Assign(ctx, "li", "x", "wang") },
	} {
		once, err := do()
		if err != nil {
			t.Fatal(err)
		}
		if twice, err := do(); err != nil || twice.Version != once.Version {
			t.Errorf("%s twice: %v", name, err)
		}
	}
	if _, err := d.Assign(ctx, "li", "x", "a\nb"); !errors.Is(err, ErrInput) {
		t.Errorf("an assignee of two lines: %v", err)
	}
	if inc, err := d.Close(ctx, "li", "x", ""); err != nil || inc.State != api.StateClosed || inc.Condition != detection.Open {
		t.Errorf("%+v, %v", inc, err)
	}
	if inc, err := d.Acknowledge(ctx, "li", "x"); err != nil || inc.State != api.StateClosed {
		t.Errorf("acknowledging what is closed: %+v, %v", inc, err)
	}
	if _, err := d.Assign(ctx, "li", "x", "zhao"); !errors.Is(err, ErrClosed) {
		t.Errorf("assigning what is closed: %v", err)
	}
}

func TestReports(t *testing.T) {
	d := New(&oneIncident{})
	inc, err := d.Report(t.Context(), "li", Report{Title: " a tree "})
	if err != nil || inc.Title != "a tree" || inc.Severity != detection.Moderate || inc.Kind != "report" || len(inc.ID) != 36 {
		t.Errorf("%+v, %v", inc, err)
	}
	for _, bad := range []Report{{}, {Title: strings.Repeat("x", MaxTitle+1)}, {Title: "x", Text: strings.Repeat("x", MaxText+1)}, {Title: "a\x00"}} {
		if _, err := d.Report(t.Context(), "li", bad); !errors.Is(err, ErrInput) {
			t.Errorf("%v", err)
		}
	}
}
