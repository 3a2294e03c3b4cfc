package diskspace_test

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gridpost/devices/diskspace"
)

func TestReserveIsTakenGivenUpAndTakenAgain(t *testing.T) {
	path := filepath.Join(t.TempDir(), "reserve")
	r := diskspace.NewReserve(path, 1<<20)
	if r.Release() {
		t.Error("room was given up that was never taken")
	}
	for _, take := range []func() error{r.Acquire, r.Retake} {
		if err := take(); err != nil {
			t.Fatal(err)
		}
		if fi, err := os.Stat(path); err != nil || fi.Size() != 1<<20 || fi.Mode().Perm() != 0o600 {
			t.Errorf("%+v, %v", fi, err)
		}
		if !r.Release() {
			t.Error("the room was not given up")
		}
	}
}

func TestIsFull(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct {
		err  error
		code int
		want bool
	}{
		"no room":                      {unix.ENOSPC, 0, true},
		"quota":                        {unix.EDQUOT, 0, true},
		"SQLITE_FULL":                  {errors.New("full"), 13, true},
		"SQLITE_IOERR_SHMSIZE":         {errors.New("shm"), 4874, true},
		"an error of a disk with room": {errors.New("input/output"), 10, false},
		"another error":                {unix.EACCES, 0, false},
	} {
		if got := diskspace.IsFull(dir, test.err, test.code); got != test.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
