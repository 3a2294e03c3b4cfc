package confine

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// The tests run this test binary again as a process that confines itself with the functions that the
// worker uses, and then tries what it must not be able to do. helperVariable names the action.
const helperVariable = "CONFINE_TEST_ACTION"

func TestMain(m *testing.M) {
	if action := os.Getenv(helperVariable); action != "" {
		runtime.LockOSThread()
		if err := help(action); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// outcome is how the action of a helper ended.
type outcome struct {
	output string
	exit   int
	signal syscall.Signal
}

// helper runs an action in a process of its own.
func helper(t *testing.T, action string, env ...string) outcome {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(env, helperVariable+"="+action, "GODEBUG=containermaxprocs=0,updatemaxprocs=0")
	out, err := cmd.CombinedOutput()
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		t.Fatal(err)
	}
	status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
	if !ok {
		t.Fatal("no wait status")
	}
	o := outcome{output: strings.TrimSpace(string(out)), exit: status.ExitStatus()}
	if status.Signaled() {
		o.signal = status.Signal()
	}
	return o
}

// help runs the action of a helper.
func help(action string) error {
	kind, name, _ := strings.Cut(action, ":")
	switch kind {
	case "attempt", "attempt elsewhere":
		return attempt(attempts()[name], kind == "attempt elsewhere")
	case "threads":
		return useThreads()
	case "landlock":
		return useLandlock(name)
	case "user":
		return useUser()
	case "limits":
		return useLimits()
	case "inherited":
		return listDescriptors()
	}
	return fmt.Errorf("unknown action %q", action)
}

// attempt confines the process and runs try: on the thread that called Apply, or on one that existed
// before and did not.
func attempt(try func() error, elsewhere bool) error {
	confined, tried := make(chan struct{}), make(chan error)
	go func() {
		runtime.LockOSThread()
		<-confined
		if elsewhere {
			tried <- try()
		} else {
			close(tried)
		}
	}()
	if _, err := Apply(); err != nil {
		return err
	}
	close(confined)
	err := <-tried
	if !elsewhere {
		err = try()
	}
	if err == nil {
		fmt.Println("it succeeded")
		return nil
	}
	fmt.Println("refused:", err)
	return nil
}

func TestConfinedProcessIsRefused(t *testing.T) {
	dir := t.TempDir()
	key := filepath.Join(dir, "key.pem")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	created := filepath.Join(dir, "created")
	for name := range attempts() {
		for _, where := range []string{"attempt", "attempt elsewhere"} {
			t.Run(name+"/"+where, func(t *testing.T) {
				t.Parallel()
				got := helper(t, where+":"+name, "KEY="+key, "NEW="+created)
				if slices.Contains(killedBySIGSYS, name) {
					if got.signal != syscall.SIGSYS {
						t.Errorf("%+v, want death by SIGSYS", got)
					}
					return
				}
				want := "refused: operation not permitted"
				if name == "clone3" {
					want = "refused: function not implemented"
				}
				if got.output != want {
					t.Errorf("%+v, want %q", got, want)
				}
			})
		}
	}
	t.Cleanup(func() {
		if text, err := os.ReadFile(key); err != nil || string(text) != "secret" {
			t.Errorf("the key is %q, %v", text, err)
		}
		if _, err := os.Stat(created); err == nil {
			t.Error("a file was created")
		}
	})
}

// Without Apply the same attempts succeed: the test above proves something about Apply.
func TestUnconfinedProcessIsNotRefused(t *testing.T) {
	for _, name := range []string{"open a TCP socket", "open a UNIX socket", "read a file", "make a memory file", "map executable memory", "signal the parent"} {
		if err := attempts()[name](); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// useThreads does what the runtime of a worker does: new threads, garbage collection, timers,
// signals to itself, and reading and writing of what is open.
func useThreads() error {
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	applied, err := Apply()
	if err != nil {
		return err
	}
	var wg sync.WaitGroup
	start := make(chan struct{})
	for range 16 {
		wg.Go(func() {
			runtime.LockOSThread() // each on a thread of its own
			<-start
			var all [][]byte
			for range 100 {
				all = append(all, bytes.Repeat([]byte{1}, 64<<10))
			}
			time.Sleep(time.Millisecond)
			runtime.KeepAlive(all)
			runtime.GC()
		})
	}
	close(start)
	wg.Wait()
	if _, err := w.Write([]byte("x")); err != nil {
		return err
	}
	if _, err := r.Read(make([]byte, 1)); err != nil {
		return err
	}
	if err := unix.Kill(os.Getpid(), 0); err != nil {
		return err
	}
	fmt.Println(applied)
	return nil
}

func TestThreadsKeepWorking(t *testing.T) {
	got := helper(t, "threads")
	if got.exit != 0 || !strings.Contains(got.output, "seccomp") {
		t.Fatalf("%+v", got)
	}
	t.Log(got.output)
}

// useLandlock applies Landlock without seccomp and makes one attempt.
func useLandlock(name string) error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return err
	}
	abi, err := restrictFiles()
	if err != nil {
		return err
	}
	switch name {
	case "ABI":
		fmt.Println(abi)
		return nil
	case "read":
		_, err = unix.Open("/etc/passwd", unix.O_RDONLY, 0)
	case "connect":
		var fd int
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM, 0); err != nil {
			return err
		}
		port, atoiErr := strconv.Atoi(os.Getenv("PORT"))
		if atoiErr != nil {
			return atoiErr
		}
		err = unix.Connect(fd, &unix.SockaddrInet4{Port: port, Addr: [4]byte{127, 0, 0, 1}})
	case "signal":
		err = unix.Kill(os.Getppid(), 0)
	}
	fmt.Println("refused:", err)
	return nil
}

// Landlock holds files, TCP and signals even if the seccomp filter had a gap.
func TestLandlockAlone(t *testing.T) {
	text := helper(t, "landlock:ABI").output
	abi, err := strconv.Atoi(text)
	if err != nil {
		t.Fatalf("ABI %q", text)
	}
	t.Logf("Landlock ABI %d", abi)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	_, port, err := net.SplitHostPort(listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		since int
		want  string
	}{
		"read":    {1, "refused: permission denied"},
		"connect": {abiTCP, "refused: permission denied"},
		"signal":  {abiScope, "refused: operation not permitted"},
	} {
		t.Run(name, func(t *testing.T) {
			if abi < c.since {
				t.Skipf("this kernel has Landlock ABI %d (0: none), %d is needed; seccomp forbids the same", abi, c.since)
			}
			if got := helper(t, "landlock:"+name, "PORT="+port).output; got != c.want {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

func useUser() error {
	if err := ChangeUser(65521, 65521); err != nil {
		return err
	}
	tasks, err := filepath.Glob("/proc/self/task/*/status")
	if err != nil {
		return err
	}
	for _, path := range tasks {
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		for _, line := range []string{"Uid:\t65521\t65521\t65521\t65521\n", "Gid:\t65521\t65521\t65521\t65521\n", "CapEff:\t0000000000000000\n", "CapPrm:\t0000000000000000\n"} {
			if !strings.Contains(string(text), line) {
				return fmt.Errorf("%s has no %q", path, line)
			}
		}
	}
	if _, err := os.ReadFile(os.Getenv("KEY")); !errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("reading the key: %w", err)
	}
	fmt.Println("changed on", len(tasks) > 1, "threads")
	return nil
}

func TestChangeUser(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can change the user; other edges run their workers as themselves")
	}
	key := filepath.Join(t.TempDir(), "key.pem")
	if err := os.WriteFile(key, []byte("secret"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := helper(t, "user", "KEY="+key); got.output != "changed on true threads" {
		t.Errorf("%+v", got)
	}
	if err := ChangeUser(0, 0); err == nil {
		t.Error("root was accepted as the worker's user")
	}
}

func useLimits() error {
	if err := Limit(Limits{Memory: 1 << 40, Threads: 5000}); err != nil {
		return err
	}
	adj, err := os.ReadFile("/proc/self/oom_score_adj")
	if err != nil {
		return err
	}
	fmt.Printf("oom_score_adj %s\n", bytes.TrimSpace(adj))
	for name, resource := range map[string]int{"core": unix.RLIMIT_CORE, "nofile": unix.RLIMIT_NOFILE, "nproc": unix.RLIMIT_NPROC, "data": unix.RLIMIT_DATA} {
		var r unix.Rlimit
		if err := unix.Getrlimit(resource, &r); err != nil {
			return err
		}
		fmt.Printf("%s %d %d\n", name, r.Cur, r.Max)
	}
	return nil
}

func TestLimits(t *testing.T) {
	if raceEnabled {
		t.Skip("the race detector reserves more address space than a worker may have; the test of the real worker covers the limits")
	}
	got := helper(t, "limits")
	for _, want := range []string{"oom_score_adj 800", "core 0 0", "nofile 32 32", "nproc 5000 5000", "data 1099511627776 1099511627776"} {
		if !strings.Contains(got.output, want) {
			t.Errorf("%q is not in %q", want, got.output)
		}
	}
}

func listDescriptors() error {
	if err := CloseInherited(4); err != nil {
		return err
	}
	for fd := range 16 {
		if _, err := unix.FcntlInt(uintptr(fd), unix.F_GETFD, 0); err == nil {
			fmt.Print(fd, " ")
		}
	}
	return nil
}

func TestInheritedDescriptorsAreClosed(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = []string{helperVariable + "=inherited", "GODEBUG=containermaxprocs=0,updatemaxprocs=0"}
	for range 4 { // 3 to 6
		f, err := os.Open(os.Args[0])
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = f.Close() }()
		cmd.ExtraFiles = append(cmd.ExtraFiles, f)
	}
	out, err := cmd.Output()
	if err != nil || strings.TrimSpace(string(out)) != "0 1 2 3" {
		t.Errorf("open after CloseInherited: %q, %v, want 0 1 2 3", out, err)
	}
}
