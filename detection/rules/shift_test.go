package rules

import (
	"testing"
	"time"
	_ "time/tzdata"

	"gridpost/detection"
	"gridpost/detection/rules/schedule"
)

// during returns a rule that is active on the day of the tests from 12:00 to 12:10, by a clock in UTC.
func during(t *testing.T, s Spec) Spec {
	t.Helper()
	s.Schedule = &schedule.Schedule{Name: "noon", Zone: "UTC"}
	if err := s.Schedule.AddDate(day.Format(time.DateOnly) + " 12:00-12:10"); err != nil {
		t.Fatal(err)
	}
	return s
}

// live shows a track every 0.5 s, with a tick before each frame, from the first time to before the second one.
func (r *rig) live(from, to float64, id uint64, x, y float64) []detection.Incident {
	var alerts []detection.Incident
	for ; from < to; from += 0.5 {
		alerts = append(alerts, r.e.Tick(at(from))...)
		alerts = append(alerts, r.frame(from, [3]float64{float64(id), x, y})...)
	}
	return alerts
}

func TestARuleIsActiveOnlyInItsTime(t *testing.T) {
	r := newRig(t, during(t, zoneSpec()))
	r.want(r.frame(-5, [3]float64{1, 0.5, 0.9})) // before the first tick
	r.want(r.live(-4, 3, 1, 0.5, 0.9), "opened yard 1.0")
	r.want(r.live(595, 610, 1, 0.5, 0.9), "closed yard 600.0") // although it is still there
	if open := r.e.Open(); len(open) != 0 {
		t.Errorf("open after its time: %+v", open)
	}
	r.want(r.live(610, 620, 1, 0.5, 0.9))
}

func TestItsTimeEndsWhileTheEdgeDoesNotRun(t *testing.T) {
	r := newRig(t, during(t, zoneSpec()))
	r.want(r.live(590, 595, 1, 0.5, 0.9), "opened yard 591.0")
	specs := []Spec{during(t, zoneSpec())}
	e, err := NewEngine("gate", specs, r.log.id)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	r.want(e.Restore(r.log.open(), at(3600)))
	r.want(e.Tick(at(3600)), "closed yard 600.0")
	r.want(e.Tick(at(3601)))
}

func TestAChangeOfTheScheduleAndOfOtherRules(t *testing.T) {
	zone := during(t, zoneSpec())
	r := newRig(t, zone)
	r.want(r.live(0, 5, 1, 0.5, 0.9), "opened yard 1.0")
	r.want(r.reconfigure(5, during(t, zoneSpec()), lineSpec())) // the same schedule
	r.want(r.live(5, 10, 1, 0.5, 0.9))
	later := zoneSpec()
	later.Schedule = &schedule.Schedule{Name: "noon", Zone: "UTC"}
	if err := later.Schedule.AddWeek("13:00-14:00"); err != nil {
		t.Fatal(err)
	}
	r.want(r.reconfigure(10, later))
	r.want(r.live(10, 12, 1, 0.5, 0.9), "closed yard 10.0")
	r.want(r.reconfigure(12, zoneSpec())) // always
	r.want(r.live(12, 14, 1, 0.5, 0.9), "opened yard 13.0")
}

func TestAScheduleOfReadingsAndSilence(t *testing.T) {
	flood := during(t, spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 2, hold: 30 * time.Second}))
	silent := during(t, spec("silent", detection.Minor, &silenceTerms{hold: time.Minute}))
	r := newRig(t, flood, silent)
	r.want(r.e.Tick(at(-300)))
	r.want(r.read(reading(-299, 5)))
	r.want(r.e.Tick(at(-10))) // silent for long, and above the limit, at another time
	r.want(r.e.Tick(at(0)))
	r.want(r.e.Tick(at(29)))
	r.want(r.e.Tick(at(30)), "opened flood 30.0 value 5") // the last reading still counts, from now on
	r.want(r.e.Tick(at(59)))
	r.want(r.e.Tick(at(60)), "opened silent 60.0")
	r.want(r.e.Tick(at(599)))
	r.want(r.e.Tick(at(601)), "closed flood 600.0 value 5", "closed silent 600.0")
	r.want(r.read(reading(602, 9)))
	if p := r.e.Pending(); len(p) != 0 {
		t.Errorf("pending after its time: %+v", p)
	}
}

func TestAScheduleCountsWhatTheCoolDownHeldBack(t *testing.T) {
	s := during(t, zoneSpec())
	s.CoolDown = 5 * time.Minute
	r := newRig(t, s)
	r.want(r.live(400, 402, 1, 0.5, 0.9), "opened yard 401.0")
	r.want(r.live(402, 408, 1, 0.1, 0.9), "closed yard 404.5")
	r.want(r.live(590, 602, 2, 0.5, 0.9)) // held back, and over at the end
	r.want(r.live(700, 720, 2, 0.5, 0.9))
	if open := r.e.Open(); len(open) != 0 {
		t.Errorf("open: %+v", open)
	}
}

func TestAnUnknownTimeZoneIsRefused(t *testing.T) {
	s := zoneSpec()
	s.Schedule = &schedule.Schedule{Name: "x", Zone: "Mars/Olympus"}
	if _, err := NewEngine("gate", []Spec{s}, nil); err == nil {
		t.Error("it was accepted")
	}
}

// Whatever comes, a rule has an open incident only while its schedule is active.
func TestNothingIsOpenOutsideOfItsTime(t *testing.T) {
	hours := &schedule.Schedule{Name: "even", Zone: "Asia/Kathmandu"} // a quarter of an hour off
	for _, text := range []string{"00:00-01:00", "02:00-03:00", "04:00-05:00", "06:00-12:00", "14:00-15:00", "16:00-20:00", "22:00-23:00"} {
		if err := hours.AddWeek(text); err != nil {
			t.Fatal(err)
		}
	}
	at, err := hours.Hours()
	if err != nil {
		t.Fatal(err)
	}
	specs := everyKind()
	for i := range specs {
		specs[i].Schedule = hours
		if i%3 == 0 {
			specs[i].CoolDown = 20 * time.Second
		}
	}
	opened, ended := 0, 0
	for seed := range uint64(4) {
		o, r := newOdd(seed), newRig(t, specs...)
		for i := range 1000 {
			if o.rng.IntN(10) == 0 {
				o.now = o.now.Add(time.Duration(o.rng.IntN(1200)) * time.Second)
			}
			before := len(r.e.Open())
			alerts := append(o.step(r.e), r.e.Tick(o.now)...)
			active, _ := at.At(o.now)
			if !active && before > 0 {
				ended++
			}
			if err := r.log.take(alerts); err != nil {
				t.Fatalf("seed %d, step %d: %v", seed, i, err)
			}
			for _, a := range alerts {
				if a.Version == 1 {
					opened++
				}
			}
			if open := r.e.Open(); len(open) > 0 && !active {
				t.Fatalf("seed %d, step %d: open are %+v", seed, i, open)
			}
			if !active { // what comes before the next tick opens nothing
				if late := r.e.Frame(o.frame()); len(late) > 0 {
					t.Fatalf("seed %d, step %d: %+v", seed, i, late)
				}
			}
		}
	}
	if opened < 200 || ended < 20 {
		t.Errorf("%d opened, %d were open when a time ended: the test shows little", opened, ended)
	}
}
