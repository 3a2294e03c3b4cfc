package app

import (
	"context"
	"sync"
)

// part is a component's Run.
type part func(ctx context.Context) error

// stages runs all parts of all stages at once. When ctx ends or a part returns, the stages are
// stopped one after the other: each has ended before the next one's context does. It
// returns the first error.
func stages(ctx context.Context, all ...[]part) error {
	running := context.WithoutCancel(ctx)
	ended := make(chan struct{})
	var once sync.Once
	var first error
	end := func(err error) {
		once.Do(func() {
			first = err
			close(ended)
		})
	}
	stops := make([]func(), len(all))
	for i, stage := range all {
		stageCtx, cancel := context.WithCancel(running)
		var wg sync.WaitGroup
		for _, run := range stage {
			wg.Go(func() { end(run(stageCtx)) })
		}
		stops[i] = func() {
			cancel()
			wg.Wait()
		}
	}
	select {
	case <-ctx.Done():
	case <-ended:
	}
	for _, stop := range stops {
		stop()
	}
	<-ended // every part has returned, so one has ended first
	return first
}
