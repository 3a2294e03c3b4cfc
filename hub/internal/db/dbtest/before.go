package dbtest

import (
	"fmt"
	"io/fs"
	"path"
	"testing"
	"testing/fstest"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
)

// Before returns the migrations of the hub's schema below a number: the schema of an earlier version.
func Before(t testing.TB, number int) fs.FS {
	t.Helper()
	old := fstest.MapFS{}
	for _, e := range []db.Engine{db.SQLite, db.Postgres} {
		names, err := fs.Glob(schema.Hub(), e.String()+"/*.sql")
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range names {
			if path.Base(name) >= fmt.Sprintf("%04d", number) {
				continue
			}
			text, err := fs.ReadFile(schema.Hub(), name)
			if err != nil {
				t.Fatal(err)
			}
			old[name] = &fstest.MapFile{Data: text}
		}
	}
	return old
}
