package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"gridpost/detection"
)

func (r *rig) reconfigure(seconds float64, specs ...Spec) []detection.Incident {
	r.t.Helper()
	alerts, err := r.e.Reconfigure(specs, at(seconds))
	if err != nil {
		r.t.Fatal(err)
	}
	return alerts
}

// TestReconfigureKeepsTimers changes the rules of a device while those that stay are between
// condition and opening, or between the end of the condition and closing.
func TestReconfigureKeepsTimers(t *testing.T) {
	r := newRig(t, zoneSpec(), spec("silent", detection.Minor, &silenceTerms{hold: time.Minute}))
	r.want(r.e.Tick(at(0)))
	r.want(r.frame(0, [3]float64{1, 0.5, 0.9}))
	r.want(r.frame(0.5, [3]float64{1, 0.5, 0.9}))
	r.want(r.reconfigure(0.7, zoneSpec(), lineSpec(), spec("silent", detection.Minor, &silenceTerms{hold: time.Minute})))
	r.want(r.frame(1, [3]float64{1, 0.5, 0.9}), "opened yard 1.0") // half of its second passed before
	r.want(r.frame(2, [3]float64{1, 0.05, 0.9}))                   // outside
	r.want(r.reconfigure(3, spec("silent", detection.Minor, &silenceTerms{hold: time.Minute}), zoneSpec()))
	if open := r.e.Open(); len(open) != 1 || open[0].Rule != "yard" {
		t.Errorf("open after a change of other rules: %+v", open)
	}
	r.want(r.frame(4), "closed yard 4.0") // three seconds after it was last inside
	r.want(r.e.Tick(at(5)))
	r.want(r.reconfigure(50, zoneSpec(), spec("silent", detection.Minor, &silenceTerms{hold: time.Minute})))
	r.want(r.e.Tick(at(63)))
	r.want(r.e.Tick(at(64)), "opened silent 64.0") // a minute after the last frame, whatever was reloaded
}

func TestReconfigureOfChangedRules(t *testing.T) {
	flood := func(value float64) Spec {
		return spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: value})
	}
	r := newRig(t, zoneSpec(), lineSpec(), flood(3))
	r.want(r.e.Tick(at(0)))
	r.want(r.read(reading(0, 5)), "opened flood 0.0 value 5")
	r.want(r.frame(0, [3]float64{1, 0.5, 0.9}))
	r.want(r.frame(1, [3]float64{1, 0.5, 0.9}), "opened yard 1.0")
	r.want(r.walk(2, 1.1, 0.5, 0.4, 0.5, 0.6, 10), "opened gate 1.7 down", "changed yard 2.1 count 2")
	// The limit and the line's clear time have changed: both incidents stay open. The zone is gone.
	longer := lineSpec(func(t *lineTerms) { t.clear = 10 * time.Second })
	r.want(r.reconfigure(2.5, longer, flood(4)), "closed yard 2.5 count 2")
	r.want(r.frame(3)) // the time of the crossing starts anew
	r.want(r.frame(12.9))
	r.want(r.frame(13), "closed gate 11.7 down")
	r.want(r.read(reading(20, 3.5)), "closed flood 20.0 value 5")
	r.want(r.read(reading(21, 4.5)), "opened flood 21.0 value 4.5")
	// Another kind of the same name is another rule.
	r.want(r.reconfigure(22, spec("flood", detection.Severe, &thresholdTerms{sign: -1, value: 1})), "closed flood 22.0 value 4.5")
	if _, err := r.e.Reconfigure([]Spec{flood(1), flood(2)}, at(23)); err == nil {
		t.Error("two rules of one name were accepted")
	}
	r.want(r.read(reading(24, 0.5)), "opened flood 24.0 value 0.5") // the refused change has changed nothing
	r.want(r.reconfigure(25), "closed flood 25.0 value 0.5")
	if open := r.e.Open(); len(open) != 0 {
		t.Errorf("an engine without rules has %+v open", open)
	}
}

// TestReconfigureIsNotNoticed runs the same random input through two engines, of which one is
// reconfigured again and again with the same rules in another order and with more of them.
func TestReconfigureIsNotNoticed(t *testing.T) {
	for seed := range uint64(6) {
		plain, changed := newRig(t, everyKind()...), newRig(t, everyKind()...)
		more := append(everyKind(), spec("more", detection.Minor, &thresholdTerms{sign: 1, value: math.MaxFloat64}))
		inputs := [2]*odd{newOdd(seed), newOdd(seed)}
		changes := rand.New(rand.NewPCG(seed, 3)) // repeatable
		for i := range 2000 {
			if changes.IntN(20) == 0 {
				specs := more
				if changes.IntN(2) == 0 {
					specs = everyKind()
				}
				if alerts := changed.reconfigure(0, specs...); len(alerts) != 0 {
					t.Fatalf("seed %d, step %d: a change of nothing closed %+v", seed, i, alerts)
				}
			}
			want, got := inputs[0].step(plain.e), inputs[1].step(changed.e)
			for _, alerts := range []*[]detection.Incident{&want, &got} {
				for i := range *alerts {
					(*alerts)[i].ID = ""
				}
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: got %+v, want %+v", seed, i, got, want)
			}
		}
	}
}

// TestRestoreOfDamagedIncidents restores good incidents among damaged and foreign ones: the good
// ones go on as they would alone, and each of the others is closed or not mentioned.
func TestRestoreOfDamagedIncidents(t *testing.T) {
	specs := everyKind()
	for seed := range uint64(80) {
		rng := rand.New(rand.NewPCG(seed, 5)) // repeatable
		var good, all []detection.Incident
		bad := map[string]bool{}
		taken := map[string]bool{}
		for i := range 12 {
			s := specs[rng.IntN(len(specs))]
			inc := detection.Incident{
				ID: fmt.Sprint("i", i), Device: "gate", Rule: s.Name, Kind: s.Kind, Severity: s.Severity, State: detection.Open,
				Opened: at(-100), Updated: at(-90), Version: 1 + rng.IntN(5), Count: 1, Direction: detection.Up,
			}
			if rng.IntN(2) == 0 && (!taken[s.Name] || s.Kind == detection.Line) {
				taken[s.Name] = true
				good, all = append(good, inc), append(all, inc)
				continue
			}
			damage(rng, &inc)
			bad[inc.ID] = true
			all = append(all, inc)
		}
		alone, among := newRig(t, specs...), newRig(t, specs...)
		if closed := alone.e.Restore(good, at(0)); len(closed) != 0 {
			t.Fatalf("seed %d: restoring closed %+v", seed, closed)
		}
		for _, inc := range among.e.Restore(all, at(0)) {
			if !bad[inc.ID] || inc.State != detection.Closed || inc.Version < 1 {
				t.Fatalf("seed %d: restoring gave %+v", seed, inc)
			}
			delete(bad, inc.ID) // closed once
		}
		if got, want := among.e.Open(), alone.e.Open(); !reflect.DeepEqual(got, want) {
			t.Fatalf("seed %d: open are %+v, want %+v", seed, got, want)
		}
		inputs := [2]*odd{newOdd(seed), newOdd(seed)}
		for i := range 300 {
			want, got := inputs[0].step(alone.e), inputs[1].step(among.e)
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("seed %d, step %d: got %+v, want %+v", seed, i, got, want)
			}
			if _, err := json.Marshal(got); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
		}
	}
}

func damage(rng *rand.Rand, inc *detection.Incident) {
	nan, inf := math.NaN(), math.Inf(1)
	switch rng.IntN(12) {
	case 0:
		inc.Device = "door"
	case 1:
		inc.Rule = "gone"
	case 2:
		inc.Kind = "unheard-of"
	case 3:
		inc.Version = -rng.IntN(3)
	case 4:
		inc.Opened = time.Time{}
	case 5:
		inc.Updated = inc.Opened.Add(-time.Hour)
	case 6:
		inc.Value = &nan
	case 7:
		inc.Limit = &inf
	case 8:
		inc.Box = &detection.Box{X: nan}
	case 9:
		inc.State = detection.Closed
	case 10:
		inc.ID = ""
	case 11:
		inc.Score, inc.State = nan, "ajar"
	}
}
