package app

import (
	"context"
	"errors"
	"time"

	"golang.org/x/sync/errgroup"
)

// stages are groups of goroutines that stop one after the other, the one added last first.
// An error in any of them stops all.
type stages struct {
	base   context.Context // the parent of the stages' own contexts, which outlive Run's
	failed chan error
	all    []*stage
}

type stage struct {
	ctx    context.Context // ends when it is this stage's turn to stop
	cancel context.CancelFunc
	group  errgroup.Group
	failed chan error
}

func newStages(ctx context.Context) *stages {
	return &stages{base: context.WithoutCancel(ctx), failed: make(chan error, 1)}
}

func (s *stages) add() *stage {
	ctx, cancel := context.WithCancel(s.base)
	st := &stage{ctx: ctx, cancel: cancel, failed: s.failed}
	s.all = append(s.all, st)
	return st
}

// Go runs f until it returns; its context ends with the stage.
func (st *stage) Go(f func(context.Context) error) {
	st.group.Go(func() error {
		err := f(st.ctx)
		if err != nil {
			select {
			case st.failed <- err:
			default: // another failure has already stopped everything
			}
		}
		return err
	})
}

// drainFor bounds how long stopping waits for the hub.
const drainFor = 2 * time.Second

// wait waits for ctx or a failure and then stops the stages in order. Before the first one, the last to
// stop, it calls drain, which should return when its context ends.
func (s *stages) wait(ctx context.Context, drain func(context.Context)) error {
	select {
	case <-ctx.Done():
	case err := <-s.failed:
		s.failed <- err // for errors.Join it comes from its group; here it only ended the wait
	}
	var errs []error
	for i := len(s.all) - 1; i >= 0; i-- {
		if i == 0 {
			last, cancel := context.WithTimeout(s.base, drainFor)
			drain(last)
			cancel()
		}
		s.all[i].cancel()
		errs = append(errs, s.all[i].group.Wait())
	}
	return errors.Join(errs...)
}
