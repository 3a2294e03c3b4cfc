package faults

import "testing"

func TestPlansHaveEveryFaultOnceAndNoneBesideItsLike(t *testing.T) {
	hub := fault{name: "hub-one", needs: []string{"hub"}}
	other := fault{name: "hub-two", needs: []string{"hub"}}
	line := fault{name: "line", on: onEdge, needs: []string{"line"}}
	for name, list := range map[string][]fault{
		"one alone": {hub}, "two that exclude each other": {hub, other}, "all": {hub, other, line},
	} {
		p := newPlanner(7, list)
		seen := map[string]int{}
		for range 20 {
			step := p.next()
			for _, one := range step {
				seen[one.fault.name]++
			}
			if len(step) == 2 && step[0].excludes(step[1]) {
				t.Errorf("%s: %v and %v run at the same time", name, step[0], step[1])
			}
		}
		if len(seen) != len(list) {
			t.Errorf("%s: only %v were planned", name, seen)
		}
	}
}
