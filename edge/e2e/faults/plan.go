package faults

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"time"
)

// fault is one kind of fault. Two faults run at the same time only if they need different
// resources.
type fault struct {
	name   string
	on     where
	needs  []string // of hub, process, disk, line, broker, mqtt; for an edge they are its own
	inject func(ctx context.Context, w *world, s *site, h hold) error
}

// where says what a fault is injected into.
type where int

const (
	onHub   where = iota
	onEdge        // any edge
	onInner       // an edge with its embedded broker
	onOuter       // an edge with a broker outside
)

// hold is how long a fault lasts, and the randomness that it may use: both come from the plan.
type hold struct {
	*rand.Rand
	time.Duration
}

func newHold(p planned) hold { return hold{rand.New(rand.NewPCG(p.seed, 2)), p.hold} }

// wait lets the fault last.
func (h hold) wait(ctx context.Context) {
	t := time.NewTimer(h.Duration)
	defer t.Stop()
	select {
	case <-t.C:
	case <-ctx.Done():
	}
}

// planned is one fault of a plan.
type planned struct {
	fault  fault
	site   int // index of the edge; -1: the hub
	offset time.Duration
	hold   time.Duration
	seed   uint64
}

func (p planned) String() string { return p.fault.name }

// resources names what the fault needs for itself.
func (p planned) resources() []string {
	var names []string
	for _, n := range p.fault.needs {
		if p.site >= 0 {
			n = fmt.Sprintf("%d %s", p.site, n)
		}
		names = append(names, n)
	}
	return names
}

func (p planned) excludes(other planned) bool {
	all := other.resources()
	return slices.ContainsFunc(p.resources(), func(n string) bool { return slices.Contains(all, n) })
}

// planner makes pairs of faults from a seed. The same seed and faults make the same pairs. The
// first pairs have every fault once.
type planner struct {
	random *rand.Rand
	faults []fault
	first  []fault // not planned yet
}

func newPlanner(seed uint64, faults []fault) *planner {
	p := &planner{random: rand.New(rand.NewPCG(seed, 1)), faults: faults, first: slices.Clone(faults)}
	p.random.Shuffle(len(p.first), func(i, j int) { p.first[i], p.first[j] = p.first[j], p.first[i] })
	return p
}

// next returns two faults that can run at the same time, or one when no other one can run beside it.
func (p *planner) next() []planned {
	one := p.plan(p.pick(0))
	for i, f := range p.first {
		if other := p.plan(f); !other.excludes(one) {
			p.first = slices.Delete(p.first, i, i+1)
			return []planned{one, other}
		}
	}
	const tries = 3 // the place of a fault is drawn anew in each
	for range tries {
		for _, i := range p.random.Perm(len(p.faults)) {
			if other := p.plan(p.faults[i]); !other.excludes(one) {
				return []planned{one, other}
			}
		}
	}
	return []planned{one}
}

// pick takes the next fault that has not been planned yet, or any.
func (p *planner) pick(i int) fault {
	if len(p.first) > i {
		f := p.first[i]
		p.first = slices.Delete(p.first, i, i+1)
		return f
	}
	return p.faults[p.random.IntN(len(p.faults))]
}

// again plans a fault that could not be injected once more, if each has not been planned yet.
func (p *planner) again(f fault) { p.first = append(p.first, f) }

// complete reports whether every fault has been planned once.
func (p *planner) complete() bool { return len(p.first) == 0 }

func (p *planner) plan(f fault) planned {
	at := -1
	switch f.on {
	case onEdge:
		at = p.random.IntN(2)
	case onInner:
		at = 0
	case onOuter:
		at = 1
	case onHub:
	}
	return planned{
		fault: f, site: at, seed: p.random.Uint64(),
		offset: time.Duration(p.random.IntN(700)) * time.Millisecond,
		hold:   time.Duration(200+p.random.IntN(1500)) * time.Millisecond,
	}
}
