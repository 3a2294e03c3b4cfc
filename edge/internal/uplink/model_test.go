package uplink

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
)

// The model: an edge's store and a hub, each a few maps, and between them the real uplink over
// connections in memory that fail at random. Time is that of synctest.

// memory is what the model's hub knows. It can be copied, as a backup is.
type memory struct {
	present  string
	epochs   map[string]bool
	marks    map[string]uint64
	versions map[string]int
	files    map[string]int // by incident: bytes received, -1: only announced
	readings map[string]bool
}

func (m memory) clone() memory {
	m.epochs, m.marks, m.versions = maps.Clone(m.epochs), maps.Clone(m.marks), maps.Clone(m.versions)
	m.files, m.readings = maps.Clone(m.files), maps.Clone(m.readings)
	return m
}

// modelHub applies events as the hub does: once, in order, and only those of the present epoch.
type modelHub struct {
	t    *testing.T
	mu   sync.Mutex
	run  int
	ever map[string]bool // what it has had in any of its lives
	fail func() fault

	greetings   int
	unsupported bool // it does not speak the edge's protocol
	memory
}

type fault int

// The faults of a request.
const (
	none       fault = iota
	before           // the connection breaks before anything is applied
	after            // everything is applied, and the answer is lost
	stall            // the answer never comes
	slow             // the answer takes 10 s
	broken500        // 500
	busy503          // 503 with Retry-After
	conflict         // 409, as if another epoch had greeted
	nonsense         // an answer that commits what was never sent
	faultKinds       // how many there are
)

func newModelHub(t *testing.T) *modelHub {
	return &modelHub{t: t, run: 1, ever: map[string]bool{}, fail: func() fault { return none }, memory: memory{
		epochs: map[string]bool{}, marks: map[string]uint64{}, versions: map[string]int{}, files: map[string]int{}, readings: map[string]bool{},
	}}
}

func (h *modelHub) had(r row) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ever[fmt.Sprintf("%s %s %d", r.kind, r.id, r.version)]
}

func (h *modelHub) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	f, unsupported := h.fail(), h.unsupported
	h.mu.Unlock()
	w.Header().Set(api.HeaderProtocol, "2")
	if unsupported {
		w.Header().Set(api.HeaderProtocol, "7")
		w.Header().Set("Content-Type", "application/problem+json")
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"code":"`+api.CodeProtocolUnsupported+`"}`)
		return
	}
	switch f {
	case before:
		panic(http.ErrAbortHandler)
	case broken500:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case busy503:
		w.Header().Set("Retry-After", "3")
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	case conflict:
		h.conflict(w)
		return
	case stall:
		_, _ = io.Copy(io.Discard, r.Body) // net/http notices that the client has gone only after the body
		<-r.Context().Done()
		return
	case slow:
		time.Sleep(10 * time.Second)
	}
	switch {
	case r.URL.Path == "/edge/v1/events":
		h.events(w, r, f)
	case r.URL.Path == "/edge/v1/commands":
		for r.Context().Err() == nil {
			_, _ = io.WriteString(w, ": alive\n\n")
			_ = http.NewResponseController(w).Flush()
			select {
			case <-time.After(10 * time.Second):
			case <-r.Context().Done():
			}
		}
	case r.URL.Path == "/edge/v1/incidents/check":
		h.check(w, r)
	case strings.HasPrefix(r.URL.Path, "/edge/v1/evidence/"):
		h.upload(w, r)
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	if f == after {
		panic(http.ErrAbortHandler)
	}
}

func (h *modelHub) conflict(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusConflict)
	_, _ = io.WriteString(w, `{"code":"`+api.CodeEpochSuperseded+`"}`)
}

func (h *modelHub) events(w http.ResponseWriter, r *http.Request, f fault) {
	body, err := readBody(r)
	var batch api.Batch
	if err != nil || json.Unmarshal(body, &batch) != nil {
		panic(http.ErrAbortHandler)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	ack := api.Ack{Committed: map[api.Lane]uint64{}, Hub: strconv.Itoa(h.run)}
	if batch.Hello != nil {
		h.greetings++
	}
	switch {
	case batch.Hello != nil && (batch.Epoch == h.present || !h.epochs[batch.Epoch]):
		h.present, h.epochs[batch.Epoch] = batch.Epoch, true
		ack.Missing = h.missing(batch.Hello.Open)
	case batch.Epoch != h.present:
		h.conflict(w)
		return
	}
	for _, e := range batch.Events {
		mark := batch.Epoch + "/" + string(e.Lane)
		if e.Seq > h.marks[mark] {
			h.marks[mark] = e.Seq
			h.apply(e)
		}
		ack.Committed[e.Lane] = h.marks[mark]
	}
	if f == nonsense {
		ack.Committed = map[api.Lane]uint64{api.LaneAlerts: 1 << 40, api.LaneTelemetry: 1 << 40, api.LaneState: 1 << 40}
	}
	_ = json.NewEncoder(w).Encode(ack)
}

func (h *modelHub) apply(e api.Event) {
	switch e.Kind {
	case api.KindIncident:
		var inc detection.Incident
		_ = json.Unmarshal(e.Data, &inc)
		h.versions[inc.ID] = max(h.versions[inc.ID], inc.Version)
		h.ever[fmt.Sprintf("incident %s %d", inc.ID, inc.Version)] = true
	case api.KindEvidence:
		var ev api.Evidence
		_ = json.Unmarshal(e.Data, &ev)
		if _, ok := h.files[ev.Incident]; !ok {
			h.files[ev.Incident] = 0
		}
		h.ever[fmt.Sprintf("evidence %s 0", ev.Incident)] = true
	case api.KindReadings:
		h.readings[string(e.Data)] = true
	}
}

func (h *modelHub) missing(refs []api.IncidentRef) (out []string) {
	for _, ref := range refs {
		if h.versions[ref.ID] < ref.Version || ref.Evidence > 0 && h.files[ref.ID] < 5 {
			out = append(out, ref.ID)
		}
	}
	return out
}

func (h *modelHub) check(w http.ResponseWriter, r *http.Request) {
	body, err := readBody(r)
	var in api.Check
	if err != nil || json.Unmarshal(body, &in) != nil {
		panic(http.ErrAbortHandler)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if in.Epoch != h.present {
		h.conflict(w)
		return
	}
	_ = json.NewEncoder(w).Encode(api.CheckAnswer{Missing: h.missing(in.Incidents)})
}

func (h *modelHub) upload(w http.ResponseWriter, r *http.Request) {
	id := strings.Split(r.URL.Path, "/")[4]
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	have, ok := h.files[id]
	if !ok {
		w.WriteHeader(http.StatusNotFound)
		return
	}
	if r.Method == http.MethodPatch {
		if r.Header.Get("Upload-Offset") != strconv.Itoa(have) {
			w.WriteHeader(http.StatusConflict)
			return
		}
		have += len(body)
		h.files[id] = have
	}
	w.Header().Set("Upload-Offset", strconv.Itoa(have))
	if have == 5 {
		w.Header().Set("Upload-Complete", "?1")
	}
	w.WriteHeader(http.StatusNoContent)
}

// pipes is a listener whose connections are in memory.
type pipes struct {
	conns chan net.Conn
	until atomic.Int64 // nanoseconds since 1970: the line is down before
}

func (p *pipes) down() bool { return time.Now().UnixNano() < p.until.Load() }

func (p *pipes) cut(d time.Duration) { p.until.Store(time.Now().Add(d).UnixNano()) }

func (p *pipes) dial(ctx context.Context, _, _ string) (net.Conn, error) {
	if p.down() {
		return nil, &net.OpError{Op: "dial", Err: os.ErrDeadlineExceeded}
	}
	ours, theirs := net.Pipe()
	select {
	case p.conns <- theirs:
		return ours, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (p *pipes) Accept() (net.Conn, error) {
	c, ok := <-p.conns
	if !ok {
		return nil, net.ErrClosed
	}
	return c, nil
}

func (p *pipes) Close() error   { return nil }
func (p *pipes) Addr() net.Addr { return &net.UnixAddr{Name: "hub"} }

// TestDeliveryUnderRandomFaults runs edges and hubs through random faults of the connection, the
// hub and the store, and checks that at the end the hub has everything, and that nothing was ever
// deleted before it had it.
func TestDeliveryUnderRandomFaults(t *testing.T) {
	identity := newHub(t).enrol(t.TempDir())
	file := filepath.Join(t.TempDir(), "a.jpg")
	must(t, os.WriteFile(file, []byte("12345"), 0o600))
	for seed := range uint64(12) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) { deliverUnderFaults(t, seed, identity, file) })
		})
	}
}

// serve lets the hub answer on the line.
func serve(t *testing.T, hub *modelHub, line *pipes) (stop func()) {
	server := &http.Server{Handler: hub}
	go func() { _ = server.Serve(line) }()
	return func() {
		close(line.conns)
		must(t, server.Close())
		time.Sleep(time.Minute) // handlers that are slow end by themselves
	}
}

func startUplink(t *testing.T, identity *enrol.Identity, store *modelStore, dial dialFunc) (up *Uplink, stop func()) {
	states := NewStates()
	states.SetInventory(api.Inventory{Version: "1"})
	states.SetStatus(devices.Status{Device: "yard", State: devices.Online})
	up = New(Options{URL: "http://hub", Identity: identity, Store: store, States: states, dial: dial})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- up.Run(ctx) }()
	return up, func() { cancel(); must(t, <-done) }
}

func deliverUnderFaults(t *testing.T, seed uint64, identity *enrol.Identity, file string) {
	random := rand.New(rand.NewPCG(seed, 7))
	hub := newModelHub(t)
	store := newModelStore(t, hub, file)
	line := &pipes{conns: make(chan net.Conn)}
	defer serve(t, hub, line)()
	start := func() func() { _, stop := startUplink(t, identity, store, line.dial); return stop }
	stop := start()
	faults := rand.New(rand.NewPCG(seed, 8)) // used under the hub's lock
	hub.mu.Lock()
	hub.fail = func() fault {
		if faults.IntN(4) > 0 {
			return none
		}
		return fault(faults.IntN(int(faultKinds)))
	}
	hub.mu.Unlock()
	hub.mu.Lock()
	backup, restored := hub.clone(), false
	hub.mu.Unlock()
	for step := range 150 {
		id := fmt.Sprintf("incident-%03d", random.IntN(step/3+1))
		store.mu.Lock()
		wasClosed := store.versions[id] > 0 && !store.open[id]
		store.readings += random.IntN(5)
		store.mu.Unlock()
		if !wasClosed {
			store.alert(id, random.IntN(3) > 0)
		}
		switch random.IntN(25) {
		case 0: // the edge's program ends and starts again
			stop()
			stop = start()
		case 1: // the hub's
			hub.mu.Lock()
			hub.run++
			hub.mu.Unlock()
		case 2:
			hub.mu.Lock()
			backup = hub.clone()
			hub.mu.Unlock()
		case 3: // the hub is restored from a backup
			hub.mu.Lock()
			hub.memory, restored = backup.clone(), true
			hub.run++
			hub.mu.Unlock()
		case 4: // the line is down for a while
			line.cut(time.Duration(random.IntN(120)) * time.Second)
		}
		time.Sleep(time.Duration(random.IntN(3000)) * time.Millisecond)
	}
	hub.mu.Lock()
	hub.fail = func() fault { return none }
	hub.mu.Unlock()
	time.Sleep(40 * time.Minute) // longer than any wait
	stop()
	hub.mu.Lock()
	defer hub.mu.Unlock()
	store.mu.Lock()
	defer store.mu.Unlock()
	if len(store.outbox) > 0 || store.sent != store.readings {
		t.Errorf("%d alerts and %d readings still wait", len(store.outbox), store.readings-store.sent)
	}
	for id, version := range store.versions {
		if hub.versions[id] != version {
			t.Errorf("the hub has version %d of %s, the edge %d", hub.versions[id], id, version)
		}
		if hub.files[id] != 5 {
			t.Errorf("the hub has %d of 5 bytes of the evidence of %s", hub.files[id], id)
		}
	}
	if !restored && len(hub.readings) != store.readings {
		t.Errorf("the hub has %d of %d readings", len(hub.readings), store.readings)
	}
}
