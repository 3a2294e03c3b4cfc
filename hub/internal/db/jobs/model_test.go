package jobs

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// TestClaimsAgainstAModel lets several owners claim, end, lose and repeat jobs at random, and compares
// with a model: no job has two owners at a time, none is lost, none runs after it has ended.
func TestClaimsAgainstAModel(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	c := newClock()
	dbtest.EachWith(t, db.Options{Now: c.now}, func(t *testing.T, d *db.DB) {
		m := &model{t: t, d: d, clock: c, random: rand.New(rand.NewPCG(seed, 1)), jobs: map[string]*modelJob{}}
		for step := range 400 {
			m.step(step)
		}
		for steps := 0; len(m.jobs) > 0; steps++ { // all crash; one owner does the rest
			if steps > 1000 {
				t.Fatalf("%d jobs were never done", len(m.jobs))
			}
			c.add(ttl / 2)
			if claim := m.claim(); claim != nil {
				m.done(claim)
			}
		}
		if n := rows(t, d); n != 0 {
			t.Errorf("%d rows are left of jobs that are done", n)
		}
	})
}

func rows(t *testing.T, d *db.DB) (n int) {
	t.Helper()
	if err := d.Read(t.Context()).One(`SELECT count(*) FROM jobs`)(&n); err != nil {
		t.Fatal(err)
	}
	return n
}

// modelJob is a job as it must be.
type modelJob struct {
	due     time.Time
	payload int
	version int
	owner   *Claim // nil: nobody
	until   time.Time
	claimed int // version that the owner claimed
}

type model struct {
	t      *testing.T
	d      *db.DB
	clock  *clock
	random *rand.Rand
	jobs   map[string]*modelJob
	claims []*Claim // of owners that have not crashed; some have lost their lease
}

func (m *model) step(step int) {
	pick := func() *Claim {
		if len(m.claims) == 0 {
			return nil
		}
		i := m.random.IntN(len(m.claims))
		c := m.claims[i]
		m.claims = append(m.claims[:i], m.claims[i+1:]...)
		return c
	}
	switch op := m.random.IntN(10); {
	case op < 2:
		m.enqueue(fmt.Sprint(m.random.IntN(12)), step, m.clock.now().Add(time.Duration(m.random.IntN(90)-30)*time.Second))
	case op < 5:
		if c := m.claim(); c != nil {
			m.claims = append(m.claims, c)
		}
	case op == 5:
		m.clock.add(time.Duration(m.random.IntN(40)) * time.Second)
	case op == 6:
		if c := pick(); c != nil {
			m.done(c)
		}
	case op == 7:
		if c := pick(); c != nil {
			m.later(c, step)
		}
	case op == 8:
		if c := pick(); c != nil {
			m.renew(c)
			m.claims = append(m.claims, c)
		}
	default:
		pick() // crashes
	}
}

func (m *model) enqueue(key string, payload int, due time.Time) {
	enqueue(m.t, m.d, key, payload, due)
	j := m.jobs[key]
	if j == nil {
		m.jobs[key] = &modelJob{due: due, payload: payload}
		return
	}
	if j.owner != nil || due.Before(j.due) {
		j.due = due
	}
	j.payload = payload
	j.version++
}

func (m *model) claim() *Claim {
	m.t.Helper()
	c := mustClaim(m.t, m.d)
	now := m.clock.now()
	if c == nil {
		for key, j := range m.jobs {
			if j.owner == nil && !j.due.After(now) || j.owner != nil && !j.until.After(now) {
				m.t.Fatalf("job %s is due and was not claimed", key)
			}
		}
		return nil
	}
	j := m.jobs[c.Key]
	switch {
	case j == nil:
		m.t.Fatalf("job %s runs although it is done", c.Key)
	case j.owner != nil && j.until.After(now):
		m.t.Fatalf("job %s has two owners", c.Key)
	case j.owner == nil && j.due.After(now):
		m.t.Fatalf("job %s runs %s early", c.Key, j.due.Sub(now))
	}
	var payload int
	if err := json.Unmarshal(c.Payload, &payload); err != nil || payload != j.payload {
		m.t.Fatalf("job %s has payload %s, want %d", c.Key, c.Payload, j.payload)
	}
	j.owner, j.until, j.claimed = c, now.Add(ttl), j.version
	return c
}

// owned checks what the end of a job by c must return.
func (m *model) owned(c *Claim, err error) bool {
	m.t.Helper()
	j := m.jobs[c.Key]
	owns := j != nil && j.owner == c
	if owns && err != nil || !owns && !errors.Is(err, ErrLost) {
		m.t.Fatalf("job %s, owned %v: %v", c.Key, owns, err)
	}
	return owns
}

func (m *model) done(c *Claim) {
	m.t.Helper()
	if !m.owned(c, m.d.Update(m.t.Context(), "test", c.Done)) {
		return
	}
	if j := m.jobs[c.Key]; j.version == j.claimed {
		delete(m.jobs, c.Key)
	} else {
		j.owner = nil
	}
}

func (m *model) later(c *Claim, payload int) {
	m.t.Helper()
	due := m.clock.now().Add(time.Duration(m.random.IntN(60)) * time.Second)
	if !m.owned(c, m.d.Update(m.t.Context(), "test", func(tx *db.Tx) error { return c.Later(tx, due, payload) })) {
		return
	}
	j := m.jobs[c.Key]
	if j.version == j.claimed {
		j.due, j.payload = due, payload
	} else if due.Before(j.due) {
		j.due = due
	}
	j.owner = nil
}

func (m *model) renew(c *Claim) {
	m.t.Helper()
	if m.owned(c, c.Renew(m.t.Context())) {
		m.jobs[c.Key].until = m.clock.now().Add(ttl)
	}
}
