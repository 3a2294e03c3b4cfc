package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices/retry"
	"gridpost/edge/e2e/rig"
)

// failoverFigures are what two hubs on one PostgreSQL did while either was killed at random.
type failoverFigures struct {
	Seed      uint64  `json:"seed"`
	Seconds   float64 `json:"seconds"`
	Kills     int     `json:"kills"`
	Incidents int     `json:"incidents"`
	Missing   int     `json:"missing"` // pairs of a committed incident and a console that never met
	Doubled   int64   `json:"doubled"`
	Skipped   int64   `json:"skipped"`
	Resets    int64   `json:"resets"`
	Dropped   int64   `json:"console_connections_lost"`
	Retries   int64   `json:"edge_requests_retried"`

	Delivered int `json:"webhooks_received"`
	Undone    int `json:"webhooks_missing"`          // incidents whose opening never came
	Together  int `json:"webhooks_at_the_same_time"` // a delivery that came while the same one was being answered
	Again     int `json:"webhooks_repeated"`         // after an answer whose hub was killed before it could record it
	Excused   int `json:"webhooks_repeated_excused"` // of those, with a kill between the two

	ToConsole spread `json:"posted_to_console"` // waits for a hub to come back included
}

// measureFailover kills either of two hubs at random. Edges and consoles come through a balancer that
// knows nothing but TCP.
func measureFailover(ctx context.Context, o options, dir string) (*failoverFigures, error) {
	if o.seed == 0 {
		o.seed = uint64(time.Now().UnixNano())
	}
	f := &failoverFigures{Seed: o.seed}
	dir, err := newFolder(dir)
	if err != nil {
		return f, err
	}
	return f, withPostgres(ctx, func(url string) error { return f.run(ctx, o, dir, url) })
}

func (f *failoverFigures) run(ctx context.Context, o options, dir, database string) error {
	receiver, err := newReceiver()
	if err != nil {
		return err
	}
	defer receiver.close()
	pair, err := startPair(ctx, o.programs, dir, database)
	if err != nil {
		return err
	}
	defer pair.kill()
	if err := addWebhook(ctx, pair.hubs[0], receiver.url); err != nil {
		return err
	}
	n := min(o.edges, 50)
	t, err := enrolTown(ctx, pair.hubs[0], dir, n, []string{pair.edges.url("https")})
	if err != nil {
		return err
	}
	defer t.close()
	if err := t.introduce(ctx); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for _, e := range t.edges {
		wg.Go(func() { e.live(ctx) })
	}
	a := &audience{town: t}
	consoles := a.watch(ctx, min(o.consoles, 20), []string{pair.consoles.url("http")}, pair.hubs[0].Token)
	defer consoles.Wait()
	defer cancel()
	if _, err := until(ctx, settleLimit, "connecting everybody", func() bool { return a.connected.Load() == int64(len(a.consoles)) }); err != nil {
		return err
	}
	began := time.Now()
	if err := f.killAtRandom(ctx, o, pair, t, receiver); err != nil {
		return err
	}
	f.Seconds = time.Since(began).Seconds()
	if _, err := until(ctx, restartLimit, "the arrival of everything", func() bool {
		return a.missing() == 0 && receiver.undone(t) == 0
	}); err != nil {
		progress("%v", err)
	}
	f.Missing, f.Doubled, f.Skipped, f.Resets, f.Dropped = a.missing(), a.doubled.Load(), a.skipped.Load(), a.resets.Load(), a.dropped.Load()
	f.Retries, f.ToConsole = t.retries.Load(), a.toConsole.spread()
	receiver.report(f, t)
	return nil
}

// killAtRandom opens incidents and kills one hub after the other, at random moments, each time until
// the pair is whole again.
func (f *failoverFigures) killAtRandom(ctx context.Context, o options, pair *pair, t *town, r *receiver) error {
	random := rand.New(rand.NewPCG(o.seed, 1))
	opened := make(chan error, 1)
	go func() {
		n, err := t.openIncidents(ctx, o.failover)
		f.Incidents = n
		opened <- err
	}()
	for end := time.Now().Add(o.failover); time.Now().Before(end); {
		if !retry.Sleep(ctx, time.Duration(random.IntN(6000))*time.Millisecond) {
			break
		}
		victim := random.IntN(len(pair.hubs))
		pair.hubs[victim].Kill()
		r.killed()
		f.Kills++
		if !retry.Sleep(ctx, time.Duration(random.IntN(4000))*time.Millisecond) {
			break
		}
		if err := pair.hubs[victim].Start(ctx); err != nil {
			return fmt.Errorf("starting hub %d again: %w", victim+1, err)
		}
		progress("failover: %d kills", f.Kills)
	}
	return <-opened
}

// pair is two hubs on one database behind a balancer.
type pair struct {
	hubs            []*rig.Hub
	edges, consoles *balancer
}

func startPair(ctx context.Context, p rig.Programs, dir, database string) (_ *pair, err error) {
	out := &pair{}
	defer func() {
		if err != nil {
			out.kill()
		}
	}()
	var edges, consoles []string
	for i := range 2 {
		folder, err := newFolder(filepath.Join(dir, fmt.Sprintf("hub-%d", i+1)))
		if err != nil {
			return nil, err
		}
		config := filepath.Join(folder, "hub.yml")
		if err := os.WriteFile(config, []byte("allow_private_webhooks: true\n"), 0o600); err != nil {
			return nil, fmt.Errorf("configuring a hub: %w", err)
		}
		h, err := rig.StartHubWith(ctx, p, folder, rig.HubOptions{Database: database, Config: config})
		if err != nil {
			return nil, err
		}
		out.hubs = append(out.hubs, h)
		edges, consoles = append(edges, h.EdgeAddress()), append(consoles, h.Address())
	}
	if out.edges, err = newBalancer(edges); err != nil {
		return nil, err
	}
	out.consoles, err = newBalancer(consoles)
	return out, err
}

func addWebhook(ctx context.Context, h *rig.Hub, url string) error {
	body, err := json.Marshal(map[string]string{"url": url})
	if err != nil {
		return fmt.Errorf("adding a webhook: %w", err)
	}
	status, text, err := h.Do(ctx, http.MethodPost, "/api/v1/webhooks", body)
	if err == nil && status != http.StatusCreated {
		err = fmt.Errorf("status %d: %s", status, text)
	}
	if err != nil {
		return fmt.Errorf("adding a webhook: %w", err)
	}
	return nil
}

func (p *pair) kill() {
	for _, h := range p.hubs {
		h.Kill()
	}
	for _, b := range []*balancer{p.edges, p.consoles} {
		if b != nil {
			_ = b.listener.Close()
		}
	}
}

// balancer forwards TCP connections to the targets in turn, and to the next one when a target does not
// answer: what an operator's load balancer does at the least.
type balancer struct {
	listener net.Listener
	targets  []string
	turn     atomic.Int64
}

func newBalancer(targets []string) (*balancer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("starting a balancer: %w", err)
	}
	b := &balancer{listener: l, targets: targets}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return // closed
			}
			go b.forward(c)
		}
	}()
	return b, nil
}

func (b *balancer) url(scheme string) string { return scheme + "://" + b.listener.Addr().String() }

func (b *balancer) forward(c net.Conn) {
	defer func() { _ = c.Close() }()
	first := int(b.turn.Add(1))
	for i := range b.targets {
		to, err := net.DialTimeout("tcp", b.targets[(first+i)%len(b.targets)], time.Second)
		if err != nil {
			continue
		}
		pipe(c, to)
		return
	}
}
