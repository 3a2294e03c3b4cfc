package evidence

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"
	"testing/iotest"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
)

// each runs a test on both kinds of stores.
func each(t *testing.T, test func(t *testing.T, s Store)) {
	t.Run("folder", func(t *testing.T) { test(t, NewFolder(t.TempDir())) })
	dbtest.Each(t, func(t *testing.T, d *db.DB) { test(t, NewDatabase(d)) })
}

func hexSum(data []byte) string {
	h := sha256.Sum256(data)
	return hex.EncodeToString(h[:])
}

// TestPiecesMakeTheFile: a file that comes in random pieces, some of them cut off and sent again from
// another offset, is read back whole and in parts.
func TestPiecesMakeTheFile(t *testing.T) {
	each(t, func(t *testing.T, s Store) {
		random := rand.New(rand.NewPCG(9, 5))
		for range 8 {
			k := Key{"incident", "snapshot.jpg"}
			want := make([]byte, 1+random.IntN(20_000))
			for i := range want {
				want[i] = byte(random.Uint32())
			}
			for at := 0; at < len(want); {
				end := at + random.IntN(len(want)-at) + 1
				var r io.Reader = bytes.NewReader(want[at:end])
				if random.IntN(3) == 0 {
					r = io.MultiReader(bytes.NewReader(want[at:end-1]), iotest.ErrReader(errors.New("the line broke")))
				}
				n, _ := s.Write(t.Context(), k, int64(at), r)
				if at += int(n); random.IntN(4) == 0 {
					at = random.IntN(at + 1) // the record is older than the bytes
				}
			}
			if got, err := s.Sum(t.Context(), k, int64(len(want))); err != nil || got != hexSum(want) {
				t.Fatalf("%s, %v", got, err)
			}
			for range 2 {
				if err := s.Publish(t.Context(), k); err != nil {
					t.Fatal(err)
				}
			}
			if got, err := s.Sum(t.Context(), k, int64(len(want))); err != nil || got != hexSum(want) {
				t.Fatalf("after publishing: %s, %v", got, err)
			}
			f, err := s.Open(t.Context(), k)
			if err != nil {
				t.Fatal(err)
			}
			if err := iotest.TestReader(f, want); err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(f.Close(), s.Remove(t.Context(), k), s.Remove(t.Context(), k)); err != nil {
				t.Fatal(err)
			}
			if _, err := s.Open(t.Context(), k); !errors.Is(err, fs.ErrNotExist) {
				t.Fatalf("a removed file: %v", err)
			}
		}
	})
}

// TestMissingPiece: a file of which a part is missing has no sum.
func TestMissingPiece(t *testing.T) {
	each(t, func(t *testing.T, s Store) {
		k := Key{"incident", "snapshot.jpg"}
		if _, err := s.Sum(t.Context(), k, 1); err == nil {
			t.Error("a file that is not there has a sum")
		}
		if _, err := s.Write(t.Context(), k, 0, bytes.NewReader([]byte("half"))); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Sum(t.Context(), k, 8); err == nil {
			t.Error("half a file has a sum")
		}
	})
}

// TestNoEmptyFolders: neither a published nor a removed file leaves an empty folder, and one that is in
// use stays.
func TestNoEmptyFolders(t *testing.T) {
	dir := t.TempDir()
	s := NewFolder(dir)
	a, b := Key{"incident", "a.jpg"}, Key{"incident", "b.jpg"}
	for _, k := range []Key{a, b} {
		if _, err := s.Write(t.Context(), k, 0, bytes.NewReader([]byte("x"))); err != nil {
			t.Fatal(err)
		}
	}
	there := func(path ...string) bool {
		_, err := os.Stat(filepath.Join(append([]string{dir}, path...)...))
		return err == nil
	}
	if err := s.Publish(t.Context(), a); err != nil || !there("uploads", "incident", "b.jpg") {
		t.Errorf("%v", err)
	}
	if err := s.Publish(t.Context(), b); err != nil || there("uploads", "incident") {
		t.Errorf("an empty folder of uploads stays, %v", err)
	}
	if err := s.Remove(t.Context(), a); err != nil || !there("evidence", "incident", "b.jpg") {
		t.Errorf("%v", err)
	}
	if err := s.Remove(t.Context(), b); err != nil || there("evidence", "incident") {
		t.Errorf("an empty folder of evidence stays, %v", err)
	}
	// What an earlier version left.
	if err := errors.Join(os.MkdirAll(filepath.Join(dir, "uploads", "before"), 0o700), os.MkdirAll(filepath.Join(dir, "evidence", "kept"), 0o700),
		os.WriteFile(filepath.Join(dir, "evidence", "kept", "a.jpg"), nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	if err := s.RemoveEmpty(); err != nil || there("uploads", "before") || !there("evidence", "kept", "a.jpg") {
		t.Errorf("%v", err)
	}
}
