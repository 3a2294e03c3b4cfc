// Package mosquitto runs the broker mosquitto, of Debian's package of that name, for tests and measurements.
//
// It imports nothing of Gridpost, and no program that a site runs imports it.
package mosquitto

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

// startWithin bounds the time from the start of the broker until it accepts connections.
const startWithin = 20 * time.Second

// Broker is a broker on a port of the loopback interface. Its methods must be called one at a time.
type Broker struct {
	Address string // host and port
	Config  string // path of its configuration file
	cmd     *exec.Cmd
}

// Program returns the path of mosquitto. Debian installs it where only root's PATH leads.
func Program() (string, error) {
	for _, name := range []string{"mosquitto", "/usr/sbin/mosquitto"} {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", errors.New("mosquitto is missing: it is in Debian's package mosquitto, which `make deps` installs")
}

// New configures a broker in a folder: a free port, no log-in, mosquitto's defaults, and further lines of its
// configuration. Start starts it.
func New(dir string, lines ...string) (*Broker, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	b := &Broker{Address: l.Addr().String(), Config: filepath.Join(dir, "mosquitto.conf")}
	if err := l.Close(); err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	_, port, err := net.SplitHostPort(b.Address)
	if err != nil {
		return nil, fmt.Errorf("looking for a free port: %w", err)
	}
	if os.Getuid() == 0 {
		lines = append(lines, "user root") // else it could not read what root has written
	}
	text := fmt.Sprintf("listener %s 127.0.0.1\nlog_type none\n%s\n", port, strings.Join(lines, "\n"))
	if !strings.Contains(text, "allow_anonymous") && !strings.Contains(text, "password_file") {
		text += "allow_anonymous true\n"
	}
	if err := os.WriteFile(b.Config, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("configuring mosquitto: %w", err)
	}
	return b, nil
}

// Test is what StartFor needs of a testing.TB.
type Test interface {
	Helper()
	TempDir() string
	Cleanup(func())
	Error(args ...any)
	Fatal(args ...any)
}

// StartFor starts a broker with its defaults that ends with the test, and returns its address.
func StartFor(t Test) (address string) {
	t.Helper()
	b, err := New(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Stop(); err != nil {
			t.Error(err)
		}
	})
	return b.Address
}

// Start starts the broker, and returns when it accepts connections. It may be called again after Stop.
func (b *Broker) Start() error {
	program, err := Program()
	if err != nil {
		return err
	}
	cmd := exec.Command(program, "-c", b.Config)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting mosquitto: %w", err)
	}
	b.cmd = cmd
	for deadline := time.Now().Add(startWithin); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", b.Address)
		if err == nil {
			return c.Close()
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("mosquitto does not listen after %v: %w", startWithin, err), b.Stop())
		}
	}
}

// Stop ends the broker and waits for its end. It does nothing if the broker does not run.
func (b *Broker) Stop() error {
	if b.cmd == nil {
		return nil
	}
	cmd := b.cmd
	b.cmd = nil
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		return fmt.Errorf("stopping mosquitto: %w", err)
	}
	var exit *exec.ExitError
	if err := cmd.Wait(); err != nil && !errors.As(err, &exit) { // some versions end with a status that is not zero
		return fmt.Errorf("stopping mosquitto: %w", err)
	}
	return nil
}
