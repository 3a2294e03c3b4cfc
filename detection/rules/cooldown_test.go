package rules

import (
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/detection"
)

// TestCoolDownLosesNoCount compares an engine whose rules have cool-downs with one whose rules have none, on the
// same random input.
func TestCoolDownLosesNoCount(t *testing.T) {
	spans := []time.Duration{0, time.Second, 10 * time.Second, 2 * time.Minute}
	var heldBack, late int
	for seed := range uint64(40) {
		rng := rand.New(rand.NewPCG(seed, 21)) // repeatable
		plain, cooled := everyKind(), everyKind()
		for i := range cooled {
			cooled[i].CoolDown = spans[rng.IntN(len(spans))]
		}
		a, b := newRig(t, plain...), newRig(t, cooled...)
		inputA, inputB := newOdd(seed), newOdd(seed)
		opened := map[string]time.Duration{} // when a rule opened its last incident, by the clock of ticks
		ever := map[string]int{}             // counts of all incidents of a rule that closed, in the plain engine
		told := map[string]int{}
		for step := range 3000 {
			for _, inc := range inputA.step(a.e) {
				if inc.State == detection.Closed {
					ever[inc.Rule] += inc.Count
				}
			}
			alerts := inputB.step(b.e)
			if err := b.log.take(alerts); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, step, err)
			}
			for _, inc := range alerts {
				if inc.State == detection.Closed {
					told[inc.Rule] += inc.Count
				}
				if inc.Version > 1 {
					continue
				}
				now, span := b.e.ticks.elapsed, find(b.e.rules, inc.Rule).spec.CoolDown
				if last, ok := opened[inc.Rule]; ok && now-last < span {
					t.Fatalf("seed %d, step %d: %s opens %s after the one before; its cool-down is %s", seed, step, inc.Rule, now-last, span)
				}
				opened[inc.Rule] = now
				if inc.Updated.After(inc.Opened) {
					late++
				}
			}
		}
		if len(b.e.Open()) != len(b.log.open()) {
			t.Fatalf("seed %d: the engine has %d open incidents, its alerts say %d", seed, len(b.e.Open()), len(b.log.open()))
		}
		for _, r := range b.e.rules {
			c := r.cooldown
			heldBack += c.ended
			for _, inc := range r.judge.Open() { // its extra count has not been told of as closed yet
				told[r.spec.Name] += c.given[inc.ID].count
			}
			if ever[r.spec.Name] != told[r.spec.Name]+c.ended {
				t.Errorf("seed %d: %s without a cool-down counts %d; with one of %s %d and %d held back", seed, r.spec.Name,
					ever[r.spec.Name], c.span, told[r.spec.Name], c.ended)
			}
		}
	}
	if heldBack == 0 || late == 0 {
		t.Errorf("%d counts were held back at the end, %d incidents opened late: the test shows nothing about them", heldBack, late)
	}
}

// jumpySpec is a rule that opens at once.
func jumpySpec() Spec {
	return spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3.2})
}

// TestCoolDown: a sensor that trembles about its limit opens one incident a minute.
func TestCoolDown(t *testing.T) {
	flood := jumpySpec()
	flood.CoolDown = time.Minute
	r := newRig(t, flood)
	var opened, counts []int
	for second := range 130 {
		alerts := r.e.Tick(at(float64(second)))
		alerts = append(alerts, r.read(reading(float64(second), []float64{9, 0}[second%2]))...)
		if err := r.log.take(alerts); err != nil {
			t.Fatal(err)
		}
		for _, inc := range alerts {
			if inc.Version == 1 {
				opened, counts = append(opened, second), append(counts, inc.Count)
			}
		}
	}
	if len(opened) != 3 || opened[0] != 0 || opened[1] != 60 || opened[2] != 120 {
		t.Errorf("incidents opened at %d s, not at 0, 60 and 120 s", opened)
	} else if counts[0] != 1 || counts[1] != 30 || counts[2] != 30 {
		t.Errorf("they count %d readings, not 1, 30 and 30", counts)
	}
}

// TestHeldBackSurvives: what is held back opens when its time is over, also across a restart and a reload.
func TestHeldBackSurvives(t *testing.T) {
	flood := jumpySpec()
	flood.CoolDown = time.Minute
	changed := flood
	changed.Severity, changed.CoolDown = detection.Minor, 30*time.Second
	for name, c := range map[string]struct {
		meanwhile func(t *testing.T, r *rig, now time.Time)
		opens     int // s
	}{
		"nothing":          {func(*testing.T, *rig, time.Time) {}, 60},
		"the same reload":  {func(t *testing.T, r *rig, now time.Time) { reload(t, r, now, flood) }, 60},
		"a changed reload": {func(t *testing.T, r *rig, now time.Time) { reload(t, r, now, changed) }, 34}, // 30 s after the last tick
		"a restart": {func(t *testing.T, r *rig, now time.Time) {
			pending, newest := r.e.Pending(), reading(4, 9)
			e, err := NewEngine("gate", []Spec{flood}, r.log.id)
			if err != nil {
				t.Fatal(err)
			}
			if closed := e.Restore(r.log.open(), now); len(closed) > 0 {
				t.Fatalf("the restart closed %v", closed)
			}
			e.Resume(&newest, pending)
			r.e = e
		}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, flood)
			var opened []int
			for second := range 80 {
				now := at(float64(second))
				if second == 5 {
					c.meanwhile(t, r, now)
				}
				alerts := r.e.Tick(now)
				if second == 0 || second == 2 || second == 4 { // it reports changes only
					alerts = append(alerts, r.read(reading(float64(second), []float64{9, 0, 9}[second/2]))...)
				}
				if err := r.log.take(alerts); err != nil {
					t.Fatal(err)
				}
				for _, inc := range alerts {
					if inc.Version == 1 {
						opened = append(opened, second)
					}
				}
			}
			if len(opened) != 2 || opened[1] != c.opens {
				t.Errorf("incidents opened at %d s, not at 0 and %d s", opened, c.opens)
			}
		})
	}
}

func reload(t *testing.T, r *rig, now time.Time, specs ...Spec) {
	t.Helper()
	closed, err := r.e.Reconfigure(specs, now)
	if err != nil || len(closed) > 0 {
		t.Fatalf("the reload closed %v: %v", closed, err)
	}
}

// TestCoolDownOfLine: crossings that are over within the cool-down are counted by the next one.
func TestCoolDownOfLine(t *testing.T) {
	road := lineSpec()
	road.CoolDown = 30 * time.Second
	r := newRig(t, road)
	var counts []int
	for n := range 10 { // one object every 10 s
		for i := range 20 {
			now := at(float64(n)*10 + float64(i)/2)
			y := 0.3 + float64(i)/50
			alerts := append(r.e.Tick(now), r.frame(float64(n)*10+float64(i)/2, [3]float64{float64(n + 1), 0.5, y})...)
			if err := r.log.take(alerts); err != nil {
				t.Fatal(err)
			}
			for _, inc := range alerts {
				if inc.Version == 1 {
					counts = append(counts, inc.Count)
				}
			}
		}
	}
	if len(counts) != 4 || counts[0] != 1 || counts[1] != 3 || counts[2] != 3 || counts[3] != 3 {
		t.Errorf("incidents that opened count %d crossings, not 1, 3, 3 and 3", counts)
	}
}
