package rules

import (
	"testing"
	"time"

	"gridpost/detection"
)

// removedSpec returns a rule about things that have stood for ten seconds and are gone for five, changed as the
// edits say.
func removedSpec(edits ...func(*removedTerms)) Spec {
	terms := &removedTerms{tracked: tracked{clear: defaultClear, classes: luggage()}, area: yard, settled: 10 * time.Second, hold: 5 * time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("taken", detection.Severe, terms)
}

func TestAThingIsRemoved(t *testing.T) {
	r := newRig(t, removedSpec())
	r.want(r.hall(0, 80,
		item{1, "suitcase", 0.3, 0.9, 0, 40},
		item{2, "suitcase", 0.7, 0.9, 0, 20},  // hidden behind somebody, who goes away
		item{3, "person", 0.7, 0.9, 20, 60},   // without it
		item{4, "suitcase", 0.5, 0.6, 0, 8},   // did not stand for long enough
		item{5, "backpack", 0.5, 0.9, 10, 80}, // lost by the tracker for a moment
	), "opened taken 44.5", "closed taken 47.5", "opened taken 64.5", "closed taken 67.5")
}

func TestAThingThatIsMovedIsNotRemoved(t *testing.T) {
	r := newRig(t, removedSpec())
	r.want(r.hall(0, 40, item{1, "suitcase", 0.3, 0.9, 0, 20}, item{1, "suitcase", 0.5, 0.9, 20, 40}))
	r.want(r.hall(40, 44, item{1, "suitcase", 0.1, 0.9, 40, 60})) // out of the area
	r.want(r.hall(44, 50, item{1, "suitcase", 0.1, 0.9, 40, 60}), "opened taken 44.5", "closed taken 47.5")
}

func TestNothingIsRemovedWhileNothingIsSeen(t *testing.T) {
	r := newRig(t, removedSpec())
	bag := item{1, "suitcase", 0.3, 0.9, 0, 1000}
	r.want(r.hall(0, 15, bag))
	r.want(r.hall(60, 70, bag)) // no frame for 45 s
	r.want(r.nobody(110, 113))
	r.want(r.hall(113, 120, bag))
}
