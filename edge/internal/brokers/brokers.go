// Package brokers receives the messages of sensors: through the embedded broker, and through other
// brokers of the site.
package brokers

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"sync"
	"syscall"
	"time"

	"gridpost/devices"
	"gridpost/devices/broker"
	"gridpost/devices/retry"

	firmwareconfig "gridpost/firmware-config"
)

// Embedded is the broker inside the edge. It implements reconcile.Component.
type Embedded struct {
	Config firmwareconfig.MQTT // its address and its users
	Long   []string            // topics on which long messages are expected
	Handle devices.Store

	// OnState is called with the cause when the broker cannot run, and with none when it does.
	// It must not block.
	OnState func(cause devices.Cause)

	// Listening is called with the broker's address (the one without TLS if there are two) each time it has been bound. It may be nil.
	Listening func(address string)

	Logger *slog.Logger

	mu     sync.Mutex
	broker *broker.Broker // nil: its port is not bound
}

// Run runs the broker until ctx ends. A port that is in use is a problem and is retried: the rest of
// the edge does not depend on it.
func (e *Embedded) Run(ctx context.Context) error {
	var users []broker.User
	for _, u := range e.Config.Users {
		users = append(users, broker.User{Name: u.Name, Password: u.Password, Topics: u.Topics})
	}
	backoff := retry.Policy{Longest: 5 * time.Second}.New()
	for {
		b, err := broker.New(broker.Options{
			Listen: e.Config.Listen, TLSListen: e.Config.TLSListen, Certificate: e.Config.Certificate, Key: e.Config.Key,
			Users: users, Source: firmwareconfig.EmbeddedBroker, Long: e.Long, Handle: e.Handle, Logger: e.Logger,
		})
		if err != nil {
			e.Logger.Error("the embedded broker cannot start; it is retried", "error", err)
			e.OnState(listenCause(e.Config, err))
			if !backoff.Wait(ctx) {
				return nil
			}
			continue
		}
		e.set(b)
		e.OnState(devices.Cause{})
		if e.Listening != nil {
			e.Listening(b.Addr())
		}
		err = b.Run(ctx)
		e.set(nil)
		if ctx.Err() != nil {
			return nil
		}
		if err == nil {
			err = errors.New("it stopped")
		}
		e.Logger.Error("the embedded broker stopped; it is started again", "error", err)
		e.OnState(listenCause(e.Config, err))
		if !backoff.Wait(ctx) {
			return nil
		}
	}
}

func listenCause(config firmwareconfig.MQTT, err error) devices.Cause {
	if errors.Is(err, syscall.EADDRINUSE) {
		address := config.Listen
		var failed *net.OpError
		if errors.As(err, &failed) && failed.Addr != nil {
			address = failed.Addr.String()
		}
		return devices.NewCause("listener_address_in_use", "address", address)
	}
	return devices.NewCause("listener_failed", "reason", err.Error())
}

func (e *Embedded) set(b *broker.Broker) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.broker = b
}

// Stats returns the broker's counters since its port was bound.
func (e *Embedded) Stats() broker.Stats {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broker == nil {
		return broker.Stats{}
	}
	return e.broker.Stats()
}

// Problems returns what went wrong with clients of the broker lately.
func (e *Embedded) Problems() []devices.Cause {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.broker == nil {
		return nil
	}
	return e.broker.Problems()
}
