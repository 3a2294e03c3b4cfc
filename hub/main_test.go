package main

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/people"
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
	var out, stderr bytes.Buffer
	err = dispatch(t.Context(), args, program{in: in, out: &out, err: &stderr})
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
	must("", "user", "rename", "li", "li.wei")
	if out := must("", "user", "list"); !strings.Contains(out, "li.wei  dispatcher") {
		t.Errorf("%s", out)
	}
	if _, err := hub(t, "", "user", "totp-remove", "li.wei", "--data", data); err == nil {
		t.Error("a second factor that is off was removed")
	}
	turnOn(t, data, "li.wei")
	if out := must("", "user", "list"); !regexp.MustCompile(`li\.wei .*Z? +\d{4}-\d\d-\d\dT\S+ +all`).MatchString(out) {
		t.Errorf("%s", out)
	}
	must("", "user", "totp-remove", "li.wei")
	if out := must("", "user", "list"); !regexp.MustCompile(`li\.wei .* -  +all`).MatchString(out) {
		t.Errorf("%s", out)
	}
	if out := must("", "audit", "verify"); !strings.Contains(out, "none was changed or removed") {
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

// turnOn gives a user a second factor.
func turnOn(t *testing.T, data, name string) {
	t.Helper()
	d, err := db.Open(t.Context(), db.Options{Name: "hub", Dir: data, Schema: schema.Hub()})
	if err != nil {
		t.Fatal(err)
	}
	_, err = audit.Open(t.Context(), d, audit.Options{Dir: data})
	r := people.New(d, people.Hooks{})
	u, uerr := r.User(t.Context(), name)
	err = errors.Join(err, uerr, r.BeginTOTP(t.Context(), u.ID, []byte("secret")),
		r.EnableTOTP(t.Context(), u.ID, people.Factor{Secret: []byte("secret"), Step: 1}, nil, nil), d.Close())
	if err != nil {
		t.Fatal(err)
	}
}

func TestInvalidCommandsAreRefused(t *testing.T) {
	data := t.TempDir()
	for _, args := range [][]string{
		{}, {"fly"}, {"edge"}, {"edge", "add"}, {"edge", "add", "a", "b"}, {"edge", "sing", "x"}, {"user", "list", "x"}, {"user", "rename", "x"}, {"user", "totp-remove"}, {"audit"}, {"audit", "sing"}, {"token", "create", "x"}, {"run", "x"},
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

func TestAuditVerifyFindsAChange(t *testing.T) {
	data := t.TempDir()
	for range 3 {
		if _, err := hub(t, "", "token", "create", "--role", "monitor", "--data", data); err != nil {
			t.Fatal(err)
		}
	}
	d, err := db.Open(t.Context(), db.Options{Dir: data, Schema: schema.Hub(), Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	err = d.Update(t.Context(), "test", func(tx *db.Tx) error {
		_, err := tx.Exec(`UPDATE audit SET detail = 'administrator' WHERE id = 2`)
		return err
	})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	if _, err := hub(t, "", "audit", "verify", "--data", data); !errors.Is(err, errAuditChanged) || !strings.Contains(err.Error(), "entry 2") {
		t.Errorf("%v", err)
	}
}
