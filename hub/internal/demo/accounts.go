package demo

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"gridpost/firmware-config/enrol"
)

const (
	edgeName = "demo"
	user     = "admin" // an administrator; there is a dispatcher of that name as well
)

// keys are the secrets of a demonstration. They are kept, so that a second start prints the
// same ones.
type keys struct {
	Password string `json:"password"` // of the users
	Token    string `json:"token"`    // for the API; empty until the hub has made it
	Sensors  string `json:"sensors"`  // password at the edge's broker
	Cameras  string `json:"cameras"`  // password at the simulated cameras
}

const keysFile = "keys.json"

// openKeys reads the secrets, or makes new ones.
func openKeys(dir string) (keys, error) {
	var k keys
	path := filepath.Join(dir, keysFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k = keys{Password: rand.Text(), Sensors: rand.Text(), Cameras: rand.Text()}
		return k, k.save(dir)
	}
	if err != nil {
		return k, fmt.Errorf("reading the demonstration's secrets: %w", err)
	}
	if err := json.Unmarshal(text, &k); err != nil {
		return k, fmt.Errorf("reading %s: %w", path, err)
	}
	return k, nil
}

func (k keys) save(dir string) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	path := filepath.Join(dir, keysFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	return nil
}

// lock makes sure that one demonstration at most runs on a data folder. The lock ends with the
// process, however it ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "demo.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another demonstration runs on %s; choose another folder with DATA_DIR", dir)
		}
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// accounts makes the users and the token, unless the hub knows the token already. made reports
// that it did: the hub is new.
func (s *show) accounts(ctx context.Context, address string) (made bool, err error) {
	if s.keys.Token != "" {
		status, _, err := s.get(ctx, "http://"+address+"/api/v1/devices")
		if err != nil {
			return false, err
		}
		if status == http.StatusOK {
			return false, nil
		}
	}
	s.say("Making users and a token")
	for _, u := range []struct{ name, role string }{{user, "administrator"}, {"dispatcher", "dispatcher"}} {
		if err := s.account(ctx, u.name, u.role); err != nil {
			return false, err
		}
	}
	token, err := s.command(ctx, "hub", "", "token", "create", "--data", s.hubData(), "--role", "administrator", "--name", "demo")
	if err != nil {
		return false, err
	}
	s.keys.Token = token
	return true, s.keys.save(s.Data)
}

// account makes a user, or gives the one that there is the password.
func (s *show) account(ctx context.Context, name, role string) error {
	_, err := s.command(ctx, "hub", s.keys.Password, "user", "add", name, "--data", s.hubData(), "--role", role)
	if err == nil {
		return nil
	}
	if _, again := s.command(ctx, "hub", s.keys.Password, "user", "password", name, "--data", s.hubData()); again != nil {
		return err
	}
	return nil
}

// enrol makes the edge known to the hub, unless it is.
func (s *show) enrol(ctx context.Context, url string, hubIsNew bool) error {
	if _, err := enrol.Load(s.edgeData()); err == nil && !hubIsNew {
		return nil
	} else if err != nil && !errors.Is(err, enrol.ErrNotEnrolled) {
		return err
	}
	s.say("Enrolling the edge %s at the hub", edgeName)
	token, err := s.command(ctx, "hub", "", "edge", "add", edgeName, "--data", s.hubData())
	if err != nil {
		return err
	}
	_, err = s.command(ctx, "edge", "", "enrol", "--data", s.edgeData(), url, token)
	return err
}

// command runs one of the programs to its end, with input, and returns what it printed.
func (s *show) command(ctx context.Context, name, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Programs, name), args...)
	cmd.Stdin = strings.NewReader(input)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s %s: %w: %s", name, args[0], args[1], err, bytes.TrimSpace(complaint.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
