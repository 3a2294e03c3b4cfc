package faults

import (
	"sync"
	"time"
)

// ledger records what a run did to the edges' data, and what the edges said about it: a loss that
// cannot be avoided must be named.
type ledger struct {
	mu       sync.Mutex
	damages  map[string][]string        // by edge: what was done to its data
	problems map[string]map[string]bool // by edge: every problem that the hub has shown
	gaps     map[string]map[string]gap  // by edge and ID
	clones   int                        // waves that clones have begun
	clonedAt map[string]time.Time       // by edge: when it was cloned first
}

// gap is what a run reads of a gap of the hub.
type gap struct {
	ID     string `json:"id"`
	Edge   string `json:"edge"`
	Kind   string `json:"kind"`
	Device string `json:"device"`
	Count  uint64 `json:"count"`
	Reason string `json:"reason"`
}

func newLedger() *ledger {
	return &ledger{
		damages: map[string][]string{}, problems: map[string]map[string]bool{},
		gaps: map[string]map[string]gap{}, clonedAt: map[string]time.Time{},
	}
}

func (l *ledger) damaged(s *site, what string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.damages[s.name] = append(l.damages[s.name], what)
}

func (l *ledger) cloned(s *site) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.clonedAt[s.name].IsZero() {
		l.clonedAt[s.name] = time.Now()
	}
}

// firstCloneWave is the number of the first wave that is sent to a clone.
const firstCloneWave = 40_000

// cloneWave returns the wave of a clone's message; a new one for the first part.
func (l *ledger) cloneWave(part int) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	if part == 0 {
		l.clones++
	}
	return firstCloneWave + l.clones
}

// learn takes in what the hub says about an edge.
func (l *ledger) learn(edge string, problems []string, gaps []gap) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.problems[edge] == nil {
		l.problems[edge], l.gaps[edge] = map[string]bool{}, map[string]gap{}
	}
	for _, p := range problems {
		l.problems[edge][p] = true
	}
	for _, g := range gaps {
		l.gaps[edge][g.ID] = g
	}
}

// lost returns how many items of a kind the edge said it had lost. known is false when it could not
// say how many.
func (l *ledger) lost(edge, kind string) (count uint64, known bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	known = true
	for _, g := range l.gaps[edge] {
		if g.Kind != kind {
			continue
		}
		count += g.Count
		known = known && g.Count > 0
	}
	return count, known
}

// gapCount returns the number of gaps of all edges.
func (l *ledger) gapCount() (n int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, g := range l.gaps {
		n += len(g)
	}
	return n
}

// history returns what was done to an edge's data, and whether all of it can be noticed by the
// edge: a copy that is restored cannot.
func (l *ledger) history(edge string) (what []string, noticeable bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	noticeable = true
	for _, d := range l.damages[edge] {
		if d == "restored" {
			noticeable = false
		}
	}
	return append([]string(nil), l.damages[edge]...), noticeable
}
