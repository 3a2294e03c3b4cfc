package store

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// fill makes the disk full, as far as new pages of the databases are concerned, or gives it room.
func (m *model) fill() {
	m.full = !m.full
	for _, f := range []*file{m.s.incidents, m.s.telemetry} {
		f.access.RLock()
		pages := 1 << 30
		if m.full {
			pages = 1 // SQLite takes the present number
		}
		_, err := f.h.write.ExecContext(context.Background(), fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		f.access.RUnlock()
		must(m.t, err)
	}
}

// kill ends the process without closing anything.
func (m *model) kill() {
	dir := m.t.TempDir()
	must(m.t, os.CopyFS(dir, os.DirFS(m.dir)))
	must(m.t, m.s.Close())
	m.dir = dir
	m.start()
}

func (m *model) restart() {
	must(m.t, m.s.Close())
	m.start()
}

func (m *model) copy() {
	dir := m.t.TempDir()
	must(m.t, m.s.Close())
	must(m.t, os.CopyFS(dir, os.DirFS(m.dir)))
	m.copies = append(m.copies, copied{dir, maps.Clone(m.saved), maps.Clone(m.readings), maps.Clone(m.files)})
	m.start()
}

// restore replaces the store by an older copy. What was saved since and not delivered is lost:
// nobody can know of it.
func (m *model) restore() {
	if len(m.copies) == 0 {
		return
	}
	c := m.copies[m.rnd.IntN(len(m.copies))]
	must(m.t, m.s.Close())
	m.dir = m.t.TempDir()
	must(m.t, os.CopyFS(m.dir, os.DirFS(c.dir)))
	m.saved, m.readings, m.files = maps.Clone(c.saved), maps.Clone(c.readings), maps.Clone(c.files)
	m.start()
}

func (m *model) damage() {
	kinds := damages()
	names := slices.Sorted(maps.Keys(kinds))
	name := names[m.rnd.IntN(len(names))]
	path := filepath.Join(m.dir, []string{"incidents.db", "telemetry.db"}[m.rnd.IntN(2)])
	m.log = append(m.log, filepath.Base(path)+": "+name)
	must(m.t, m.s.Close())
	kinds[name](m.t, path)
	m.start()
}

func (m *model) damageInUse() {
	path := filepath.Join(m.dir, []string{"incidents.db", "telemetry.db"}[m.rnd.IntN(2)])
	overwriteInUse(m.t, path)
	m.s.checked = time.Time{}
	m.maintain()
}
