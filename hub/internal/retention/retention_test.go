package retention

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"gridpost/hub/internal/db"
)

// machine is a clock that only deleting and sleeping advance.
type machine struct {
	at     time.Time
	slept  time.Duration
	perRow time.Duration // what deleting one entry takes
}

func newMachine() *machine {
	return &machine{at: time.Date(2026, 11, 30, 12, 0, 0, 0, time.UTC), perRow: 10 * time.Microsecond}
}

func (m *machine) now() time.Time { return m.at }

func (m *machine) sleep(ctx context.Context, d time.Duration) bool {
	m.at = m.at.Add(d)
	m.slept += d
	return ctx.Err() == nil
}

// row is an entry of a table in the model.
type row struct {
	at        time.Time
	protected bool
	bytes     int64
}

// table is a table as repositories delete from it: the oldest first, nothing that is protected.
type table struct {
	m    *machine
	rows []row
}

func (t *table) delete(ctx context.Context, before time.Time, limit int) (n int, err error) {
	slices.SortStableFunc(t.rows, func(a, b row) int { return a.at.Compare(b.at) })
	t.rows = slices.DeleteFunc(t.rows, func(r row) bool {
		if n == limit || r.protected || !r.at.Before(before) {
			return false
		}
		n++
		return true
	})
	took := time.Millisecond + time.Duration(n)*t.m.perRow
	db.ContextTrace(ctx).Executed(took)
	t.m.at = t.m.at.Add(took)
	return n, nil
}

func (t *table) size(context.Context) (n int64, err error) {
	for _, r := range t.rows {
		n += r.bytes
	}
	return n, nil
}

// TestModel: over random tables, ages and bounds, nothing that is protected and nothing that is young is
// deleted, everything that is old goes, and nothing is left beyond the bound that may be deleted.
func TestModel(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 6))
	for range 300 {
		m := newMachine()
		tab := &table{m: m}
		for range random.IntN(3000) {
			tab.rows = append(tab.rows, row{
				at: m.at.Add(-time.Duration(random.IntN(60*24)) * time.Hour), protected: random.IntN(10) == 0, bytes: random.Int64N(100),
			})
		}
		kind := Kind{Name: "rows", Delete: tab.delete, Size: tab.size}
		if random.IntN(4) > 0 {
			kind.Age = time.Duration(1+random.IntN(60)) * 24 * time.Hour
		}
		if random.IntN(2) == 0 {
			kind.Max = 1 + random.Int64N(100_000)
		}
		before := slices.Clone(tab.rows)
		began := m.at
		if err := New(Options{Kinds: []Kind{kind}, Logger: slog.New(slog.DiscardHandler), Now: m.now, Sleep: m.sleep}).Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		size, _ := tab.size(t.Context())
		over := kind.Max > 0 && size > kind.Max
		var deletedYoung, keptFree bool
		left := map[row]int{}
		for _, r := range tab.rows {
			left[r]++
			old := kind.Age > 0 && r.at.Before(began.Add(-kind.Age))
			if !r.protected && (old || over) {
				t.Fatalf("a row of %s is left; over the bound: %v", r.at, over)
			}
			keptFree = keptFree || !r.protected
		}
		for _, r := range before {
			if left[r]--; left[r] >= 0 {
				continue
			}
			if r.protected {
				t.Fatal("a protected row was deleted")
			}
			deletedYoung = deletedYoung || kind.Age == 0 || !r.at.Before(began.Add(-kind.Age))
		}
		if deletedYoung && kind.Max == 0 {
			t.Fatal("a young row was deleted without need")
		}
		if deletedYoung && keptFree && size+int64(maxLimit)*100 < kind.Max {
			t.Fatalf("far more was deleted than the bound asks for: %d of %d are left", size, kind.Max)
		}
	}
}

// TestStepsFollowTheMachine: transactions take about as long as they should, on a fast machine and on a slow
// one, and no transaction holds the writer for longer than 50 ms while the machine becomes slower.
func TestStepsFollowTheMachine(t *testing.T) {
	for _, perRow := range []time.Duration{2 * time.Microsecond, 20 * time.Microsecond, 300 * time.Microsecond, 5 * time.Millisecond} {
		const commit = 40 * time.Millisecond // of a slow disk: it makes no transaction smaller
		m := newMachine()
		m.perRow = 2 * time.Microsecond
		var holds []time.Duration
		k := New(Options{
			Logger: slog.New(slog.DiscardHandler), Now: m.now,
			Kinds: []Kind{{Name: "rows", Age: 24 * time.Hour, Delete: func(ctx context.Context, _ time.Time, limit int) (int, error) {
				if len(holds) == 100 {
					return 0, nil // there are no more
				}
				holds = append(holds, time.Millisecond+time.Duration(limit)*m.perRow)
				db.ContextTrace(ctx).Executed(holds[len(holds)-1])
				m.at = m.at.Add(holds[len(holds)-1] + commit)
				return limit, nil
			}}},
			Sleep: func(ctx context.Context, d time.Duration) bool {
				m.perRow = min(2*m.perRow, perRow) // the machine becomes slower, by steps
				return m.sleep(ctx, d)
			},
		})
		if err := k.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i, took := range holds {
			if took > maxHold {
				t.Errorf("at %s for each row: transaction %d held the writer for %s", perRow, i, took)
			}
		}
		settled := holds[len(holds)-1]
		least := target / 2
		if full := time.Millisecond + maxLimit*perRow; full < least {
			least = full
		}
		if settled < least || settled > 2*target {
			t.Errorf("at %s for each row: a transaction takes %s in the end", perRow, settled)
		}
		var held time.Duration
		for _, took := range holds {
			held += took
		}
		if m.slept < held/2 {
			t.Errorf("at %s for each row: the writer was left alone for %s after %s", perRow, m.slept, held)
		}
	}
}

// TestErrorsStopOneKind: an error of one kind does not stop the others, and the next attempt is smaller.
func TestErrorsStopOneKind(t *testing.T) {
	m := newMachine()
	tab := &table{m: m, rows: []row{{at: m.at.Add(-48 * time.Hour)}}}
	var limits []int
	broken := errors.New("broken")
	k := New(Options{Logger: slog.New(slog.DiscardHandler), Now: m.now, Sleep: m.sleep, Kinds: []Kind{
		{Name: "broken", Age: time.Hour, Delete: func(_ context.Context, _ time.Time, limit int) (int, error) {
			limits = append(limits, limit)
			return 0, broken
		}},
		{Name: "rows", Age: time.Hour, Delete: tab.delete},
	}})
	for range 2 {
		if err := k.Pass(t.Context()); !errors.Is(err, broken) {
			t.Error(err)
		}
	}
	if got := k.Deleted(); got["rows"] != 1 || got["broken"] != 0 {
		t.Errorf("counted: %v", got)
	}
	if len(tab.rows) != 0 || len(limits) != 2 || limits[1] >= limits[0] {
		t.Errorf("%d rows are left; limits %v", len(tab.rows), limits)
	}
}

// TestRoom: when the disk is short of room, what matters least goes first, no more than needed, and
// protected entries stay; only then are other writers than alerts turned away.
func TestRoom(t *testing.T) {
	random := rand.New(rand.NewPCG(9, 7))
	for range 200 {
		m := newMachine()
		pictures, readings := &table{m: m}, &table{m: m}
		fill := func(tab *table) {
			for range random.IntN(400) {
				tab.rows = append(tab.rows, row{at: m.at.Add(-2*time.Hour - time.Duration(random.IntN(1000))*time.Minute), bytes: 10, protected: random.IntN(5) == 0})
			}
		}
		fill(pictures)
		fill(readings)
		disk, reserve := 1000+random.Int64N(8000), 500+random.Int64N(3000)
		free := func(ctx context.Context) (int64, error) {
			a, _ := pictures.size(ctx)
			b, _ := readings.size(ctx)
			return max(0, disk-a-b), nil
		}
		var log bytes.Buffer
		r := NewRoom(RoomOptions{
			Reserve: reserve, Free: free, Now: m.now, Sleep: m.sleep, Logger: slog.New(slog.NewTextHandler(&log, nil)),
			Sacrifice: []Kind{{Name: "pictures", Delete: pictures.delete}, {Name: "readings", Delete: readings.delete}},
		})
		hadReadings := len(readings.rows)
		if err := r.Pass(t.Context()); err != nil {
			t.Fatal(err)
		}
		unprotected := func(tab *table) bool {
			return slices.ContainsFunc(tab.rows, func(r row) bool { return !r.protected })
		}
		room, _ := free(t.Context())
		if room < reserve && (unprotected(pictures) || unprotected(readings)) {
			t.Fatalf("%d bytes of %d are free, and there is something left to delete", room, reserve)
		}
		if len(readings.rows) < hadReadings && unprotected(pictures) {
			t.Fatal("readings were deleted before pictures")
		}
		m.at = m.at.Add(checkEvery)
		if got := r.Full(t.Context()); got != (room < reserve/2) {
			t.Fatalf("%d bytes of %d are free, and full is %v", room, reserve, got)
		}
	}
}

func TestUnits(t *testing.T) {
	for text, want := range map[string]time.Duration{"30d": 720 * time.Hour, "12h": 12 * time.Hour, "2y": 730 * 24 * time.Hour, "keep": 0} {
		var a Age
		if err := a.UnmarshalText([]byte(text)); err != nil || time.Duration(a) != want {
			t.Errorf("%s: %s, %v", text, time.Duration(a), err)
		}
		again, err := a.MarshalText()
		var b Age
		if err != nil || b.UnmarshalText(again) != nil || a != b {
			t.Errorf("%s became %s", text, again)
		}
	}
	for text, want := range map[string]Size{"500MB": 500e6, "50GB": 50e9, "2TB": 2e12, "unlimited": 0} {
		var s Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s != want {
			t.Errorf("%s: %d, %v", text, s, err)
		}
	}
	for _, text := range []string{"", "30", "0d", "-1d", "1.5d", "101y", "99999999999d", "d", "30 d", "1m"} {
		if err := new(Age).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is an age", text)
		}
		if err := new(Size).UnmarshalText([]byte(text)); err == nil {
			t.Errorf("%q is a size", text)
		}
	}
}

// TestTotal: a total is measured now and then, and follows what is deleted in between.
func TestTotal(t *testing.T) {
	m, measured := newMachine(), 0
	total := NewTotal(func(context.Context) (int64, error) {
		measured++
		return int64(1000 * measured), nil
	}, m.now)
	for _, want := range []int64{1000, 900, 800} {
		if got, err := total.Size(t.Context()); err != nil || got != want {
			t.Errorf("%d instead of %d, %v", got, want, err)
		}
		total.Subtract(100)
	}
	m.at = m.at.Add(totalAge)
	if got, err := total.Size(t.Context()); err != nil || got != 2000 || measured != 2 {
		t.Errorf("%d, %v; measured %d times", got, err, measured)
	}
}

func TestConfig(t *testing.T) {
	if err := Defaults().Check(); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*Config){
		"a bound below 0":                   func(c *Config) { c.ReadingsMax = -1 },
		"pictures longer than incidents":    func(c *Config) { c.Incidents = Age(time.Hour) },
		"a bound of the stream that is < 0": func(c *Config) { c.ChangesMax = -5 },
	} {
		c := Defaults()
		change(&c)
		if c.Check() == nil {
			t.Error(name)
		}
	}
}
