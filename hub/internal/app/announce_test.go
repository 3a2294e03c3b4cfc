package app

import (
	"log/slog"
	"os"
	"path/filepath"
	"testing"
)

// TestRunFileNeedsNoRoom: a run file that cannot be written beside the old one is written over it, and
// one that cannot be written at all does not keep the hub from running.
func TestRunFileNeedsNoRoom(t *testing.T) {
	dir := t.TempDir()
	h := &hub{config: Config{Data: dir}, log: slog.New(slog.DiscardHandler)}
	path := filepath.Join(dir, runFile)
	// A folder in its way stands for a disk without room.
	if err := os.Mkdir(path+".new", 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte("old"), 0o600); err != nil {
		t.Fatal(err)
	}
	h.writeRunFile([]byte("new"))
	if got, err := os.ReadFile(path); err != nil || string(got) != "new" {
		t.Errorf("%q, %v", got, err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(path, 0o700); err != nil {
		t.Fatal(err)
	}
	h.writeRunFile([]byte("newer")) // logs, and goes on
}
