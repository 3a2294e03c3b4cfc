package webrtc

import (
	"maps"
	"slices"
	"sync"
	"time"
)

// Allowance bounds what several publications send together over a line that they share, in bit/s with all
// headers. Packets of one publication wait for those of the others, and each plans with its share: those of a higher
// priority are served first, and among equals one that needs less than an equal part leaves the rest to the others
// (max-min fairness). leastShare is left to those of a lower priority, so that they show their keyframes.
//
// The zero value has no bound. Then, while a publication finds the line full, those of a lower priority send no more
// than a quarter of their streams. It is safe for concurrent use and must not be copied.
type Allowance struct {
	mu      sync.Mutex
	rate    float64   // bit/s; 0: no bound
	next    time.Time // when the next packet may leave
	members map[*allowed]demand
}

// demand is what a publication could use.
type demand struct {
	bits      float64 // bit/s
	priority  int
	congested bool // it finds the line full
}

const (
	leastShare     = 0.1  // of what is left, for all publications of a lower priority together
	displacedShare = 0.25 // of the demand of a publication, while the line is too thin for one of a higher priority
)

// allowed is one publication's part of an Allowance; nil: it may send what it wants.
type allowed struct{ of *Allowance }

// Set bounds the publications to rate bit/s from now on; 0 ends the bound.
func (a *Allowance) Set(rate float64) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.rate = rate
}

// join returns the part of one more publication, which ends with leave.
func (a *Allowance) join() *allowed {
	if a == nil {
		return nil
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.members == nil {
		a.members = map[*allowed]demand{}
	}
	p := &allowed{a}
	a.members[p] = demand{bits: maxBudget}
	return p
}

func (p *allowed) leave() {
	if p == nil {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	delete(p.of.members, p)
}

// share returns what the publication may send, in bit/s, if it could use d; maxBudget without a bound.
func (p *allowed) share(d demand) float64 {
	if p == nil {
		return maxBudget
	}
	a := p.of
	a.mu.Lock()
	defer a.mu.Unlock()
	a.members[p] = d
	if a.rate > 0 {
		return a.part(d.priority)
	}
	for _, other := range a.members {
		if other.priority > d.priority && other.congested {
			return displacedShare * d.bits
		}
	}
	return maxBudget
}

// part returns the most that a publication of a priority may send, so that all together stay within the rate. mu is held.
func (a *Allowance) part(priority int) float64 {
	left := a.rate
	for _, class := range slices.Backward(a.priorities()) {
		demands := a.demandsOf(class)
		reserved := 0.0
		if class > a.lowest() {
			reserved = leastShare * left
		}
		if class == priority {
			return fair(demands, left-reserved)
		}
		most := fair(demands, left-reserved)
		for _, d := range demands {
			left -= min(d, most)
		}
	}
	return left
}

// priorities returns those of the members, the lowest first. mu is held.
func (a *Allowance) priorities() []int {
	all := map[int]bool{}
	for _, d := range a.members {
		all[d.priority] = true
	}
	return slices.Sorted(maps.Keys(all))
}

func (a *Allowance) lowest() int { return a.priorities()[0] }

// demandsOf returns what the members of a priority could use, the least first. mu is held.
func (a *Allowance) demandsOf(priority int) (list []float64) {
	for _, d := range a.members {
		if d.priority == priority {
			list = append(list, d.bits)
		}
	}
	slices.Sort(list)
	return list
}

// fair returns the most that each of those with these demands, the least first, may send, so that all together send no
// more than rate.
func fair(demands []float64, rate float64) float64 {
	for i, d := range demands {
		if equal := rate / float64(len(demands)-i); d > equal {
			return equal
		}
		rate -= d
	}
	return rate + demands[len(demands)-1] // everybody has enough
}

// wait returns how long the next packet must wait at now; 0: it may leave.
func (p *allowed) wait(now time.Time) time.Duration {
	if p == nil {
		return 0
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.of.rate == 0 {
		return 0
	}
	return max(0, p.of.next.Sub(now))
}

// sent notes that so many bytes left at now.
func (p *allowed) sent(bytes int, now time.Time) {
	if p == nil {
		return
	}
	a := p.of
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.rate == 0 {
		return
	}
	if a.next.Before(now) {
		a.next = now
	}
	a.next = a.next.Add(seconds(8 * float64(bytes) / a.rate))
}
