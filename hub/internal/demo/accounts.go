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
	user     = "admin" // name of the administrator; the other user is called dispatcher
)

// secrets are the passwords and the token of a demonstration. They are stored in secretsFile, so that
// each start prints the same ones.
type secrets struct {
	Password string `json:"password"` // of the users
	Token    string `json:"token"`    // API token; empty until the hub has created it
	Sensors  string `json:"sensors"`  // password of the sensors at the edge's broker
	Cameras  string `json:"cameras"`  // password of the simulated cameras
}

const secretsFile = "keys.json"

// loadSecrets loads the secrets, or generates and saves new ones if there are none.
func loadSecrets(dir string) (secrets, error) {
	var k secrets
	path := filepath.Join(dir, secretsFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		k = secrets{Password: rand.Text(), Sensors: rand.Text(), Cameras: rand.Text()}
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

func (k secrets) save(dir string) error {
	text, err := json.MarshalIndent(k, "", "  ")
	if err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	path := filepath.Join(dir, secretsFile)
	if err := os.WriteFile(path+".new", append(text, '\n'), 0o600); err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("writing the demonstration's secrets: %w", err)
	}
	return nil
}

// lock locks a data folder, so that only one demonstration at a time uses it. The kernel releases the
// lock when the process ends.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "demo.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		_ = f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("another demonstration uses %s; choose another folder with DATA_DIR", dir)
		}
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	return func() { _ = f.Close() }, nil
}

// createAccounts creates the users and the token if the hub does not accept the stored token. It
// returns true if it created them, which means that the hub is new.
func (s *demonstration) createAccounts(ctx context.Context, address string) (created bool, err error) {
	if s.secrets.Token != "" {
		status, _, err := s.get(ctx, "http://"+address+"/api/v1/devices")
		if err != nil {
			return false, err
		}
		if status == http.StatusOK {
			return false, nil
		}
	}
	s.printf("Creating users and a token")
	for _, u := range []struct{ name, role string }{{user, "administrator"}, {"dispatcher", "dispatcher"}} {
		if err := s.addUser(ctx, u.name, u.role); err != nil {
			return false, err
		}
	}
	token, err := s.command(ctx, "hub", "", "token", "create", "--data", s.hubData(), "--role", "administrator", "--name", "demo")
	if err != nil {
		return false, err
	}
	s.secrets.Token = token
	return true, s.secrets.save(s.Data)
}

// addUser adds a user, or sets the password of the user if it exists.
func (s *demonstration) addUser(ctx context.Context, name, role string) error {
	_, err := s.command(ctx, "hub", s.secrets.Password, "user", "add", name, "--data", s.hubData(), "--role", role)
	if err == nil {
		return nil
	}
	if _, again := s.command(ctx, "hub", s.secrets.Password, "user", "password", name, "--data", s.hubData()); again != nil {
		return err
	}
	return nil
}

// enrol enrols the edge at the hub, unless it is enrolled already.
func (s *demonstration) enrol(ctx context.Context, url string, hubIsNew bool) error {
	if _, err := enrol.Load(s.edgeData()); err == nil && !hubIsNew {
		return nil
	} else if err != nil && !errors.Is(err, enrol.ErrNotEnrolled) {
		return err
	}
	s.printf("Enrolling the edge %s at the hub", edgeName)
	token, err := s.command(ctx, "hub", "", "edge", "add", edgeName, "--data", s.hubData())
	if err != nil {
		return err
	}
	_, err = s.command(ctx, "edge", "", "enrol", "--data", s.edgeData(), url, token)
	return err
}

// command runs one of the programs, with input as its standard input, and returns its standard output.
func (s *demonstration) command(ctx context.Context, name, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, stepLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, filepath.Join(s.Programs, name), args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s %s: %w: %s", name, args[0], args[1], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
