package sensor

import (
	"slices"
	"testing"
	"testing/synctest"
	"time"
)

// TestAvailability: what a device or its broker says about its connection is the sensor's state until it is
// heard of again, and is the cause of its silence.
func TestAvailability(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, `
edge: a
sensors:
  - {name: plug, format: tasmota, topic: plug, value: $.ENERGY.Power, every: 10s}
  - {name: gate, topic: gate/level, availability: [gate/status, bridge/state]}
`)
		send := func(topic, payload string, retained bool) {
			t.Helper()
			m := message(topic, payload)
			m.Retained = retained
			if err := r.intake.Handle(t.Context(), m); err != nil {
				t.Error(err)
			}
		}
		send("tele/plug/LWT", "Online", true)
		send("tele/plug/SENSOR", `{"Time":"2000-01-01T00:00:01","ENERGY":{"Power":7}}`, false)
		send("tele/plug/STATE", `{"Wifi":{"RSSI":80}}`, false) // another part of the device: no error
		send("tele/plug/LWT", "Offline", false)
		time.Sleep(time.Minute) // the silence that follows has a better cause
		send("tele/plug/SENSOR", `{"ENERGY":{"Power":8}}`, false)
		send("gate/status", "online", false)
		send("bridge/state", `{"state":"offline"}`, false)
		send("gate/status", "online", false) // the bridge is still away
		send("bridge/state", `{"state":"online"}`, false)
		r.stop()
		const offline = "offline: the sensor, or its broker for it, reported that it is offline"
		want := []string{
			"plug online: ", "plug online: ", "plug " + offline, "plug online: ",
			"gate online: ", "gate " + offline, "gate " + offline, "gate online: ",
		}
		if !slices.Equal(r.disk.states, want) {
			t.Errorf("states: %q", r.disk.states)
		}
		if len(r.disk.readings) != 2 || r.intake.Stats().Refused != 0 {
			t.Errorf("readings: %+v, %+v", r.disk.readings, r.intake.Stats())
		}
	})
}

// TestHistoricalReadingsAreStoredAndJudgeNothing: what a sensor measured earlier and sends late is history.
func TestHistoricalReadingsAreStoredAndJudgeNothing(t *testing.T) {
	r := newRig(t, twoSensors)
	defer r.stop()
	j := judgement{device: "river", received: time.Now(), fresh: true, done: make(chan error, 1)}
	decoded := r.intake.current().decoder.Decode(message("r", "5"))
	j.readings = decoded.Readings
	j.readings[0].Historical = true
	r.intake.Inbox("river").judgements <- j
	if err := <-j.done; err != nil {
		t.Fatal(err)
	}
	r.disk.set(func() {
		if len(r.disk.alerts) != 0 {
			t.Errorf("an alert: %+v", r.disk.alerts)
		}
		if !slices.Equal(r.disk.states, []string{"river online: "}) {
			t.Errorf("states: %q", r.disk.states)
		}
	})
}
