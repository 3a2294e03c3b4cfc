package uplink

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// withModel runs f in a bubble of synctest with a model hub, a store and a line.
func withModel(t *testing.T, f func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity)) {
	t.Helper()
	identity := newHub(t).enrol(t.TempDir())
	file := filepath.Join(t.TempDir(), "a.jpg")
	must(t, os.WriteFile(file, []byte("12345"), 0o600))
	synctest.Test(t, func(t *testing.T) {
		hub := newModelHub(t)
		line := &pipes{conns: make(chan net.Conn)}
		defer serve(t, hub, line)()
		f(t, hub, newModelStore(t, hub, file), line, identity)
	})
}

func hasProblem(up *Uplink, code string) (devices.Cause, bool) {
	problems := up.Problems()
	i := slices.IndexFunc(problems, func(c devices.Cause) bool { return c.Code == code })
	if i < 0 {
		return devices.Cause{}, false
	}
	return problems[i], true
}

// left returns how many alerts, files and readings wait.
func (s *modelStore) left() (alerts, files, readings int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.outbox), len(s.announced), s.readings - s.sent
}

func (h *modelHub) version(id string) int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.versions[id]
}

func (h *modelHub) greeted() int {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.greetings
}

// TestAlertsArriveSoonAfterTheLineReturns: an alert that has waited through an outage is at the hub
// within 5 s of the line's return, whenever that is. While the line is down, nothing answers a SYN.
func TestAlertsArriveSoonAfterTheLineReturns(t *testing.T) {
	withModel(t, func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity) {
		silent := func(ctx context.Context, network, address string) (net.Conn, error) {
			if line.down() { // the kernel sends the SYN again, but later and later: as if never
				select {
				case <-time.After(dialTimeout):
					return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
				case <-ctx.Done():
					return nil, ctx.Err()
				}
			}
			return line.dial(ctx, network, address)
		}
		_, stop := startUplink(t, identity, store, racing(silent))
		defer stop()
		time.Sleep(time.Minute)
		for i := range 15 {
			outage := 5*time.Minute + time.Duration(i)*373*time.Millisecond
			back := time.Now().Add(outage)
			line.cut(outage)
			// The connections that stood are gone without a word.
			hub.mu.Lock()
			hub.fail = func() fault {
				if line.down() {
					return stall
				}
				return none
			}
			hub.mu.Unlock()
			time.Sleep(time.Second)
			id := fmt.Sprintf("incident-%d", i)
			store.alert(id, true)
			time.Sleep(time.Until(back) + 5*time.Second)
			hub.mu.Lock()
			if hub.versions[id] != 1 {
				t.Errorf("outage %d: 5 s after the line's return the alert is not at the hub", i)
			}
			hub.mu.Unlock()
		}
	})
}

func TestUnsupportedProtocolKeepsEverything(t *testing.T) {
	withModel(t, func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity) {
		hub.mu.Lock()
		hub.unsupported = true
		hub.mu.Unlock()
		up, stop := startUplink(t, identity, store, line.dial)
		defer stop()
		store.alert("incident", true)
		time.Sleep(10 * time.Minute)
		if c, ok := hasProblem(up, "hub_protocol"); !ok || c.Params["edge_version"] != "2" || c.Params["hub_version"] != "7" {
			t.Errorf("problems: %+v", up.Problems())
		}
		if n, _, _ := store.left(); n != 2 {
			t.Errorf("%d events are left, want both", n)
		}
		hub.mu.Lock()
		hub.unsupported = false // it was updated
		hub.mu.Unlock()
		time.Sleep(time.Minute)
		if n, _, _ := store.left(); n != 0 || hub.version("incident") != 1 {
			t.Errorf("%d events are left after the hub was updated", n)
		}
		if p := up.Problems(); len(p) != 0 {
			t.Errorf("problems at the end: %+v", p)
		}
	})
}

// TestCopiesOfAnEdgeDoNotGreetAllTheTime: two copies end each other's epochs. Each delivers what it
// has, an operator sees the problem, and the hub is not flooded.
func TestCopiesOfAnEdgeDoNotGreetAllTheTime(t *testing.T) {
	withModel(t, func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity) {
		other := newModelStore(t, hub, store.file)
		first, stopFirst := startUplink(t, identity, store, line.dial)
		second, stopSecond := startUplink(t, identity, other, line.dial)
		defer stopFirst()
		seen := false
		for i := range 600 {
			store.alert(fmt.Sprintf("first-%d", i), true)
			other.alert(fmt.Sprintf("second-%d", i), true)
			time.Sleep(time.Second)
			_, a := hasProblem(first, "edge_copied")
			_, b := hasProblem(second, "edge_copied")
			seen = seen || a || b
		}
		stopSecond()
		if !seen {
			t.Error("nobody is told of the copy")
		}
		if n := hub.greeted(); n > 200 {
			t.Errorf("%d greetings in 10 minutes", n)
		}
		time.Sleep(5 * time.Minute)
		if n, _, _ := store.left(); n != 0 {
			t.Errorf("%d alerts wait after the copy has gone", n)
		}
		if _, ok := hasProblem(first, "edge_copied"); ok {
			t.Error("the problem stays after the copy has gone")
		}
	})
}

// TestOneFileThatCannotBeReadStopsNothing: the other files, alerts and readings are delivered, and
// the file's failure is a problem that an operator sees.
func TestOneFileThatCannotBeReadStopsNothing(t *testing.T) {
	withModel(t, func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity) {
		store.unreadable = "incident-0"
		up, stop := startUplink(t, identity, store, line.dial)
		defer stop()
		for i := range 40 {
			store.alert(fmt.Sprintf("incident-%d", i), true)
		}
		store.mu.Lock()
		store.readings = 100
		store.mu.Unlock()
		time.Sleep(20 * time.Second)
		if alerts, files, readings := store.left(); files != 1 || readings != 0 || alerts != 0 {
			t.Errorf("%d files, %d readings and %d alerts wait, want the one file only", files, readings, alerts)
		}
		if c, ok := hasProblem(up, "evidence_failing"); !ok || c.Params["cause_code"] != "evidence_unreadable" {
			t.Errorf("problems: %+v", up.Problems())
		}
		if online, cause := up.State(); !online {
			t.Errorf("offline: %+v", cause)
		}
		store.mu.Lock()
		store.unreadable = ""
		store.mu.Unlock()
		time.Sleep(longestRetry)
		if _, files, _ := store.left(); files != 0 || len(up.Problems()) != 0 {
			t.Errorf("%d files wait after the disk is well again; problems %+v", files, up.Problems())
		}
	})
}

func TestAlertsLate(t *testing.T) {
	withModel(t, func(t *testing.T, hub *modelHub, store *modelStore, line *pipes, identity *enrol.Identity) {
		up, stop := startUplink(t, identity, store, line.dial)
		defer stop()
		time.Sleep(time.Minute)
		hub.mu.Lock()
		hub.fail = func() fault { return slow }
		hub.mu.Unlock()
		store.alert("incident", true)
		time.Sleep(500 * time.Millisecond)
		if up.AlertsLate() {
			t.Error("late after half a second")
		}
		time.Sleep(time.Second)
		if !up.AlertsLate() {
			t.Error("not late after a second and a half")
		}
		time.Sleep(time.Minute)
		if up.AlertsLate() {
			t.Error("late although everything is delivered")
		}
	})
}

// TestPaceFollowsTheLine: at 16 kbit/s a request of alerts takes some seconds at most, and on a fast
// line the size grows to its bound.
func TestPaceFollowsTheLine(t *testing.T) {
	for rate, want := range map[int][2]int{2000: {2000, 16_000}, 100_000_000: {mostAlerts, mostAlerts}} {
		p := pace{size: firstBatch, least: leastBatch, most: mostAlerts, target: alertsTarget}
		for range 30 {
			p.done(p.size, time.Duration(p.size)*time.Second/time.Duration(rate))
		}
		if p.size < want[0] || p.size > want[1] {
			t.Errorf("at %d bytes/s a request has %d bytes, want %d to %d", rate, p.size, want[0], want[1])
		}
	}
	p := pace{size: firstBatch, least: leastBatch, most: mostAlerts, target: alertsTarget}
	for range 30 {
		p.failed(p.size)
	}
	if p.size != leastBatch {
		t.Errorf("after failures a request has %d bytes", p.size)
	}
}

func TestAnswersThatMakeNoSenseDeleteNothing(t *testing.T) {
	events := []api.Event{{Lane: api.LaneAlerts, Seq: 3, Kind: api.KindIncident}, {Lane: api.LaneAlerts, Seq: 5, Kind: api.KindEvidence}}
	for name, ack := range map[string]api.Ack{
		"beyond what was sent":   {Committed: map[api.Lane]uint64{api.LaneAlerts: 6}},
		"nothing":                {},
		"less than what waits":   {Committed: map[api.Lane]uint64{api.LaneAlerts: 2}},
		"an unknown lane":        {Committed: map[api.Lane]uint64{api.LaneAlerts: 5, "gossip": 1}},
		"refuses another event":  {Committed: map[api.Lane]uint64{api.LaneAlerts: 5}, Refused: []api.Refusal{{Lane: api.LaneAlerts, Seq: 4}}},
		"holds one of elsewhere": {Committed: map[api.Lane]uint64{api.LaneAlerts: 5}, NotYet: []api.Refusal{{Lane: api.LaneState, Seq: 5}}},
	} {
		l := &lane{u: &Uplink{}, name: api.LaneAlerts, highest: 5, delivered: func(context.Context, uint64, []api.Refusal) error {
			t.Errorf("%s: something was deleted", name)
			return nil
		}}
		if err := l.committed(t.Context(), events, ack); err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
