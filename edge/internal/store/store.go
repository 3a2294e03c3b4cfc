// Package store holds what an edge must not lose: incidents, their evidence, readings, and
// everything that the hub has not confirmed yet.
//
// # What is durable when
//
// There are two SQLite files. incidents.db is written with full synchronization: what a method
// that saves incidents or evidence has returned from survives a power cut. Callers that come
// together share one synchronized transaction. telemetry.db is synchronized by its checkpoints
// only: it survives the death of the process, and a power cut costs the readings since the last
// checkpoint at most. No transaction spans both. Device states and health are not stored.
//
// # What is sent
//
// Alerts wait in an outbox, in the transaction that saves the incident; readings are sent from
// where they are stored. Something leaves only when the hub has confirmed it. Numbers of events
// are valid within one run of the program, whose random epoch is the uplink's: nothing that a
// restored or damaged file says about numbers is ever believed. What is sent twice because of
// that is recognized by its content.
//
// # What is bounded
//
// The outbox by events and bytes, held events by number, telemetry.db and evidence by bytes,
// incidents by age and number. What has to be dropped before the hub has it becomes an api.Gap,
// which is itself delivered. Losses of one kind, device and reason share a gap while it waits.
//
// # Damage
//
// A file that is damaged, truncated or gone, at the start or in the middle of a run, is replaced by
// a new one with every row that could be read; the original is set aside. A log that SQLite would
// ignore is noticed before SQLite opens it. In each case there is a problem for the operator
// and a gap for the hub. An edge never needs a hand to start again.
//
// A full disk does not keep the store from opening or from deleting what the hub has: a reserve
// file is given up for that. Where there never was room for it, Open returns ErrFull.
//
// Store is safe for concurrent use. The package is the only one on the edge that imports SQLite,
// and must import nothing of Gridpost but hub/api, detection and devices.
package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"

	"gridpost/devices/diskspace"
)

// ErrFull says that the disk has no room. Nothing that was saved before is affected.
const ErrFull = fullError("the disk is full")

// fullError is the type of ErrFull; it carries the cause that an operator sees.
type fullError string

func (e fullError) Error() string { return string(e) }

// Cause returns the cause of the registry.
func (fullError) Cause() devices.Cause { return devices.NewCause("disk_full") }

// reserveBytes is the room that is reserved on the disk: enough to open both databases, whose
// shared-memory files SQLite makes anew at each start, and to delete what the hub has.
const reserveBytes = 4 << 20

// Options say where and how much a Store holds. Zero values mean the defaults of withDefaults.
type Options struct {
	Dir            string // the edge's data directory
	Logger         *slog.Logger
	TelemetryBytes int64 // most bytes of telemetry.db; the oldest readings make room; 0: 256 MiB
	EvidenceBytes  int64 // most bytes of evidence files; delivered ones make room; 0: 4 GiB
	OutboxEvents   int64 // most alerts that wait for the hub; the oldest make room; 0: 100,000
	OutboxBytes    int64 // most bytes of their data; 0: 128 MiB
	Now            func() time.Time

	incidentPages  int64 // tests: PRAGMA max_page_count of incidents.db
	telemetryPages int64 // tests: of telemetry.db
}

func (o Options) withDefaults() Options {
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.TelemetryBytes == 0 {
		o.TelemetryBytes = 256 << 20
	}
	if o.EvidenceBytes == 0 {
		o.EvidenceBytes = 4 << 30
	}
	if o.OutboxEvents == 0 {
		o.OutboxEvents = 100_000
	}
	if o.OutboxBytes == 0 {
		o.OutboxBytes = 128 << 20
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	return o
}

// Store is an edge's durable memory.
type Store struct {
	o         Options
	incidents *file
	telemetry *file
	reserve   *diskspace.Reserve
	machine   machine
	names     names
	wake      chan struct{}
	evidence  chan struct{} // held by the one who changes the evidence folder

	clipBytes, clipKeep atomic.Int64 // see KeepClips
	recording           atomic.Int64 // bytes of clips that are being written

	deliver atomic.Bool // there is a hub
	missed  atomic.Bool // open incidents are to be enqueued, because there is a hub again

	// Events up to these numbers may have been read for sending.
	alertsOffered, telemetryOffered atomic.Uint64

	checked time.Time // when the files were checked last; of Maintain's goroutine

	mu       sync.Mutex
	problems []devices.Cause
	spans    map[uint64]span // rows of the telemetry events that were read last
}

// Open opens the store in o.Dir, and makes it when it is not there. It repairs what is damaged
// and says so by Problems. It returns ErrFull when the disk is full and there is no reserve to give
// up, or not enough for a repair or a migration; the caller retries. It returns ErrNewer when a
// newer version of the program has written the files.
func Open(ctx context.Context, o Options) (*Store, error) {
	o = o.withDefaults()
	m, err := newMachine()
	if err != nil {
		return nil, fmt.Errorf("opening the store: %w", err)
	}
	s := &Store{
		o: o, machine: m, names: newNames(), wake: make(chan struct{}, 1), evidence: make(chan struct{}, 1),
		reserve: diskspace.NewReserve(filepath.Join(o.Dir, "reserve"), reserveBytes),
	}
	s.deliver.Store(true)
	s.KeepClips(DefaultClipBytes, DefaultClipKeep)
	existed, err := s.prepareDir()
	if err != nil {
		return nil, s.wrap("opening the store", err)
	}
	s.incidents = s.incidentFile(existed)
	s.telemetry = s.telemetryFile(existed)
	for _, f := range []*file{s.incidents, s.telemetry} {
		err := f.openFirst(ctx)
		if full(o.Dir, err) && s.reserve.Release() {
			err = f.openFirst(ctx)
		}
		if err != nil {
			return nil, errors.Join(s.wrap("opening "+f.name, err), s.incidents.close(), s.telemetry.close())
		}
	}
	// Made last: its existence says that the databases were made.
	if err := os.MkdirAll(filepath.Join(o.Dir, dirEvidence), 0o700); err != nil {
		return nil, errors.Join(s.wrap("opening the store", err), s.incidents.close(), s.telemetry.close())
	}
	if err := s.reserve.Acquire(); err != nil {
		o.Logger.Warn("no room is reserved on the disk", "error", err)
	}
	return s, nil
}

func (s *Store) incidentFile(existed bool) *file {
	return &file{
		name: "incidents.db", dir: s.o.Dir, synchronous: "FULL", pages: s.o.incidentPages, checkBelow: 64 << 20, existed: existed,
		migrations: incidentMigrations(), tables: []string{"incidents", "outbox", "held", "evidence", "set_aside", "pending", "learned"},
		logger: s.o.Logger, now: s.o.Now, reserve: s.reserve, load: loadIncidents, lost: s.lostAlerts,
	}
}

func (s *Store) telemetryFile(existed bool) *file {
	return &file{
		name: "telemetry.db", dir: s.o.Dir, synchronous: "NORMAL", pages: s.o.telemetryPages, checkBelow: 8 << 20, existed: existed,
		migrations: telemetryMigrations(), tables: []string{"readings", "gaps", "outbox", "marks", "thinned"},
		logger: s.o.Logger, now: s.o.Now, reserve: s.reserve, load: loadTelemetry, lost: s.lostReadings,
	}
}

// prepareDir makes the data directory, and takes the rights of others away from it and from the
// store's files, which may be from a version that was less strict. existed says whether there was
// a store.
func (s *Store) prepareDir() (existed bool, err error) {
	if err := os.MkdirAll(s.o.Dir, 0o700); err != nil {
		return false, err
	}
	if err := restrict(s.o.Dir, 0o700); err != nil {
		return false, err
	}
	for _, pattern := range []string{"incidents.db*", "telemetry.db*", "reserve"} {
		files, err := filepath.Glob(filepath.Join(s.o.Dir, pattern))
		if err != nil {
			return false, err
		}
		for _, path := range files {
			if err := restrict(path, 0o600); err != nil {
				return false, err
			}
		}
	}
	root := filepath.Join(s.o.Dir, dirEvidence)
	if _, err := os.Stat(root); errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	return true, filepath.WalkDir(root, func(path string, d os.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir():
			return restrict(path, 0o700)
		case d.Type().IsRegular():
			return restrict(path, 0o600)
		}
		return nil
	})
}

func restrict(path string, mode os.FileMode) error {
	fi, err := os.Stat(path)
	if err != nil || fi.Mode().Perm() == mode {
		return err
	}
	return os.Chmod(path, mode)
}

// loadIncidents reads what is known by heart about incidents.db.
func loadIncidents(ctx context.Context, q querier, _ uint64) (queueState, error) {
	state := queueState{gaps: map[gapKey]gapRow{}}
	// Numbers that rows refer to must not be given to others.
	err := q.QueryRowContext(ctx, `SELECT 1 + max(coalesce((SELECT max(seq) FROM outbox), 0), coalesce((SELECT max(seq) FROM held), 0),
		coalesce((SELECT max(seq) FROM evidence), 0)), (SELECT count(*) FROM outbox), (SELECT coalesce(sum(length(data)), 0) FROM outbox),
		(SELECT coalesce(sum(size), 0) FROM evidence), (SELECT coalesce(sum(size), 0) FROM evidence WHERE clip = 1)`).Scan(
		&state.next, &state.count, &state.bytes, &state.evidence, &state.clips)
	if err != nil {
		return state, err
	}
	rows, err := q.QueryContext(ctx, `SELECT seq, data FROM outbox WHERE kind = 'gap' ORDER BY seq`)
	if err != nil {
		return state, err
	}
	return state, eachRow(rows, func(scan func(...any) error) error {
		var data []byte
		var row gapRow
		if err := scan(&row.seq, &data); err != nil {
			return err
		}
		if unmarshalGap(data, &row.gap) { // one that cannot be read is set aside when it is sent
			state.gaps[gapKey{row.gap.Kind, row.gap.Device, row.gap.Reason}] = row
		}
		return nil
	})
}

// loadTelemetry reads what is known by heart about telemetry.db.
func loadTelemetry(ctx context.Context, q querier, sent uint64) (queueState, error) {
	state := queueState{gaps: map[gapKey]gapRow{}}
	err := q.QueryRowContext(ctx, `SELECT max(?, coalesce(max(value), 0)) FROM marks WHERE key = 'sent'`, sent).Scan(&state.sent)
	if err != nil {
		return state, err
	}
	err = q.QueryRowContext(ctx, `SELECT 1 + max(?1, coalesce((SELECT max(id) FROM readings), 0), coalesce((SELECT max(seq) FROM gaps), 0)),
		(SELECT count(*) FROM readings WHERE id > ?1) + (SELECT count(*) FROM gaps WHERE seq > ?1)`, state.sent).Scan(&state.next, &state.count)
	if err != nil {
		return state, err
	}
	rows, err := q.QueryContext(ctx, `SELECT seq, id, device, reason, first, last, count FROM gaps WHERE seq > ? ORDER BY seq`, state.sent)
	if err != nil {
		return state, err
	}
	return state, eachRow(rows, func(scan func(...any) error) error {
		row, err := scanGap(scan)
		state.gaps[gapKey{row.gap.Kind, row.gap.Device, row.gap.Reason}] = row
		return err
	})
}

// Close writes the logs back into the files and closes them. Methods that are called later return
// an error.
func (s *Store) Close() error {
	// When the mark cannot be written, readings are sent again, and the hub knows them.
	if err := s.telemetry.write(context.Background(), s.saveSent); err != nil && !errors.Is(err, errClosed) {
		s.o.Logger.Warn("what the hub has of the readings could not be noted", "error", err)
	}
	return errors.Join(s.incidents.close(), s.telemetry.close())
}

// Problems returns what an operator must know about the store: damage that was found in this
// run, rows that could not be read, an outbox that overflows.
func (s *Store) Problems() []devices.Cause {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.problems)
}

// problem adds to Problems; of a code and file there is one, the newest.
func (s *Store) problem(c devices.Cause) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, p := range s.problems {
		if p.Code == c.Code && p.Params["file"] == c.Params["file"] {
			s.problems[i] = c
			return
		}
	}
	s.problems = append(s.problems, c)
}

func lossProblem(file string, l loss) devices.Cause {
	return devices.NewCause(l.reason, "file", file, "copy", l.copy)
}

func (s *Store) lostAlerts(t *tx, l loss) error {
	s.problem(lossProblem(s.incidents.name, l))
	// Each alert carries the whole incident: what is lost in one table may be in the other.
	if _, err := t.exec(`INSERT INTO incidents (id, device, state, version, updated, data)
		SELECT incident, json_extract(data, '$.device'), json_extract(data, '$.state'), json_extract(data, '$.version'), at, data
		FROM outbox WHERE kind = 'incident' AND json_valid(data) AND json_type(data, '$.device') = 'text'
			AND json_type(data, '$.state') = 'text' AND json_type(data, '$.version') = 'integer' ORDER BY seq
		ON CONFLICT (id) DO UPDATE SET state = excluded.state, version = excluded.version, updated = excluded.updated, data = excluded.data
		WHERE excluded.version > incidents.version`); err != nil {
		return err
	}
	return s.reportAlertGap(t, api.Gap{Kind: api.GapAlerts, From: l.from, To: l.to, Reason: l.reason})
}

func (s *Store) lostReadings(t *tx, l loss) error {
	s.problem(lossProblem(s.telemetry.name, l))
	return s.reportReadingGap(t, api.Gap{Kind: api.GapReadings, From: l.from, To: l.to, Reason: l.reason})
}

// Deliver says whether there is a hub; the store assumes so. While there is none, nothing enters
// the outbox, and evidence makes room as if it had been delivered. When there is one again, the
// open incidents are enqueued. Readings wait in either case, within their bound.
func (s *Store) Deliver(on bool) {
	if was := s.deliver.Swap(on); !on || was {
		return
	}
	s.missed.Store(true)
	if err := s.enqueueOpen(context.Background()); err != nil {
		s.o.Logger.Warn("enqueueing open incidents; it is tried again later", "error", err)
	}
}

func (s *Store) enqueueOpen(ctx context.Context) error {
	if !s.missed.Load() {
		return nil
	}
	open, err := s.refs(ctx, `SELECT id, version, 0 FROM incidents WHERE state = 'open' ORDER BY id`)
	if err != nil {
		return err
	}
	ids := make([]string, len(open))
	for i, r := range open {
		ids[i] = r.ID
	}
	if err := s.Enqueue(ctx, ids); err != nil {
		return err
	}
	s.missed.Store(false)
	return nil
}

// AlertsWaiting is signalled after an alert was enqueued. One signal may stand for many.
func (s *Store) AlertsWaiting() <-chan struct{} { return s.wake }

func (s *Store) signal() {
	select {
	case s.wake <- struct{}{}:
	default: // a signal is pending already
	}
}

// Waiting returns how many events of the alerts lane, and readings and gaps of the telemetry lane,
// the hub has not confirmed. It is cheap.
func (s *Store) Waiting() map[api.Lane]uint64 {
	return map[api.Lane]uint64{api.LaneAlerts: s.incidents.known().count, api.LaneTelemetry: s.telemetry.known().count}
}

func (s *Store) wrap(doing string, err error) error { return wrap(s.o.Dir, doing, err) }
