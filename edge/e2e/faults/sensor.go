package faults

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"gridpost/edge/e2e/rig"
)

// The messages of a sensor form waves: a wave rises above the limit of the rule, which opens an
// incident, and falls below it, which closes the incident. Every message of a sensor has a value of
// its own, so that the hub's incidents and readings can be told apart: see valueOf and waveOf.
const (
	limit     = 2.0
	clear     = 1.0
	highBase  = 3.0
	waveStep  = 1e-3
	partStep  = 1e-5
	highParts = 2
	waveParts = 6 // the first highParts are above the limit
	maxWaves  = 50_000
)

// rule is the only rule of the sensors.
func rule() rig.Map {
	return rig.Map{"name": "flood", "kind": "above", "value": limit, "clear": clear, "severity": "severe"}
}

// valueOf returns the value of one part of a wave.
func valueOf(wave, part int) float64 {
	if part < highParts {
		return highBase + float64(wave)*waveStep + float64(part)*partStep
	}
	return float64(wave)*partStep + float64(part)*1e-7
}

// waveOf returns the wave that a value above the limit belongs to.
func waveOf(value float64) int {
	return int((value-highBase)/waveStep + 0.01)
}

// wave is what a run expects of one wave.
type wave struct {
	rose    bool // a message above the limit has been acknowledged: there must be an incident
	spanned bool // it was on its way when a database was damaged: its incident may be missing or be there twice
	excused bool // it was only in a database that was damaged: its incident may be missing
	copied  bool // a copy of the edge has its open incident too: the incident may get the value of the copy's wave
	when    time.Time
}

// publisher sends one message and returns when the edge has acknowledged it.
type publisher interface {
	publish(ctx context.Context, value float64) error
	close()
}

// sensor publishes waves until it is told to stop, and records what the edge acknowledged.
type sensor struct {
	edge, name string
	publisher  publisher
	pace       time.Duration
	standing   bool // at the end of the run it stays above the limit
	burst      int  // waves that are sent at once, without waiting for each acknowledgement; 0: one message

	flight sync.Mutex // held while a message is on its way: a pause takes it

	mu       sync.Mutex
	next     int // number of the wave that has begun or begins next
	part     int // of the message that is sent next
	waves    map[int]*wave
	acked    map[string]bool // values, as text
	low      bool            // a value below the limit is due before the next wave
	extra    int             // messages outside of waves
	finished bool            // no further wave begins
	before   int             // waves before this number were published before the edge's data were damaged last
}

func newSensor(edge, name string, p publisher, pace time.Duration, first int) *sensor {
	return &sensor{edge: edge, name: name, publisher: p, pace: pace, next: first, waves: map[int]*wave{}, acked: map[string]bool{}}
}

// key is how values are compared: their shortest text.
func key(value float64) string { return strconv.FormatFloat(value, 'g', 9, 64) }

// run publishes until ctx ends, or until finish was called and a wave is complete.
func (s *sensor) run(ctx context.Context) error {
	tick := time.NewTicker(s.pace)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
		s.mu.Lock()
		done := s.finished && s.part == 0
		s.mu.Unlock()
		if done {
			return nil
		}
		if err := s.step(ctx); err != nil {
			return err
		}
	}
}

// step publishes the next message, or the next burst.
func (s *sensor) step(ctx context.Context) error {
	s.flight.Lock()
	defer s.flight.Unlock()
	if s.burst > 0 {
		return s.sendBurst(ctx)
	}
	s.mu.Lock()
	if s.low && s.part == 0 {
		s.low = false
		s.extra++
		value := extraValue(s.extra)
		s.mu.Unlock()
		return s.send(ctx, value)
	}
	n, part := s.next, s.part
	w := s.waves[n]
	if w == nil {
		w = &wave{when: time.Now()}
		s.waves[n] = w
	}
	s.mu.Unlock()
	if err := s.send(ctx, valueOf(n, part)); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	w.rose = true // the first part is above the limit
	if s.part++; s.part == waveParts {
		s.part = 0
		s.next++
	}
	return nil
}

// sendBurst publishes several whole waves at once.
func (s *sensor) sendBurst(ctx context.Context) error {
	all, ok := s.publisher.(*burst)
	if !ok {
		return fmt.Errorf("%s/%s cannot publish in bursts", s.edge, s.name)
	}
	var values []float64
	s.mu.Lock()
	if s.low {
		s.low = false
		s.extra++
		values = append(values, extraValue(s.extra))
	}
	first := s.next
	for n := first; n < first+s.burst; n++ {
		s.waves[n] = &wave{when: time.Now()}
		for part := range waveParts {
			values = append(values, valueOf(n, part))
		}
	}
	s.part = 1 // on its way, for damaged
	s.mu.Unlock()
	if err := all.publishAll(ctx, values); err != nil {
		return fmt.Errorf("%s/%s: %w", s.edge, s.name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for n := first; n < first+s.burst; n++ {
		s.waves[n].rose = true
	}
	for _, v := range values {
		s.acked[key(v)] = true
	}
	s.part, s.next = 0, first+s.burst
	return nil
}

// extraValue is the value of a message outside of waves.
func extraValue(n int) float64 { return 0.9 + float64(n)*1e-6 }

func (s *sensor) send(ctx context.Context, value float64) error {
	if err := s.publisher.publish(ctx, value); err != nil {
		return fmt.Errorf("%s/%s: %w", s.edge, s.name, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.acked[key(value)] = true
	return nil
}

// finish lets the sensor stop after the current wave.
func (s *sensor) finish() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.finished = true
}

// oneWave publishes a whole wave, or only its rise. For use after run.
func (s *sensor) oneWave(ctx context.Context, whole bool) error {
	s.mu.Lock()
	first := s.part
	s.mu.Unlock()
	last := highParts
	if whole {
		last = waveParts
	}
	if s.burst > 0 {
		last = first + 1
	}
	for range last - first {
		if err := s.step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// damaged notes that what only the edge had may be lost: waves whose incident the hub has not
// got, and the one that was on its way. Call it while the edge is down and the sensor is paused.
// stale says that the edge may know less, or something older, than the sensor has sent: then a
// value below the limit comes before the next wave, as most values of a real sensor are.
func (s *sensor) damaged(atHub func(n int) bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for n, w := range s.waves {
		if !atHub(n) {
			w.excused = true
		}
	}
	if s.part > 0 {
		s.waves[s.next].spanned = true
	}
	s.low, s.before = true, s.next
}

// copied notes that the edge's data are copied. Call it while the edge is down and the sensor is paused.
func (s *sensor) copied() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.part > 0 {
		s.waves[s.next].copied = true
	}
}

// gone reports whether a wave may be nowhere any more once the hub has been restored from an
// older copy: the edge's data were damaged too, or the wave was a clone's.
func (s *sensor) gone(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return n < s.before || n >= firstCloneWave
}

// counts returns how many waves rose and how many messages were acknowledged.
func (s *sensor) counts() (waves, messages int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, w := range s.waves {
		if w.rose {
			waves++
		}
	}
	return waves, len(s.acked)
}

// embedded publishes to the broker of an edge, whose acknowledgement is the edge's.
type embedded struct{ sensor *rig.Sensor }

func (p embedded) publish(ctx context.Context, value float64) error {
	return p.sensor.Publish(ctx, value)
}
func (p embedded) close() { p.sensor.Close() }

// relayed publishes to a broker outside of the edge. That broker's acknowledgement says nothing
// about the edge: the message is published again until the edge acknowledges it to the broker.
type relayed struct {
	sensor *rig.Sensor
	acks   *ackBook
	name   string
}

// republishAfter is how long a sensor waits for the edge's acknowledgement. A broker that was
// killed has forgotten the message.
const republishAfter = 2 * time.Second

func (p relayed) publish(ctx context.Context, value float64) error {
	at := time.Now().UTC().Format(time.RFC3339Nano)
	payload := fmt.Sprintf(`{"value":%s,"time":%q,"sensor":%q}`, strconv.FormatFloat(value, 'g', -1, 64), at, p.name)
	done := p.acks.expect(payload)
	defer p.acks.forget(payload)
	for {
		if err := p.sensor.PublishText(ctx, payload); err != nil {
			return err
		}
		again := time.NewTimer(republishAfter)
		select {
		case <-done:
			again.Stop()
			return nil
		case <-again.C:
		case <-ctx.Done():
			again.Stop()
			return ctx.Err()
		}
	}
}

func (p relayed) close() { p.sensor.Close() }

// ackBook holds the messages whose acknowledgement by the edge is waited for.
type ackBook struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

func newAckBook() *ackBook { return &ackBook{waiting: map[string]chan struct{}{}} }

func (b *ackBook) expect(payload string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	done := make(chan struct{})
	b.waiting[payload] = done
	return done
}

func (b *ackBook) forget(payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.waiting, payload)
}

// acked is called by the tap of the line between edge and broker.
func (b *ackBook) acked(payload string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if done, ok := b.waiting[payload]; ok {
		delete(b.waiting, payload)
		close(done)
	}
}

// lastLines returns the last n lines of a text, as one line.
func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], " | ")
}
