package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestCheckCommand(t *testing.T) {
	file := filepath.Join(t.TempDir(), "hub.yml")
	write := func(text string) {
		t.Helper()
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const addresses = "listen: 127.0.0.1:0\nedge_listen: 127.0.0.1:0\nmedia_listen: 127.0.0.1:0\n"
	write(addresses)
	out, err := hub(t, "", "check", "--config", file, "--data", t.TempDir())
	if err != nil || !strings.HasSuffix(out, file+": good: a hub can run\n") || !strings.Contains(out, file+": good: listen: ") {
		t.Errorf("%v\n%s", err, out)
	}
	write(addresses + "public_addresses: [hub.example]\n")
	out, err = hub(t, "", "check", "--config", file, "--data", t.TempDir())
	if err == nil || !strings.Contains(out, file+`: problem: public_addresses: expected an IP address, not "hub.example"`) {
		t.Errorf("%v\n%s", err, out)
	}
	write("lisen: x\n")
	if _, err := hub(t, "", "check", "--config", file); err == nil || !strings.Contains(err.Error(), "lisen") {
		t.Errorf("an unknown key: %v", err)
	}
}
