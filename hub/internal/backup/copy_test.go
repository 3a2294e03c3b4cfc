package backup

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// open opens a new, empty database of a kind.
func open(t *testing.T, d database, e db.Engine) *db.DB {
	t.Helper()
	return dbtest.Open(t, e, d.options(db.Options{}))
}

// TestEveryTableIsKnown: a new table must be added to the catalogue, or it would be missing in backups, and a
// table must have the same columns on both engines.
func TestEveryTableIsKnown(t *testing.T) {
	for _, d := range databases() {
		lite, postgres := open(t, d, db.SQLite), open(t, d, db.Postgres)
		for _, to := range []*db.DB{lite, postgres} {
			r := to.Read(t.Context())
			unknown, err := d.unknown(r, to.Engine())
			if err != nil || len(unknown) > 0 {
				t.Errorf("%s on %s: the catalogue does not have the tables %v, %v", d.name, to.Engine(), unknown, err)
			}
			names, err := tableNames(r, to.Engine())
			if err != nil {
				t.Fatal(err)
			}
			for _, table := range d.tables {
				if !slices.Contains(names, table.name) {
					t.Errorf("%s on %s: there is no table %s", d.name, to.Engine(), table.name)
				}
			}
			if err := d.checkEmpty(r, to.Engine()); err != nil {
				t.Errorf("a new database on %s: %v", to.Engine(), err)
			}
		}
		for _, table := range d.tables {
			a, err1 := columns(lite.Read(t.Context()), db.SQLite, table.name)
			b, err2 := columns(postgres.Read(t.Context()), db.Postgres, table.name)
			if err := errors.Join(err1, err2); err != nil {
				t.Fatal(err)
			}
			if _, err := common(table.name, a, b); err != nil {
				t.Errorf("%s: %v", d.name, err)
			}
		}
	}
}

// TestANewTableStopsACopy: a table that the catalogue does not have is not left out in silence.
func TestANewTableStopsACopy(t *testing.T) {
	d := telemetryDatabase()
	from, to := open(t, d, db.SQLite), open(t, d, db.SQLite)
	err := from.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`CREATE TABLE surprise (id INTEGER PRIMARY KEY)`)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := copyDatabase(t.Context(), d, from, to, nil); err == nil || !strings.Contains(err.Error(), "surprise") {
		t.Error(err)
	}
}

// filler fills the tables of a SQLite database with random rows that keep its constraints.
type filler struct {
	t      *testing.T
	d      *db.DB
	random *rand.Rand
	serial int64
}

type fillColumn struct {
	name, kind string
	notNull    bool
	parent     string // table.column that it refers to
}

func (f *filler) columns(table string) []fillColumn {
	f.t.Helper()
	all, err := db.Collect(func(scan func(...any) error) (c fillColumn, err error) {
		err = scan(&c.name, &c.kind, &c.notNull, &c.parent)
		return c, err
	})(f.d.Read(f.t.Context()).Rows(`SELECT c.name, c.type, c."notnull" OR c.pk > 0, coalesce((SELECT k."table" || '.' || coalesce(k."to", c.name)
		FROM pragma_foreign_key_list(?1) k WHERE k."from" = c.name), '') FROM pragma_table_info(?1) c`, table))
	if err != nil {
		f.t.Fatal(err)
	}
	return all
}

// value makes a value of a column. Names of the schema's columns say what is JSON.
func (f *filler) value(c fillColumn) any {
	f.t.Helper()
	if c.parent != "" {
		table, column, _ := strings.Cut(c.parent, ".")
		var v any
		if err := f.d.Read(f.t.Context()).One(`SELECT ` + quoted(column) + ` FROM ` + quoted(table) + ` ORDER BY random() LIMIT 1`)(&v); err != nil {
			f.t.Fatalf("%s: %v", c.parent, err)
		}
		return v
	}
	if !c.notNull && f.random.IntN(3) == 0 {
		return nil
	}
	f.serial++
	switch c.kind {
	case "INTEGER":
		return f.serial*1000 + f.random.Int64N(1000) - f.random.Int64N(2)*1_000_000_000_000
	case "REAL":
		return []float64{0, -1.5, 1e-300, 3, f.random.NormFloat64() * 1e9, 1.0 / 3}[f.random.IntN(6)] + float64(f.serial)
	case "BLOB":
		if strings.HasSuffix(c.name, "_hash") && f.random.IntN(3) == 0 {
			return []byte{}
		}
		b := make([]byte, f.random.IntN(50)+8)
		for i := range b {
			b[i] = byte(f.random.Uint32())
		}
		return b
	}
	if c.name == "place" {
		return fmt.Sprintf(`{"lat":%d.5,"lon":%d}`, f.random.IntN(80), f.random.IntN(170))
	}
	return fmt.Sprintf(`{"%s":"雨量 '%d' \\u0041 \"x\""}`, string(rune('a'+f.random.IntN(26))), f.serial)
}

// row inserts a random row. A table of one row gets that one.
func (f *filler) row(table string, all []fillColumn) {
	f.t.Helper()
	insert := func(id any) error {
		var names, marks []string
		var args []any
		for _, c := range all {
			names, marks = append(names, quoted(c.name)), append(marks, "?")
			v := f.value(c)
			if c.name == "id" && id != nil {
				v = id
			}
			args = append(args, v)
		}
		return f.d.Update(f.t.Context(), "test", func(tx *db.Tx) error {
			_, err := tx.Exec(`INSERT OR REPLACE INTO `+quoted(table)+`(`+strings.Join(names, ", ")+`) VALUES (`+strings.Join(marks, ", ")+`)`, args...)
			return err
		})
	}
	err := insert(nil)
	if err != nil && strings.Contains(err.Error(), "CHECK") {
		err = insert(int64(1))
	}
	if err != nil {
		f.t.Fatalf("filling %s: %v", table, err)
	}
}

func (f *filler) fill(d database) {
	f.t.Helper()
	for _, table := range d.tables {
		all := f.columns(table.name)
		for range f.random.IntN(30) + 2 {
			f.row(table.name, all)
		}
	}
}

// dump returns all rows of all tables of the catalogue, sorted.
func dump(ctx context.Context, t *testing.T, d database, from *db.DB) map[string][]string {
	t.Helper()
	out := map[string][]string{}
	for _, table := range d.tables {
		c := &copier{table: table}
		var err error
		if c.columns, err = columns(from.Read(ctx), from.Engine(), table.name); err != nil {
			t.Fatal(err)
		}
		err = c.read(from.Read(ctx), func(row []any) error {
			out[table.name] = append(out[table.name], fmt.Sprintf("%#v", row))
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		slices.Sort(out[table.name])
	}
	return out
}

// TestRoundTrip: random content of every table is the same after SQLite, PostgreSQL and SQLite again.
func TestRoundTrip(t *testing.T) {
	for _, d := range databases() {
		t.Run(d.name, func(t *testing.T) {
			from, between, to := open(t, d, db.SQLite), open(t, d, db.Postgres), open(t, d, db.SQLite)
			f := &filler{t: t, d: from, random: rand.New(rand.NewPCG(9, 9))}
			f.fill(d)
			for _, step := range [][2]*db.DB{{from, between}, {between, to}} {
				copied, err := copyDatabase(t.Context(), d, step[0], step[1], nil)
				if err != nil {
					t.Fatal(err)
				}
				if err := verify(t.Context(), d, step[1], copied, nil); err != nil {
					t.Fatal(err)
				}
			}
			want, got := dump(t.Context(), t, d, from), dump(t.Context(), t, d, to)
			for _, table := range d.tables {
				if len(want[table.name]) == 0 || !slices.Equal(want[table.name], got[table.name]) {
					t.Errorf("%s: %d rows became %d, or others", table.name, len(want[table.name]), len(got[table.name]))
				}
			}
			checkSequences(t, d, between)
			if err := d.checkEmpty(to.Read(t.Context()), db.SQLite); !errors.Is(err, ErrNotEmpty) {
				t.Errorf("a full database counts as empty: %v", err)
			}
		})
	}
}

// checkSequences makes sure that the next number of each sequence is not taken.
func checkSequences(t *testing.T, d database, on *db.DB) {
	t.Helper()
	for _, table := range d.tables {
		all, err := columns(on.Read(t.Context()), db.Postgres, table.name)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range all {
			if !c.identity {
				continue
			}
			var next, last int64
			err := on.Update(t.Context(), "test", func(tx *db.Tx) error {
				if err := tx.One(`SELECT coalesce(max(` + quoted(c.name) + `), 0) FROM ` + quoted(table.name))(&last); err != nil {
					return err
				}
				return tx.One(`SELECT nextval(pg_get_serial_sequence(current_schema() || '.' || ?, ?))`, table.name, c.name)(&next)
			})
			if err != nil || next != last+1 {
				t.Errorf("%s.%s: the next number is %d after %d, %v", table.name, c.name, next, last, err)
			}
		}
	}
}

// TestVerifyNoticesADifference: a row that is missing, or other, in a copy is noticed.
func TestVerifyNoticesADifference(t *testing.T) {
	d := telemetryDatabase()
	from, to := open(t, d, db.SQLite), open(t, d, db.SQLite)
	f := &filler{t: t, d: from, random: rand.New(rand.NewPCG(9, 10))}
	f.fill(d)
	copied, err := copyDatabase(t.Context(), d, from, to, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{`UPDATE gaps SET lost = lost + 1 WHERE id = (SELECT min(id) FROM gaps)`, `DELETE FROM gaps WHERE id = (SELECT min(id) FROM gaps)`} {
		if err := to.Update(t.Context(), "test", func(tx *db.Tx) error { return tx.Affected(text) }); err != nil {
			t.Fatal(err)
		}
		if err := verify(t.Context(), d, to, copied, nil); err == nil || !strings.Contains(err.Error(), "gaps") {
			t.Errorf("%s: %v", text, err)
		}
	}
}
