package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gridpost/firmware-config/enrol"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// hub runs one command and returns what it wrote to standard output.
func hub(t *testing.T, input string, args ...string) (string, error) {
	t.Helper()
	path := filepath.Join(t.TempDir(), "input")
	if err := os.WriteFile(path, []byte(input), 0o600); err != nil {
		t.Fatal(err)
	}
	in, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close() //nolint:errcheck // only read
	var out, complaints bytes.Buffer
	err = dispatch(t.Context(), args, program{in: in, out: &out, err: &complaints})
	return out.String(), err
}

func TestCommands(t *testing.T) {
	data := t.TempDir()
	must := func(input string, args ...string) string {
		t.Helper()
		out, err := hub(t, input, append(args, "--data", data)...)
		if err != nil {
			t.Fatalf("%q: %v", args, err)
		}
		return out
	}
	token, err := enrol.ParseToken(must("", "edge", "add", "gate-7"))
	if err != nil || token.Name != "gate-7" {
		t.Fatalf("%+v, %v", token, err)
	}
	if out := must("", "edge", "list"); !strings.Contains(out, "gate-7  pending") {
		t.Errorf("%s", out)
	}
	must("", "edge", "revoke", "gate-7")
	if out := must("", "edge", "list"); !strings.Contains(out, "gate-7  revoked") {
		t.Errorf("%s", out)
	}
	must("long enough\n", "user", "add", "--role", "dispatcher", "li")
	must("another one\n", "user", "password", "li")
	if out := must("", "user", "list"); !strings.Contains(out, "li    dispatcher") {
		t.Errorf("%s", out)
	}
	if out := must("", "token", "create", "--role", "monitor"); !strings.HasPrefix(out, "gp_") || strings.Count(out, "\n") != 1 {
		t.Errorf("%q", out)
	}
	list := strings.Split(must("", "token", "list"), "\n")
	must("", "token", "revoke", strings.Fields(list[1])[0])
	if out := must("", "token", "list"); strings.Count(out, "\n") != 1 {
		t.Errorf("%s", out)
	}
	if out, err := hub(t, "", "version"); err != nil || out == "" {
		t.Errorf("%q, %v", out, err)
	}
}

func TestCommandsThatMakeNoSense(t *testing.T) {
	data := t.TempDir()
	for _, args := range [][]string{
		{}, {"fly"}, {"edge"}, {"edge", "add"}, {"edge", "add", "a", "b"}, {"edge", "sing", "x"}, {"user", "list", "x"}, {"token", "create", "x"}, {"run", "x"},
	} {
		if _, err := hub(t, "", append(args, "--data", data)...); !errors.Is(err, errUsage) && len(args) > 0 {
			t.Errorf("%q: %v", args, err)
		}
	}
	for _, args := range [][]string{
		{"edge", "add", "Gate 7"}, {"user", "add", "li"}, {"token", "create", "--role", "king"}, {"edge", "revoke", "none"}, {"run", "--speed", "9"}, {"token", "revoke", "x"},
	} {
		if _, err := hub(t, "long enough\n", append(args, "--data", data)...); err == nil {
			t.Errorf("%q was accepted", args)
		}
	}
}
