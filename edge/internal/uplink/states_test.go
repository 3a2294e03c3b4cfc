package uplink

import (
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
)

func kinds(events []api.Event) string {
	var out []string
	for _, e := range events {
		out = append(out, string(e.Kind))
	}
	return strings.Join(out, " ")
}

// take returns what waits and notes it as delivered.
func take(t *testing.T, s *States) string {
	t.Helper()
	events, out, err := s.pending(1, 100, 1<<20, api.ClockSynchronized)
	if err != nil {
		t.Fatal(err)
	}
	s.delivered(out)
	return kinds(events)
}

func TestStatesAreSentInOrderOfDependence(t *testing.T) {
	s := NewStates()
	s.SetHealth(api.Health{Time: time.Now()})
	s.SetStatus(devices.Status{Device: "yard", State: devices.Offline, Since: time.Now()})
	s.SetInventory(api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard"}}})
	if got := take(t, s); got != "inventory status health" {
		t.Errorf("sent %s", got)
	}
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d states wait after all were delivered", n)
	}
}

func TestChangedInventoryAnnouncesStatusesAgain(t *testing.T) {
	s := NewStates()
	s.SetInventory(api.Inventory{Version: "1"})
	s.SetStatus(devices.Status{Device: "yard", State: devices.Online})
	_, before, err := s.pending(1, 100, 1<<20, "")
	if err != nil {
		t.Fatal(err)
	}
	s.SetInventory(api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard"}}})
	s.delivered(before) // of the old list: the hub has dropped the status
	if got := take(t, s); got != "inventory status" {
		t.Errorf("sent %q after the inventory changed", got)
	}
	s.SetInventory(api.Inventory{Version: "1", Devices: []api.Device{{Name: "yard"}}})
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d states wait although nothing changed", n)
	}
}

func TestNewEpochAnnouncesEverything(t *testing.T) {
	s := NewStates()
	s.SetInventory(api.Inventory{Version: "1"})
	s.SetStatus(devices.Status{Device: "yard", State: devices.Online})
	_, onTheWay, err := s.pending(1, 100, 1<<20, "")
	if err != nil {
		t.Fatal(err)
	}
	s.announceAll()
	s.delivered(onTheWay) // the answer to the last epoch's request comes late
	if got := take(t, s); got != "inventory status" {
		t.Errorf("sent %q in the new epoch", got)
	}
}

func TestNewestStatusCounts(t *testing.T) {
	s := NewStates()
	s.SetStatus(devices.Status{Device: "yard", State: devices.Online})
	_, old, err := s.pending(1, 100, 1<<20, "")
	if err != nil {
		t.Fatal(err)
	}
	s.SetStatus(devices.Status{Device: "yard", State: devices.Offline})
	s.delivered(old)
	events, _, err := s.pending(2, 100, 1<<20, "")
	if err != nil || len(events) != 1 || !strings.Contains(string(events[0].Data), "offline") {
		t.Errorf("%+v, %v: want the newest status", events, err)
	}
	s.RemoveDevice("yard")
	if n := s.Waiting(); n != 0 {
		t.Errorf("%d states wait of a device that is gone", n)
	}
}

func TestStateThatCannotBeEncodedStopsNoOther(t *testing.T) {
	s := NewStates()
	far := time.Date(12000, 1, 1, 0, 0, 0, 0, time.UTC) // time.Time encodes years up to 9999
	s.SetStatus(devices.Status{Device: "a", State: devices.Online, Since: far})
	s.SetStatus(devices.Status{Device: "b", State: devices.Online})
	events, _, err := s.pending(1, 100, 1<<20, "")
	if err == nil || kinds(events) != "status" {
		t.Errorf("sent %q, error %v", kinds(events), err)
	}
}

func TestPendingIsBounded(t *testing.T) {
	s := NewStates()
	for _, name := range []string{"a", "b", "c"} {
		s.SetStatus(devices.Status{Device: name, State: devices.Online})
	}
	if events, _, err := s.pending(1, 2, 1<<20, ""); err != nil || len(events) != 2 || events[1].Seq != 2 {
		t.Errorf("%+v, %v: want two events", events, err)
	}
	if events, _, err := s.pending(1, 100, 1, ""); err != nil || len(events) != 1 {
		t.Errorf("%d events of one byte, %v: want one", len(events), err)
	}
}
