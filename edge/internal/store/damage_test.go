package store

import (
	"bytes"
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
)

// fill saves n incidents and n readings of which the hub has none.
func fill(t *testing.T, s *Store, n int) []string {
	t.Helper()
	var ids []string
	var all []detection.Incident
	var readings []devices.Reading
	for i := range n {
		inc := incident(i)
		inc.Opened, inc.Updated = s.o.Now().UTC(), s.o.Now().UTC()
		ids, all, readings = append(ids, inc.ID), append(all, inc), append(readings, reading(i))
	}
	must(t, s.SaveIncidents(context.Background(), all))
	must(t, s.SaveReadings(context.Background(), readings))
	return ids
}

// copyStore copies the files of a store that may be open: what a process leaves that is killed.
// It reads through a second name of the files' content in another process's manner: closing a
// file in this process would drop SQLite's locks on it, so the originals are not used afterwards.
func copyStore(t *testing.T, from string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(from)))
	return to
}

func waitingIDs(t *testing.T, s *Store) map[string]bool {
	t.Helper()
	got := map[string]bool{}
	events, err := s.Alerts(context.Background(), 100_000, 1<<30)
	must(t, err)
	for _, e := range events {
		if e.Kind == api.KindIncident {
			id, _, _ := strings.Cut(strings.TrimPrefix(string(e.Data), `{"id":"`), `"`)
			got[id] = true
		}
	}
	return got
}

func size(t *testing.T, path string) int64 {
	t.Helper()
	fi, err := os.Stat(path)
	must(t, err)
	return fi.Size()
}

func overwrite(t *testing.T, path string, at int64, with []byte) {
	t.Helper()
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	must(t, err)
	_, err = f.WriteAt(with, at)
	must(t, errors.Join(err, f.Close()))
}

// damages are what may happen to a database file that was closed cleanly.
func damages() map[string]func(t *testing.T, path string) {
	garbage := bytes.Repeat([]byte("garbage "), pageSize/8)
	return map[string]func(t *testing.T, path string){
		"empty":      func(t *testing.T, path string) { must(t, os.Truncate(path, 0)) },
		"half":       func(t *testing.T, path string) { must(t, os.Truncate(path, size(t, path)/2/pageSize*pageSize)) },
		"odd length": func(t *testing.T, path string) { must(t, os.Truncate(path, size(t, path)/2+77)) },
		"odd page": func(t *testing.T, path string) {
			must(t, os.Truncate(path, size(t, path)/2/pageSize*pageSize+pageSize/2+77))
		},
		"gone": func(t *testing.T, path string) { must(t, os.Remove(path)) },
		"no database": func(t *testing.T, path string) {
			must(t, os.WriteFile(path, []byte(strings.Repeat("no", 9999)), 0o600))
		},
		"page 1": func(t *testing.T, path string) { overwrite(t, path, 0, garbage) },
		"middle pages": func(t *testing.T, path string) {
			overwrite(t, path, size(t, path)/2/pageSize*pageSize, append(garbage, garbage...))
		},
		"last page": func(t *testing.T, path string) { overwrite(t, path, size(t, path)-pageSize, garbage) },
	}
}

func TestDamageIsRepairedAndNamed(t *testing.T) {
	base := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: base})
	must(t, err)
	ids := fill(t, s, 500)
	snapshot(t, s, detection.Incident{ID: ids[499], Opened: s.o.Now()}, 100)
	must(t, s.Close())

	for name, damage := range damages() {
		for _, file := range []string{"incidents.db", "telemetry.db"} {
			t.Run(file+" "+name, func(t *testing.T) {
				dir := copyStore(t, base)
				damage(t, filepath.Join(dir, file))
				s := open(t, Options{Dir: dir})
				if p := s.Problems(); len(p) != 1 || p[0].Code != reasonDamaged || p[0].Params["file"] != file {
					t.Errorf("problems: %v", p)
				}
				if _, err := os.Stat(filepath.Join(dir, s.Problems()[0].Params["copy"])); err != nil {
					t.Errorf("the original: %v", err)
				}
				lost := len(ids) - len(waitingIDs(t, s))
				if file == "telemetry.db" {
					gaps := gapsOf(t, s, api.LaneTelemetry)
					got, _ := drain(t, s)
					if lost = 500 - len(got); len(gaps) != 1 || gaps[0].Reason != reasonDamaged {
						t.Errorf("gaps: %+v", gaps)
					}
				} else if gaps := allGaps(t, s); len(gaps) != 1 || gaps[0].Reason != reasonDamaged {
					t.Errorf("gaps: %+v", gaps)
				}
				t.Logf("%d of 500 are lost", lost)
				if (name == "middle pages" || name == "last page") && lost > 400 {
					t.Errorf("%d of 500 are lost, although most pages are whole", lost)
				}
				// The store works, and opens again without a problem.
				more := fill(t, s, 3)
				must(t, s.Close())
				s, err := Open(t.Context(), Options{Dir: dir})
				must(t, err)
				if p := s.Problems(); len(p) != 0 {
					t.Errorf("problems after the next start: %v", p)
				}
				got := waitingIDs(t, s)
				for _, id := range more {
					if !got[id] {
						t.Errorf("incident %s was saved after the repair and is lost", id)
					}
				}
				must(t, s.Maintain(t.Context()))
				if _, err := s.OpenEvidence(api.Evidence{Incident: ids[499], Name: "snapshot.jpg"}); err != nil {
					t.Errorf("the snapshot's file: %v", err)
				}
				must(t, s.Close())
			})
		}
	}
}

func allGaps(t *testing.T, s *Store) (out []api.Gap) {
	t.Helper()
	events, err := s.Alerts(context.Background(), 100_000, 1<<30)
	must(t, err)
	for _, e := range events {
		var g api.Gap
		if e.Kind == api.KindGap && unmarshalGap(e.Data, &g) {
			out = append(out, g)
		}
	}
	return out
}

// TestDamageInTheMiddleOfARun damages a file whose pages are in use: what is on the disk and in
// the log is what counts, and no call fails because of it.
func TestDamageInTheMiddleOfARun(t *testing.T) {
	for _, file := range []string{"incidents.db", "telemetry.db"} {
		for name, damage := range map[string]func(t *testing.T, path string){
			"overwritten": func(t *testing.T, path string) { overwriteInUse(t, path) },
			"truncated":   func(t *testing.T, path string) { must(t, os.Truncate(path, 3*pageSize)) },
			"deleted":     func(t *testing.T, path string) { must(t, os.Remove(path)) },
			"replaced": func(t *testing.T, path string) {
				must(t, os.WriteFile(path+".other", []byte("something else"), 0o600))
				must(t, os.Rename(path+".other", path))
			},
		} {
			t.Run(file+" "+name, func(t *testing.T) {
				dir := t.TempDir()
				s := open(t, Options{Dir: dir})
				ctx := t.Context()
				before := fill(t, s, 2000)
				// Everything is in the database, and nothing in the writer's memory.
				f := s.incidents
				if file == "telemetry.db" {
					f = s.telemetry
				}
				_, err := f.h.write.ExecContext(ctx, "PRAGMA wal_checkpoint(TRUNCATE)")
				must(t, err)
				_, err = f.h.write.ExecContext(ctx, "PRAGMA shrink_memory")
				must(t, err)
				given := s.incidents.known().next + s.telemetry.known().next
				damage(t, filepath.Join(dir, file))

				after := fill2(t, s, 2000, 10)
				must(t, s.Maintain(ctx)) // finds what no statement has met
				after = append(after, fill2(t, s, 3000, 10)...)
				if n := s.incidents.known().next + s.telemetry.known().next; n < given+40 {
					t.Errorf("numbers are given again: %d before the damage, %d after 40 events", given, n)
				}
				got := waitingIDs(t, s)
				for _, id := range after {
					if !got[id] {
						t.Errorf("incident %s was saved in the damaged file and is lost", id)
					}
				}
				lost := 0
				for _, id := range before {
					if !got[id] {
						lost++
					}
				}
				named := append(allGaps(t, s), gapsOf(t, s, api.LaneTelemetry)...)
				if (name == "overwritten" || name == "truncated") && (len(named) != 1 || named[0].Reason != reasonDamaged || len(s.Problems()) != 1) {
					t.Errorf("gaps %+v, problems %v", named, s.Problems())
				}
				if (name == "deleted" || name == "replaced") && (lost != 0 || len(named) != 0) {
					t.Errorf("%d incidents are lost, gaps %+v; a file that lost its name is still whole", lost, named)
				}
				// What was saved is in the file that the next run opens.
				must(t, s.Close())
				s = open(t, Options{Dir: dir})
				if again := waitingIDs(t, s); len(again) != len(got) {
					t.Errorf("%d alerts wait after a restart, %d before", len(again), len(got))
				}
				if name == "deleted" || name == "replaced" {
					if readings, _ := drain(t, s); len(readings) != 2020 {
						t.Errorf("%d readings are left of 2020", len(readings))
					}
				}
			})
		}
	}
}

// overwriteInUse destroys three pages of four, without the first.
func overwriteInUse(t *testing.T, path string) {
	for at := int64(pageSize); at < size(t, path); at += pageSize {
		if at/pageSize%4 != 0 {
			overwrite(t, path, at, bytes.Repeat([]byte{0xa5}, pageSize))
		}
	}
}

// fill2 saves n incidents and readings, one by one, whose numbers start at from.
func fill2(t *testing.T, s *Store, from, n int) (ids []string) {
	t.Helper()
	for i := range n {
		inc := incident(from + i)
		ids = append(ids, inc.ID)
		must(t, save(context.Background(), s, inc))
		must(t, s.SaveReadings(context.Background(), []devices.Reading{reading(from + i)}))
	}
	return ids
}
