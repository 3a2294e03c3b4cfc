// Package headexport writes signed heads of the audit log to places outside the database, at intervals.
// Whoever changes or cuts off the log afterwards does not agree with them; see audit.Head.
//
// A target is one file of this package and one line in Targets. What always holds: a target that fails delays no other, and
// gets the newest head when it can be reached again, not those that it missed. The package must not
// import other packages of the hub but the audit log.
package headexport

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"gridpost/devices/retry"
	"gridpost/devices/rungroup"
	"gridpost/hub/internal/store/audit"
)

// Config says where heads are written. The zero value writes them to the data folder only.
type Config struct {
	Every   time.Duration `yaml:"every"`   // 1m to 24h; 0: DefaultEvery
	File    string        `yaml:"file"`    // a file to which heads are appended, one JSON object in a line
	Webhook string        `yaml:"webhook"` // an http(s) URL to which they are posted
	Syslog  string        `yaml:"syslog"`  // udp://, tcp:// or tls://HOST[:PORT], or unix:///PATH
}

// Bounds of Config.Every.
const (
	DefaultEvery = 15 * time.Minute
	leastEvery   = time.Minute
	mostEvery    = 24 * time.Hour
)

// Check returns one error for each key that is wrong.
func (c Config) Check() (errs []error) {
	if c.Every != 0 && (c.Every < leastEvery || c.Every > mostEvery) {
		errs = append(errs, fmt.Errorf("every: expected %s to %s, not %s", leastEvery, mostEvery, c.Every))
	}
	if _, err := newWebhook(c.Webhook); c.Webhook != "" && err != nil {
		errs = append(errs, fmt.Errorf("webhook: %w", err))
	}
	if _, err := newSyslog(c.Syslog); c.Syslog != "" && err != nil {
		errs = append(errs, fmt.Errorf("syslog: %w", err))
	}
	return errs
}

// Log is the audit log.
type Log interface {
	Head(ctx context.Context, hub string) (audit.Head, error)
	Remember(ctx context.Context, h audit.Head) error
}

// Target is where heads are written to. Send is called by one goroutine at a time.
type Target struct {
	Name string
	Send func(ctx context.Context, h audit.Head) error

	// Last says that Send is called once more when the hub stops, because it needs no network.
	Last bool
}

// Targets returns the targets of a configuration that has been checked; the data folder is always one.
func (c Config) Targets(log Log) []Target {
	all := []Target{{Name: "data folder", Send: log.Remember, Last: true}}
	if c.File != "" {
		all = append(all, Target{Name: "file", Send: newFile(c.File), Last: true})
	}
	if send, err := newWebhook(c.Webhook); err == nil {
		all = append(all, Target{Name: "webhook", Send: send})
	}
	if send, err := newSyslog(c.Syslog); err == nil {
		all = append(all, Target{Name: "syslog", Send: send})
	}
	return all
}

// Options are the dependencies of an Exporter.
type Options struct {
	Log     Log
	Hub     string        // ID of this hub
	Every   time.Duration // 0: DefaultEvery
	Targets []Target
	Logger  *slog.Logger
}

// Exporter writes heads until its Run ends. State may be called from any goroutine.
type Exporter struct {
	o Options

	mu    sync.Mutex
	state map[string]State
}

// State is what is known of a target.
type State struct {
	Target   string
	Entry    int64     // of the last head that was written; 0: none since the start
	At       time.Time // when that was written
	Failures uint64    // since the start
	Err      error     // of the last attempt; nil: it succeeded
}

// New returns an Exporter.
func New(o Options) *Exporter {
	if o.Every == 0 {
		o.Every = DefaultEvery
	}
	return &Exporter{o: o, state: map[string]State{}}
}

// State returns the states of the targets, in their order.
func (e *Exporter) State() []State {
	e.mu.Lock()
	defer e.mu.Unlock()
	var out []State
	for _, t := range e.o.Targets {
		s := e.state[t.Name]
		s.Target = t.Name
		out = append(out, s)
	}
	return out
}

// Run writes heads until ctx ends.
func (e *Exporter) Run(ctx context.Context) error {
	var all []rungroup.Component
	for _, t := range e.o.Targets {
		all = append(all, func(ctx context.Context) error { e.serve(ctx, t); return nil })
	}
	return rungroup.Run(ctx, slices.Clip(all))
}

const (
	sendLimit = 30 * time.Second
	lastLimit = 3 * time.Second // while the hub stops

	// aliveEvery is how often a head is written although nothing was appended: silence at a receiver then means a fault.
	aliveEvery = 24 * time.Hour
)

// serve writes heads to one target.
func (e *Exporter) serve(ctx context.Context, t Target) {
	backoff := retry.Policy{First: 5 * time.Second, Longest: e.o.Every}.New()
	for {
		err := e.send(ctx, t, sendLimit)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if !backoff.Wait(ctx) {
				break
			}
			continue
		default:
			backoff.Reset()
			if retry.Sleep(ctx, e.o.Every) {
				continue
			}
		}
		if t.Last {
			_ = e.send(context.WithoutCancel(ctx), t, lastLimit) // its failure is logged
		}
		return
	}
}

// send writes the head as it is now, unless the target has it.
func (e *Exporter) send(ctx context.Context, t Target, limit time.Duration) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	h, err := e.o.Log.Head(ctx, e.o.Hub)
	if err == nil {
		if was := e.stateOf(t); was.Err == nil && was.Entry == h.Entry && time.Since(was.At) < aliveEvery {
			return nil
		}
		err = t.Send(ctx, h)
	}
	e.note(ctx, t, h, err)
	return err
}

func (e *Exporter) stateOf(t Target) State {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.state[t.Name]
}

// note stores the outcome of an attempt. The first failure of several is logged.
func (e *Exporter) note(ctx context.Context, t Target, h audit.Head, err error) {
	if errors.Is(ctx.Err(), context.Canceled) { // the hub stops
		return
	}
	e.mu.Lock()
	s := e.state[t.Name]
	first := s.Err == nil && err != nil
	if s.Err = err; err != nil {
		s.Failures++
	} else {
		s.Entry, s.At = h.Entry, time.Now()
	}
	e.state[t.Name] = s
	e.mu.Unlock()
	if first {
		e.o.Logger.Warn("the head of the audit log is not exported", "target", t.Name, "error", err)
	}
}
