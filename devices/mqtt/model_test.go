package mqtt

import (
	"context"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// world is a broker that keeps messages of QoS 1 until they are acknowledged, and a store that commits in
// batches, fails and holds messages.
type world struct {
	t    *testing.T
	seed uint64

	mu      sync.Mutex
	rng     *rand.Rand
	acked   map[int]bool // messages, by number
	stored  map[int]int  // how often
	held    map[int]bool // were held, since the present connection began
	waiting []waitingMessage
}

type waitingMessage struct {
	number int
	held   bool
	done   func(error)
}

const (
	modelMessages = 400
	modelWindow   = 20
)

// isLong says which messages can never be stored.
func isLong(number int) bool { return number%17 == 3 }

func (w *world) random(n int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.rng.IntN(n)
}

// session sends what is not acknowledged, oldest first, at most modelWindow at a time, and ends at random.
func (w *world) session(l *link) {
	p, ok := l.expect(subscribe)
	if !ok || !l.answer(p, grant) {
		return
	}
	w.mu.Lock()
	w.held = map[int]bool{}
	lifetime := time.Duration(w.rng.IntN(3000)) * time.Millisecond
	var all []int
	for n := range modelMessages {
		if !w.acked[n] {
			all = append(all, n)
		}
	}
	w.mu.Unlock()
	end := time.NewTimer(lifetime)
	defer end.Stop()
	var flight []int // in the order in which they were sent
	next := 0
	for {
		for ; next < len(all) && len(flight) < modelWindow; next++ {
			payload := strconv.Itoa(all[next])
			if isLong(all[next]) {
				payload += strings.Repeat(" ", devices.MaxMessage)
			}
			flight = append(flight, all[next])
			if !l.publish(1, uint16(all[next]+1), "sensors/a", payload) { //nolint:gosec // few
				return
			}
		}
		select {
		case p, ok := <-l.packets:
			if !ok || p.Type() != mqttwire.Puback {
				return
			}
			if flight = w.acknowledged(flight, int(binary.BigEndian.Uint16(p.Body))-1); flight == nil {
				return
			}
		case <-end.C:
			return
		}
	}
}

// acknowledged checks one acknowledgement, and returns what is still in flight.
func (w *world) acknowledged(flight []int, number int) []int {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.stored[number] == 0 && !isLong(number) {
		w.t.Errorf("seed %d: %d is acknowledged before it is stored", w.seed, number)
	}
	for i, n := range flight {
		if n == number {
			w.acked[n] = true
			return append(append(make([]int, 0, modelWindow), flight[:i]...), flight[i+1:]...)
		}
		if !w.held[n] && !w.held[number] {
			w.t.Errorf("seed %d: %d is acknowledged before %d: %v", w.seed, number, n, flight)
			return nil
		}
	}
	w.t.Errorf("seed %d: %d is acknowledged but is not in flight", w.seed, number)
	return nil
}

// handle takes messages for the next commit.
func (w *world) handle(_ context.Context, m devices.Message, done func(error)) {
	n, err := strconv.Atoi(string(m.Payload))
	if err != nil {
		w.t.Errorf("a message %.20q", m.Payload)
	}
	w.mu.Lock()
	hold := w.rng.IntN(10) == 0
	if hold {
		w.held[n] = true
	}
	w.waiting = append(w.waiting, waitingMessage{n, hold, done})
	w.mu.Unlock()
	if hold {
		done(devices.ErrHeld)
	}
}

// commit commits what waits from time to time, until ctx ends.
func (w *world) commit(ctx context.Context) {
	for ctx.Err() == nil {
		time.Sleep(time.Duration(w.random(40)) * time.Millisecond)
		w.mu.Lock()
		batch := w.waiting
		w.waiting = nil
		fails := w.rng.IntN(15) == 0
		var done []func()
		for _, m := range batch {
			switch {
			case m.held && w.rng.IntN(3) > 0:
				w.waiting = append(w.waiting, m)
			case fails:
				done = append(done, func() { m.done(errFull) })
			default:
				w.stored[m.number]++
				done = append(done, func() { m.done(nil) })
			}
		}
		w.mu.Unlock()
		for _, f := range done {
			f()
		}
	}
}

var errFull = errors.New("the disk is full")

// TestModel: whatever connections, commits and long messages do, each message is stored at least once, is
// acknowledged after that, and in order.
func TestModel(t *testing.T) {
	for seed := range uint64(15) {
		w := &world{t: t, seed: seed, rng: rand.New(rand.NewPCG(seed, 3)), acked: map[int]bool{}, stored: map[int]int{}, held: map[int]bool{}} //nolint:gosec // a test
		b := &scripted{session: w.session}
		with(t, b, Options{Handle: w.handle}, func(s *Subscriber, _ *recorder) {
			ctx, cancel := context.WithCancel(context.Background()) // of the bubble
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				w.commit(ctx)
			}()
			for range 24 * 60 {
				time.Sleep(time.Minute)
				w.mu.Lock()
				all := len(w.acked) == modelMessages
				w.mu.Unlock()
				if all {
					break
				}
			}
			cancel()
			<-ended
			w.mu.Lock()
			defer w.mu.Unlock()
			for n := range modelMessages {
				if !w.acked[n] || (w.stored[n] == 0) != isLong(n) {
					t.Errorf("seed %d: message %d: acknowledged %v, stored %d times", seed, n, w.acked[n], w.stored[n])
				}
			}
			if s.Stats().Sessions < 2 {
				t.Errorf("seed %d: %+v", seed, s.Stats())
			}
		})
	}
}
