package faults

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// A program whose clock is ahead writes times that are ahead, in its log.
func TestClockOfAProgramIsShifted(t *testing.T) {
	dir := t.TempDir()
	source := filepath.Join(dir, "now")
	if err := os.Mkdir(source, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"go.mod":  "module now\n\ngo 1.26\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\t\"time\"\n)\n\nfunc main() { fmt.Println(time.Now().Unix(), (<-time.After(time.Millisecond)).Unix()) }\n",
	} {
		if err := os.WriteFile(filepath.Join(source, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program, err := BuildWithClock(t.Context(), source, dir, ".")
	if err != nil {
		t.Fatal(err)
	}
	clock := filepath.Join(dir, "clock")
	for _, by := range []time.Duration{0, 48 * time.Hour, -900 * 24 * time.Hour} {
		if err := setClock(clock, by); err != nil {
			t.Fatal(err)
		}
		cmd := exec.CommandContext(t.Context(), program)
		cmd.Env = append(os.Environ(), clockKey+"="+clock)
		out, err := cmd.Output()
		if err != nil {
			t.Fatal(err)
		}
		var now, ticked int64
		if _, err := fmt.Sscan(string(out), &now, &ticked); err != nil {
			t.Fatalf("reading %q: %v", out, err)
		}
		want := time.Now().Add(by).Unix()
		if now < want-60 || now > want || ticked < now || ticked > want {
			t.Errorf("a clock that is wrong by %v shows %d and %d, want %d", by, now, ticked, want)
		}
	}
}
