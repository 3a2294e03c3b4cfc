package rungroup_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"gridpost/devices/rungroup"
)

// trace records in which order components return.
type trace struct {
	mu    sync.Mutex
	order []string
}

func (t *trace) component(name string) rungroup.Component {
	return func(ctx context.Context) error {
		<-ctx.Done()
		t.mu.Lock()
		defer t.mu.Unlock()
		t.order = append(t.order, name)
		return nil
	}
}

func stage(all ...rungroup.Component) []rungroup.Component { return all }

func TestStagesStopInOrder(t *testing.T) {
	var tr trace
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := rungroup.Run(ctx, stage(tr.component("inputs")), stage(tr.component("store")), stage(), stage(tr.component("hub")))
	if got := strings.Join(tr.order, " "); err != nil || got != "inputs store hub" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestAnErrorStopsEverything(t *testing.T) {
	var tr trace
	first, second := errors.New("first"), errors.New("second")
	err := rungroup.Run(t.Context(),
		stage(tr.component("inputs"), func(ctx context.Context) error { <-ctx.Done(); return second }),
		stage(func(context.Context) error { return first }, tr.component("store")),
		stage(func(context.Context) error { return nil }), // done early is no failure
	)
	if got := strings.Join(tr.order, " "); !errors.Is(err, first) || !errors.Is(err, second) || got != "inputs store" {
		t.Errorf("%s, %v", got, err)
	}
}

func TestComponentsSeeTheValuesOfTheContext(t *testing.T) {
	type key struct{}
	ctx, cancel := context.WithCancel(context.WithValue(t.Context(), key{}, "value"))
	err := rungroup.Run(ctx, stage(func(ctx context.Context) error {
		defer cancel()
		if ctx.Value(key{}) != "value" {
			return errors.New("the value is missing")
		}
		return nil
	}))
	if err != nil {
		t.Error(err)
	}
}
