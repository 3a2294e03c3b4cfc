package store

import (
	"reflect"
	"testing"
)

// TestLearnedSurvivesARestart: what rules have learned comes back as it was saved last, by device.
func TestLearnedSurvivesARestart(t *testing.T) {
	o := Options{Dir: t.TempDir()}
	s, err := Open(t.Context(), o)
	must(t, err)
	view := map[string][]byte{"view": {0, 1, 255}}
	must(t, s.SaveLearned(t.Context(), "gate", map[string][]byte{"gone": {1}}))
	must(t, s.SaveLearned(t.Context(), "gate", view))
	must(t, s.SaveLearned(t.Context(), "yard", view))
	must(t, s.SaveLearned(t.Context(), "yard", nil))
	must(t, s.Close())
	s = open(t, o)
	for device, want := range map[string]map[string][]byte{"gate": view, "yard": {}, "door": {}} {
		if got, err := s.Learned(t.Context(), device); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: %v, %v, want %v", device, got, err, want)
		}
	}
}
