package db_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
)

func TestInspect(t *testing.T) {
	for _, o := range []db.Options{{Dir: t.TempDir()}, {URL: dbtest.URL(t)}} {
		o.Name, o.Schema = "hub", schema.Hub()
		before, err := db.Inspect(t.Context(), o)
		if err != nil || before.Schema != 0 || before.Newest == 0 {
			t.Errorf("before the first start: %+v, %v", before, err)
		}
		if o.URL == "" {
			if _, err := os.Stat(filepath.Join(o.Dir, "hub.db")); !os.IsNotExist(err) {
				t.Errorf("it made a file: %v", err)
			}
		} else if off := time.Since(before.Clock).Abs(); off > time.Minute {
			t.Errorf("the clock of the server of this machine is off by %s", off)
		}
		d, err := db.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		after, err := db.Inspect(t.Context(), o) // while it is open
		if err != nil || after.Schema != before.Newest {
			t.Errorf("while a hub runs: %+v, %v", after, err)
		}
		if err := d.Close(); err != nil {
			t.Error(err)
		}
		older := o
		older.Schema = fstest.MapFS{"sqlite/0001_x.sql": {Data: []byte("")}, "postgres/0001_x.sql": {Data: []byte("")}}
		if _, err := db.Inspect(t.Context(), older); err == nil || !strings.Contains(err.Error(), "of a later version of this program") {
			t.Errorf("by an older program: %v", err)
		}
	}
	for url, want := range map[string]string{
		"postgres://127.0.0.1:1/town": "using the database town on 127.0.0.1:1", "postgres://[": "reading the URL of the database",
	} {
		if _, err := db.Inspect(t.Context(), db.Options{URL: url, Name: "hub", Schema: schema.Hub()}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", url, err)
		}
	}
}
