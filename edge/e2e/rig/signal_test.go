package rig

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// programKey makes the test's program one that ends with SIGTERM.
const programKey = "GRIDPOST_RIG_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(programKey) == "" {
		os.Exit(m.Run())
	}
	ctx := UntilSignal(syscall.SIGTERM)
	fmt.Println("ready")
	<-ctx.Done()
	fmt.Println("ending")
	if _, err := bufio.NewReader(os.Stdin).ReadString('\n'); err != nil { // as long as the test likes
		os.Exit(2)
	}
	os.Exit(3)
}

// TestUntilSignal: the first signal ends the program in its own way, the second one at once.
func TestUntilSignal(t *testing.T) {
	for _, signals := range []int{1, 2} {
		cmd := exec.CommandContext(t.Context(), os.Args[0])
		cmd.Env = append(os.Environ(), programKey+"=1")
		in, err := cmd.StdinPipe()
		if err != nil {
			t.Fatal(err)
		}
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewReader(out)
		said := func() string {
			line, err := lines.ReadString('\n')
			if err != nil {
				t.Fatal(err)
			}
			return strings.TrimSpace(line)
		}
		if got := said(); got != "ready" {
			t.Fatalf("it said %q", got)
		}
		if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		if got := said(); got != "ending" {
			t.Fatalf("it said %q", got)
		}
		if signals == 2 {
			err = cmd.Process.Signal(syscall.SIGTERM)
		} else {
			_, err = in.Write([]byte("end\n"))
		}
		if err != nil {
			t.Fatal(err)
		}
		_ = cmd.Wait() // how it ended is in its state
		status, ok := cmd.ProcessState.Sys().(syscall.WaitStatus)
		if !ok || signals == 2 && status.Signal() != syscall.SIGTERM || signals == 1 && status.ExitStatus() != 3 {
			t.Errorf("after %d signals: %v", signals, cmd.ProcessState)
		}
	}
}
