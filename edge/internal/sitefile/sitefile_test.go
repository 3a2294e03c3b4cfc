package sitefile

import (
	"errors"
	"os"
	"path/filepath"
	"testing"

	firmwareconfig "gridpost/firmware-config"
)

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// TestAnAppliedDocumentCountsUntilTheConfigFileChanges: also after a restart, for which a new Files
// stands.
func TestAnAppliedDocumentCountsUntilTheConfigFileChanges(t *testing.T) {
	dir := t.TempDir()
	config := filepath.Join(t.TempDir(), "site.yml")
	sensors := func() (int, Source) {
		t.Helper()
		f := &Files{Config: config, Dir: dir, Getenv: os.LookupEnv}
		doc, source, err := f.Load()
		if err != nil {
			t.Fatal(err)
		}
		return len(doc.Sensors), source
	}
	write(t, config, "edge: a\n")
	if n, source := sensors(); n != 0 || source != (Source{File: config}) {
		t.Errorf("%d sensors from %+v", n, source)
	}
	f := &Files{Config: config, Dir: dir, Getenv: os.LookupEnv}
	if err := f.SaveApplied("new.yml", []byte("edge: a\nsensors: [{name: s, topic: t}]\n")); err != nil {
		t.Fatal(err)
	}
	if n, source := sensors(); n != 1 || source != (Source{File: "new.yml", Applied: true}) {
		t.Errorf("%d sensors from %+v", n, source)
	}
	info, err := os.Stat(filepath.Join(dir, appliedFile))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
	write(t, config, "edge: a\nsensors: [{name: s, topic: t}, {name: u, topic: v}]\n")
	if n, source := sensors(); n != 2 || source.Applied {
		t.Errorf("%d sensors from %+v", n, source)
	}
	for range 2 {
		if err := f.Discard(); err != nil {
			t.Error(err)
		}
	}
	write(t, config, "edge: a\n")
	if n, _ := sensors(); n != 0 {
		t.Errorf("%d sensors after the change was taken back", n)
	}
	for _, damaged := range []string{"", "{", `{"config":"` + hash([]byte("edge: a\n")) + `","document":"edge: [","name":"x"}`} {
		write(t, filepath.Join(dir, appliedFile), damaged)
		if n, source := sensors(); n != 0 || source.Applied {
			t.Errorf("%q: %d sensors from %+v", damaged, n, source)
		}
	}
}

func TestErrors(t *testing.T) {
	dir := t.TempDir()
	f := &Files{Config: filepath.Join(dir, "site.yml"), Dir: filepath.Join(dir, "gone"), Getenv: os.LookupEnv}
	if _, _, err := f.Load(); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing file: %v", err)
	}
	write(t, f.Config, "edge: A B\n")
	var problems firmwareconfig.Problems
	if _, _, err := f.Load(); !errors.As(err, &problems) || problems[0].File != f.Config || problems[0].Key != "edge" {
		t.Errorf("a bad document: %v", err)
	}
	if err := f.SaveApplied("x", []byte("edge: a\n")); err == nil {
		t.Error("saving to a directory that is not there worked")
	}
}
