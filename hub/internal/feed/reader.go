package feed

import (
	"context"
	"slices"
	"sort"
	"time"
)

// Start is where a Reader starts.
type Start struct {
	Now       bool   // at the end of the feed
	After     int64  // otherwise after this number
	History   string // that the number belongs to; empty: not known
	Principal string // its key; see Batch.Access
}

// Batch is what a Reader has got.
type Batch struct {
	Entries []Entry
	Reset   bool  // entries are missing: everything must be fetched anew; After is where the Reader goes on
	After   int64 // number of the last durable entry that was returned or passed over
	Access  bool  // what the principal may do may have changed
	More    bool  // there is more to read at once
}

// readBatch bounds the entries of a Batch.
const readBatch = 200

// Reader is the position of one console. It is for one goroutine.
type Reader struct {
	t         *Tail
	stop      <-chan struct{}
	principal string
	history   string
	after     int64  // number of the last durable entry that was returned
	seq       uint64 // of the next entry of the ring; 0: found by after
	access    uint64 // seq up to which changes of access are known
	reset     bool   // the next batch is a reset
}

// startWithin is how long Subscribe waits for the tail.
const startWithin = 5 * time.Second

// Subscribe returns a Reader. It waits a few seconds for a tail that does not run, and returns ErrClosed
// then. What the principal may do must be checked again after it: a change of it is reported by the
// Reader only from here on. Close the Reader.
func (t *Tail) Subscribe(ctx context.Context, s Start) (*Reader, error) {
	r, err := t.subscribe(ctx, s.Principal)
	if err != nil {
		return nil, err
	}
	if s.Now {
		return r, nil
	}
	ok, err := t.valid(ctx, s)
	if err != nil {
		r.Close()
		return nil, err
	}
	r.seq = 0
	if ok {
		r.after = s.After
	} else {
		r.reset = true
	}
	return r, nil
}

// subscribe returns a Reader at the end of the feed.
func (t *Tail) subscribe(ctx context.Context, principal string) (*Reader, error) {
	limit := time.NewTimer(startWithin)
	defer limit.Stop()
	for {
		t.mu.Lock()
		if t.stop != nil {
			t.stats.Readers++
			r := &Reader{t: t, stop: t.stop, principal: principal, history: t.history, after: t.last, seq: t.nextSeq, access: t.nextSeq}
			t.mu.Unlock()
			return r, nil
		}
		wake := t.wake
		t.mu.Unlock()
		select {
		case <-wake:
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-limit.C:
			return nil, ErrClosed
		}
	}
}

// valid says whether a console can go on from a position.
func (t *Tail) valid(ctx context.Context, s Start) (bool, error) {
	if s.After < 0 {
		return false, nil
	}
	if t.o.Histories != nil {
		return t.o.Histories.Valid(ctx, s.History, s.After)
	}
	last, err := t.o.Source.LastChange(ctx)
	return s.After <= last, err
}

// Close ends the Reader.
func (r *Reader) Close() { r.t.count(func(s *Stats) { s.Readers-- }) }

// History returns the history that the numbers belong to.
func (r *Reader) History() string { return r.history }

// After returns the number of the last durable entry that was returned or passed over.
func (r *Reader) After() int64 { return r.after }

// Stopped is closed when Read returns ErrClosed from now on.
func (r *Reader) Stopped() <-chan struct{} { return r.stop }

// Wait returns a channel that is closed when there may be something to read. Take it before Read.
func (r *Reader) Wait() <-chan struct{} {
	r.t.mu.Lock()
	defer r.t.mu.Unlock()
	return r.t.wake
}

// Read returns what is new, without waiting: from the ring, or from the database for a console
// that is behind the ring.
func (r *Reader) Read(ctx context.Context) (Batch, error) {
	select {
	case <-r.stop:
		return Batch{}, ErrClosed
	default:
	}
	if r.reset {
		r.reset, r.seq = false, 0
		r.t.count(func(s *Stats) { s.Resets++ })
		return Batch{Reset: true, After: r.after, More: true}, nil
	}
	b, ok := r.fromRing()
	if ok {
		return b, nil
	}
	return r.fromDatabase(ctx, b.Access)
}

// fromRing returns what the ring holds after the position; ok is false when the ring no longer holds all
// of it.
func (r *Reader) fromRing() (b Batch, ok bool) {
	t := r.t
	t.mu.Lock()
	defer t.mu.Unlock()
	b.Access = r.accessChanged()
	if r.after >= t.last && r.seq == 0 {
		if r.after > t.last { // the console was told of it by another hub, or the tail is a little late
			b.After = r.after
			return b, true
		}
		r.seq = t.nextSeq
	}
	first := t.nextSeq - uint64(len(t.ring))
	switch {
	case r.seq == 0:
		i := sort.Search(len(t.ring), func(i int) bool { return t.ring[i].upTo > r.after })
		if i == len(t.ring) || t.ring[i].ID != r.after+1 {
			return b, false
		}
		r.seq = t.ring[i].seq
	case r.seq < first:
		t.stats.Dropped += r.passed(first)
		r.seq = 0
		i := sort.Search(len(t.ring), func(i int) bool { return t.ring[i].upTo > r.after })
		if i < len(t.ring) && t.ring[i].ID == r.after+1 {
			r.seq = t.ring[i].seq
			break
		}
		if r.after < t.last {
			return b, false
		}
		r.seq = t.nextSeq
	}
	from := int(r.seq - first) //nolint:gosec // the ring is small
	to := min(len(t.ring), from+readBatch)
	b.Entries = slices.Clone(t.ring[from:to])
	b.More = to < len(t.ring)
	r.seq = first + uint64(to) //nolint:gosec // as above
	for _, e := range b.Entries {
		if e.ID > 0 {
			r.after = e.ID
		}
	}
	b.After = r.after
	return b, true
}

// passed returns how many entries without a number the ring no longer holds. mu of the tail is held.
func (r *Reader) passed(first uint64) uint64 {
	durable := r.t.last
	if ring := r.t.ring; len(ring) > 0 {
		durable = ring[0].upTo
		if ring[0].ID > 0 {
			durable--
		}
	}
	return first - r.seq - uint64(max(0, durable-r.after)) //nolint:gosec // both are small
}

// accessChanged says whether an entry of access names the principal since it was last asked. mu of the
// tail is held.
func (r *Reader) accessChanged() bool {
	t := r.t
	changed := t.forgot >= r.access && t.forgot > 0
	for _, a := range t.access {
		changed = changed || a.seq >= r.access && a.principal == r.principal
	}
	r.access = t.nextSeq
	return changed
}

func (r *Reader) fromDatabase(ctx context.Context, access bool) (Batch, error) {
	r.t.count(func(s *Stats) { s.Fallbacks++ })
	entries, kept, err := r.t.o.Source.ChangesAfter(ctx, r.after, readBatch)
	if err != nil {
		return Batch{}, err
	}
	if !kept {
		last, err := r.t.o.Source.LastChange(ctx)
		if err != nil {
			return Batch{}, err
		}
		r.after = last
		r.t.count(func(s *Stats) { s.Resets++ })
		return Batch{Reset: true, After: last, Access: access, More: true}, nil
	}
	b := Batch{Access: access, After: r.after, More: len(entries) > 0}
	for _, c := range entries {
		b.Entries = append(b.Entries, render(c))
		r.after = c.ID
	}
	b.After = r.after
	return b, nil
}
