package connect

import (
	"context"
	"fmt"
	"time"

	"gridpost/edge/internal/brokers"

	firmwareconfig "gridpost/firmware-config"
)

// listen is for how long messages of a broker are counted: retained ones come at once.
const listen = time.Second

// tryBroker connects to a broker, subscribes to the topics of the sensors at it, and writes to b what it found.
func tryBroker(ctx context.Context, doc firmwareconfig.Broker, filters []string, b *Broker) {
	t := brokers.Try(ctx, doc, filters, listen)
	b.Filters, b.Messages, b.ConnectMS = len(filters), t.Messages, milliseconds(t.Took)
	if b.OK = t.Cause.IsZero(); !b.OK {
		b.Cause = &t.Cause
	}
}

// lines returns what is printed of b.
func (b *Broker) lines() []string {
	name := "broker " + b.Broker + ": "
	if !b.OK {
		return []string{name + "DOES NOT WORK: " + b.Cause.Text}
	}
	return []string{fmt.Sprintf("%sok: connected in %s ms, %d topics, %d messages within %v", name, number(b.ConnectMS), b.Filters, b.Messages, listen)}
}
