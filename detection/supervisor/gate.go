package supervisor

import "context"

// Gate bounds how many workers start at a time, so that the start of an edge with many cameras does
// not overload the machine: loading libraries and a model takes a core for seconds. It is shared by
// supervisors, which pass it in the order in which they came. Its methods may be called concurrently.
type Gate struct{ slots chan struct{} }

// NewGate returns a gate for n workers at a time, 1 at least.
func NewGate(n int) *Gate { return &Gate{slots: make(chan struct{}, max(n, 1))} }

// enter blocks until a worker may start. It reports false if ctx ended before. A nil gate is open.
func (g *Gate) enter(ctx context.Context) bool {
	if g == nil {
		return ctx.Err() == nil
	}
	select {
	case g.slots <- struct{}{}:
		return true
	case <-ctx.Done():
		return false
	}
}

// leave is called once after each enter that returned true, when the worker is ready or has failed.
func (g *Gate) leave() {
	if g != nil {
		<-g.slots
	}
}
