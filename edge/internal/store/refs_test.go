package store

import (
	"reflect"
	"testing"

	"gridpost/detection"
	"gridpost/hub/api"
)

// TestRefsCountWhatTheHubHas: a hub that was restored from a backup sees by the count that it lacks
// evidence, and gets it again. What it will never have is not counted, or it would be sent for ever.
func TestRefsCountWhatTheHubHas(t *testing.T) {
	s := open(t, Options{Dir: t.TempDir()})
	ctx := t.Context()
	at := s.o.Now()
	var all []detection.Incident
	for i := range 3 {
		inc := incident(i)
		inc.Opened, inc.Updated = at, at
		all = append(all, inc)
	}
	all[2].State, all[2].Closed = detection.Closed, at
	must(t, save(ctx, s, all...))
	files := map[string]api.Evidence{}
	for _, name := range []string{"0 a", "0 b", "0 c", "2 a", "2 b", "2 c"} {
		meta := api.Evidence{Incident: all[name[0]-'0'].ID, Name: name[2:] + ".jpg", ContentType: "image/jpeg", Time: at}
		meta, err := s.SaveEvidence(ctx, meta, []byte(name))
		must(t, err)
		files[name] = meta
	}
	refs := func() map[string]int {
		t.Helper()
		open, err := s.OpenRefs(ctx)
		must(t, err)
		recent, err := s.RecentRefs(ctx, "", 100)
		must(t, err)
		count := map[string]int{}
		for _, r := range append(open, recent...) {
			count[r.ID] = r.Evidence
		}
		return count
	}
	expect := func(when string, zero, one, two int) {
		t.Helper()
		if got, want := refs(), (map[string]int{all[0].ID: zero, all[1].ID: one, all[2].ID: two}); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, want %v", when, got, want)
		}
	}
	expect("nothing was uploaded", 0, 0, 0)
	must(t, s.EvidenceDelivered(ctx, files["0 a"]))
	must(t, s.EvidenceDelivered(ctx, files["2 a"]))
	must(t, s.EvidenceDelivered(ctx, files["2 b"]))
	must(t, s.EvidenceLost(ctx, files["2 c"], "file_missing"))
	expect("some were uploaded", 1, 0, 2)
	events := outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	expect("the announcements are delivered", 1, 0, 2)

	// The hub says that it lacks the incident: all is announced and waits again.
	must(t, s.Enqueue(ctx, []string{all[2].ID}))
	expect("after it was enqueued again", 1, 0, 0)
	events = outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	waiting, err := s.WaitingEvidence(ctx, 100, func(api.Evidence) bool { return false })
	must(t, err)
	count := map[string]int{}
	for _, meta := range waiting {
		count[meta.Incident]++
	}
	if want := map[string]int{all[0].ID: 2, all[2].ID: 3}; !reflect.DeepEqual(count, want) {
		t.Errorf("waiting: %v, want %v", count, want)
	}
}
