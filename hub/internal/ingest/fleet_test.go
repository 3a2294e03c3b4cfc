package ingest

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/authority"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
)

// fleet is many simulated edges of a hub. They speak to its real handler in the same process, without
// sockets and TLS, which are not what is tested.
type fleet struct {
	*parts
	handler http.Handler
	all     []*fleetEdge
	wg      sync.WaitGroup
}

// fleetEdge is one edge with its open stream of commands.
type fleetEdge struct {
	name     string
	state    *tls.ConnectionState
	commands chan api.Command
	ready    chan struct{}
}

// newFleet adds so many edges with their certificates.
func newFleet(t *testing.T, n int) *fleet {
	t.Helper()
	f := &fleet{parts: newParts(t, db.SQLite)}
	f.server.o.KeepAlive = time.Hour // no query comes by itself
	f.handler = f.server.Handler()
	key := newKey(t)
	req, err := authority.ParseRequest(newCSR(t, key))
	if err != nil {
		t.Fatal(err)
	}
	serials := make([]string, n)
	for i := range n {
		e := &fleetEdge{name: fmt.Sprint("edge-", i), commands: make(chan api.Command, 8), ready: make(chan struct{})}
		cert, err := f.authority.Issue(e.name, req)
		if err != nil {
			t.Fatal(err)
		}
		block, _ := pem.Decode([]byte(cert.PEM))
		leaf, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			t.Fatal(err)
		}
		e.state, serials[i] = &tls.ConnectionState{PeerCertificates: []*x509.Certificate{leaf}}, cert.Serial
		f.all = append(f.all, e)
	}
	if err := f.db.Update(t.Context(), "test", func(tx *db.Tx) error {
		for i, e := range f.all {
			if _, err := tx.Exec(`INSERT INTO edges(name, site, created_at) VALUES (?, ?, 0)`, e.name, e.name); err != nil {
				return err
			}
			if _, err := tx.Exec(`INSERT INTO edge_certificates(serial, edge, issued_at, not_after, first_used_at) VALUES (?, ?, 0, 0, 1)`, serials[i], e.name); err != nil {
				return err
			}
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	return f
}

// connect opens every edge's stream of commands, and returns when each has come to wait. It ends
// with the test.
func (f *fleet) connect(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	t.Cleanup(func() { cancel(); f.wg.Wait() })
	for _, e := range f.all {
		f.wg.Go(func() {
			r := httptest.NewRequestWithContext(ctx, http.MethodGet, "/edge/v1/commands", nil)
			r.TLS = e.state
			f.handler.ServeHTTP(&stream{edge: e, header: http.Header{}}, r)
		})
	}
	for _, e := range f.all {
		<-e.ready
	}
}

// stream receives the commands of an edge.
type stream struct {
	edge   *fleetEdge
	header http.Header
	once   sync.Once
}

func (s *stream) Header() http.Header              { return s.header }
func (s *stream) WriteHeader(int)                  {}
func (s *stream) Flush()                           {}
func (s *stream) SetWriteDeadline(time.Time) error { return nil }

func (s *stream) Write(p []byte) (int, error) {
	s.once.Do(func() { close(s.edge.ready) })
	if _, data, ok := bytes.Cut(p, []byte("data: ")); ok {
		var c api.Command
		if err := json.Unmarshal(data, &c); err != nil {
			return 0, err
		}
		s.edge.commands <- c
	}
	return len(p), nil
}

// post posts a batch of an edge.
func (f *fleet) post(t *testing.T, e *fleetEdge, b api.Batch) (ack api.Ack) {
	t.Helper()
	body, err := json.Marshal(b)
	if err != nil {
		t.Error(err)
		return ack
	}
	r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/edge/v1/events", bytes.NewReader(body))
	r.TLS = e.state
	r.Header.Set(api.HeaderProtocol, protocol2)
	w := httptest.NewRecorder()
	f.handler.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Errorf("%s: %d %s", e.name, w.Code, w.Body)
		return ack
	}
	if err := json.Unmarshal(w.Body.Bytes(), &ack); err != nil {
		t.Error(err)
	}
	return ack
}

// TestOneCommandWakesOneEdge: a view's start costs the same number of statements however many edges are
// connected.
func TestOneCommandWakesOneEdge(t *testing.T) {
	cost := func(t *testing.T, n int) (statements uint64) {
		f := newFleet(t, n)
		f.connect(t)
		synctest.Wait() // until every stream waits
		before := f.db.Queries()
		e := f.all[n/2]
		c := api.Command{ID: uuid.NewString(), Kind: api.CommandPublish, Device: "yard", Issued: f.clock()}
		finished := f.parts.edges.CommandFinished(c.ID)
		if err := f.parts.edges.AddCommand(t.Context(), e.name, c, f.clock().Add(10*time.Second)); err != nil {
			t.Fatal(err)
		}
		if got := <-e.commands; got.ID != c.ID {
			t.Errorf("got %+v", got)
		}
		if err := f.parts.edges.FinishCommand(t.Context(), e.name, c.ID, api.Result{OK: true}); err != nil {
			t.Fatal(err)
		}
		<-finished
		if res, done, err := f.parts.edges.CommandResult(t.Context(), c.ID); err != nil || !done || !res.OK {
			t.Errorf("%+v, %v, %v", res, done, err)
		}
		synctest.Wait() // until every stream waits
		for i, other := range f.all {
			if other != e && len(other.commands) > 0 {
				t.Errorf("edge %d has got a command of another", i)
			}
		}
		return f.db.Queries() - before
	}
	var few, many uint64
	synctest.Test(t, func(t *testing.T) { few = cost(t, 10) })
	synctest.Test(t, func(t *testing.T) { many = cost(t, 1000) })
	t.Logf("a view's start: %d statements with 10 edges, %d with 1,000", few, many)
	if many != few || many > 20 {
		t.Errorf("a view's start takes %d statements with 10 edges, and %d with 1,000", few, many)
	}
}

// TestThousandEdges: 1,000 edges with four devices each connect, greet, and send all that they have; the hub
// is restarted, and they all come again. Nothing is lost or doubled, and the second time nothing is
// published, so that the entries that are kept of the change feed are not overrun.
func TestThousandEdges(t *testing.T) {
	const n, each = 1000, 4
	f := newFleet(t, n)
	f.connect(t)
	now := f.clock()
	var inv api.Inventory
	for i := range each {
		inv.Devices = append(inv.Devices, api.Device{Name: fmt.Sprint("device-", i), Kind: devices.Sensor, Unit: "m", Place: &devices.Place{Lat: 1, Lon: float64(i)}})
	}
	alerts := make([]string, n)
	for i := range alerts {
		alerts[i] = uuid.NewString()
	}
	everything := func(epoch string) {
		var wg sync.WaitGroup
		for worker := range 8 {
			wg.Go(func() {
				for i := worker; i < n; i += 8 {
					e := f.all[i]
					f.post(t, e, api.Batch{Epoch: epoch, Sent: now, Hello: &api.Hello{Open: []api.IncidentRef{{ID: alerts[i], Version: 1}}}})
					state := []api.Event{newEvent(t, api.LaneState, 1, api.KindInventory, inv)}
					for j := range each {
						state = append(state, newEvent(t, api.LaneState, uint64(j+2), api.KindStatus, devices.Status{Device: inv.Devices[j].Name, State: devices.Online, Since: now}))
					}
					state = append(state, newEvent(t, api.LaneState, each+2, api.KindHealth, api.Health{Time: now}))
					f.post(t, e, api.Batch{Epoch: epoch, Sent: now, Events: state})
					alert := newEvent(t, api.LaneAlerts, 1, api.KindIncident, incident(alerts[i]))
					ack := f.post(t, e, api.Batch{Epoch: epoch, Sent: now, Events: []api.Event{alert}})
					if ack.Committed[api.LaneAlerts] != 1 || ack.Committed[api.LaneState] != each+2 || len(ack.Refused) != 0 {
						t.Errorf("%s: %+v", e.name, ack)
					}
					reading := []devices.Reading{{Device: "device-0", Time: now.Add(-time.Duration(i) * time.Millisecond), Value: float64(i), Quality: devices.Good}}
					f.post(t, e, api.Batch{Epoch: epoch, Sent: now, Events: []api.Event{newEvent(t, api.LaneTelemetry, 1, api.KindReadings, reading)}})
				}
			})
		}
		wg.Wait()
	}
	began := time.Now()
	everything("first")
	t.Logf("the first time: %v", time.Since(began).Round(time.Millisecond))
	before, err := f.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.presence = edges.NewPresence(f.parts.edges, f.server.o.Logger) // what is in memory is gone
	f.server.o.Presence = f.presence
	statements := f.db.Queries()
	began = time.Now()
	everything("second")
	t.Logf("after a restart of the hub: %v, %.1f statements for each of %d requests", time.Since(began).Round(time.Millisecond), float64(f.db.Queries()-statements)/(4*n), 4*n)
	after, err := f.db.LastChange(t.Context())
	if err != nil || after != before {
		t.Errorf("%d entries were published when all came again, %v", after-before, err)
	}
	for query, want := range map[string]int{
		`SELECT count(*) FROM incidents`:                            n,
		`SELECT count(*) FROM devices`:                              n * each,
		`SELECT count(*) FROM devices WHERE state = 'online'`:       n * each,
		`SELECT count(*) FROM changes WHERE kind = 'incident'`:      n,
		`SELECT count(*) FROM edges WHERE online = 1`:               n,
		`SELECT count(*) FROM incidents WHERE condition = 'closed'`: 0,
	} {
		if got := f.count(t, query); got != want {
			t.Errorf("%s: %d, want %d", query, got, want)
		}
	}
	all, err := f.telemetry.Readings(t.Context(), scope.All(), "edge-7", "device-0", now.Add(-time.Hour), now.Add(time.Hour), 10)
	if err != nil || len(all) != 1 {
		t.Errorf("%+v, %v", all, err)
	}
}
