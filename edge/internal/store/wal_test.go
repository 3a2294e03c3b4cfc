package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"gridpost/hub/api"
)

// killed returns the directory of a store whose process was killed after n rounds of saving: the
// logs hold frames. used says that the logs have been used before, so that older frames follow.
func killed(t testing.TB, n int, used bool) (dir string, ids []string) {
	t.Helper()
	from := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: from})
	if err != nil {
		t.Fatal(err)
	}
	save := func(n int) {
		for i := range n {
			inc := incident(i)
			ids = append(ids, inc.ID)
			if err := save(t.Context(), s, inc); err != nil {
				t.Fatal(err)
			}
		}
	}
	if used {
		save(40)
		// All frames go into the database; the next commit starts the log again from its beginning.
		if _, err := s.incidents.h.write.ExecContext(t.Context(), "PRAGMA wal_checkpoint(RESTART)"); err != nil {
			t.Fatal(err)
		}
	}
	save(n)
	dir = t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return dir, ids
}

func TestNormalLogsAreNoDamage(t *testing.T) {
	for name, used := range map[string]bool{"first use": false, "used again": true} {
		t.Run(name, func(t *testing.T) {
			dir, ids := killed(t, 10, used)
			wal := filepath.Join(dir, "incidents.db-wal")
			whole, err := os.ReadFile(wal)
			must(t, err)
			frames, err := checkWAL(wal, filepath.Join(dir, "incidents.db-shm"))
			if err != nil || frames == 0 {
				t.Fatalf("%d frames, %v", frames, err)
			}
			s := open(t, Options{Dir: dir})
			if p := s.Problems(); len(p) != 0 || len(waitingIDs(t, s)) != len(ids) {
				t.Errorf("problems %v, %d of %d alerts", p, len(waitingIDs(t, s)), len(ids))
			}
			const frame = walFrameSize + pageSize
			end := walHeaderSize + int(frames)*frame
			torn := bytes.Clone(whole[walHeaderSize : walHeaderSize+frame]) // current salts, another checksum
			binary.BigEndian.PutUint32(torn[4:], 0)                         // not a commit
			for name, log := range map[string][]byte{
				"none":                    nil,
				"shorter than its header": whole[:20],
				"header only":             whole[:walHeaderSize],
				"torn frame":              append(bytes.Clone(whole[:end]), torn[:frame/2]...),
				"torn transaction":        append(append(bytes.Clone(whole[:end]), torn...), torn...),
				"zeros behind":            append(bytes.Clone(whole[:end]), make([]byte, 3*frame+7)...),
			} {
				if _, err := readWAL(bytes.NewReader(log), nil); err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
		})
	}
}

func TestDamagedLogsAreNoticed(t *testing.T) {
	base, ids := killed(t, 20, true)
	const frame = walFrameSize + pageSize
	for name, damage := range map[string]func(t *testing.T, wal string, frames int64){
		"garbage": func(t *testing.T, wal string, _ int64) {
			overwrite(t, wal, 0, bytes.Repeat([]byte("x"), int(size(t, wal))))
		},
		"zeros":  func(t *testing.T, wal string, _ int64) { overwrite(t, wal, 0, make([]byte, size(t, wal))) },
		"header": func(t *testing.T, wal string, _ int64) { overwrite(t, wal, 16, []byte{1, 2, 3, 4}) },
		"one bit": func(t *testing.T, wal string, frames int64) {
			overwrite(t, wal, walHeaderSize+frames/2*frame+100, []byte{0x5a})
		},
		"the last frame": func(t *testing.T, wal string, frames int64) {
			overwrite(t, wal, walHeaderSize+(frames-1)*frame+100, []byte{0x5a})
		},
		"cut":   func(t *testing.T, wal string, frames int64) { must(t, os.Truncate(wal, walHeaderSize+frames/2*frame)) },
		"gone":  func(t *testing.T, wal string, _ int64) { must(t, os.Remove(wal)) },
		"empty": func(t *testing.T, wal string, _ int64) { must(t, os.Truncate(wal, 0)) },
		"garbage behind": func(t *testing.T, wal string, frames int64) {
			overwrite(t, wal, walHeaderSize+frames*frame, bytes.Repeat([]byte("x"), 2*frame))
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyStore(t, base)
			wal := filepath.Join(dir, "incidents.db-wal")
			frames, err := checkWAL(wal, filepath.Join(dir, "incidents.db-shm"))
			must(t, err)
			damage(t, wal, int64(frames))
			s := open(t, Options{Dir: dir})
			if p := s.Problems(); len(p) != 1 || p[0].Code != reasonWALDamaged {
				t.Fatalf("problems: %v", p)
			}
			if size(t, filepath.Join(dir, s.Problems()[0].Params["copy"])) == 0 && name != "gone" && name != "empty" {
				t.Error("no copy of the damaged log was kept")
			}
			gaps := allGaps(t, s)
			if len(gaps) != 1 || gaps[0].Reason != reasonWALDamaged || gaps[0].Count != 0 || gaps[0].Kind != api.GapAlerts {
				t.Errorf("gaps: %+v", gaps)
			}
			got := waitingIDs(t, s)
			for _, id := range ids[:40] {
				if !got[id] {
					t.Fatalf("incident %s, which was in the database, is lost", id)
				}
			}
			must(t, s.Close())
			if s = open(t, Options{Dir: dir}); len(s.Problems()) != 0 || len(allGaps(t, s)) != 1 {
				t.Errorf("after the next start: problems %v, gaps %+v", s.Problems(), allGaps(t, s))
			}
		})
	}
}

// A database that is gone leaves a log that SQLite would delete. What it holds is saved.
func TestALogWithoutItsDatabaseIsSalvaged(t *testing.T) {
	dir, ids := killed(t, 20, false)
	must(t, os.Remove(filepath.Join(dir, "incidents.db")))
	s := open(t, Options{Dir: dir})
	if p := s.Problems(); len(p) != 1 || p[0].Code != reasonDamaged {
		t.Errorf("problems: %v", p)
	}
	t.Logf("%d of %d alerts are in the log", len(waitingIDs(t, s)), len(ids))
	if g := allGaps(t, s); len(g) != 1 {
		t.Errorf("gaps: %+v", g)
	}
}

// TestDamagedLogsAreNoticedAtRandom damages one committed frame. Either it is noticed, or nothing
// was lost.
func TestDamagedLogsAreNoticedAtRandom(t *testing.T) {
	dir, _ := killed(t, 20, true)
	wal, shm := filepath.Join(dir, "incidents.db-wal"), filepath.Join(dir, "incidents.db-shm")
	whole, err := os.ReadFile(wal)
	must(t, err)
	frames, err := checkWAL(wal, shm)
	must(t, err)
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 300 {
		bad := bytes.Clone(whole)
		at := rnd.IntN(walHeaderSize + int(frames)*(walFrameSize+pageSize))
		bad[at] ^= byte(1 + rnd.IntN(255))
		must(t, os.WriteFile(wal, bad, 0o600))
		if n, err := checkWAL(wal, shm); !errors.Is(err, errWAL) && n != frames {
			t.Fatalf("byte %d: %d of %d frames, %v", at, n, frames, err)
		}
	}
}

func FuzzWAL(f *testing.F) {
	dir, _ := killed(f, 3, false)
	whole, err := os.ReadFile(filepath.Join(dir, "incidents.db-wal"))
	if err != nil {
		f.Fatal(err)
	}
	shm, err := os.ReadFile(filepath.Join(dir, "incidents.db-shm"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole[:walHeaderSize+2*(walFrameSize+pageSize)], shm[:136])
	f.Add(whole[:40], shm[:96])
	f.Add([]byte{}, []byte{})
	f.Add(make([]byte, 100), make([]byte, 96))
	f.Fuzz(func(t *testing.T, log, shm []byte) {
		pages := uint32(0)
		committed, err := readWAL(bytes.NewReader(log), func(number, _ uint32, data []byte) error {
			if pages++; number == 0 || len(data) < 512 {
				t.Fatalf("page %d of %d bytes", number, len(data))
			}
			return nil
		})
		if err != nil && !errors.Is(err, errWAL) {
			t.Fatalf("a reader that does not fail: %v", err)
		}
		if committed > pages {
			t.Fatalf("%d frames are committed, %d were read", committed, pages)
		}
		if n, ok := indexFrames(shm); ok && n == 0 && missingWAL(shm) != nil {
			t.Fatal("an index without frames misses some")
		}
	})
}
