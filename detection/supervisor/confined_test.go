package supervisor

import (
	"bytes"
	"context"
	"fmt"
	"image/jpeg"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/detection/wire"
	"gridpost/devices"
	"gridpost/streams"
)

const modelFile = "../../../shared/data/nanodet_m_320.onnx"

// needModel returns the path of a model that only its owner can read, and sets the path of the
// runtime, or skips the test.
func needModel(t *testing.T) string {
	t.Helper()
	data, err := os.ReadFile(modelFile)
	if err != nil {
		t.Skipf("%s is missing", modelFile)
	}
	needRuntime(t)
	dir := filepath.Join(t.TempDir(), "private")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(dir, "model.onnx")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// needRuntime sets the path of ONNX Runtime, or skips the test.
func needRuntime(t *testing.T) {
	t.Helper()
	if os.Getenv("GRIDPOST_ONNXRUNTIME") != "" {
		return
	}
	found, err := filepath.Glob("../../bin/libonnxruntime.so*")
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Skip("ONNX Runtime is not installed; run `make onnxruntime`")
	}
	library, err := filepath.Abs(found[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("GRIDPOST_ONNXRUNTIME", library)
}

// The real worker is confined while it analyses frames, and detection and snapshots work.
func TestWorkerIsConfined(t *testing.T) {
	for _, name := range []string{"motion", "model"} {
		t.Run(name, func(t *testing.T) {
			o := Options{}
			if name == "model" {
				o.Config.Model = needModel(t)
			}
			t.Setenv("GRIDPOST_TEST_SECRET", "hunter2") // a variable of the edge that workers must not get
			b := work(t, o)
			b.running()
			in := camera(t)
			half := len(in) / 2
			b.publish(in[:half])
			results := b.take(half)
			checkConfined(t, b.s.Stats().PID)
			b.publish(in[half:])
			results = append(results, b.take(len(in)-half)...)
			for _, r := range results {
				if r.Error != "" {
					t.Fatalf("frame %v: %s", r.Frame.PTS, r.Error)
				}
			}
			if name == "motion" {
				seen := 0
				for _, r := range results {
					seen += checkBox(t, r)
				}
				if seen < 30 {
					t.Errorf("the box was detected only %d times", seen)
				}
			}
			checkSnapshot(t, b, in[len(in)-1])
			if s := b.s.Stats(); s.Restarts != 0 || s.Analysed < 20 {
				t.Errorf("stats %+v", s)
			}
		})
	}
}

func checkSnapshot(t *testing.T, b *bench, u *streams.AccessUnit) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	mark := wire.Mark{Box: detection.Box{X: 0.2, Y: 0.2, W: 0.5, H: 0.5}, Label: "person"}
	got, err := b.s.Snapshot(ctx, wire.Snapshot{Session: u.Session, PTS: u.PTS, Marks: []wire.Mark{mark}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := jpeg.Decode(bytes.NewReader(got.Data)); err != nil {
		t.Error(err)
	}
}

// proc reads a file of /proc/PID.
func proc(t *testing.T, pid int, name string) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/%s", pid, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// status returns a field of /proc/PID/status or of one of a thread.
func status(text, field string) string {
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(line, ":"); ok && name == field {
			return strings.Join(strings.Fields(value), " ")
		}
	}
	return ""
}

// checkConfined looks at a worker from outside.
func checkConfined(t *testing.T, pid int) {
	t.Helper()
	want := map[string]string{"Seccomp": "2", "NoNewPrivs": "1", "CapEff": "0000000000000000"}
	if uid, gid, err := workerIDs(); err != nil {
		t.Fatal(err)
	} else if os.Geteuid() == 0 {
		if uid == 0 || gid == 0 {
			t.Fatal("the worker of root has no user of its own")
		}
		want["Uid"] = fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", uid)
		want["Gid"] = fmt.Sprintf("%[1]d %[1]d %[1]d %[1]d", gid)
		want["Groups"] = ""
	}
	tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/status", pid))
	if err != nil || len(tasks) < 2 {
		t.Fatalf("threads %v, %v", tasks, err)
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for field, value := range want {
			if got := status(string(text), field); got != value {
				t.Errorf("%s: %s is %q, want %q", path, field, got, value)
			}
		}
	}
	if adj := strings.TrimSpace(proc(t, pid, "oom_score_adj")); adj != "800" {
		t.Errorf("oom_score_adj is %s", adj)
	}
	for _, limit := range []string{
		`Max core file size +0 +0`, fmt.Sprintf(`Max data size +%[1]d +%[1]d`, DefaultMemory),
		`Max open files +32 +32`, `Max address space +8589934592 +8589934592`,
	} {
		if text := proc(t, pid, "limits"); !regexp.MustCompile(limit).MatchString(text) {
			t.Errorf("%q is not in\n%s", limit, text)
		}
	}
	checkDescriptors(t, pid)
	for variable := range strings.SplitSeq(strings.TrimRight(proc(t, pid, "environ"), "\x00"), "\x00") {
		name, _, _ := strings.Cut(variable, "=")
		if !slices.Contains([]string{"LC_ALL", "OPENCV_OPENCL_RUNTIME", "GRIDPOST_ONNXRUNTIME", "LD_LIBRARY_PATH"}, name) {
			t.Errorf("the worker has the variable %s", name)
		}
	}
	t.Logf("%d threads, VmData %s, VmSize %s, VmRSS %s", len(tasks), status(proc(t, pid, "status"), "VmData"),
		status(proc(t, pid, "status"), "VmSize"), status(proc(t, pid, "status"), "VmRSS"))
}

// checkDescriptors checks that a worker has nothing open but its socket, its pipes and what Go's
// runtime waits with.
func checkDescriptors(t *testing.T, pid int) {
	t.Helper()
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil || len(links) < 4 {
		t.Fatalf("descriptors %v, %v", links, err)
	}
	kinds := map[string]int{}
	for _, link := range links {
		target, err := os.Readlink(link)
		if err != nil {
			t.Fatal(err)
		}
		if name, _, ok := strings.Cut(target, ":["); ok && name != "anon_inode" {
			target = name // without the inode number
		}
		kinds[target]++
	}
	// Standard input is /dev/null; the socket is there twice, because Go's network package duplicates it.
	want := map[string]int{"/dev/null": 1, "pipe": 2, "socket": 2, "anon_inode:[eventpoll]": 1, "anon_inode:[eventfd]": 1}
	for kind, n := range kinds {
		if n > want[kind] {
			t.Errorf("%d descriptors of %s, want %d: all are %v", n, kind, want[kind], kinds)
		}
	}
}

// A camera whose frames need more memory than a worker may use ends its own worker, with memory as
// the cause, and no other.
func TestMemoryIsBounded(t *testing.T) {
	other := work(t, Options{})
	other.running()
	in := camera(t)
	other.publish(in[:10])
	other.take(10)
	kB, _, _ := strings.Cut(status(proc(t, other.s.Stats().PID, "status"), "VmData"), " ")
	used, err := strconv.ParseUint(kB, 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	large := accessUnits(t, footage(t, "large.h264", "-s", "7680x4320", "-frames:v", "4", "-c:v", "libx264", "-preset", "ultrafast",
		"-bf", "0", "-x264-params", "aud=1", "-f", "h264"))

	// Whichever allocation is the first that fails, and wherever: a frame of 50 MB, its tables, its copy in
	// other colours, the stack of a thread.
	for room := uint64(40); room <= 200; room += 20 {
		b := work(t, Options{Memory: used<<10 + room<<20, Restart: waitAnHour()})
		b.running()
		b.publish(large)
		cause := b.analysedOrEnded(len(large))
		if cause.IsZero() && room > 50 {
			continue // enough
		}
		if cause.Code != CodeMemory || cause.Params["detail"] == "" {
			t.Errorf("%d MiB: cause %+v", room, cause)
		}
		if s := b.s.Stats(); s.Crashes != 1 {
			t.Errorf("%d MiB: %d crashes, want 1", room, s.Crashes)
		}
		b.end()
	}
	other.publish(in[10:20])
	other.take(10)
	if s := other.s.Stats(); s.Restarts != 0 {
		t.Errorf("the other worker was restarted: %v", s.Cause)
	}
}

// analysedOrEnded waits until n access units were analysed without an error, or until the worker ended,
// whose cause it returns.
func (b *bench) analysedOrEnded(n int) devices.Cause {
	b.t.Helper()
	for {
		select {
		case cause := <-b.states:
			return cause
		case r := <-b.results:
			if r.Error != "" {
				continue
			}
			if n--; n == 0 {
				return devices.Cause{}
			}
		case <-time.After(patience):
			b.t.Fatalf("the worker goes on, but %d access units were not analysed", n)
		}
	}
}

// No secret of the edge may be among the few variables that workers get.
func TestEnvironmentHasNoSecrets(t *testing.T) {
	t.Setenv("CAMERA_PASSWORD", "hunter2")
	t.Setenv("LD_LIBRARY_PATH", "/opt/lib")
	env := environment()
	if !slices.Contains(env, "LD_LIBRARY_PATH=/opt/lib") {
		t.Errorf("environment %q", env)
	}
	if slices.ContainsFunc(env, func(v string) bool { return strings.Contains(v, "hunter2") }) {
		t.Errorf("environment %q", env)
	}
}

// A program that is slow to start must not delay snapshot requests: they are refused.
func TestSnapshotsAreRefusedDuringTheStart(t *testing.T) {
	b := work(t, Options{Binary: script(t, "exec sleep 60")})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	_, err := b.s.Snapshot(ctx, wire.Snapshot{})
	failUnless(t, err, ErrNotRunning)
}
