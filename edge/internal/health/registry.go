package health

import (
	"slices"
	"strings"
	"sync"

	"gridpost/devices"
)

// Level orders problems: the lower, the worse.
type Level int

// The levels.
const (
	Losing      Level = iota // incidents or readings are lost, or are about to be
	Undelivered              // what is saved does not reach the hub
	Blind                    // devices are not watched, or nothing is detected
	Degraded                 // everything works, but less well than it should
)

// Registry is the one place that knows what is wrong with the edge. Each problem has an owner, which
// sets and clears it under a key of its own, or a source, which is asked. It is bounded by the number
// of components.
type Registry struct {
	mu       sync.Mutex
	problems map[string]problem
	sources  []source
}

type problem struct {
	level Level
	cause devices.Cause
}

type source struct {
	level    Level
	problems func() []devices.Cause
}

// NewRegistry returns a Registry without problems.
func NewRegistry() *Registry { return &Registry{problems: map[string]problem{}} }

// Set notes a problem under a key; a zero cause clears it.
func (r *Registry) Set(level Level, key string, cause devices.Cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if cause.IsZero() {
		delete(r.problems, key)
		return
	}
	r.problems[key] = problem{level, cause}
}

// Clear removes the problem under a key.
func (r *Registry) Clear(key string) { r.Set(Degraded, key, devices.Cause{}) }

// AddSource adds a function that returns problems, worst first. It must not block, and must not call
// the Registry.
func (r *Registry) AddSource(level Level, problems func() []devices.Cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.sources = append(r.sources, source{level, problems})
}

// Problems returns all problems, worst first; within a level those of sources come first, and the
// others by their keys.
func (r *Registry) Problems() []devices.Cause {
	r.mu.Lock()
	sources := slices.Clone(r.sources)
	var keys []string
	own := make(map[string]problem, len(r.problems))
	for key, p := range r.problems {
		keys = append(keys, key)
		own[key] = p
	}
	r.mu.Unlock()
	slices.Sort(keys)
	var all []problem
	for _, s := range sources {
		for _, cause := range s.problems() {
			all = append(all, problem{s.level, cause})
		}
	}
	for _, key := range keys {
		all = append(all, own[key])
	}
	slices.SortStableFunc(all, func(a, b problem) int { return int(a.level - b.level) })
	out := []devices.Cause{}
	for _, p := range all {
		out = append(out, p.cause)
	}
	return out
}

// Find returns the first problem whose key has the prefix, or no cause.
func (r *Registry) Find(prefix string) devices.Cause {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := ""
	for key := range r.problems {
		if strings.HasPrefix(key, prefix) && (found == "" || key < found) {
			found = key
		}
	}
	return r.problems[found].cause
}
