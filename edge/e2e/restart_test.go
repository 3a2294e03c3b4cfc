package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
)

// While a sensor goes up and down, the hub is stopped, killed and started again, and so is the
// edge. Every flood is at the hub once, opened once and over.
func TestRestartsLoseAndDoubleNothing(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{Name: "river-1", Sensors: map[string][]rig.Map{"river": {flood()}}})
	river := sensor(t, s, "river")

	floods := 0
	wave := func(n int) {
		t.Helper()
		for range n {
			for _, level := range []float64{0.5, 3, 0.5} {
				if err := river.Publish(t.Context(), level); err != nil {
					t.Fatal(err)
				}
			}
			floods++
		}
	}
	wave(5)
	if err := h.Stop(); err != nil {
		t.Fatal(err)
	}
	wave(5)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wave(5)
	h.Kill()
	wave(5)
	s.Kill() // with a hub that is away: all that is known is on the edge's disk
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	wave(5)
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	wave(5)

	waitIncidents(t, h, floods)
	wave(1) // what was doubled would come before this one: alerts keep their order
	all := waitIncidents(t, h, floods)
	seen := map[string]bool{}
	for _, i := range all {
		if seen[i.ID] {
			t.Errorf("incident %s is there twice", i.ID)
		}
		seen[i.ID] = true
		whole, err := h.Incident(t.Context(), i.ID)
		if err != nil {
			t.Fatal(err)
		}
		kinds := map[string]int{}
		for _, e := range whole.Timeline {
			kinds[e.Kind]++
		}
		if kinds["opened"] != 1 || kinds["over"] != 1 {
			t.Errorf("incident %s has the timeline %v", i.ID, kinds)
		}
	}
}

// waitIncidents waits until the hub has exactly want incidents and all are over.
func waitIncidents(t *testing.T, h *rig.Hub, want int) []public.Incident {
	t.Helper()
	var all []public.Incident
	check := func(ctx context.Context) (err error) {
		if all, err = h.Incidents(ctx); err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		over := 0
		for _, i := range all {
			if i.Condition == detection.Closed {
				over++
			}
		}
		if len(all) > want {
			return fmt.Errorf("%d incidents, %d were made", len(all), want)
		}
		if over < want {
			return fmt.Errorf("%w: %d incidents, %d of them over", rig.ErrNotYet, len(all), over)
		}
		return nil
	}
	if err := rig.Until(t.Context(), 90*time.Second, fmt.Sprintf("%d incidents that are over", want), check); err != nil {
		t.Fatal(err)
	}
	return all
}

// An edge may be told to stop at any moment of its start, also before its program can handle the signal.
func TestStopRightAfterTheStart(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{Name: "river-1", Sensors: map[string][]rig.Map{"river": {flood()}}})
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	for round := range 10 {
		if err := s.Start(); err != nil {
			t.Fatal(err)
		}
		if err := s.Stop(); err != nil {
			t.Fatalf("round %d: %v", round, err)
		}
	}
}
