package durable_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"gridpost/devices/durable"
)

func TestReplace(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	for _, content := range []string{"first", "second, longer", "3"} {
		if err := durable.Replace(path, []byte(content)); err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(path)
		if err != nil || string(got) != content {
			t.Fatalf("%q, %v", got, err)
		}
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}

// TestReplaceThatFailsChangesNothing: the path is a folder with something in it, which no file can replace.
func TestReplaceThatFailsChangesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "folder")
	if err := os.MkdirAll(filepath.Join(path, "inside"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := durable.Replace(path, []byte("x")); err == nil {
		t.Error("no error")
	}
	left, err := fs.Glob(os.DirFS(dir), "*")
	if err != nil || len(left) != 1 || left[0] != "folder" {
		t.Errorf("%v is left, %v", left, err)
	}
}

// TestCreateIsForOne: of several calls, one makes the file, and the others leave it as it is.
func TestCreateIsForOne(t *testing.T) {
	path := filepath.Join(t.TempDir(), "folder", "file")
	contents := []string{"one", "two", "three", "four"}
	errs := make([]error, len(contents))
	var wg sync.WaitGroup
	for i, content := range contents {
		wg.Go(func() { errs[i] = durable.Create(path, []byte(content)) })
	}
	wg.Wait()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i, err := range errs {
		if made := contents[i] == string(got); made != (err == nil) || !made && !errors.Is(err, fs.ErrExist) {
			t.Errorf("%q: %v; the file has %q", contents[i], err, got)
		}
	}
	left, err := os.ReadDir(filepath.Dir(path))
	if err != nil || len(left) != 1 {
		t.Errorf("%v is left, %v", left, err)
	}
}
