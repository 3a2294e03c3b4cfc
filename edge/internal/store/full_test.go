package store

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	"golang.org/x/sys/unix"

	"gridpost/devices"
	"gridpost/hub/api"

	"gridpost/devices/diskspace"
)

// smallDisk mounts a file system of 24 MiB. It needs the right to mount, which CI has.
func smallDisk(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=24m"); err != nil {
		if errors.Is(err, unix.EPERM) && os.Getenv("CI") == "" {
			t.Skip("mounting a file system needs rights that this user does not have; the tests with max_page_count still run")
		}
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(dir, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(dir, "data")
	must(t, os.Mkdir(data, 0o700))
	return data
}

// fillDisk writes a file until the disk has no byte left. The file's removal makes room again.
func fillDisk(t *testing.T, dir string) (ballast string) {
	t.Helper()
	ballast = filepath.Join(dir, "..", "ballast")
	f, err := os.OpenFile(ballast, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	must(t, err)
	for chunk := make([]byte, 1<<20); len(chunk) > 0; {
		if _, err := f.Write(chunk); err != nil {
			if !errors.Is(err, unix.ENOSPC) {
				t.Fatal(err)
			}
			chunk = chunk[:len(chunk)/2]
		}
	}
	must(t, f.Close())
	if free, err := diskspace.Free(dir); err != nil || free != 0 {
		t.Fatalf("%d bytes are free, %v", free, err)
	}
	return ballast
}

func TestStopAndStartOnAFullDisk(t *testing.T) {
	dir := smallDisk(t)
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	ids := fill(t, s, 100)
	must(t, s.Close())
	ballast := fillDisk(t, dir)
	for range 3 {
		s, err = Open(t.Context(), Options{Dir: dir})
		if err != nil {
			t.Fatalf("starting on a full disk: %v", err)
		}
		if got := waitingIDs(t, s); len(got) != len(ids) {
			t.Errorf("%d alerts of %d wait", len(got), len(ids))
		}
		must(t, s.Close())
	}
	// What the hub has can be deleted, and makes room for new incidents.
	s = open(t, Options{Dir: dir})
	events := outbox(t, s, api.LaneAlerts)
	must(t, s.AlertsDelivered(t.Context(), events[len(events)-1].Seq, nil))
	telemetry := outbox(t, s, api.LaneTelemetry)
	must(t, s.TelemetryDelivered(t.Context(), telemetry[len(telemetry)-1].Seq))
	for i := range 20 {
		must(t, save(t.Context(), s, incident(1000+i)))
	}
	must(t, s.SaveReadings(t.Context(), []devices.Reading{reading(5000)}))

	must(t, os.Remove(ballast))
	must(t, s.Maintain(t.Context()))
	if fi, err := os.Stat(filepath.Join(dir, "reserve")); err != nil || fi.Size() != reserveBytes {
		t.Errorf("the reserve was not taken again: %v", err)
	}
}

// A process that dies on a full disk leaves logs that are read when it starts again.
func TestDeathAndStartOnAFullDisk(t *testing.T) {
	from, ids := killed(t, 100, false)
	dir := smallDisk(t)
	must(t, os.Remove(dir))
	must(t, os.CopyFS(dir, os.DirFS(from)))
	fillDisk(t, dir)
	s := open(t, Options{Dir: dir})
	if got := waitingIDs(t, s); len(got) != len(ids) || len(s.Problems()) != 0 {
		t.Errorf("%d alerts of %d wait, problems %v", len(got), len(ids), s.Problems())
	}
}

func TestWithoutAReserveAFullDiskIsReported(t *testing.T) {
	dir := smallDisk(t)
	ballast := fillDisk(t, dir)
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrFull) {
		t.Errorf("a first start on a full disk: %v", err)
	}
	must(t, os.Remove(ballast))
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	if p := s.Problems(); len(p) != 0 {
		t.Errorf("the first start that had room reports %v", p)
	}
	fill(t, s, 10)
	must(t, s.Close())
	must(t, os.Remove(filepath.Join(dir, "reserve")))
	ballast = fillDisk(t, dir)
	if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrFull) {
		t.Errorf("a start without a reserve: %v", err)
	}
	must(t, os.Remove(ballast))
	s = open(t, Options{Dir: dir})
	if n := len(waitingIDs(t, s)); n != 10 || len(s.Problems()) != 0 {
		t.Errorf("%d alerts wait, problems %v", n, s.Problems())
	}
}

func TestAFullDiskInTheMiddleOfARun(t *testing.T) {
	dir := smallDisk(t)
	s := open(t, Options{Dir: dir})
	ctx := t.Context()
	saved := fill(t, s, 100)
	fillDisk(t, dir)
	var err error
	for i := 0; err == nil && i < 50_000; i++ {
		inc := incident(10_000 + i)
		if err = save(ctx, s, inc); err == nil {
			saved = append(saved, inc.ID)
		}
	}
	if !errors.Is(err, ErrFull) {
		t.Fatalf("saving on a full disk: %v", err)
	}
	if err := save(ctx, s, incident(90_000)); !errors.Is(err, ErrFull) { // also the second time
		t.Errorf("saving on a full disk again: %v", err)
	}
	got := waitingIDs(t, s)
	for _, id := range saved {
		if !got[id] {
			t.Fatalf("incident %s was saved and is lost", id)
		}
	}
	events, err := s.Alerts(ctx, 100_000, 1<<30)
	must(t, err)
	must(t, s.AlertsDelivered(ctx, events[len(events)-1].Seq, nil))
	if n := s.Waiting()[api.LaneAlerts]; n != 0 {
		t.Errorf("%d alerts wait after they were confirmed", n)
	}
	must(t, save(ctx, s, incident(99_999)))
}

// A repair needs room for the new file. Until there is some, what is damaged stays as it is.
func TestARepairOnAFullDiskWaitsForRoom(t *testing.T) {
	dir := smallDisk(t)
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	ids := fill(t, s, 8000)
	must(t, s.Close())
	path := filepath.Join(dir, "incidents.db")
	overwrite(t, path, size(t, path)-pageSize, make([]byte, pageSize))
	ballast := fillDisk(t, dir)
	for range 2 {
		if _, err := Open(t.Context(), Options{Dir: dir}); !errors.Is(err, ErrFull) {
			t.Fatalf("a repair without room: %v", err)
		}
	}
	must(t, os.Remove(ballast))
	s = open(t, Options{Dir: dir})
	if n := len(waitingIDs(t, s)); n < len(ids)*9/10 || len(allGaps(t, s)) != 1 {
		t.Errorf("%d alerts of %d were saved, gaps %+v", n, len(ids), allGaps(t, s))
	}
}
