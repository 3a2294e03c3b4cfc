package app

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
)

func TestStagesStopInOrder(t *testing.T) {
	s := newStages(t.Context())
	var mu sync.Mutex
	var order []string
	for _, name := range []string{"hub", "save", "inputs"} {
		s.add().Go(func(ctx context.Context) error {
			<-ctx.Done()
			mu.Lock()
			defer mu.Unlock()
			order = append(order, name)
			return nil
		})
	}
	broken := errors.New("broken")
	s.add().Go(func(context.Context) error { return broken })
	err := s.wait(t.Context(), func(context.Context) {
		mu.Lock()
		defer mu.Unlock()
		order = append(order, "drain")
	})
	if !errors.Is(err, broken) || strings.Join(order, " ") != "inputs save drain hub" {
		t.Errorf("%v: %v", order, err)
	}
}
