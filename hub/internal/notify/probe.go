package notify

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"time"
)

// Tested is what came of a test.
type Tested struct {
	Delivered bool
	Status    int    // of the HTTP answer; 0: there was none
	Cause     string // in words, when not delivered; never a secret
	Took      time.Duration
}

// Test sends a target one event of the type gridpost.test, signed like an alert, and waits for
// the answer. It passes the queue by: a person waits for it, and a target that is switched off or
// behind is what there is to be tested. It is never tried again.
func (n *Notifier) Test(ctx context.Context, t Target, who string) (Tested, error) {
	data, err := json.Marshal(map[string]string{"text": "This is a test. Nothing has happened.", "who": who})
	if err != nil {
		return Tested{}, fmt.Errorf("writing a test: %w", err)
	}
	o, ok := n.attempt(ctx, t, Delivery{
		ID: "msg_" + rand.Text(), Target: t.ID,
		Alert: Alert{ID: "test-" + rand.Text(), Kind: test, Time: time.Now(), Data: data},
	})
	if !ok {
		return Tested{}, fmt.Errorf("testing a target: %w", ctx.Err())
	}
	return Tested{Delivered: o.State == Delivered, Status: o.Status, Cause: o.Cause, Took: o.Took}, nil
}

// test is the kind of an event that tells of no incident.
const test AlertKind = "test"

// eventType is the CloudEvents type of a kind.
func eventType(k AlertKind) string {
	if k == test {
		return "gridpost.test"
	}
	return "gridpost.incident." + string(k)
}
