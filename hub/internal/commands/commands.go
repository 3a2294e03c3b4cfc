// Package commands carries commands to the edges that are connected to this hub, and their answers, in memory.
// A command costs one write to the edge's stream and no write to the disk.
//
// What always holds: a command is sent at most once; Send returns as soon as it is certain that no answer
// comes over this hub, so that its caller can queue the command in the database instead. The package must
// import nothing of Gridpost but hub/api.
package commands

import (
	"context"
	"errors"
	"sync"

	"gridpost/hub/api"
)

// ErrUnavailable means that the edge has no stream at this hub, that its queue is full, or that its stream
// ended before the answer came. The edge may have carried out the command in the last case.
var ErrUnavailable = errors.New("the edge has no usable stream of commands at this hub")

// queueLimit is how many commands wait for one stream; further ones are refused and counted.
const queueLimit = 32

// Channel carries commands to edges. Its methods may be called from any goroutine.
type Channel struct {
	mu      sync.Mutex
	streams map[string]*Stream // the newest of each edge
	waiting map[string]*call   // by the command's ID; bounded by the callers of Send
	stats   Stats
}

// Stats are counters since the start.
type Stats struct {
	Sent    uint64 // commands handed to a stream
	Refused uint64 // commands for which a queue had no room
	Lost    uint64 // commands whose stream ended before the answer
}

// call is a command that waits for its answer.
type call struct {
	edge   string
	stream *Stream
	answer chan api.Result // capacity 1
}

// Stream is one connection of an edge over which it receives commands.
type Stream struct {
	channel *Channel
	edge    string
	queue   chan api.Command
	ended   chan struct{}
}

// New returns a Channel without streams.
func New() *Channel {
	return &Channel{streams: make(map[string]*Stream), waiting: make(map[string]*call)}
}

// Connect returns a stream of an edge, which gets its commands from now on. The caller must call Close.
func (c *Channel) Connect(edge string) *Stream {
	s := &Stream{channel: c, edge: edge, queue: make(chan api.Command, queueLimit), ended: make(chan struct{})}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.streams[edge] = s
	return s
}

// Commands returns the commands to be sent to the edge, in order.
func (s *Stream) Commands() <-chan api.Command { return s.queue }

// Close ends the stream. Commands without an answer are lost.
func (s *Stream) Close() {
	s.channel.mu.Lock()
	defer s.channel.mu.Unlock()
	if s.channel.streams[s.edge] == s {
		delete(s.channel.streams, s.edge)
	}
	close(s.ended)
}

// Send sends a command, which must have an ID, and returns the edge's answer. The error is ErrUnavailable or
// the cause of ctx.
func (c *Channel) Send(ctx context.Context, edge string, command api.Command) (api.Result, error) {
	w, err := c.enqueue(edge, command)
	if err != nil {
		return api.Result{}, err
	}
	defer func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		delete(c.waiting, command.ID)
	}()
	select {
	case res := <-w.answer:
		return res, nil
	case <-ctx.Done():
		return api.Result{}, context.Cause(ctx)
	case <-w.stream.ended:
	}
	select { // the answer may have come at the same time
	case res := <-w.answer:
		return res, nil
	default:
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stats.Lost++
	return api.Result{}, ErrUnavailable
}

func (c *Channel) enqueue(edge string, command api.Command) (*call, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.streams[edge]
	if s == nil {
		return nil, ErrUnavailable
	}
	select {
	case s.queue <- command:
	default:
		c.stats.Refused++
		return nil, ErrUnavailable
	}
	c.stats.Sent++
	w := &call{edge: edge, stream: s, answer: make(chan api.Result, 1)}
	c.waiting[command.ID] = w
	return w, nil
}

// Finish hands over the answer to a command. It returns false when nobody waits for it here: the command was
// queued in the database, or Send has returned. A second answer changes nothing.
func (c *Channel) Finish(edge, id string, res api.Result) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	w := c.waiting[id]
	if w == nil || w.edge != edge {
		return false
	}
	select {
	case w.answer <- res:
	default:
	}
	return true
}

// Stats returns the counters.
func (c *Channel) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.stats
}
