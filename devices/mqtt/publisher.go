package mqtt

import (
	"context"
	"errors"
	"fmt"
	"sync"

	paho "github.com/eclipse/paho.mqtt.golang"

	"gridpost/devices"
)

// Publisher sends messages to a broker, as a simulated sensor does, and a hub. Use NewPublisher; Close it
// at the end. It is safe for concurrent use, and sends one message at a time.
type Publisher struct {
	at Server

	sending chan struct{} // held by the one that sends: a mutex that can be waited for with a context

	mu   sync.Mutex
	conn *connection // nil: none
}

// connection is a client and a context that ends, with its cause, when the connection is lost.
type connection struct {
	client paho.Client
	ctx    context.Context
	lost   context.CancelCauseFunc
}

// NewPublisher checks s. It connects when there is something to send.
func NewPublisher(s Server) (*Publisher, error) {
	if s.Address.Host == "" || s.ClientID == "" {
		return nil, errors.New("a publisher needs an address and a client ID")
	}
	return &Publisher{at: s, sending: make(chan struct{}, 1)}, nil
}

// Publish sends a message with QoS 1 and returns nil when the broker has acknowledged it.
// While the broker cannot be reached it tries again, until ctx ends; then the error says why.
func (p *Publisher) Publish(ctx context.Context, topic string, payload []byte, retain bool) error {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	for backoff := newReconnect(); ; {
		err := p.once(ctx, topic, payload, retain)
		if err == nil {
			return nil
		}
		p.Close()
		if !backoff.Wait(ctx) {
			return fmt.Errorf("publishing to %s: %s: %w", topic, p.at.cause(err).Text, ctx.Err())
		}
	}
}

// Send sends a message with QoS 1, not retained, and returns nil when the broker has acknowledged it. It tries once:
// after an error the next message is sent on a new connection.
func (p *Publisher) Send(ctx context.Context, topic string, payload []byte) error {
	select {
	case p.sending <- struct{}{}:
		defer func() { <-p.sending }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := p.once(ctx, topic, payload, false); err != nil {
		p.Close()
		return fmt.Errorf("publishing to %s: %w", topic, err)
	}
	return nil
}

// Cause says why Send has failed.
func (p *Publisher) Cause(err error) devices.Cause { return p.at.cause(err) }

func (p *Publisher) once(ctx context.Context, topic string, payload []byte, retain bool) error {
	conn, err := p.connect(ctx)
	if err != nil {
		return err
	}
	// A token also completes when its connection is lost, so that is looked at first.
	ctx, done := context.WithCancelCause(ctx)
	defer done(nil)
	stop := context.AfterFunc(conn.ctx, func() { done(context.Cause(conn.ctx)) })
	defer stop()
	if err := await(ctx, conn.client.Publish(topic, 1, retain, payload)); err != nil {
		return err
	}
	return context.Cause(conn.ctx)
}

// connect returns the present connection, or a new one when there is none.
func (p *Publisher) connect(ctx context.Context) (*connection, error) {
	p.mu.Lock()
	conn := p.conn
	p.mu.Unlock()
	if conn != nil && conn.client.IsConnectionOpen() {
		return conn, nil
	}
	p.Close()
	conn = &connection{}
	conn.ctx, conn.lost = context.WithCancelCause(context.WithoutCancel(ctx)) // it outlives this message
	dialing := &failure{}
	opts, err := options(ctx, p.at, conn.lost, dialing, nil)
	if err != nil {
		conn.lost(err)
		return nil, err
	}
	opts.SetCleanSession(true)
	conn.client = paho.NewClient(opts)
	if err := await(ctx, conn.client.Connect()); err != nil {
		conn.client.Disconnect(0)
		conn.lost(err)
		return nil, dialing.or(err)
	}
	p.mu.Lock()
	p.conn = conn
	p.mu.Unlock()
	return conn, nil
}

// Close ends the connection. A later Publish makes a new one.
func (p *Publisher) Close() {
	p.mu.Lock()
	conn := p.conn
	p.conn = nil
	p.mu.Unlock()
	if conn != nil {
		conn.client.Disconnect(100)
		conn.lost(context.Canceled)
	}
}
