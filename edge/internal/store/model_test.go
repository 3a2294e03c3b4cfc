package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// model is a random history of a store, its hub and what happens to both, and what must be true
// of it.
type model struct {
	t   *testing.T
	rnd *rand.Rand
	log []string // operations, for the report of a failure

	s    *Store
	dir  string
	full bool

	// What the store has acknowledged as saved.
	saved    map[string]detection.Incident
	open     []string
	readings map[devices.Reading]bool
	files    map[string]api.Evidence
	next     int

	// What the hub has.
	versions map[string]int
	gaps     map[string]api.Gap
	received map[devices.Reading]bool
	uploads  map[string]bool

	// Of the present run.
	confirmed map[devices.Reading]bool // delivered, and the store was told so
	lastSeq   map[api.Lane]uint64
	lastOf    map[string]int // version of each incident that was sent last

	copies []copied // older states that may be restored
}

type copied struct {
	dir      string
	saved    map[string]detection.Incident
	readings map[devices.Reading]bool
	files    map[string]api.Evidence
}

func TestRandomHistories(t *testing.T) {
	seeds, steps := 8, 100
	if n, err := strconv.Atoi(os.Getenv("SEEDS")); err == nil {
		seeds = n
	}
	if testing.Short() {
		seeds = 3
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			runModel(t, uint64(seed), steps)
		})
	}
}

func runModel(t *testing.T, seed uint64, steps int) {
	m := &model{
		t: t, rnd: rand.New(rand.NewPCG(seed, 7)), dir: t.TempDir(),
		saved: map[string]detection.Incident{}, readings: map[devices.Reading]bool{}, files: map[string]api.Evidence{},
		versions: map[string]int{}, gaps: map[string]api.Gap{}, received: map[devices.Reading]bool{}, uploads: map[string]bool{},
	}
	defer func() {
		if t.Failed() {
			t.Logf("seed %d: %v", seed, m.log)
		}
	}()
	m.start()
	ops := []struct {
		name   string
		weight int
		do     func()
	}{
		{"incidents", 30, m.saveIncidents},
		{"readings", 25, m.saveReadings},
		{"evidence", 8, m.saveEvidence},
		{"send alerts", 20, func() { m.sendAlerts(1+m.rnd.IntN(20), m.rnd.IntN(4) > 0) }},
		{"send telemetry", 15, func() { m.sendTelemetry(1+m.rnd.IntN(5), m.rnd.IntN(4) > 0) }},
		{"upload", 6, m.upload},
		{"maintain", 4, m.maintain},
		{"full", 3, m.fill},
		{"kill", 4, m.kill},
		{"restart", 3, m.restart},
		{"copy", 2, m.copy},
		{"restore", 1, m.restore},
		{"damage", 2, m.damage},
		{"damage in use", 1, m.damageInUse},
	}
	total := 0
	for _, op := range ops {
		total += op.weight
	}
	for range steps {
		n := m.rnd.IntN(total)
		for _, op := range ops {
			if n -= op.weight; n < 0 {
				m.log = append(m.log, op.name)
				op.do()
				break
			}
		}
		if t.Failed() {
			return
		}
	}
	m.finish()
}

// start opens the store as a new run: the hub's marks are 0, and it is greeted.
func (m *model) start() {
	m.t.Helper()
	s, err := Open(context.Background(), Options{
		Dir: m.dir, TelemetryBytes: 60 * pageSize, OutboxEvents: 60, EvidenceBytes: 4000,
		Logger: slog.New(slog.DiscardHandler),
	})
	must(m.t, err)
	s.machine.fixed = func() moment { return moment{boot: "b", clock: api.ClockSynchronized} }
	m.s, m.full = s, false
	m.confirmed, m.lastSeq, m.lastOf = map[devices.Reading]bool{}, map[api.Lane]uint64{}, map[string]int{}
	all, err := s.OpenIncidents(context.Background())
	must(m.t, err)
	m.open = nil
	for _, inc := range all {
		m.open = append(m.open, inc.ID)
		m.saved[inc.ID] = inc // a restored or damaged store may know an older version
	}
	m.greet()
}

// greet does what the uplink does with Hello, Ack.Missing and the check of recent incidents.
func (m *model) greet() {
	ctx := context.Background()
	refs, err := m.s.OpenRefs(ctx)
	must(m.t, err)
	recent, err := m.s.RecentRefs(ctx, "", 1000)
	must(m.t, err)
	var missing []string
	for _, r := range append(refs, recent...) {
		if m.versions[r.ID] < r.Version {
			missing = append(missing, r.ID)
		}
	}
	if err := m.s.Enqueue(ctx, missing); err != nil && !errors.Is(err, ErrFull) {
		m.t.Fatal(err)
	}
	m.lastOf = map[string]int{} // what is enqueued again may be older than what was sent
}

// saveIncidents opens, changes and closes incidents, from several goroutines at once.
func (m *model) saveIncidents() {
	var wg sync.WaitGroup
	var mu sync.Mutex
	batches := make([][]detection.Incident, 1+m.rnd.IntN(3))
	for i := range batches {
		for range 1 + m.rnd.IntN(4) {
			batches[i] = append(batches[i], m.incident())
		}
	}
	for _, batch := range batches {
		wg.Go(func() {
			err := m.s.SaveIncidents(context.Background(), batch)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if !errors.Is(err, ErrFull) {
					m.t.Errorf("saving incidents: %v", err)
				}
				return
			}
			for _, inc := range batch {
				m.saved[inc.ID] = inc
			}
		})
	}
	wg.Wait()
}

// incident makes the next alert, of a new incident or of one that is open; an incident is in one
// batch at a time.
func (m *model) incident() detection.Incident {
	if len(m.open) == 0 || m.rnd.IntN(2) == 0 {
		m.next++
		inc := incident(m.next)
		inc.Opened, inc.Updated = now(), now()
		m.open = append(m.open, inc.ID)
		return inc
	}
	i := m.rnd.IntN(len(m.open))
	inc, ok := m.saved[m.open[i]]
	if !ok { // its opening could not be saved
		inc = incident(m.next)
		inc.ID, inc.Opened, inc.Version = m.open[i], now(), 0
	}
	inc.Version++
	inc.Updated = now()
	m.open = slices.Delete(m.open, i, i+1)
	if m.rnd.IntN(3) == 0 {
		inc.State = detection.Closed
	}
	return inc
}

func now() time.Time { return time.Now().UTC().Truncate(time.Millisecond) }

func (m *model) saveReadings() {
	var batch []devices.Reading
	for range 1 + m.rnd.IntN(150) {
		m.next++
		batch = append(batch, devices.Reading{
			Device: fmt.Sprintf("sensor-%d", m.rnd.IntN(3)), Unit: "m", Quality: devices.Good, Value: float64(m.next),
			Time: now().Add(-time.Duration(m.rnd.IntN(50)) * time.Hour),
		})
	}
	batch = append(batch, batch[0]) // the sensor repeats itself
	err := m.s.SaveReadings(context.Background(), batch)
	if err != nil {
		if !errors.Is(err, ErrFull) {
			m.t.Errorf("saving readings: %v", err)
		}
		return
	}
	for _, r := range batch {
		m.readings[r] = true
	}
}

func (m *model) saveEvidence() {
	ids := slices.Sorted(maps.Keys(m.saved))
	if len(ids) == 0 {
		return
	}
	meta := api.Evidence{Incident: ids[m.rnd.IntN(len(ids))], Name: "snapshot.jpg", ContentType: "image/jpeg", Time: now()}
	meta, err := m.s.SaveEvidence(context.Background(), meta, []byte(fmt.Sprintf("%0*d", 20+m.rnd.IntN(300), m.next)))
	if err == nil {
		m.files[meta.Incident] = meta
	} else if !errors.Is(err, ErrFull) {
		m.t.Errorf("saving evidence: %v", err)
	}
}

// sendAlerts sends a batch; heard says whether the hub's answer arrives.
func (m *model) sendAlerts(limit int, heard bool) (sent int) {
	events, err := m.s.Alerts(context.Background(), limit, 20_000)
	must(m.t, err)
	for _, e := range events {
		if e.Seq <= m.lastSeq[e.Lane] {
			m.t.Errorf("alert %d was sent after %d had been confirmed", e.Seq, m.lastSeq[e.Lane])
		}
		switch e.Kind {
		case api.KindIncident:
			var inc detection.Incident
			must(m.t, json.Unmarshal(e.Data, &inc))
			if heard && inc.Version < m.lastOf[inc.ID] {
				m.t.Errorf("version %d of %s was sent after version %d", inc.Version, inc.ID, m.lastOf[inc.ID])
			}
			if heard {
				m.lastOf[inc.ID] = inc.Version
			}
			m.versions[inc.ID] = max(m.versions[inc.ID], inc.Version)
		case api.KindGap:
			m.gap(e.Data)
		}
	}
	if len(events) > 0 && heard {
		m.lastSeq[api.LaneAlerts] = events[len(events)-1].Seq
		must(m.t, m.s.AlertsDelivered(context.Background(), events[len(events)-1].Seq, nil))
	}
	return len(events)
}

func (m *model) gap(data []byte) {
	var g api.Gap
	must(m.t, json.Unmarshal(data, &g))
	m.gaps[g.ID] = g
}

func (m *model) sendTelemetry(limit int, heard bool) (sent int) {
	events, err := m.s.Telemetry(context.Background(), limit, 20_000)
	must(m.t, err)
	for _, e := range events {
		if e.Seq <= m.lastSeq[e.Lane] {
			m.t.Errorf("telemetry %d was sent after %d had been confirmed", e.Seq, m.lastSeq[e.Lane])
		}
		if e.Kind == api.KindGap {
			m.gap(e.Data)
			continue
		}
		var some []devices.Reading
		must(m.t, json.Unmarshal(e.Data, &some))
		for _, r := range some {
			if m.confirmed[r] {
				m.t.Errorf("%v was sent again after it had been confirmed in the same run", r)
			}
			if heard {
				m.confirmed[r] = true
			}
			m.received[r] = true
		}
	}
	if len(events) > 0 && heard {
		m.lastSeq[api.LaneTelemetry] = events[len(events)-1].Seq
		must(m.t, m.s.TelemetryDelivered(context.Background(), events[len(events)-1].Seq))
	}
	return len(events)
}

func (m *model) upload() {
	waiting, err := m.s.WaitingEvidence(context.Background(), 5, nil)
	must(m.t, err)
	for _, meta := range waiting {
		f, err := m.s.OpenEvidence(meta)
		if errors.Is(err, os.ErrNotExist) {
			err = m.s.EvidenceLost(context.Background(), meta, "file_missing")
			if err != nil && !errors.Is(err, ErrFull) {
				m.t.Fatal(err)
			}
			continue
		}
		must(m.t, err)
		must(m.t, f.Close())
		m.uploads[meta.Incident] = true
		must(m.t, m.s.EvidenceDelivered(context.Background(), meta))
	}
}

func (m *model) maintain() {
	if err := m.s.Maintain(context.Background()); err != nil && (!m.full || !errors.Is(err, ErrFull)) {
		m.t.Errorf("maintaining the store: %v", err)
	}
}

// finish delivers everything and judges.
func (m *model) finish() {
	if m.full {
		m.fill()
	}
	m.restart()
	for range 2 {
		for m.sendAlerts(50, true) > 0 {
		}
		for m.sendTelemetry(50, true) > 0 {
		}
		m.upload()
		m.greet()
	}
	if w := m.s.Waiting(); w[api.LaneAlerts] != 0 || w[api.LaneTelemetry] != 0 {
		m.t.Errorf("after everything was delivered, %v wait", w)
	}
	for id, inc := range m.saved {
		if m.versions[id] < inc.Version && !m.named(api.GapAlerts, inc.Updated) {
			m.t.Errorf("version %d of %s was saved, the hub has %d and no gap names it", inc.Version, id, m.versions[id])
		}
	}
	lost, counted := 0, uint64(0)
	for r := range m.readings {
		if !m.received[r] {
			lost++
			if !m.named(api.GapReadings, r.Time) {
				m.t.Errorf("%v was saved and neither arrived nor is it in a gap", r)
			}
		}
	}
	for _, g := range m.gaps {
		if g.Kind == api.GapReadings {
			counted += g.Count
			if g.Count == 0 {
				counted += 1 << 40
			}
		}
	}
	if uint64(lost) > counted {
		m.t.Errorf("%d readings did not arrive, gaps count %d", lost, counted)
	}
	must(m.t, m.s.Close())
}

func (m *model) named(kind api.GapKind, at time.Time) bool {
	for _, g := range m.gaps {
		if g.Kind == kind && !at.Before(g.From) && !at.After(g.To) {
			return true
		}
	}
	return false
}
