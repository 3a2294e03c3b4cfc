package commands

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/hub/api"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type outcome struct {
	res api.Result
	err error
}

func send(c *Channel, ctx context.Context, edge, id string) <-chan outcome {
	done := make(chan outcome, 1)
	go func() {
		res, err := c.Send(ctx, edge, api.Command{ID: id, Kind: api.CommandStop})
		done <- outcome{res, err}
	}()
	return done
}

func TestCommandAndAnswer(t *testing.T) {
	c := New()
	if o := <-send(c, t.Context(), "gate-7", "0"); !errors.Is(o.err, ErrUnavailable) {
		t.Errorf("without a stream: %+v", o)
	}
	s := c.Connect("gate-7")
	done := send(c, t.Context(), "gate-7", "1")
	if got := <-s.Commands(); got.ID != "1" {
		t.Errorf("the edge got %+v", got)
	}
	if c.Finish("gate-8", "1", api.Result{OK: true}) {
		t.Error("another edge answered")
	}
	for range 2 {
		c.Finish("gate-7", "1", api.Result{OK: true})
	}
	if o := <-done; o.err != nil || !o.res.OK {
		t.Errorf("%+v", o)
	}
	if c.Finish("gate-7", "1", api.Result{}) || len(c.waiting) != 0 {
		t.Error("a command that was answered still waits")
	}
	s.Close()
	if len(c.streams) != 0 {
		t.Error("a stream that was closed is still there")
	}
}

// TestStreamEnds: a command whose stream ends is lost at once; the newest stream gets the next one.
func TestStreamEnds(t *testing.T) {
	c := New()
	old := c.Connect("gate-7")
	done := send(c, t.Context(), "gate-7", "1")
	<-old.Commands()
	s := c.Connect("gate-7") // the edge has come back before the hub noticed that the old connection is dead
	old.Close()
	if o := <-done; !errors.Is(o.err, ErrUnavailable) {
		t.Errorf("%+v", o)
	}
	done = send(c, t.Context(), "gate-7", "2")
	if got := <-s.Commands(); got.ID != "2" {
		t.Errorf("the new stream got %+v", got)
	}
	c.Finish("gate-7", "2", api.Result{OK: true})
	if o := <-done; !o.res.OK {
		t.Errorf("%+v", o)
	}
	s.Close()
	if got := c.Stats(); got != (Stats{Sent: 2, Lost: 1}) {
		t.Errorf("%+v", got)
	}
}

func TestQueueIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New()
		s := c.Connect("gate-7")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		var all []<-chan outcome
		for i := range queueLimit + 5 {
			all = append(all, send(c, ctx, "gate-7", fmt.Sprint(i)))
		}
		refused := 0
		for _, done := range all {
			switch o := <-done; {
			case errors.Is(o.err, ErrUnavailable):
				refused++
			case !errors.Is(o.err, context.DeadlineExceeded):
				t.Errorf("%+v", o)
			}
		}
		if refused != 5 || c.Stats().Refused != 5 || len(c.waiting) != 0 {
			t.Errorf("%d refused, %+v, %d wait", refused, c.Stats(), len(c.waiting))
		}
		s.Close()
	})
}
