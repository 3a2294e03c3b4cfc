package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
		return
	}
	goleak.VerifyTestMain(m)
}

func document(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestCommands(t *testing.T) {
	good := document(t, "edge: gate-7\nsensors: [{name: river, topic: r}]\n")
	bad := document(t, "edge: gate-7\ncameras: [{name: yard, url: \"ftp://x\", colour: red}]\n")
	absent := document(t, "edge: gate-7\ncameras: [{name: yard, url: \"rtsp://127.0.0.1:1/x\"}]\n")
	for _, c := range []struct {
		args  string
		out   string // in what is printed
		err   string // in the error; empty: none
		usage bool
	}{
		{args: "", usage: true},
		{args: "dance", usage: true},
		{args: "run", usage: true},
		{args: "run --colour red", usage: true},
		{args: "check", usage: true},
		{args: "enrol https://hub:8443", usage: true},
		{args: "enrol https://hub:8443 --data x", usage: true},
		{args: "version", out: "\n"},
		{args: "model", usage: true},
		{args: "model dance x.onnx", usage: true},
		{args: "model check", usage: true},
		{args: "model check --threads 0 x.onnx", err: "--threads 0 is not between 1 and 64"},
		{args: "model check --worker /nowhere x.onnx", err: "there is no worker program"},
		{args: "check --config " + good, out: "good: edge gate-7, 0 cameras, 1 sensor\n"},
		{args: "check --config " + good, out: "note: hub.url: no hub is named"},
		{args: "check --config " + good + " --json", usage: true},
		{args: "check --connect --config " + good, out: "trying 0 connections"},
		{args: "check --connect --json --config " + good, out: "{\n  \"cameras\": [],\n  \"brokers\": []\n}\n"},
		{args: "check --connect --config " + absent, err: "1 of 1 connections do not work"},
		{args: "check --config " + absent, out: "good: edge gate-7, 1 camera, 0 sensors\n"},
		{args: "check --config " + bad, err: bad + ":2: cameras[0]"},
		{args: "run --config " + bad, err: bad + ":2: cameras[0]"},
		{args: "check --config /nowhere.yml", err: "reading the configuration"},
		{args: "run --config " + good + " --worker /nowhere", err: "there is no worker program"},
		{args: "run --status 0.0.0.0:9101 --config " + good, err: "expected a loopback address"},
		{args: "replay --config " + good + " --camera yard --worker " + os.Args[0] + " x.mp4", err: "the document has no camera"},
		{args: "replay --config " + good + " --camera yard --at noon --worker " + os.Args[0] + " x.mp4", err: "expected a time such as 2026-11-30T22:00"},
		{args: "apply", usage: true},
		{args: "apply " + good + " --data " + t.TempDir(), err: "no edge runs on the data directory"},
		{args: "status x", usage: true},
		{args: "status --data " + t.TempDir(), err: "no edge runs on the data directory"},
		{args: "enrol --data " + t.TempDir() + " https://hub:8443 nonsense", err: "not a token"},
		{args: "enrol https://hub:8443 nonsense --data " + t.TempDir(), err: "not a token"},
	} {
		var out, diagnostics bytes.Buffer
		err := command(t.Context(), strings.Fields(c.args), &out, &diagnostics)
		switch {
		case c.usage:
			if !errors.Is(err, errUsage) || !strings.Contains(diagnostics.String(), "usage") && !strings.Contains(diagnostics.String(), "flag") {
				t.Errorf("edge %s: %v, %q", c.args, err, diagnostics.String())
			}
		case c.err != "":
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("edge %s: %v, want %q", c.args, err, c.err)
			}
		case err != nil || !strings.Contains(out.String(), c.out):
			t.Errorf("edge %s: %v, %q, want %q", c.args, err, out.String(), c.out)
		}
	}
}
