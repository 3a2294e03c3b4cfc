package db

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gridpost/hub/internal/db/schema"
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
	openNamed := func(name string) *DB {
		t.Helper()
		d, err := Open(t.Context(), Options{Dir: data, Name: name, Schema: schema.Hub(), Exclusive: true})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	open := func() *DB { return openNamed("hub") }
	beside := func() *DB { return openNamed("telemetry") } // shares the folder and its reserve
	d := open()
	if err := publish(d, "before"); err != nil {
		t.Fatal(err)
	}
	if err := errors.Join(d.Close(), beside().Close()); err != nil {
		t.Fatal(err)
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	fill := func() {
		t.Helper()
		f, err := os.OpenFile(ballast, os.O_APPEND|os.O_WRONLY, 0)
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
	}
	fill()
	for i := range 6 { // each start has room for what it writes, and leaves some for the next
		one, other := open(), beside()
		if i%2 == 1 { // it had the room to open, as one that finds the files of a crash has
			one.retake()
			other.retake()
			fill()
		}
		if err := one.BeginHistory(t.Context()); err != nil {
			t.Error(err)
		}
		if err := errors.Join(one.Close(), other.Close()); err != nil {
			t.Fatal(err)
		}
	}
	d = open()
	if last, err := d.LastChange(t.Context()); err != nil || last != 1 {
		t.Errorf("after the start on a full disk: %d, %v", last, err)
	}
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	if err := d.Reserve(); err != nil {
		t.Error(err)
	}
	if fi, err := os.Stat(filepath.Join(data, "reserve")); err != nil || fi.Size() != reserveBytes {
		t.Errorf("the room is not reserved again: %v", err)
	}
	if err := d.Close(); err != nil {
		t.Error(err)
	}
}
