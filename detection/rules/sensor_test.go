package rules

import (
	"math"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

func reading(seconds, value float64) devices.Reading {
	return devices.Reading{Device: "gate", Time: at(seconds), Value: value, Unit: "m", Quality: devices.Good}
}

func floodSpec() Spec {
	three := 3.0
	return spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3.2, clear: &three, hold: 10 * time.Second})
}

func TestAboveWithHysteresis(t *testing.T) {
	r := newRig(t, floodSpec())
	r.want(r.read(reading(0, 3.3)))
	r.want(r.read(reading(5, 3.2))) // not above: the ten seconds begin anew
	r.want(r.read(reading(6, 3.3)))
	r.want(r.read(reading(15.9, 3.3)))
	r.want(r.read(reading(16, 3.4)), "opened flood 16.0 value 3.4 count 3")
	r.want(r.read(reading(17, 3.5)))                                         // not much worse
	r.want(r.read(reading(18, 4.1)), "changed flood 18.0 value 4.1 count 5") // worse
	r.want(r.read(reading(19, 3.1)))                                         // within the hysteresis
	r.want(r.read(reading(20, 3.3)))
	r.want(r.read(reading(21, 3.0)), "closed flood 21.0 value 4.1 count 6")
	r.want(r.read(reading(22, 3.3)))
	r.want(r.read(reading(40, 3.3)), "opened flood 40.0 value 3.3 count 2")
}

func TestBelowAtOnce(t *testing.T) {
	r := newRig(t, spec("cold", detection.Minor, &thresholdTerms{sign: -1, value: -2}))
	r.want(r.read(reading(0, -2)))
	r.want(r.read(reading(1, -2.1)), "opened cold 1.0 value -2.1")
	r.want(r.read(reading(1.5, -9))) // worse, but alerted a moment ago
	r.want(r.read(reading(3, -2.5)), "changed cold 3.0 value -9 count 3")
	r.want(r.read(reading(4, -2)), "closed cold 4.0 value -9 count 3")
}

func TestSwitchOfZeroAndOne(t *testing.T) {
	r := newRig(t, spec("door", detection.Minor, &thresholdTerms{sign: 1}))
	r.want(r.read(reading(0, 0)))
	r.want(r.read(reading(1, 1)), "opened door 1.0 value 1")
	r.want(r.read(reading(2, 0)), "closed door 2.0 value 1")
}

func TestReadingsThatAreNotUsable(t *testing.T) {
	three := 3.0
	r := newRig(t, spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3.2, clear: &three}))
	bad := reading(0, 9)
	bad.Quality = devices.Bad
	r.want(r.read(bad))
	text := reading(0, 9)
	text.Text = "nine"
	r.want(r.read(text))
	r.want(r.read(reading(0, math.NaN())))
	r.want(r.read(reading(0, math.Inf(1))))
	r.want(r.read(reading(100, 1)))
	r.want(r.read(reading(50, 9))) // late
	r.want(r.read(reading(101, 4)), "opened flood 101.0 value 4")
	r.want(r.read(reading(60, 1)))                               // late
	r.want(r.read(reading(61, 1)))                               // late again
	r.want(r.read(reading(62, 1)), "closed flood 101.0 value 4") // no: the clock was set back
	r.want(r.read(reading(63, 4)), "opened flood 63.0 value 4")
}

func TestSilence(t *testing.T) {
	r := newRig(t, spec("silent", detection.Minor, &silenceTerms{hold: 5 * time.Minute}))
	r.want(r.e.Tick(at(0)))
	r.want(r.e.Tick(at(299)))
	r.want(r.e.Tick(at(301)), "opened silent 300.0") // no sign of life since the start
	r.want(r.e.Tick(at(400)))
	r.want(r.read(reading(410, 1)), "closed silent 410.0")
	r.want(r.e.Tick(at(411)))
	r.want(r.e.Tick(at(709)))
	r.want(r.e.Tick(at(711)), "opened silent 710.0")
}

func TestSilenceByTheMachinesClock(t *testing.T) {
	silent := spec("silent", detection.Minor, &silenceTerms{hold: 5 * time.Minute})
	r := newRig(t, silent)
	r.want(r.e.Tick(at(0)))
	for i := 1; i <= 20; i++ { // the sensor's clock stands in 1970
		r.want(r.read(devices.Reading{Device: "gate", Time: time.Unix(int64(i), 0)}))
		r.want(r.e.Tick(at(float64(60 * i))))
	}
	r.want(r.e.Tick(at(1200 + 299)))
	r.want(r.e.Tick(at(1200+300)), "opened silent 1500.0")
	r.want(r.read(devices.Reading{Device: "gate", Time: at(1e9)}), "closed silent 1500.0") // and now in the future
	r.want(r.e.Tick(at(1501)))

	r = newRig(t, silent)
	r.want(r.e.Tick(at(0)))
	r.want(r.e.Tick(at(200)))
	r.want(r.e.Tick(at(-1e8))) // the machine's clock was set back: nothing has passed
	r.want(r.e.Tick(at(-1e8 + 99)))
	r.want(r.e.Tick(at(-1e8+100)), "opened silent -99999900.0")
}

func TestFramesEndACamerasSilence(t *testing.T) {
	r := newRig(t, spec("silent", detection.Minor, &silenceTerms{hold: 30 * time.Second}))
	for i := range 100 {
		r.want(r.e.Tick(at(float64(i))))
		r.want(r.frame(float64(i) + 0.5))
	}
	r.want(r.e.Tick(at(129.4)))
	r.want(r.e.Tick(at(130)), "opened silent 129.5")
	r.want(r.frame(131), "closed silent 131.0")
}

// TestReadingsDatedByArrivalAreNeverLate: this machine's clock is set back by a month between two
// readings, and the second one is dated by its arrival, because it carries no time that can be believed.
func TestReadingsDatedByArrivalAreNeverLate(t *testing.T) {
	e, err := NewEngine("gate", []Spec{spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3})}, func() string { return "x" })
	if err != nil {
		t.Fatal(err)
	}
	ahead := clockSet(t, time.Now(), 29*24*time.Hour)
	own := devices.Reading{Device: "gate", Time: ahead.Round(0), Value: 1, Quality: devices.Good}
	arrived := devices.Reading{Device: "gate", Time: time.Now(), Value: 5, Quality: devices.Good}
	if alerts := e.Reading(own, ahead); len(alerts) != 0 {
		t.Fatalf("alerts: %+v", alerts)
	}
	late := own
	late.Time, late.Value = own.Time.Add(-time.Hour), 5
	if alerts := e.Reading(late, ahead); len(alerts) != 0 {
		t.Errorf("a reading that is late by the sensor's own clock was judged: %+v", alerts)
	}
	if alerts := e.Reading(arrived, time.Now()); len(alerts) != 1 || alerts[0].State != detection.Open {
		t.Errorf("a reading above the limit opened nothing: %+v", alerts)
	}
	arrived.Time, arrived.Value = time.Now(), 1
	if alerts := e.Reading(arrived, time.Now()); len(alerts) != 1 || alerts[0].State != detection.Closed {
		t.Errorf("a reading below the limit closed nothing: %+v", alerts)
	}
}

// TestTheMachinesClockIsSet: a machine that starts in the past takes the sensor's own times for wrong until its
// clock is set. The years between count for no condition.
func TestTheMachinesClockIsSet(t *testing.T) {
	r := newRig(t, spec("flood", detection.Severe, &thresholdTerms{sign: 1, value: 3.2, hold: 10 * time.Minute}))
	start := time.Now()
	after := func(d time.Duration, own time.Time) []detection.Incident {
		x := devices.Reading{Device: "gate", Time: own, Value: 4, Quality: devices.Good}
		return r.e.Reading(x, start.Add(d))
	}
	r.want(r.e.Tick(start))
	years := 56 * 365 * 24 * time.Hour
	r.want(after(0, start))
	r.want(after(5*time.Second, start.Add(years+5*time.Second).Round(0))) // dated by the sensor
	r.want(after(6*time.Second, start.Add(6*time.Second)))                // its time is wrong again: this second does not count
	r.want(after(7*time.Second, start.Add(years+7*time.Second).Round(0)))
	r.want(after(10*time.Minute-time.Second, start.Add(years+10*time.Minute-time.Second).Round(0)))
	if alerts := after(10*time.Minute+time.Second, start.Add(years+10*time.Minute+time.Second).Round(0)); len(alerts) != 1 || alerts[0].State != detection.Open {
		t.Errorf("after ten minutes: %+v", alerts)
	}
}
