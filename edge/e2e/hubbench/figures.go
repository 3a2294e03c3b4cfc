package main

import (
	"slices"
	"sync"
	"time"
)

// spread summarises durations, in milliseconds.
type spread struct {
	Count int     `json:"count"`
	P50   float64 `json:"p50_ms"`
	P95   float64 `json:"p95_ms"`
	P99   float64 `json:"p99_ms"`
	Max   float64 `json:"max_ms"`
}

// samples collects durations. Its methods may be called from any goroutine.
type samples struct {
	mu  sync.Mutex
	all []time.Duration
}

func (s *samples) add(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, d)
}

func (s *samples) spread() spread {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.all) == 0 {
		return spread{}
	}
	slices.Sort(s.all)
	at := func(share float64) float64 { return milliseconds(s.all[int(share*float64(len(s.all)-1))]) }
	return spread{Count: len(s.all), P50: at(0.5), P95: at(0.95), P99: at(0.99), Max: at(1)}
}

// milliseconds has two digits behind the point.
func milliseconds(d time.Duration) float64 { return float64(d.Round(10*time.Microsecond)) / 1e6 }
