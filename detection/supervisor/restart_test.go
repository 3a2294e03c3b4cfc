package supervisor

import (
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
)

func TestBudgetAndBackoff(t *testing.T) {
	r := Restart{Budget: 5}.withDefaults().new()
	now := time.Unix(0, 0)
	for i, base := range []time.Duration{1, 2, 4, 8} {
		if wait, why := r.next(now, 0, false); why != backingOff || wait < base*time.Second/2 || wait > base*time.Second {
			t.Errorf("wait %d is %v (%v), want up to %v", i, wait, why, base*time.Second)
		}
		now = now.Add(time.Second)
	}
	if wait, why := r.next(now, 0, false); why != overBudget || wait != 10*time.Minute-4*time.Second {
		t.Errorf("with the budget used up the wait is %v (%v)", wait, why)
	}
	now = now.Add(time.Hour)
	if wait, why := r.next(now, 2*time.Minute, false); why != backingOff || wait > time.Second {
		t.Errorf("after steady work the wait is %v (%v)", wait, why)
	}
}

// Random failures against the rules as their documentation has them.
func TestQuarantineModel(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0)) // no secret
	o := Restart{Budget: 1 << 30}.withDefaults()
	r := o.new()
	crashes, quarantines := 0, 0
	now := time.Unix(0, 0)
	for i := range 20_000 {
		ran := time.Duration(random.Int64N(int64(12 * time.Minute)))
		crash := random.IntN(3) > 0
		if ran >= o.Stable {
			crashes, quarantines = 0, 0
		}
		if crash {
			crashes++
		}
		want := backingOff
		if crash && crashes >= o.Crashes {
			want = quarantined
			quarantines++
		}
		wait, why := r.next(now, ran, crash)
		if why != want {
			t.Fatalf("seed %d, failure %d: %v, want %v", seed, i, why, want)
		}
		low, high := time.Duration(0), o.Backoff.Longest
		if why == quarantined {
			high = min(o.Quarantine.First<<min(quarantines-1, 10), o.Quarantine.Longest)
			low = high / 2
		}
		if wait < low || wait > high {
			t.Fatalf("seed %d, failure %d: a wait of %v for quarantine %d, want %v to %v", seed, i, wait, quarantines, low, high)
		}
		now = now.Add(wait + ran)
	}
}

// crashing is a worker that is ready and aborts once it has read the first bytes of an access unit.
// Each start leaves a file in dir.
func crashing(t *testing.T, dir string) string {
	t.Helper()
	return script(t, `: >`+dir+`/$$
config=$(head -c 4 <&3 | od -An -tu1) # the length of the configuration
set -- $config
head -c $(( $3 * 256 + $4 + 1 )) <&3 >/dev/null
printf '\000\000\000\002\002{}' >&3
head -c 5 <&3 >/dev/null
kill -ABRT $$`)
}

func starts(t *testing.T, dir string) int {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	return len(entries)
}

// A camera whose frames crash the worker is quarantined after two crashes in a row; the quarantine
// ends by itself, and the next crash begins another one at once. Another camera is not affected.
func TestCrashesQuarantineTheCamera(t *testing.T) {
	in := camera(t)
	good := work(t, Options{})
	good.running()

	dir := t.TempDir()
	bad := work(t, Options{Binary: crashing(t, dir), Restart: Restart{
		Backoff:    retry.Policy{First: time.Millisecond, Longest: time.Millisecond},
		Quarantine: retry.Policy{First: 50 * time.Millisecond, Longest: time.Hour},
	}})
	crash := func() devices.Cause {
		bad.running()
		bad.publish(in[:1])
		return bad.state()
	}
	if cause := crash(); cause.Code != CodeAborted {
		t.Fatalf("after the first crash: %+v", cause)
	}
	for i := range 2 {
		cause := crash()
		if cause.Code != CodeQuarantined || cause.Params["cause_code"] != CodeAborted || cause.Params["crashes"] != strconv.Itoa(i+2) || cause.Params["retry_in"] == "" {
			t.Fatalf("after crash %d: %+v", i+2, cause)
		}
		if !strings.Contains(cause.Text, "aborted") || !strings.Contains(cause.Text, "in a row") {
			t.Errorf("the text is %q", cause.Text)
		}
	}
	bad.end()
	if s := bad.s.Stats(); s.Crashes != 3 || s.Quarantines != 2 || s.Cause.Code != CodeQuarantined || starts(t, dir) != 3 {
		t.Errorf("stats %+v, %d starts", s, starts(t, dir))
	}

	good.publish(in[:25])
	good.take(25)
	if s := good.s.Stats(); s.Restarts != 0 {
		t.Errorf("the worker of the other camera was restarted: %v", s.Cause)
	}
}

// During a quarantine nothing is started, however many frames arrive, and snapshots are refused.
func TestQuarantineStartsNothing(t *testing.T) {
	in, dir := camera(t), t.TempDir()
	b := work(t, Options{Binary: crashing(t, dir), Restart: Restart{Backoff: retry.Policy{First: time.Millisecond, Longest: time.Millisecond}}})
	for range 2 {
		b.running()
		b.publish(in[:1])
		b.state()
	}
	b.publish(in[1:50])
	ctx, cancel := testContext(t)
	defer cancel()
	for range 100 { // each is answered by the goroutine that would start a worker
		_, err := b.s.Snapshot(ctx, snapshotOf(in[0]))
		failUnless(t, err, ErrNotRunning)
	}
	if n := starts(t, dir); n != 2 {
		t.Errorf("%d starts, want 2", n)
	}
}

// A worker that is ended or stopped from outside did not crash, whatever it worked on.
func TestSignalsFromOutsideAreNoCrashes(t *testing.T) {
	in := camera(t)
	b := work(t, Options{ReplyTimeout: 5 * time.Second}) // no running worker is slower, however busy the machine is
	for i, signal := range []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM, syscall.SIGSTOP, syscall.SIGKILL} {
		b.running()
		b.publish(in[:25])
		b.take(25)
		if err := syscall.Kill(b.s.Stats().PID, signal); err != nil {
			t.Fatal(err)
		}
		b.publish(in[25:50]) // of which a stopped worker answers none
		if cause := b.state(); cause.Code != CodeSignal && cause.Code != CodeHung {
			t.Errorf("signal %d, %v: %+v", i, signal, cause)
		}
		for len(b.results) > 0 {
			<-b.results
		}
	}
	if s := b.s.Stats(); s.Restarts != 4 || s.Crashes != 0 || s.Quarantines != 0 {
		t.Errorf("stats %+v", s)
	}
}

// Of sixteen workers that start at once, two load at a time, and all of them are started.
func TestStartsAreStaggered(t *testing.T) {
	dir := t.TempDir()
	hold := filepath.Join(dir, "hold")
	if err := syscall.Mkfifo(hold, 0o600); err != nil {
		t.Fatal(err)
	}
	// Each worker says that it has started, waits for a line of the test, and is ready.
	program := script(t, fmt.Sprintf(`: >%[1]s/started.$$
read line <%[2]s
: >%[1]s/done.$$
printf '\000\000\000\002\002{}' >&3
exec sleep 600`, dir, hold))
	lines, err := os.OpenFile(hold, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = lines.Close() }()

	gate := NewGate(2)
	const cameras = 16
	all := make([]*bench, cameras)
	for i := range all {
		all[i] = work(t, Options{Binary: program, Gate: gate})
	}
	count := func(pattern string) int {
		found, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for released := range cameras {
		want := min(released+2, cameras)
		waitFor(t, func() bool { return count("started.*") >= want })
		if loading := count("started.*") - count("done.*"); loading > 2 {
			t.Fatalf("%d workers load at a time", loading)
		}
		if _, err := lines.WriteString("\n"); err != nil {
			t.Fatal(err)
		}
		waitFor(t, func() bool { return count("done.*") == released+1 })
	}
	for _, b := range all {
		b.running()
		b.cancel() // all of them, before end waits for each
	}
}

// A gate lets those in first that came first, and none is lost.
func TestGate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		gate := NewGate(1)
		var order []int
		for i := range 10 {
			go func() {
				if !gate.enter(t.Context()) {
					t.Error("the gate refused")
				}
				order = append(order, i)
				time.Sleep(time.Second)
				gate.leave()
			}()
			synctest.Wait()
		}
		began := time.Now()
		time.Sleep(time.Minute)
		synctest.Wait()
		if !slices.IsSorted(order) || len(order) != 10 || len(gate.slots) != 0 || time.Since(began) != time.Minute {
			t.Errorf("order %v, %d inside", order, len(gate.slots))
		}
	})
}
