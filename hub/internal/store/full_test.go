package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"
)

// TestStopAndStartOnAFullDisk needs the right to mount a file system, which CI has.
func TestStopAndStartOnAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		if errors.Is(err, unix.EPERM) && os.Getenv("CI") == "" {
			t.Skip("mounting a file system needs rights that this user does not have")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "data")
	open := func() *Store {
		t.Helper()
		s, err := Open(Options{Dir: data})
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	s := open()
	if err := s.AddEdge(t.Context(), "test", "gate-7", []byte("hash"), s.now().Add(1)); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	f, err := os.Create(ballast)
	if err != nil {
		t.Fatal(err)
	}
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			chunk = chunk[:len(chunk)/2]
		}
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 { // each start leaves room for the next
		if err := open().Close(); err != nil {
			t.Fatal(err)
		}
	}
	s = open()
	if e, err := s.Edge(t.Context(), "gate-7"); err != nil || e.Name != "gate-7" {
		t.Errorf("after the start on a full disk: %+v, %v", e, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := s.Prune(t.Context(), Retention{}); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(filepath.Join(data, "reserve")); err != nil || fi.Size() != reserveBytes {
		t.Errorf("the room is not reserved again: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}
