package backup

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gridpost/hub/internal/db"
)

// copyRows is how many rows one transaction of a copy writes.
const copyRows = 512

// progressEvery is how often the progress within one table is reported.
const progressEvery = 2 * time.Second

// Progress is told how far a copy is. text is one line.
type Progress func(text string)

// ErrNotEmpty says that a target has something in it already.
var ErrNotEmpty = errors.New("the target is not empty")

// Sums are the contents of a database, by table.
type Sums map[string]Sum

// copyDatabase copies all tables of a database from one consistent state of a source into an empty target,
// and returns what it has copied.
func copyDatabase(ctx context.Context, d database, from, to *db.DB, progress Progress) (Sums, error) {
	sums := Sums{}
	err := from.Snapshot(ctx, func(r db.Reader) error {
		for side, err := range map[string]error{"source": d.checkKnown(r, from.Engine()), "target": d.checkKnown(to.Read(ctx), to.Engine())} {
			if err != nil {
				return fmt.Errorf("the %s: %w", side, err)
			}
		}
		if err := d.checkLegacy(r, from.Engine()); err != nil {
			return err
		}
		if err := d.clear(ctx, to); err != nil {
			return err
		}
		for _, t := range d.tables {
			c := &copier{table: t, from: r, fromEngine: from.Engine(), to: to, report: reporter(progress, d.name+"."+t.name)}
			if err := c.run(ctx); err != nil {
				return fmt.Errorf("copying the table %s: %w", t.name, err)
			}
			sums[t.name] = c.sum
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sums, d.finish(ctx, to)
}

func (d database) checkKnown(r db.Reader, e db.Engine) error {
	unknown, err := d.unknown(r, e)
	if err == nil && len(unknown) > 0 {
		err = fmt.Errorf("the database %s has tables that this program does not know how to copy: %s", d.name, strings.Join(unknown, ", "))
	}
	return err
}

// checkEmpty returns ErrNotEmpty when a table has rows that a new database does not have.
func (d database) checkEmpty(r db.Reader, e db.Engine) error {
	names, err := tableNames(r, e)
	if err != nil {
		return err
	}
	for _, name := range names {
		if slices.ContainsFunc(d.tables, func(t table) bool { return t.name == name && t.seeded }) {
			continue
		}
		var one int
		switch err := r.One(`SELECT 1 FROM ` + quoted(name) + ` LIMIT 1`)(&one); {
		case errors.Is(err, db.ErrNotFound):
		case err != nil:
			return fmt.Errorf("looking into the table %s: %w", name, err)
		default:
			return fmt.Errorf("%w: the table %s of the database %s has rows", ErrNotEmpty, name, d.name)
		}
	}
	return nil
}

// checkLegacy makes sure that nothing is left in tables that are not copied.
func (d database) checkLegacy(r db.Reader, e db.Engine) error {
	names, err := tableNames(r, e)
	if err != nil {
		return err
	}
	for _, name := range d.legacy {
		var one int
		if !slices.Contains(names, name) || errors.Is(r.One(`SELECT 1 FROM `+quoted(name)+` LIMIT 1`)(&one), db.ErrNotFound) {
			continue
		}
		return fmt.Errorf("the table %s of the database %s still has rows of an older version: start the hub once and wait until it logs that they have been moved", name, d.name)
	}
	return nil
}

// clear empties the tables that a new database has rows in.
func (d database) clear(ctx context.Context, to *db.DB) error {
	return to.Update(ctx, "copy", func(t *db.Tx) error {
		for _, table := range d.tables {
			if !table.seeded {
				continue
			}
			if _, err := t.Exec(`DELETE FROM ` + quoted(table.name)); err != nil {
				return fmt.Errorf("clearing the table %s: %w", table.name, err)
			}
		}
		return nil
	})
}

// copier copies one table.
type copier struct {
	table      table
	from       db.Reader
	fromEngine db.Engine
	to         *db.DB
	report     func(rows int64, done bool)

	columns []column
	sum     Sum
	buf     bytes.Buffer
}

func (c *copier) run(ctx context.Context) error {
	source, err := columns(c.from, c.fromEngine, c.table.name)
	if err != nil {
		return err
	}
	target, err := columns(c.to.Read(ctx), c.to.Engine(), c.table.name)
	if err != nil {
		return err
	}
	if c.columns, err = common(c.table.name, source, target); err != nil {
		return err
	}
	var batch [][]any
	write := func() error {
		err := c.to.Update(ctx, "copy", func(t *db.Tx) error { return c.insert(t, batch) })
		batch = batch[:0]
		c.report(c.sum.Rows, false)
		return err
	}
	err = c.read(c.from, func(row []any) error {
		c.sum.add(&c.buf, row)
		if batch = append(batch, row); len(batch) < copyRows {
			return nil
		}
		return write()
	})
	if err == nil && len(batch) > 0 {
		err = write()
	}
	if err != nil {
		return err
	}
	c.report(c.sum.Rows, true)
	return c.setSequences(ctx, target)
}

// read reads the rows of the table, with canonical values.
func (c *copier) read(r db.Reader, row func([]any) error) (err error) {
	text := `SELECT ` + quotedList(c.columns) + ` FROM ` + quoted(c.table.name)
	if c.table.order != "" {
		text += ` ORDER BY ` + c.table.order
	}
	rows, err := r.Rows(text)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, rows.Close()) }()
	values := make([]any, len(c.columns))
	into := make([]any, len(c.columns))
	for i := range values {
		into[i] = &values[i]
	}
	for rows.Next() {
		if err := rows.Scan(into...); err != nil {
			return err
		}
		out := make([]any, len(values))
		for i, v := range values {
			if slices.Contains(c.table.zero, c.columns[i].name) {
				out[i] = int64(0)
				continue
			}
			if out[i], err = canonical(c.columns[i], v); err != nil {
				return err
			}
		}
		if err := row(out); err != nil {
			return err
		}
	}
	return rows.Err()
}

// insert writes rows with few statements.
func (c *copier) insert(t *db.Tx, rows [][]any) error {
	tuple := `(?` + strings.Repeat(`, ?`, len(c.columns)-1) + `)`
	for _, step := range []int{64, 8, 1} {
		text := `INSERT INTO ` + quoted(c.table.name) + ` (` + quotedList(c.columns) + `) VALUES ` + tuple + strings.Repeat(`, `+tuple, step-1)
		for len(rows) >= step {
			var args []any
			for _, row := range rows[:step] {
				args = append(args, row...)
			}
			if _, err := t.Exec(text, args...); err != nil {
				return err
			}
			rows = rows[step:]
		}
	}
	return nil
}

// setSequences makes the sequences of PostgreSQL go on behind the numbers that were copied. SQLite does
// that by itself.
func (c *copier) setSequences(ctx context.Context, target []column) error {
	for _, col := range target {
		if !col.identity {
			continue
		}
		err := c.to.Update(ctx, "copy", func(t *db.Tx) error {
			var next int64
			return t.One(`SELECT setval(pg_get_serial_sequence(current_schema() || '.' || ?, ?), coalesce((SELECT max(`+quoted(col.name)+`) FROM `+quoted(c.table.name)+`), 0) + 1, false)`,
				c.table.name, col.name)(&next)
		})
		if err != nil {
			return fmt.Errorf("setting the sequence of %s: %w", col.name, err)
		}
	}
	return nil
}

// verify reads a target and compares it with what was copied.
func verify(ctx context.Context, d database, to *db.DB, want Sums, progress Progress) error {
	for _, t := range d.tables {
		c := &copier{table: t, report: reporter(progress, "checking "+d.name+"."+t.name)}
		var err error
		r := to.Read(ctx)
		if c.columns, err = columns(r, to.Engine(), t.name); err != nil {
			return err
		}
		err = c.read(r, func(row []any) error {
			c.sum.add(&c.buf, row)
			c.report(c.sum.Rows, false)
			return nil
		})
		if err != nil {
			return fmt.Errorf("checking the table %s: %w", t.name, err)
		}
		if c.sum != want[t.name] {
			return fmt.Errorf("the copy of the table %s of the database %s is not right: %d rows with checksum %x instead of %d with %x",
				t.name, d.name, c.sum.Rows, c.sum.Checksum, want[t.name].Rows, want[t.name].Checksum)
		}
		c.report(c.sum.Rows, true)
	}
	return nil
}

// reporter reports the progress of one table, now and then and at its end.
func reporter(progress Progress, name string) func(rows int64, done bool) {
	last := time.Now()
	return func(rows int64, done bool) {
		if progress == nil || !done && time.Since(last) < progressEvery {
			return
		}
		last = time.Now()
		if done {
			progress(fmt.Sprintf("%s: %d rows", name, rows))
			return
		}
		progress(fmt.Sprintf("%s: %d rows so far", name, rows))
	}
}
