package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"

	"gridpost/devices"
)

// TestResult is the outcome of a test event.
type TestResult struct {
	Delivered bool
	Status    int           // of the HTTP response; 0: there was none
	Cause     devices.Cause // why it was not delivered; contains no secret
	Took      time.Duration
}

// Test sends one event of the type gridpost.test to a target, signed like an alert, and waits for
// the answer. It bypasses the queue, so that a disabled target or one with a backlog can be tested
// too. It is not retried.
func (n *Notifier) Test(ctx context.Context, t Target, who string) (TestResult, error) {
	data, err := json.Marshal(map[string]string{"text": "This is a test. Nothing has happened.", "who": who})
	if err != nil {
		return TestResult{}, fmt.Errorf("writing a test: %w", err)
	}
	l := openChannel{n: n}
	defer l.close()
	ch, err := l.to(t)
	if err != nil {
		ch = broken{err}
	}
	o, ok := n.attempt(ctx, ch, Delivery{
		ID: "msg_" + rand.Text(), Target: t.ID,
		Alert: Alert{ID: uuid.NewString(), Kind: test, Time: time.Now(), Data: data},
	}, func(context.Context) ([]Reference, error) { return nil, nil })
	if !ok {
		return TestResult{}, fmt.Errorf("testing a target: %w", ctx.Err())
	}
	return TestResult{Delivered: o.State == Delivered, Status: o.Status, Cause: o.Cause, Took: o.Took}, nil
}

// test is the kind of an event without an incident.
const test AlertKind = "test"

// eventType is the CloudEvents type of a kind.
func eventType(k AlertKind) string {
	if k == test {
		return "gridpost.test"
	}
	return "gridpost.incident." + string(k)
}
