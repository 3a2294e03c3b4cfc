package brokers

import (
	"context"
	"strings"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/devices/mqtt"
	"gridpost/devices/retry"

	firmwareconfig "gridpost/firmware-config"
)

// Trial is what came of trying a broker.
type Trial struct {
	Cause    devices.Cause // why it cannot be used, or which topics it refuses; zero: it works
	Took     time.Duration // to connect, log in and subscribe
	Messages int           // that came while it was listened to
}

// Try connects to another broker, subscribes to filters and listens for a while. It uses a client ID of its own, so that
// the running edge keeps its session, and leaves nothing at the broker.
func Try(ctx context.Context, c firmwareconfig.Broker, filters []string, listen time.Duration) Trial {
	const trialTopic = "gridpost/check" // a broker without sensors is tried, too
	if len(filters) == 0 {
		filters = []string{trialTopic}
	}
	c.ClientID += "-check"
	var messages atomic.Int64
	refused := make(chan []string, 1)
	states := make(chan devices.Cause, 1)
	sub, err := mqtt.NewSubscriber(mqtt.Options{
		Server: serverOf(c), Source: c.Source(), Filters: filters, Passing: true,
		Handle:    func(_ context.Context, _ devices.Message, done func(error)) { messages.Add(1); done(nil) },
		OnRefused: func(filters []string) { notify(refused, filters) },
		OnState:   func(_ bool, cause devices.Cause) { notify(states, cause) },
	})
	if err != nil {
		return Trial{Cause: devices.NewCause("broker_failed", "broker", c.URL.Host, "reason", err.Error())}
	}
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan error, 1)
	began := time.Now()
	go func() { done <- sub.Run(ctx) }()
	defer func() {
		cancel()
		<-done // Run returns nil when its context has ended
	}()
	var t Trial
	select {
	case t.Cause = <-states:
	case <-ctx.Done():
		return t
	}
	t.Took = time.Since(began)
	if !t.Cause.IsZero() {
		return t
	}
	if all := <-refused; len(all) > 0 { // reported before the state
		t.Cause = devices.NewCause("broker_topics_refused", "broker", c.URL.Host, "topics", strings.Join(all[:min(len(all), 5)], ", "))
	}
	retry.Sleep(ctx, listen)
	t.Messages = int(messages.Load())
	return t
}

// notify sends v unless something waits already: only the first counts.
func notify[T any](to chan T, v T) {
	select {
	case to <- v:
	default:
	}
}
