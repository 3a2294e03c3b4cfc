// Package reconcile makes a set of running components equal to a wanted set, and touches only those
// that differ.
//
// One goroutine, that of Run, owns the set. A component that has changed takes the change over while it
// runs, if it can; else it is stopped before its successor is made. The others run on. Components stop independently of each other, so that one
// that is slow to stop delays only its own successor.
// The package must import nothing of Gridpost.
package reconcile

import (
	"context"
	"errors"
	"reflect"
	"slices"
)

// Component is something that runs until its context ends.
type Component interface {
	Run(ctx context.Context) error
}

// Wanted is a component that should run.
type Wanted struct {
	Name string // unique in the set

	// Spec is everything that the component is made of. A component runs on as long as its spec
	// is deeply equal to the wanted one.
	Spec any

	// Update makes the running component follow Spec without a restart, and reports whether it
	// could; if not, it has changed nothing. It is called from Run's goroutine and must not block.
	// nil: every change needs a restart.
	Update func(running Component) bool

	// New makes the component. It is called from Run's goroutine and must not block. last is the
	// component that ran under this name before and has stopped, or nil.
	New func(last Component) (Component, error)
}

// Changes are the names of what an Apply changed, each sorted.
type Changes struct {
	Added     []string `json:"added,omitempty"`
	Updated   []string `json:"updated,omitempty"` // changed without a restart
	Restarted []string `json:"restarted,omitempty"`
	Removed   []string `json:"removed,omitempty"`
	Failed    []string `json:"failed,omitempty"` // could not be made
}

// IsZero says whether nothing changed.
func (c Changes) IsZero() bool {
	return len(c.Added)+len(c.Updated)+len(c.Restarted)+len(c.Removed)+len(c.Failed) == 0
}

// Options are what a Reconciler needs. The functions are called from Run's goroutine, must not
// block, and may be nil.
type Options struct {
	// Failed is called when a component cannot be made, or when its Run returned although it
	// was not told to stop; err is then that of Run and may be nil. The component is tried
	// again by the next Apply, whether its spec has changed or not.
	Failed func(name string, err error)

	// Stopped is called when a component has stopped, whatever the reason, before its successor
	// is made. wanted says whether it will have one.
	Stopped func(name string, c Component, wanted bool)
}

// Reconciler runs components. Make it with New.
type Reconciler struct {
	o       Options
	applies chan apply
	ended   chan end

	// Only Run's goroutine uses these.
	entries  map[string]*entry
	settling *apply // the Apply that waits for components to stop
	changes  Changes
}

// apply is a wanted set on its way to Run.
type apply struct {
	wanted []Wanted
	done   chan Changes // room for one
}

// end says that a component's Run has returned.
type end struct {
	name string
	err  error
}

// entry is all that is known under one name. A name without an entry neither runs nor is wanted.
type entry struct {
	wanted *Wanted            // nil: it is to go
	spec   any                // of what runs
	runs   Component          // nil: nothing runs
	last   Component          // what ran last, and has stopped
	cancel context.CancelFunc // of what runs; nil once it has been told to stop
}

// New returns a Reconciler that runs nothing yet.
func New(o Options) *Reconciler {
	if o.Failed == nil {
		o.Failed = func(string, error) {}
	}
	if o.Stopped == nil {
		o.Stopped = func(string, Component, bool) {}
	}
	return &Reconciler{o: o, applies: make(chan apply), ended: make(chan end), entries: map[string]*entry{}}
}

// errStopping is the error of Apply when Run has been told to stop.
var errStopping = errors.New("the edge is stopping")

// Apply makes what runs equal to wanted, and returns what changed when all has stopped that had to,
// and all its successors run. It may be called concurrently; one Apply follows the other. When ctx
// ends, the change goes on without it.
func (r *Reconciler) Apply(ctx context.Context, wanted []Wanted) (Changes, error) {
	a := apply{wanted: wanted, done: make(chan Changes, 1)}
	select {
	case r.applies <- a:
	case <-ctx.Done():
		return Changes{}, ctx.Err()
	}
	select {
	case c, ok := <-a.done:
		if !ok {
			return Changes{}, errStopping
		}
		return c, nil
	case <-ctx.Done():
		return Changes{}, ctx.Err()
	}
}

// Run owns the components until ctx ends. All have stopped when it returns; it returns nil.
func (r *Reconciler) Run(ctx context.Context) error {
	for {
		applies := r.applies
		if r.settling != nil {
			applies = nil // one at a time
		}
		select {
		case <-ctx.Done():
			r.stopAll()
			return nil
		case a := <-applies:
			r.begin(ctx, a)
		case e := <-r.ended:
			r.finish(ctx, e)
		}
		r.settle()
	}
}

// begin compares a wanted set with what runs.
func (r *Reconciler) begin(ctx context.Context, a apply) {
	r.settling, r.changes = &a, Changes{}
	for _, e := range r.entries {
		e.wanted = nil
	}
	for i := range a.wanted {
		w := &a.wanted[i]
		e := r.entries[w.Name]
		if e == nil {
			e = &entry{}
			r.entries[w.Name] = e
		}
		e.wanted = w
	}
	for name, e := range r.entries {
		switch {
		case e.runs == nil && e.wanted == nil: // it had failed before
			r.changes.Removed = append(r.changes.Removed, name)
			delete(r.entries, name)
			r.o.Stopped(name, e.last, false)
		case e.runs == nil:
			r.start(ctx, e)
		case e.wanted == nil:
			e.stop()
		case reflect.DeepEqual(e.spec, e.wanted.Spec):
		case e.wanted.Update != nil && e.wanted.Update(e.runs):
			e.spec = e.wanted.Spec
			r.changes.Updated = append(r.changes.Updated, name)
		default:
			e.stop()
		}
	}
}

// stop tells what runs to stop.
func (e *entry) stop() {
	if e.cancel != nil {
		e.cancel()
		e.cancel = nil
	}
}

// start makes and runs what is wanted under a name of which nothing runs.
func (r *Reconciler) start(ctx context.Context, e *entry) {
	name := e.wanted.Name
	c, err := e.wanted.New(e.last)
	if err != nil {
		r.changes.Failed = append(r.changes.Failed, name)
		r.o.Failed(name, err)
		return
	}
	if e.last == nil {
		r.changes.Added = append(r.changes.Added, name)
	} else {
		r.changes.Restarted = append(r.changes.Restarted, name)
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx)) // stopped by stop alone, so that "told to" is certain
	e.runs, e.spec, e.last, e.cancel = c, e.wanted.Spec, nil, cancel
	go func() {
		err := c.Run(running)
		cancel()
		r.ended <- end{name, err} // received until the last one has ended
	}()
}

// finish takes note that what ran under a name has ended.
func (r *Reconciler) finish(ctx context.Context, ended end) {
	e := r.entries[ended.name]
	told := e.cancel == nil
	e.last, e.runs, e.cancel = e.runs, nil, nil
	r.o.Stopped(ended.name, e.last, e.wanted != nil)
	switch {
	case e.wanted == nil:
		r.changes.Removed = append(r.changes.Removed, ended.name)
		delete(r.entries, ended.name)
	case told:
		r.start(ctx, e)
	default:
		r.o.Failed(ended.name, ended.err)
	}
}

// settle answers the Apply under way when nothing is stopping any more.
func (r *Reconciler) settle() {
	if r.settling == nil {
		return
	}
	for _, e := range r.entries {
		if e.runs != nil && e.cancel == nil {
			return
		}
	}
	for _, names := range [][]string{r.changes.Added, r.changes.Updated, r.changes.Restarted, r.changes.Removed, r.changes.Failed} {
		slices.Sort(names)
	}
	r.settling.done <- r.changes
	r.settling = nil
}

// stopAll stops everything and waits.
func (r *Reconciler) stopAll() {
	running := 0
	for _, e := range r.entries {
		e.stop()
		if e.runs != nil {
			running++
		}
	}
	for ; running > 0; running-- {
		ended := <-r.ended
		e := r.entries[ended.name]
		e.last, e.runs = e.runs, nil
		r.o.Stopped(ended.name, e.last, e.wanted != nil)
	}
	if r.settling != nil {
		close(r.settling.done)
		r.settling = nil
	}
}
