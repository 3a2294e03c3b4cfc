package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"gridpost/streams/webrtc"
)

// viewCount is what all viewers of the process have got so far.
type viewCount struct {
	Bytes       uint64  `json:"bytes"` // of payload
	Frames      uint64  `json:"frames"`
	Lost        uint64  `json:"lost"`
	FirstKeyP50 float64 `json:"first_key_ms_p50"` // from asking to the first whole keyframe
	FirstKeyP95 float64 `json:"first_key_ms_p95"`
}

// viewers is the viewers of one process.
type viewers struct {
	all chan struct{} // closed when every viewer has a frame

	mu    sync.Mutex
	count viewCount
	first []float64 // ms, of each viewer that has a frame
	want  int
}

// view plays url n times. For every line of in it writes a viewCount to out, once every viewer
// has frames; it ends with in.
func view(ctx context.Context, n int, url, token string, in io.Reader, out io.Writer) error {
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		return err
	}
	defer func() { _ = engine.Close() }()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c := &viewers{all: make(chan struct{}), want: n}
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: n}}
	defer client.CloseIdleConnections()
	g, playing := errgroup.WithContext(ctx)
	for range n {
		g.Go(func() error { return c.play(playing, engine, client, url, token) })
	}
	g.Go(func() error {
		defer stop()
		return c.answer(playing, in, out)
	})
	return g.Wait()
}

// play is one viewer.
func (c *viewers) play(ctx context.Context, engine *webrtc.Engine, client *http.Client, url, token string) error {
	began := time.Now()
	seen := false
	_, err := engine.Play(ctx, webrtc.PlayOptions{
		URL: url, Header: http.Header{"Authorization": {"Bearer " + token}}, Client: client,
		OnPacket: func(p webrtc.Packet) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.count.Bytes += uint64(len(p.Payload))
			c.count.Lost += p.Lost
		},
		OnFrame: func(f webrtc.Frame) {
			c.mu.Lock()
			defer c.mu.Unlock()
			c.count.Frames++
			if f.Keyframe && f.Complete && !seen {
				seen = true
				c.first = append(c.first, float64(time.Since(began).Microseconds())/1000)
				if len(c.first) == c.want {
					close(c.all)
				}
			}
		},
	})
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("viewing: %w", err)
	}
	return nil
}

// answer writes the count for each line of in.
func (c *viewers) answer(ctx context.Context, in io.Reader, out io.Writer) error {
	lines := bufio.NewScanner(in)
	for lines.Scan() {
		select {
		case <-c.all:
		case <-ctx.Done():
			return nil
		case <-time.After(startLimit):
			c.mu.Lock()
			defer c.mu.Unlock()
			return fmt.Errorf("only %d of %d viewers have frames after %v", len(c.first), c.want, startLimit)
		}
		text, err := json.Marshal(c.now())
		if err != nil {
			return fmt.Errorf("writing the count: %w", err)
		}
		if _, err := out.Write(append(text, '\n')); err != nil {
			return errors.Join(errors.New("writing the count"), err)
		}
	}
	return lines.Err()
}

func (c *viewers) now() viewCount {
	c.mu.Lock()
	defer c.mu.Unlock()
	count := c.count
	sorted := slices.Sorted(slices.Values(c.first))
	count.FirstKeyP50 = round(sorted[len(sorted)/2])
	count.FirstKeyP95 = round(sorted[(len(sorted)-1)*95/100])
	return count
}
