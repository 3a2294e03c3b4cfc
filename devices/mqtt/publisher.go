package mqtt

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"

	paho "github.com/eclipse/paho.mqtt.golang"
)

// Publisher sends messages to a broker, as a simulated sensor does. Use NewPublisher; Close it
// at the end. It is safe for concurrent use, and sends one message at a time.
type Publisher struct {
	at endpoint

	sending chan struct{} // held by the one that sends: a mutex that can be waited for with a context

	mu     sync.Mutex
	client paho.Client
	lost   chan error
	gone   *atomic.Bool // the connection has been lost
}

// NewPublisher checks s. It connects when there is something to send.
func NewPublisher(s Server) (*Publisher, error) {
	at, err := s.check()
	if err != nil {
		return nil, err
	}
	if s.ClientID == "" {
		return nil, errors.New("a publisher needs a client ID")
	}
	return &Publisher{at: at, sending: make(chan struct{}, 1)}, nil
}

// Publish sends a message with QoS 1 and returns nil when the broker has acknowledged it.
// While the broker cannot be reached it tries again, until ctx ends; then the error says what
// was in the way.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte, retain bool) error {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for backoff := minBackoff; ; backoff = min(2*backoff, maxBackoff) {
		err := p.once(ctx, topic, payload, retain)
		if err == nil {
			return nil
		}
		p.Close()
		if !pause(ctx, rand.N(backoff)) {
			return fmt.Errorf("publishing to %s: %s: %w", topic, p.at.words(err), ctx.Err())
		}
	}
}

func (p *Publisher) once(ctx context.Context, topic string, payload []byte, retain bool) error {
	c, lost, gone, err := p.connect(ctx)
	if err != nil {
		return err
	}
	if err := await(ctx, lost, c.Publish(topic, 1, retain, payload)); err != nil {
		return err
	}
	if gone.Load() { // a token also completes when its connection is lost
		return errors.New("connection lost")
	}
	return nil
}

func (p *Publisher) connect(ctx context.Context) (paho.Client, chan error, *atomic.Bool, error) {
	p.mu.Lock()
	c, lost, gone := p.client, p.lost, p.gone
	p.mu.Unlock()
	if c != nil && c.IsConnectionOpen() {
		return c, lost, gone, nil
	}
	p.Close()
	lost, gone = make(chan error, 1), new(atomic.Bool)
	dialing := &failure{}
	opts := options(ctx, p.at, lost, dialing)
	opts.SetCleanSession(true)
	keep := opts.OnConnectionLost
	opts.SetConnectionLostHandler(func(c paho.Client, err error) {
		gone.Store(true)
		keep(c, err)
	})
	c = paho.NewClient(opts)
	if err := await(ctx, lost, c.Connect()); err != nil {
		c.Disconnect(0)
		return nil, nil, nil, dialing.or(err)
	}
	p.mu.Lock()
	p.client, p.lost, p.gone = c, lost, gone
	p.mu.Unlock()
	return c, lost, gone, nil
}

// Close ends the connection. A later Publish makes a new one.
func (p *Publisher) Close() {
	p.mu.Lock()
	c := p.client
	p.client = nil
	p.mu.Unlock()
	if c != nil {
		c.Disconnect(100)
	}
}
