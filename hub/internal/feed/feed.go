// Package feed gives every console of a hub the change feed by one shared tail.
//
// The tail reads the database once for each wake, whatever the number of consoles, and keeps the
// newest entries, rendered as server-sent events, in a bounded ring. Each console has a Reader, which
// is only a position: one that falls behind the ring reads from the database, and one that
// falls behind what the database keeps gets a reset.
//
// What always holds: a Reader returns every durable entry after its position exactly once and in the
// order of the feed, or a reset. Entries without a number are the newest readings of devices: they are
// not stored, at most one for each device and interval, and never older than a durable entry
// before them.
package feed

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"gridpost/devices/retry"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/store/people"
)

// KindAccess is the kind of an entry that says that what a principal may do has changed. Its key is the
// principal's. It is never sent to a console.
const KindAccess = people.Access

// KindDevice is the kind of the events of readings, as public.ChangeDevice.
const KindDevice = "device"

// Source is the change feed of the database.
type Source interface {
	ChangesAfter(ctx context.Context, after int64, limit int) (entries []db.Change, kept bool, err error)
	LastChange(ctx context.Context) (int64, error)
	Wait(topic db.Topic, key string) <-chan struct{}
}

// Histories says which history of the feed the numbers belong to: a database that was restored from a
// copy uses the same numbers again for other entries.
type Histories interface {
	History(ctx context.Context) (string, error)
	// Valid says whether a number belongs to a history, and that history is, up to the number, the present one.
	Valid(ctx context.Context, history string, number int64) (bool, error)
}

// Devices gives the newest readings.
type Devices interface {
	// Changed returns the devices with a reading that was received since the last call. The first call returns
	// none.
	Changed(ctx context.Context) ([]Received, error)
	// Present returns devices as the public API does.
	Present(ctx context.Context, of []Device) ([]Presented, error)
}

// Device names a device.
type Device struct{ Edge, Name string }

// Received says when the hub received the newest reading of a device.
type Received struct {
	Device
	At time.Time
}

// Presented is a device as the public API returns it.
type Presented struct {
	Device
	Site string
	Data json.RawMessage
}

// Options say what a Tail works with. Source is required.
type Options struct {
	Source    Source
	Histories Histories // nil: there is one history, without a name
	Devices   Devices   // nil: no readings
	Logger    *slog.Logger

	Entries  int           // that the ring holds at most; default 4,096
	Bytes    int           // that they have at most; default 16 MiB
	Recheck  time.Duration // how often the feed is read without a wake; default 5 s
	Poll     time.Duration // how often readings are asked for; default 1 s
	Interval time.Duration // between two events of one device; default 5 s
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	for _, d := range []struct {
		of    *time.Duration
		value time.Duration
	}{{&o.Recheck, 5 * time.Second}, {&o.Poll, time.Second}, {&o.Interval, 5 * time.Second}} {
		if *d.of == 0 {
			*d.of = d.value
		}
	}
	if o.Entries == 0 {
		o.Entries = 4096
	}
	if o.Bytes == 0 {
		o.Bytes = 16 << 20
	}
	return o
}

// Stats are counters since the start, and gauges of now.
type Stats struct {
	Readers   int    // now
	Held      int    // entries in the ring now
	Queries   uint64 // reads of the feed by the tail
	Fallbacks uint64 // reads of the feed by consoles that were behind the ring
	Resets    uint64 // consoles that were behind what the database keeps
	Readings  uint64 // events of readings
	Dropped   uint64 // events of readings that a console behind the ring did not get
}

// Entry is an event of the live stream.
type Entry struct {
	ID   int64 // 0: an event without a number
	Kind string
	Site string
	At   time.Time // when its transaction began; zero without a number
	Text []byte    // the server-sent event; not to be changed

	upTo int64  // number of the last durable entry up to this one
	seq  uint64 // position in the ring
}

// access is a change of what a principal may do.
type access struct {
	seq       uint64
	principal string
}

// maxAccess bounds the changes of access that are held; a Reader that missed some is told so.
const maxAccess = 256

// againAfter is how long the tail waits after an error of the database.
const againAfter = 500 * time.Millisecond

// batch is how many entries are read from the database at once.
const batch = 500

// ErrClosed is returned by a Reader when the tail has stopped, or the database has another
// history: the console must connect again.
var ErrClosed = errors.New("the live stream has ended")

// Tail reads the change feed for all consoles of a hub.
type Tail struct {
	o Options

	mu      sync.Mutex
	running bool
	stop    chan struct{} // closed when the readers of this run must end
	history string
	ring    []Entry // by seq, without gaps
	bytes   int
	nextSeq uint64 // of the entry that is appended next; starts at 1
	last    int64  // number of the last durable entry that was appended
	access  []access
	forgot  uint64        // seq of the newest access that is no longer held
	wake    chan struct{} // closed when something is appended
	stats   Stats
}

// New returns a Tail. Readers get entries while Run runs.
func New(o Options) *Tail {
	return &Tail{o: o.withDefaults(), wake: make(chan struct{}), nextSeq: 1}
}

// Stats returns the figures of now.
func (t *Tail) Stats() Stats {
	t.mu.Lock()
	defer t.mu.Unlock()
	s := t.stats
	s.Held = len(t.ring)
	return s
}

// Run reads the feed until ctx ends. A database that does not answer is asked again; its readers wait
// meanwhile. Run may be called again after it has returned.
func (t *Tail) Run(ctx context.Context) error {
	defer t.end()
	changed := make(chan []Device)
	polled := make(chan struct{})
	polling, stop := context.WithCancel(ctx)
	go func() {
		defer close(polled)
		t.poll(polling, changed)
	}()
	defer func() {
		stop()
		<-polled
	}()
	recheck := time.NewTicker(t.o.Recheck)
	defer recheck.Stop()
	for ctx.Err() == nil {
		wake := t.o.Source.Wait(db.Changes, "")
		more, err := t.read(ctx)
		if err != nil {
			if ctx.Err() == nil {
				t.o.Logger.Error("reading the change feed", "error", err)
			}
			retry.Sleep(ctx, againAfter)
			continue
		}
		if more {
			continue
		}
		select {
		case <-ctx.Done():
		case <-wake:
		case <-recheck.C:
		case of := <-changed:
			if err := t.readings(ctx, of); err != nil && ctx.Err() == nil {
				t.o.Logger.Error("reading devices for the live stream", "error", err)
			}
		}
	}
	return nil
}

// read appends what is new in the feed, as far as one batch goes.
func (t *Tail) read(ctx context.Context) (more bool, err error) {
	t.mu.Lock()
	running, after := t.running, t.last
	t.mu.Unlock()
	if !running {
		err := t.begin(ctx)
		return err == nil, err
	}
	t.count(func(s *Stats) { s.Queries++ })
	entries, kept, err := t.o.Source.ChangesAfter(ctx, after, batch)
	if err != nil {
		t.mu.Lock()
		t.running = false // the history is asked for again: the database may be another one
		t.mu.Unlock()
		return false, err
	}
	if !kept {
		// The feed has been cut down faster than it was read, or the database is another one.
		t.restart()
		return true, nil
	}
	t.append(entries)
	return len(entries) == batch, nil
}

// begin starts at the end of the feed, or goes on where the run before has ended.
func (t *Tail) begin(ctx context.Context) error {
	history := ""
	if t.o.Histories != nil {
		var err error
		if history, err = t.o.Histories.History(ctx); err != nil {
			return fmt.Errorf("reading the history of the change feed: %w", err)
		}
	}
	last, err := t.o.Source.LastChange(ctx)
	if err != nil {
		return err
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.stop != nil && t.history == history && t.last <= last {
		t.running = true // the database answers again
		return nil
	}
	t.endLocked()
	t.history, t.last, t.running, t.stop = history, last, true, make(chan struct{})
	close(t.wake)
	t.wake = make(chan struct{})
	return nil
}

// restart ends all readers; the next read begins anew.
func (t *Tail) restart() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked()
}

func (t *Tail) end() {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.endLocked()
}

func (t *Tail) endLocked() {
	if t.stop != nil {
		close(t.stop)
	}
	t.stop, t.running = nil, false
	t.ring, t.bytes = nil, 0
}

func (t *Tail) count(f func(*Stats)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	f(&t.stats)
}

// append adds durable entries and wakes the readers.
func (t *Tail) append(entries []db.Change) {
	if len(entries) == 0 {
		return
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, c := range entries {
		t.last = c.ID
		if c.Kind == KindAccess {
			t.access = append(t.access, access{seq: t.nextSeq, principal: c.Key})
			if len(t.access) > maxAccess {
				t.forgot = t.access[0].seq
				t.access = append(t.access[:0], t.access[1:]...)
			}
		}
		t.push(render(c))
	}
	t.trim()
	close(t.wake)
	t.wake = make(chan struct{})
}

// push appends one entry. mu is held.
func (t *Tail) push(e Entry) {
	e.upTo, e.seq = t.last, t.nextSeq
	t.nextSeq++
	t.bytes += len(e.Text)
	t.ring = append(t.ring, e)
}

// trim removes the oldest entries beyond the bounds. mu is held.
func (t *Tail) trim() {
	n := 0
	for ; n < len(t.ring) && (len(t.ring)-n > t.o.Entries || t.bytes > t.o.Bytes); n++ {
		t.bytes -= len(t.ring[n].Text)
	}
	if n > 0 {
		clear(t.ring[:n]) // so that their texts are freed
		t.ring = t.ring[n:]
	}
}

func render(c db.Change) Entry {
	return Entry{
		ID: c.ID, Kind: c.Kind, Site: c.Site, At: c.At,
		Text: fmt.Appendf(nil, "id: %d\nevent: %s\ndata: %s\n\n", c.ID, c.Kind, c.Data),
	}
}
