package store

import (
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

// TestCauseOfOldEdge: edges before protocol 2 send a sentence alone, and rows of the previous version hold one alone.
func TestCauseOfOldEdge(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if _, err := applyEvents(t.Context(), s, "gate-7", "a", []Event{
		{Lane: api.LaneState, Seq: 1, Value: api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard", Kind: devices.Camera}}}},
		{Lane: api.LaneState, Seq: 2, Value: devices.Status{Device: "yard", State: devices.Offline, Cause: devices.NewCause("camera_full", "status", "453"), Since: time.Now()}},
		{Lane: api.LaneState, Seq: 3, Value: devices.Status{Device: "yard", State: devices.Offline, Cause: devices.Cause{Text: "the camera hung up"}, Since: time.Now()}},
	}); err != nil {
		t.Fatal(err)
	}
	d, err := s.Device(t.Context(), "gate-7", "yard")
	if err != nil || d.Cause != "the camera hung up" || d.CauseCode != "" || d.CauseParams != nil {
		t.Errorf("%+v, %v", d, err)
	}
}

// TestAnswerKeepsItsCause: the first answer to a command counts, with its code and parameters.
func TestAnswerKeepsItsCause(t *testing.T) {
	s := newStore(t)
	withEdge(t, s, "gate-7")
	if err := s.AddCommand(t.Context(), "gate-7", api.Command{ID: "1", Kind: api.CommandPublish, Device: "yard"}, time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	first := devices.NewCause("camera_not_online", "device", "yard").Because(devices.NewCause("camera_full", "status", "453"))
	for _, answer := range []api.Result{{Cause: first}, {Cause: devices.NewCause("edge_stopping")}} {
		if err := s.FinishCommand(t.Context(), "gate-7", "1", answer); err != nil {
			t.Fatal(err)
		}
	}
	got, done, err := s.CommandResult(t.Context(), "1")
	if err != nil || !done || got.OK || !got.Cause.Equal(first) || got.Cause.Params["cause_status"] != "453" {
		t.Errorf("%+v, %v, %v", got, done, err)
	}
}
