package notify_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices/memnet"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/notify"
	"gridpost/hub/internal/store/alerts"
)

// TestModelOfTwoHubs runs two notifiers on one queue in the database, under a fake clock, with alerts, targets that
// fail in every way, crashes, lost connections to the database, orderly stops and restarts at random. The receivers check what the package promises:
//   - an alert is never attempted by two requests at the same time;
//   - it has one webhook-id and one body;
//   - an alert is not attempted before each earlier one of its incident was accepted or has failed OrderAttempts times;
//   - in the end each was accepted.
func TestModelOfTwoHubs(t *testing.T) {
	for engine, seeds := range map[db.Engine]uint64{db.SQLite: 3, db.Postgres: 1} {
		for seed := range seeds {
			o := db.Options{Name: "hub", Schema: schema.Hub()}
			if engine == db.Postgres {
				o.URL = dbtest.URL(t) // the server runs outside of the fake time
			} else {
				o.Dir = t.TempDir()
			}
			t.Run(fmt.Sprint(engine, " ", seed), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { newModel(t, o, seed).run() })
			})
		}
	}
}

// model is one run.
type model struct {
	t     *testing.T
	rnd   *rand.Rand // of run
	d     *db.DB
	queue *alerts.Repository
	hubs  [2]*modelHub

	mu       sync.Mutex
	dice     *rand.Rand // of the receivers
	calm     bool       // every target accepts
	targets  map[string]*modelTarget
	hosts    memnet.Network
	enqueued []int64 // numbers of alerts
	incident map[int64]string
}

// modelTarget is what a receiver knows.
type modelTarget struct {
	name     string
	now      map[string]bool   // webhook-ids in progress
	bodies   map[string]string // by webhook-id
	attempts map[int64]int     // by number of the alert
	accepted map[int64]bool
}

func newModel(t *testing.T, o db.Options, seed uint64) *model {
	o.Now = time.Now // the fake clock; without it leases follow the clock of the server
	d, err := db.Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	m := &model{
		t: t, rnd: rand.New(rand.NewPCG(seed, 9)), dice: rand.New(rand.NewPCG(seed, 10)), d: d, queue: alerts.New(d, alerts.Options{}),
		targets: map[string]*modelTarget{}, hosts: memnet.Network{}, incident: map[int64]string{},
	}
	for _, name := range []string{"one", "two"} {
		m.serve(name)
		w := alerts.Webhook{ID: name, URL: "http://" + name + "/hook", Secrets: []string{notify.NewSecret()}}
		if err := m.queue.Add(t.Context(), "test", w); err != nil {
			t.Fatal(err)
		}
	}
	for i := range m.hubs {
		m.hubs[i] = &modelHub{m: m}
	}
	return m
}

func (m *model) run() {
	m.hubs[0].start()
	m.hubs[1].start()
	for range 60 {
		switch n := m.rnd.IntN(20); {
		case n < 12:
			m.enqueue()
		case n < 14:
			m.hubs[m.rnd.IntN(2)].crash()
		case n < 15:
			m.hubs[m.rnd.IntN(2)].stop()
		case n < 17:
			m.hubs[m.rnd.IntN(2)].cutOff()
		default:
			m.hubs[m.rnd.IntN(2)].start()
		}
		time.Sleep(time.Duration(m.rnd.IntN(int(20 * time.Second))))
	}
	m.mu.Lock()
	m.calm = true
	m.mu.Unlock()
	for _, h := range m.hubs {
		h.start()
		h.queue.set(false)
	}
	time.Sleep(80 * time.Minute) // the longest wait after the attempts of the time before
	m.hubs[0].stop()
	m.hubs[1].stop()
	for name, target := range m.targets {
		for _, seq := range m.enqueued {
			if !target.accepted[seq] {
				m.t.Errorf("%s has not accepted alert %d after %d attempts", name, seq, target.attempts[seq])
			}
		}
	}
	var pending int
	if err := m.d.Read(m.t.Context()).One(`SELECT count(*) FROM deliveries WHERE state <> 'delivered'`)(&pending); err != nil || pending != 0 {
		m.t.Errorf("%d deliveries are not recorded as delivered, %v", pending, err)
	}
}

// enqueue publishes a few changes of random incidents with their alerts.
func (m *model) enqueue() {
	var seqs []int64
	var ids []string
	for range 1 + m.rnd.IntN(6) {
		ids = append(ids, fmt.Sprintf("incident %d", m.rnd.IntN(20)))
	}
	m.mu.Lock() // a delivery must not arrive before its number is known here
	defer m.mu.Unlock()
	err := m.d.Update(m.t.Context(), "test", func(tx *db.Tx) error {
		seqs = nil
		for _, id := range ids {
			tx.Publish("incident", "", id, nil, func(tx *db.Tx, seq int64) error {
				seqs = append(seqs, int64(len(m.enqueued)+len(seqs)+1)) // both targets were there from the start
				return alerts.Enqueue(tx, seq, alerts.Alert{
					Kind: notify.Changed, Incident: id, Data: func(*db.Tx) (json.RawMessage, error) { return json.RawMessage(`{}`), nil },
				})
			})
		}
		return nil
	})
	if err != nil {
		m.t.Error(err)
	}
	for i, seq := range seqs {
		m.incident[seq] = ids[i]
	}
	m.enqueued = append(m.enqueued, seqs...)
}

// serve puts a receiver onto the model's network.
func (m *model) serve(name string) {
	target := &modelTarget{
		name: name, now: map[string]bool{}, bodies: map[string]string{}, attempts: map[int64]int{}, accepted: map[int64]bool{},
	}
	m.targets[name] = target
	m.hosts.Serve(m.t, name, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { m.receive(target, w, r) }))
}

// receive checks one request and answers as the model's dice say.
func (m *model) receive(target *modelTarget, w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // its hub crashed
	}
	var event struct{ ID, Source, Sequence, IncidentID string }
	if err := json.Unmarshal(body, &event); err != nil {
		m.t.Error(err)
	}
	seq, err := strconv.ParseInt(event.Sequence, 10, 64)
	if err != nil {
		m.t.Error(err)
	}
	id := r.Header.Get("webhook-id")
	if want := notify.DeliveryID(event.ID, target.name); id != want {
		m.t.Errorf("event %s has the webhook-id %s, want %s", event.ID, id, want)
	}
	answer, wait := m.arrive(target, seq, id, string(body))
	select {
	case <-time.After(wait):
	case <-r.Context().Done(): // its hub crashed, or has lost patience
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(target.now, id)
	if answer == http.StatusNoContent && r.Context().Err() == nil {
		target.accepted[seq] = true
	}
	if answer == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "20")
	}
	w.WriteHeader(answer)
}

// arrive checks a request at its arrival, and draws the answer and the time that it takes.
func (m *model) arrive(target *modelTarget, seq int64, id, body string) (answer int, wait time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if target.now[id] {
		m.t.Errorf("alert %d is attempted twice at the same time", seq)
	}
	target.now[id] = true
	if before := target.bodies[id]; before != "" && before != body {
		m.t.Errorf("alert %d has two bodies", seq)
	}
	target.bodies[id] = body
	target.attempts[seq]++
	for _, earlier := range m.enqueued {
		if earlier < seq && m.incident[earlier] == m.incident[seq] && !target.accepted[earlier] && target.attempts[earlier] < notify.OrderAttempts {
			m.t.Errorf("alert %d overtakes %d, which has failed %d times", seq, earlier, target.attempts[earlier])
		}
	}
	if m.calm {
		return http.StatusNoContent, 0
	}
	answers := []int{204, 204, 204, 204, 500, 503, 429, 302, 400}
	wait = time.Duration(m.dice.IntN(int(2 * time.Second)))
	switch m.dice.IntN(20) {
	case 0:
		wait = time.Minute // longer than the hub waits
	case 1, 2, 3, 4, 5:
		wait = 14 * time.Second
	}
	return answers[m.dice.IntN(len(answers))], wait
}

// modelHub is a hub that can crash.
type modelHub struct {
	m     *model
	queue *crashingQueue
	end   func(crash bool) // nil: it does not run
}

func (h *modelHub) start() {
	if h.end != nil {
		return
	}
	q := &crashingQueue{Queue: h.m.queue}
	h.queue = q
	n := notify.New(notify.Options{
		Queue: q, Logger: slog.New(slog.DiscardHandler), AllowPrivate: true, Wake: func() <-chan struct{} { return h.m.d.Wait(db.Alerts, "") },
	}.WithDial(h.m.hosts.Dial))
	ctx, cancel := context.WithCancel(h.m.t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	h.end = func(crash bool) {
		if crash {
			q.set(true)
		}
		cancel()
		if err := <-done; err != nil {
			h.m.t.Error(err)
		}
		h.end = nil
	}
}

func (h *modelHub) stop() {
	if h.end != nil {
		h.end(false)
	}
}

func (h *modelHub) crash() {
	if h.end != nil {
		h.end(true)
	}
}

// cutOff ends or restores the hub's connection to the database. It goes on running.
func (h *modelHub) cutOff() {
	if h.end != nil {
		h.queue.set(h.queue.down() == nil)
	}
}

// crashingQueue is the queue of a hub that may crash, or lose its connection to the database: then nothing that
// it does reaches the database.
type crashingQueue struct {
	notify.Queue
	mu      sync.Mutex
	crashed bool
}

var errCrashed = errors.New("the hub has crashed")

func (q *crashingQueue) set(crashed bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.crashed = crashed
}

func (q *crashingQueue) down() error {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.crashed {
		return errCrashed
	}
	return nil
}

func (q *crashingQueue) Acquire(ctx context.Context, target string, ttl time.Duration) (notify.TargetQueue, error) {
	if err := q.down(); err != nil {
		return nil, err
	}
	tq, err := q.Queue.Acquire(ctx, target, ttl)
	if err != nil {
		return nil, err
	}
	return crashingTarget{tq, q}, nil
}

type crashingTarget struct {
	notify.TargetQueue
	q *crashingQueue
}

func (c crashingTarget) Record(ctx context.Context, outcomes []notify.Outcome) error {
	if err := c.q.down(); err != nil {
		return err
	}
	return c.TargetQueue.Record(ctx, outcomes)
}

func (c crashingTarget) Release(ctx context.Context) error {
	if err := c.q.down(); err != nil {
		return err
	}
	return c.TargetQueue.Release(ctx)
}

func (c crashingTarget) Renew(ctx context.Context) error {
	if err := c.q.down(); err != nil {
		return err
	}
	return c.TargetQueue.Renew(ctx)
}
