package store

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
)

// drainDir makes a process of this test binary open a store, deliver all its telemetry, and print
// how long the opening took and how much memory the process needed.
const drainDir = "GRIDPOST_TEST_DRAIN_DIR"

func drainForChild(dir string) error {
	ctx := context.Background()
	start := time.Now()
	s, err := Open(ctx, Options{Dir: dir})
	if err != nil {
		return err
	}
	opened := time.Since(start)
	events := 0
	for {
		some, err := s.Telemetry(ctx, 100, 256<<10)
		if err != nil {
			return err
		}
		if len(some) == 0 {
			break
		}
		events += len(some)
		if err := s.TelemetryDelivered(ctx, some[len(some)-1].Seq); err != nil {
			return err
		}
	}
	if err := s.Close(); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, rest, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println(opened.Milliseconds(), events, strings.Fields(rest)[0])
	return nil
}

// TestManyReadingsNeedLittleMemory delivers what has waited for a long time, in a process of its
// own. BIG=1000000 does it with as many as an edge may have after a month.
func TestManyReadingsNeedLittleMemory(t *testing.T) {
	total := 100_000
	if n, err := strconv.Atoi(os.Getenv("BIG")); err == nil {
		total = n
	}
	dir := t.TempDir()
	s, err := Open(t.Context(), Options{Dir: dir})
	must(t, err)
	start := time.Date(2026, 3, 1, 0, 0, 0, 0, time.UTC)
	began := time.Now()
	batch := make([]devices.Reading, 1000)
	for n := 0; n < total; n += len(batch) {
		for j := range batch {
			batch[j] = devices.Reading{Device: fmt.Sprintf("sensor-%02d", (n+j)%20), Time: start.Add(time.Duration(n+j) * time.Second), Value: float64((n + j) % 977), Unit: "m", Quality: devices.Good}
		}
		must(t, s.SaveReadings(t.Context(), batch))
	}
	t.Logf("saving %d readings: %v; telemetry.db has %d MiB", total, time.Since(began), size(t, s.telemetry.path())>>20)
	wal := size(t, s.telemetry.path()+suffixWAL)
	if wal > 16<<20 {
		t.Errorf("the log has %d MiB: it is not written back", wal>>20)
	}
	began = time.Now()
	must(t, s.telemetry.read(t.Context(), func(q querier) error { return quickCheck(t.Context(), q) }))
	t.Logf("checking the file: %v", time.Since(began))
	must(t, s.Close())

	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), drainDir+"="+dir)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %s", err, errs.String())
	}
	var ms, events, kib int
	_, err = fmt.Sscan(out.String(), &ms, &events, &kib)
	must(t, err)
	t.Logf("opening: %d ms; %d events; %d MiB of memory", ms, events, kib>>10)
	if want := total / readingsPerEvent; events < want {
		t.Errorf("%d events, want at least %d", events, want)
	}
	if kib > 100<<10 {
		t.Errorf("the process needed %d MiB", kib>>10)
	}
}
