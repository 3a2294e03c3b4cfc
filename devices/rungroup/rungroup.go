// Package rungroup runs the long-lived components of a program together and stops them in order.
//
// It must not import other packages of Gridpost.
package rungroup

import (
	"context"
	"errors"
	"sync"
)

// Component is a component's Run: it blocks until ctx ends, and returns nil then.
type Component func(ctx context.Context) error

// Run runs the components of all stages at once. When ctx ends or a component returns an error, it
// stops the stages one after the other, in the order given: the components of a stage have
// returned before the context of the next stage ends. The contexts carry the values of ctx. Run
// returns the errors of all components, joined.
func Run(ctx context.Context, stages ...[]Component) error {
	failed := make(chan struct{})
	var once sync.Once
	var mu sync.Mutex
	var errs []error
	stops := make([]func(), len(stages))
	for i, stage := range stages {
		running, cancel := context.WithCancel(context.WithoutCancel(ctx))
		var wg sync.WaitGroup
		for _, run := range stage {
			wg.Go(func() {
				if err := run(running); err != nil {
					mu.Lock()
					errs = append(errs, err)
					mu.Unlock()
					once.Do(func() { close(failed) })
				}
			})
		}
		stops[i] = func() {
			cancel()
			wg.Wait()
		}
	}
	select {
	case <-ctx.Done():
	case <-failed:
	}
	for _, stop := range stops {
		stop()
	}
	return errors.Join(errs...)
}
