package backup

import (
	"fmt"
	"slices"
	"strings"

	"gridpost/hub/internal/db"
)

// column is a column of a table, as an engine has it.
type column struct {
	name     string
	json     bool // JSON that the engine does not keep byte by byte (jsonb)
	identity bool // has a sequence (PostgreSQL)
}

// tableNames returns the tables of a database, without those that belong to an index.
func tableNames(r db.Reader, e db.Engine) ([]string, error) {
	text := `SELECT name FROM pragma_table_list WHERE schema = 'main' AND type = 'table' AND name NOT LIKE 'sqlite\_%' ESCAPE '\' ORDER BY name`
	if e == db.Postgres {
		text = `SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema() AND table_type = 'BASE TABLE'
			AND table_name != 'schema_version' ORDER BY table_name`
	}
	names, err := db.Collect(db.ScanText)(r.Rows(text))
	if err != nil {
		return nil, fmt.Errorf("listing tables: %w", err)
	}
	return names, nil
}

// columns returns the columns of a table by name, without those that the engine computes.
func columns(r db.Reader, e db.Engine, table string) ([]column, error) {
	text := `SELECT name, 0, 0 FROM pragma_table_info(?) ORDER BY name`
	if e == db.Postgres {
		text = `SELECT column_name::text, CASE WHEN data_type = 'jsonb' THEN 1 ELSE 0 END, CASE WHEN is_identity = 'YES' THEN 1 ELSE 0 END
			FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = ? AND is_generated = 'NEVER' ORDER BY column_name`
	}
	all, err := db.Collect(func(scan func(...any) error) (c column, err error) {
		err = scan(&c.name, &c.json, &c.identity)
		return c, err
	})(r.Rows(text, table))
	if err != nil {
		return nil, fmt.Errorf("listing the columns of %s: %w", table, err)
	}
	slices.SortFunc(all, func(a, b column) int { return strings.Compare(a.name, b.name) })
	return all, nil
}

// unknown returns the tables of a database that the catalogue does not have: they must not be left out of
// a copy in silence.
func (d database) unknown(r db.Reader, e db.Engine) ([]string, error) {
	names, err := tableNames(r, e)
	if err != nil {
		return nil, err
	}
	known := slices.Concat(d.derived, d.legacy)
	for _, t := range d.tables {
		known = append(known, t.name)
	}
	return slices.DeleteFunc(names, func(name string) bool { return slices.Contains(known, name) }), nil
}

// common returns the columns of a table for a copy; both engines must have the same.
func common(table string, from, to []column) ([]column, error) {
	names := func(all []column) []string {
		var out []string
		for _, c := range all {
			out = append(out, c.name)
		}
		return out
	}
	if a, b := names(from), names(to); !slices.Equal(a, b) {
		return nil, fmt.Errorf("the table %s has the columns %v here and %v there", table, a, b)
	}
	out := slices.Clone(from)
	for i := range out {
		out[i].json = out[i].json || to[i].json
	}
	return out, nil
}

// quoted returns a name for an SQL text. Names are those of the schema.
func quoted(name string) string { return `"` + name + `"` }

func quotedList(all []column) string {
	var out []string
	for _, c := range all {
		out = append(out, quoted(c.name))
	}
	return strings.Join(out, ", ")
}
