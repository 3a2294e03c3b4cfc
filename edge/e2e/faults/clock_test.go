package faults

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// A program whose clock is ahead writes times that are ahead, in its log.
func TestClockOfAProgramIsShifted(t *testing.T) {
	dir := t.TempDir()
	program, err := BuildWithClock(t.Context(), "../../..", dir, "./edge")
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(dir, "clock")
	if err := setClock(clock, 48*time.Hour); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), program, "run", "--config", filepath.Join(dir, "none.yml"), "--data", dir)
	cmd.Env = append(cmd.Environ(), clockKey+"="+clock)
	out, _ := cmd.CombinedOutput() // it fails for want of a document
	t.Log(strings.TrimSpace(string(out)))
}
