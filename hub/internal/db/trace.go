package db

import (
	"context"
	"time"
)

// Trace gets figures of the transactions that are called with one context, as net/http/httptrace does for
// requests. Its function is called by the goroutine that executes the transaction, before Update returns.
type Trace struct {
	// Executed gets the time of a transaction's function: without the wait for its turn, and without the commit,
	// whose time is the disk's.
	Executed func(time.Duration)
}

type traceKey struct{}

// WithTrace returns a context whose transactions report to t.
func WithTrace(ctx context.Context, t *Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// ContextTrace returns the trace of a context; nil if there is none.
func ContextTrace(ctx context.Context) *Trace {
	t, _ := ctx.Value(traceKey{}).(*Trace)
	return t
}

// traced returns fn with a report of its time to the trace of ctx.
func traced(ctx context.Context, fn func(*Tx) error) func(*Tx) error {
	trace := ContextTrace(ctx)
	if trace == nil {
		return fn
	}
	return func(t *Tx) error {
		began := time.Now()
		defer func() { trace.Executed(time.Since(began)) }()
		return fn(t)
	}
}
