package db

import "sync"

// Topic is what a waiter waits for.
type Topic string

const (
	Changes  Topic = "changes"  // an entry of the change feed; key ""
	Commands Topic = "commands" // a command for an edge, or its result; the key is the edge
	Jobs     Topic = "jobs"     // a job was enqueued or is due earlier; the key is its kind
	Access   Topic = "access"   // something was withdrawn: an account, a role, a session, a token, an edge, a lease, an incident; key ""
	Alerts   Topic = "alerts"   // deliveries were enqueued, or a target has changed; key ""
)

type wake struct {
	topic Topic
	key   string
}

// wakes holds one channel for each topic and key that somebody waits for. It has at most one for each
// key that was ever waited for and not woken since: edges, kinds of jobs.
type wakes struct {
	mu      sync.Mutex
	waiting map[wake]chan struct{}
}

func newWakes() *wakes { return &wakes{waiting: map[wake]chan struct{}{}} }

func (s *wakes) wait(w wake) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	ch := s.waiting[w]
	if ch == nil {
		ch = make(chan struct{})
		s.waiting[w] = ch
	}
	return ch
}

func (s *wakes) raise(w wake) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.waiting[w]; ch != nil {
		close(ch)
		delete(s.waiting, w)
	}
}

// raiseAll wakes everybody: wakes of other processes may have been missed.
func (s *wakes) raiseAll() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, ch := range s.waiting {
		close(ch)
	}
	clear(s.waiting)
}

// Wait returns a channel that is closed at the next Notify of the topic and key, by any hub on the
// database while Run runs. Take it before looking into the database, or a change in between is missed.
// It may be closed without a change.
func (d *DB) Wait(topic Topic, key string) <-chan struct{} { return d.wakes.wait(wake{topic, key}) }
