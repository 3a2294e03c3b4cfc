package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices/retry"
)

// console reads a live stream as the hub's page does: it reconnects with the number of the last event
// that it has handled and with the history that the number belongs to.
type console struct {
	client  *http.Client
	urls    []string // of hubs; tried in turn
	token   string
	last    string
	history string

	audience *audience
	seen     map[string]int // incident ID to its newest version
	order    int64          // number of the last event
}

// audience is what all consoles share.
type audience struct {
	town      *town
	connected atomic.Int64
	resets    atomic.Int64
	doubled   atomic.Int64 // events that came twice, or in the wrong order
	skipped   atomic.Int64 // numbers that were passed over, where numbers are dense and nothing is hidden
	dropped   atomic.Int64 // connections that ended
	toConsole samples      // from the first posting of an incident to its arrival

	mu       sync.Mutex
	consoles []*console
}

// watch runs n consoles until ctx ends.
func (a *audience) watch(ctx context.Context, n int, urls []string, token string) *sync.WaitGroup {
	var wg sync.WaitGroup
	for i := range n {
		c := &console{
			client: &http.Client{Transport: &http.Transport{}}, urls: append(append([]string{}, urls[i%len(urls):]...), urls[:i%len(urls)]...),
			token: token, audience: a, seen: map[string]int{},
		}
		a.mu.Lock()
		a.consoles = append(a.consoles, c)
		a.mu.Unlock()
		wg.Go(func() { c.run(ctx) })
	}
	return &wg
}

// missing counts the pairs of a console and a committed incident that never met.
func (a *audience) missing() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.town.committed.Range(func(id, _ any) bool {
		for _, c := range a.consoles {
			if _, ok := c.seen[id.(string)]; !ok { //nolint:forcetypeassert // its only type
				n++
			}
		}
		return true
	})
	return n
}

func (c *console) run(ctx context.Context) {
	for turn := 0; ctx.Err() == nil; turn++ {
		c.read(ctx, c.urls[turn%len(c.urls)])
		c.audience.dropped.Add(1)
		retry.Sleep(ctx, time.Second/2+rand.N(time.Second))
	}
	c.client.CloseIdleConnections()
}

func (c *console) read(ctx context.Context, url string) {
	if c.history != "" {
		url += "/api/v1/stream?history=" + c.history
	} else {
		url += "/api/v1/stream"
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if c.last != "" {
		r.Header.Set("Last-Event-ID", c.last)
	}
	answer, err := c.client.Do(r)
	if err != nil {
		return
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return
	}
	c.audience.connected.Add(1)
	defer c.audience.connected.Add(-1)
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, 4<<20)
	var id, name, data string
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			id = value
		case "event":
			name = value
		case "data":
			data += value
		case "":
			if lines.Text() == "" {
				c.handle(id, name, data)
				id, name, data = "", "", ""
			}
		}
	}
}

func (c *console) handle(id, name, data string) {
	now := time.Now()
	switch name {
	case "reset":
		c.audience.resets.Add(1)
	case "hello":
		var hello struct {
			History string `json:"history"`
		}
		if json.Unmarshal([]byte(data), &hello) == nil {
			c.history = hello.History
		}
	case "incident":
		c.incident(now, data)
	}
	if id == "" {
		return
	}
	c.last = id
	n, err := strconv.ParseInt(id, 10, 64)
	if err != nil || name == "" || name == "hello" || name == "reset" {
		c.order = max(n, c.order)
		return
	}
	switch {
	case n <= c.order:
		c.audience.doubled.Add(1)
	case c.order > 0 && n > c.order+1:
		c.audience.skipped.Add(n - c.order - 1)
	}
	c.order = max(n, c.order)
}

func (c *console) incident(now time.Time, data string) {
	var inc struct {
		ID      string `json:"id"`
		Version int    `json:"version"`
	}
	if json.Unmarshal([]byte(data), &inc) != nil {
		return
	}
	c.audience.mu.Lock()
	_, known := c.seen[inc.ID]
	c.seen[inc.ID] = max(c.seen[inc.ID], inc.Version)
	c.audience.mu.Unlock()
	if known {
		return
	}
	if at, ok := c.audience.town.posted.Load(inc.ID); ok {
		c.audience.toConsole.add(now.Sub(at.(time.Time))) //nolint:forcetypeassert // its only type
	}
}

// until polls for a condition, and says after how long it held.
func until(ctx context.Context, limit time.Duration, what string, done func() bool) (time.Duration, error) {
	began := time.Now()
	for !done() {
		if time.Since(began) > limit {
			return limit, fmt.Errorf("%s took longer than %s", what, limit)
		}
		if !retry.Sleep(ctx, 20*time.Millisecond) {
			return 0, ctx.Err()
		}
	}
	return time.Since(began), nil
}
