package uplink

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/clock"
	"gridpost/devices/retry"
	"gridpost/edge/internal/store"
	"gridpost/hub/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// edge is a real store and an uplink over it.
type edge struct {
	t      *testing.T
	store  *store.Store
	states *States
	up     *Uplink
	next   int

	mu       sync.Mutex
	commands []api.Command
}

func newEdge(t *testing.T, h *hub) *edge {
	t.Helper()
	e := &edge{t: t, states: NewStates()}
	dir := t.TempDir()
	id := h.enrol(dir)
	var err error
	e.store, err = store.Open(t.Context(), store.Options{Dir: dir})
	must(t, err)
	t.Cleanup(func() { must(t, e.store.Close()) })
	e.up = New(Options{
		URL: "https://" + h.addr, Identity: id, Store: e.store, States: e.states, Command: e.command,
		Backoff: retry.Policy{First: 5 * time.Millisecond, Longest: 50 * time.Millisecond}, Telemetry: 10 * time.Millisecond,
	})
	return e
}

func (e *edge) command(_ context.Context, c api.Command) api.Result {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.commands = append(e.commands, c)
	if c.Kind == api.CommandPublish {
		return api.Result{Cause: devices.Cause{Text: "yard is offline: no pictures for 20 s"}}
	}
	return api.Result{OK: true}
}

func (e *edge) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.up.Run(ctx) }()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); must(e.t, <-done) }) }
	e.t.Cleanup(stop)
	return stop
}

// incident saves a new incident and returns the data of its event.
func (e *edge) incident() string {
	e.t.Helper()
	e.next++
	inc := detection.Incident{
		ID: uuid.Must(uuid.NewV7()).String(), Device: "yard", Rule: fmt.Sprintf("rule-%d", e.next), Kind: detection.Line,
		Severity: detection.Minor, State: detection.Open, Version: 1, Count: 1,
		Opened: time.Now().UTC().Truncate(time.Millisecond), Updated: time.Now().UTC().Truncate(time.Millisecond),
	}
	must(e.t, e.store.SaveIncidents(context.Background(), []detection.Incident{inc}))
	data, err := json.Marshal(inc)
	must(e.t, err)
	return string(data)
}

func (e *edge) incidents(n int) []string {
	e.t.Helper()
	var out []string
	for range n {
		out = append(out, e.incident())
	}
	return out
}

func (e *edge) empty() bool {
	w := e.store.Waiting()
	return w[api.LaneAlerts]+w[api.LaneTelemetry] == 0 && e.states.Waiting() == 0
}

func until(t *testing.T, what string, f func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !f() {
		if time.Now().After(deadline) {
			t.Fatalf("waited 20 s in vain: %s", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

func same(t *testing.T, h *hub, want []string) {
	t.Helper()
	h.do(func() {
		var got []string
		for _, d := range h.applied {
			if strings.Contains(d, `"rule"`) {
				got = append(got, d)
			}
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("the hub has %d incidents, want %d once each and in order", len(got), len(want))
		}
	})
}

func TestFailuresLoseAndDoubleNothing(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	h.do(func() { h.fail = []int{0, 500, 0, 503, 429, 502, 0, 507} })
	want := e.incidents(20)
	e.run()
	want = append(want, e.incidents(20)...)
	e.states.SetStatus(devices.Status{Device: "yard", State: devices.Online, Since: time.Now()})
	must(t, e.store.SaveReadings(t.Context(), []devices.Reading{{Device: "river", Time: time.Now(), Value: 1, Quality: devices.Good}}))
	until(t, "everything is sent", e.empty)
	same(t, h, want)
	h.do(func() {
		if len(h.fail) != 0 {
			t.Errorf("%d failures were not met", len(h.fail))
		}
		status, readings := 0, 0
		for _, d := range h.applied {
			if strings.Contains(d, `"state":"online"`) {
				status++
			}
			if strings.HasPrefix(d, `[{"device":"river"`) {
				readings++
			}
		}
		if status == 0 || readings != 1 { // a status may come again: the newest counts
			t.Errorf("%d statuses and %d readings arrived, want one each", status, readings)
		}
	})
	if online, cause := e.up.State(); !online {
		t.Errorf("offline at the end: %s", cause)
	}
}

func TestHubStoppedAndStarted(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	e.run()
	want := e.incidents(3)
	until(t, "first ones", e.empty)
	h.stop()
	want = append(want, e.incidents(5)...)
	until(t, "said in words", func() bool {
		online, cause := e.up.State()
		return !online && cause.Code == "hub_connection_refused" && cause.Params["hub"] == h.addr
	})
	h.start()
	until(t, "the rest", e.empty)
	same(t, h, want)
	until(t, "no problems at the end", func() bool { return len(e.up.Problems()) == 0 })
}

func TestIncidentIsSentAtOnce(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	e.run()
	e.incident()
	until(t, "the first", e.empty)
	began := time.Now()
	e.incident()
	until(t, "the second", e.empty)
	if took := time.Since(began); took > safetyInterval/2 { // it did not wait for the next look
		t.Errorf("an incident took %v", took)
	}
}

func TestLargeBatchesAreDivided(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	want := e.incidents(64)
	h.do(func() { h.maxBody = 5 * len(want[0]) })
	e.run()
	until(t, "everything is sent", e.empty)
	same(t, h, want)
}

func TestPoisonDoesNotBlock(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	want := e.incidents(9)
	h.do(func() { h.poison, h.refuse = want[4], want[7] })
	e.run()
	until(t, "everything is sent", e.empty)
	same(t, h, append(append(append([]string{}, want[:4]...), want[5:7]...), want[8]))
	if s := e.up.Stats(); s.Poison != 1 || s.Refused != 1 {
		t.Errorf("counted: %+v", s)
	}
	if open, err := e.store.OpenIncidents(t.Context()); err != nil || len(open) != 9 {
		t.Errorf("%d incidents are left on the edge, want all nine: %v", len(open), err)
	}
}

func TestHubThatRefusesEverythingIsNoPoison(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	want := e.incidents(3)
	bad := make([]int, 30)
	for i := range bad {
		bad[i] = 400
	}
	h.do(func() { h.fail = bad })
	e.run()
	until(t, "everything is sent", e.empty)
	same(t, h, want)
	if s := e.up.Stats(); s.Poison != 0 {
		t.Errorf("%d events were dropped because of a hub in trouble", s.Poison)
	}
}

func TestEvidenceGoesOnWhereItWasCut(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	content := bytes.Repeat([]byte("0123456789abcdef"), 50_000) // 800 kB
	h.do(func() { h.cutAfter = 300_000 })
	var inc detection.Incident
	must(t, json.Unmarshal([]byte(e.incident()), &inc))
	_, err := e.store.SaveEvidence(t.Context(), api.Evidence{Incident: inc.ID, Name: "snapshot.jpg", ContentType: "image/jpeg", Time: inc.Opened}, content)
	must(t, err)
	e.run()
	until(t, "the file is uploaded", func() bool {
		if !e.empty() {
			return false // a file waits only once its announcement has left
		}
		files, err := e.store.WaitingEvidence(context.Background(), 1, func(api.Evidence) bool { return false })
		must(t, err)
		return len(files) == 0
	})
	h.do(func() {
		if got := h.files[inc.ID+"/snapshot.jpg"]; !bytes.Equal(got, content) {
			t.Errorf("%d bytes arrived, want %d", len(got), len(content))
		}
		if h.cutAfter != 0 {
			t.Error("the upload was never cut")
		}
	})
}

func TestCommandsComeOverANewLine(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	e.run()
	h.commands <- command("a", api.Command{Kind: api.CommandPublish, Device: "yard"})
	h.commands <- "data: garbage\n\n: comment\n\n"
	h.commands <- "" // the line ends
	h.commands <- command("b", api.Command{Kind: api.CommandStop, Device: "yard"})
	until(t, "both results", func() bool {
		var n int
		h.do(func() { n = len(h.results) })
		return n == 2
	})
	h.do(func() {
		if h.results["a"].OK || !strings.Contains(h.results["a"].Cause.Text, "offline") || !h.results["b"].OK {
			t.Errorf("results: %+v", h.results)
		}
		if h.streams != 2 {
			t.Errorf("%d lines were opened, want 2", h.streams)
		}
	})
}

func TestCertificateIsRenewed(t *testing.T) {
	h := newHub(t)
	h.life, h.age = 30*time.Minute, 2*time.Hour // more than two thirds of it are over
	e := newEdge(t, h)
	first := e.up.o.Identity.Expires()
	e.run()
	until(t, "a new certificate", func() bool { return e.up.o.Identity.Expires().After(first.Add(time.Minute)) })
	e.incident()
	until(t, "sent", e.empty)
}

// TestOldConnectionsAfterARenewal: a connection that was in use during a renewal has the old certificate, which the
// hub refuses. That is no failure, and delays nothing.
func TestOldConnectionsAfterARenewal(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	h.do(func() { h.fail = []int{403} })
	e.up.reconnect()
	e.incident()
	e.run()
	until(t, "sent", e.empty)
	if n := e.up.Stats().Failures; n != 0 {
		t.Errorf("%d failures", n)
	}
}

func TestRevokedIsSaid(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	h.do(func() { h.fail = []int{403, 403, 403, 403, 403, 403, 403, 403, 403, 403} })
	e.incident()
	e.run()
	until(t, "said in words", func() bool {
		_, cause := e.up.State()
		return cause.Code == "hub_refuses_edge"
	})
	until(t, "sent in the end", e.empty)
}

func FuzzReadEvents(f *testing.F) {
	f.Add([]byte(": hi\n\nevent: command\ndata: {\"id\":\"1\"}\n\n"))
	f.Add([]byte("data: a\r\ndata:b\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		err := readEvents(bytes.NewReader(b), func() {}, func(data []byte) {
			if len(data) > maxData {
				t.Fatalf("%d bytes of data", len(data))
			}
		})
		if err == nil {
			t.Fatal("a stream ended without an error")
		}
		if errors.Is(err, io.EOF) {
			t.Fatal("an end is told as io.EOF")
		}
	})
}

// TestTheClockLearnsFromTheHub: every answer of the hub tells how wrong this edge's clock is.
func TestTheClockLearnsFromTheHub(t *testing.T) {
	for ahead, want := range map[time.Duration]string{
		0: "", 20 * 24 * time.Hour: "clock_ahead", -50 * 365 * 24 * time.Hour: "clock_behind",
	} {
		h := newHub(t)
		e := newEdge(t, h)
		k := clock.New(clock.Options{Now: func() time.Time { return time.Now().Add(ahead) }, Synchronized: func() bool { return false }})
		e.up.o.Identity.UseClock(k)
		if c, _ := clockProblem(k); c.Code != "clock_untrusted" {
			t.Errorf("before the hub has answered: %+v", c)
		}
		e.run()
		e.incident()
		until(t, "sent", e.empty)
		if c, _ := clockProblem(k); c.Code != want {
			t.Errorf("ahead by %v: %+v, want %q", ahead, c, want)
		}
		if now, known := k.Estimate(); !known || time.Until(now).Abs() > clock.Tolerance {
			t.Errorf("ahead by %v: the time is taken to be %v", ahead, now)
		}
	}
}
