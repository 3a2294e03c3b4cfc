package rules

import (
	"fmt"
	"math"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/health"
)

func healthSpec(edits ...func(*healthTerms)) Spec {
	terms, _ := healthKind().Terms().(*healthTerms)
	terms.hold, terms.clear = 5*time.Second, 3*time.Second
	for _, edit := range edits {
		edit(terms)
	}
	s := spec("view", detection.Minor, terms)
	s.Kind = detection.Health
	return s
}

// stripes is a sample of a view with edges, moved by some pixels.
func stripes(shift int) *health.Sample {
	const w, h = 160, 90
	gray := make([]byte, w*h)
	for y := range h {
		for x := range w {
			u := float64(x + shift)
			gray[y*w+x] = byte(120 + 50*math.Sin((u*u+3*float64(y*y))/4000) + 40*math.Sin(u/9+float64(y)/13))
		}
	}
	return new(health.Sampler).Sample(gray, w, h, 0, true)
}

// samples hands the same sample to the engine once in each second of [from, to).
func (r *rig) samples(from, to int, s *health.Sample) (alerts []string) {
	for i := from; i < to; i++ {
		for _, inc := range r.e.Sample(at(float64(i)), s) {
			alerts = append(alerts, fmt.Sprintf("%d %s %s %d", i, inc.State, inc.Class, inc.Version))
		}
	}
	return alerts
}

func wantText(t *testing.T, what string, got any, want string) {
	t.Helper()
	if text := fmt.Sprint(got); text != want {
		t.Errorf("%s: %s, want %s", what, text, want)
	}
}

func TestHealthOpensAndCloses(t *testing.T) {
	r := newRig(t, healthSpec())
	nothing := &health.Sample{}
	wantText(t, "a view", r.samples(0, 40, stripes(0)), "[]")
	wantText(t, "nothing", r.samples(40, 50, nothing), "[45 open no_picture 1]")
	wantText(t, "a short view", r.samples(50, 52, stripes(0)), "[]")
	wantText(t, "nothing again", r.samples(52, 60, nothing), "[]")
	wantText(t, "the view", r.samples(60, 70, stripes(0)), "[63 closed no_picture 2]")
	wantText(t, "a short time", r.samples(70, 74, nothing), "[]")
	wantText(t, "the view again", r.samples(74, 80, stripes(0)), "[]")
	// Time that nobody has seen does not count.
	wantText(t, "a gap", append(r.samples(80, 81, nothing), r.samples(100_000, 100_001, nothing)...), "[]")
}

func TestHealthRestores(t *testing.T) {
	r := newRig(t, healthSpec())
	r.samples(0, 40, stripes(0))
	r.samples(40, 50, &health.Sample{})
	open := r.e.Open()
	if len(open) != 1 || open[0].Kind != detection.Health || open[0].Box != nil {
		t.Fatalf("open: %+v", open)
	}
	second := newRig(t, healthSpec())
	twice := open[0]
	twice.ID += "x"
	unknown := open[0]
	unknown.ID, unknown.Class = unknown.ID+"y", "bright"
	if closed := second.e.Restore([]detection.Incident{open[0], twice, unknown}, at(60)); len(closed) != 2 {
		t.Errorf("closed: %+v", closed)
	}
	wantText(t, "what is restored", second.samples(60, 70, &health.Sample{}), "[]")
	wantText(t, "the view", second.samples(70, 80, stripes(0)), "[73 closed no_picture 2]")

	// A rule that does not look for the problem any more closes its incident.
	r.e.Tick(at(50))
	closed, err := r.e.Reconfigure([]Spec{healthSpec(func(h *healthTerms) { h.problems = []health.Problem{health.Dark} })}, at(51))
	if err != nil || len(closed) != 1 || closed[0].State != detection.Closed {
		t.Errorf("closed: %+v, %v", closed, err)
	}
}

// TestHealthRemembers: the view outlives a restart of the edge and a change of the rule.
func TestHealthRemembers(t *testing.T) {
	r := newRig(t, healthSpec())
	before := r.e.Revision()
	wantText(t, "the view", r.samples(0, 40, stripes(0)), "[]")
	memory := r.e.Memory()
	if len(memory["view"]) == 0 || r.e.Revision() == before {
		t.Fatalf("learned %d bytes", len(memory["view"]))
	}
	if _, err := r.e.Reconfigure([]Spec{healthSpec(func(h *healthTerms) { h.hold = 8 * time.Second })}, at(40)); err != nil {
		t.Fatal(err)
	}
	if got := r.samples(40, 60, stripes(20)); len(got) != 1 {
		t.Errorf("after a change of the rule: %v", got)
	}
	second := newRig(t, healthSpec())
	if damaged := second.e.Remember(map[string][]byte{"view": memory["view"], "gone": {1}}); len(damaged) != 0 {
		t.Errorf("damaged: %v", damaged)
	}
	if got := second.samples(60, 100, stripes(20)); len(got) != 1 {
		t.Errorf("after a restart: %v", got)
	}
	if !second.e.AcceptView() || second.e.AcceptView() {
		t.Error("the view could not be accepted once")
	}
	if got := second.samples(100, 110, stripes(20)); len(got) != 1 {
		t.Errorf("after it was accepted: %v", got)
	}
	wantText(t, "damaged", newRig(t, healthSpec()).e.Remember(map[string][]byte{"view": {1}}), "[view]")
}

func TestHealthJudgesTheClock(t *testing.T) {
	r := newRig(t, healthSpec())
	tick := func(from, to int) (got []string) {
		for i := from; i < to; i++ {
			for _, inc := range r.e.Tick(at(float64(i))) {
				got = append(got, fmt.Sprintf("%d %s %s %v", i, inc.State, inc.Class, *inc.Value))
			}
		}
		return got
	}
	wantText(t, "not known", tick(0, 20), "[]")
	r.e.SetClock(health.Present, -time.Minute)
	wantText(t, "a minute late", tick(20, 30), "[25 open clock -60]")
	r.e.SetClock(health.Unknown, 0)
	wantText(t, "not known again", tick(30, 60), "[]")
	r.e.SetClock(health.Absent, time.Second)
	wantText(t, "right", tick(60, 70), "[63 closed clock -60]")
}
