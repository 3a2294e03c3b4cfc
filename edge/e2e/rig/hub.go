package rig

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

const loopback = "127.0.0.1" // the address of a hub's console and of the brokers

const startLimit = 60 * time.Second // with the machine busy

// Hub is a hub process with its data folder. It uses the same ports when it is started again.
type Hub struct {
	Programs Programs
	Dir      string // of its data and its log
	Config   string // configuration file; empty: none
	Database string // URL of a PostgreSQL database; empty: SQLite
	*Client         // with an administrator's token

	process *Process
	at      struct {
		Listen      string `json:"listen"`
		EdgeListen  string `json:"edge_listen"`
		MediaListen string `json:"media_listen"`
		PID         int    `json:"pid"`
	}
}

// StartHub starts a hub with a new data folder in dir and creates a token.
func StartHub(ctx context.Context, p Programs, dir string) (*Hub, error) {
	return StartHubWith(ctx, p, dir, HubOptions{})
}

// HubOptions are optional settings of a hub.
type HubOptions struct {
	Config   string // configuration file; empty: none
	Host     string // IP address of this machine where edges and media are served; 127.0.0.1 if empty
	Console  string // the same for the console and the API
	Database string // URL of a PostgreSQL database; empty: SQLite in the data folder
}

// StartHubWith is StartHub with options.
func StartHubWith(ctx context.Context, p Programs, dir string, o HubOptions) (*Hub, error) {
	h := &Hub{Programs: p, Dir: dir, Config: o.Config, Database: o.Database}
	host, console := cmp.Or(o.Host, loopback), cmp.Or(o.Console, loopback)
	for _, one := range []struct {
		address *string
		host    string
	}{{&h.at.Listen, console}, {&h.at.EdgeListen, host}, {&h.at.MediaListen, host}} {
		var err error
		if *one.address, err = FreeAddress(one.host); err != nil {
			return nil, err
		}
	}
	if err := h.Start(ctx); err != nil {
		return nil, err
	}
	token, err := h.Command(ctx, "", "token", "create", "--role", "administrator", "--name", "rig")
	if err != nil {
		return nil, errors.Join(err, h.Stop())
	}
	h.Client = NewClient("http://"+h.at.Listen, token)
	return h, nil
}

// AttachHub returns a handle of a hub that another process of this machine has started with its
// data in dir. Edges can be enrolled by it; it has no token and no process.
func AttachHub(p Programs, dir string) (*Hub, error) {
	h := &Hub{Programs: p, Dir: dir}
	text, err := os.ReadFile(filepath.Join(h.data(), "run.json"))
	if err != nil {
		return nil, fmt.Errorf("reading where the hub listens: %w", err)
	}
	if err := json.Unmarshal(text, &h.at); err != nil {
		return nil, fmt.Errorf("reading where the hub listens: %w", err)
	}
	return h, nil
}

// Start starts the hub again after Stop or Kill, and returns when it is ready.
func (h *Hub) Start(ctx context.Context) error {
	if err := h.Launch(); err != nil {
		return err
	}
	err := Until(ctx, startLimit, "the hub", h.ready)
	if err != nil {
		h.Kill()
	}
	return err
}

// Launch starts the hub like Start, but does not wait until it is ready.
func (h *Hub) Launch() (err error) {
	args := []string{"run", "--data", h.data(), "--listen", h.at.Listen, "--edge-listen", h.at.EdgeListen, "--media-listen", h.at.MediaListen}
	if h.Config != "" {
		args = append(args, "--config", h.Config)
	}
	h.process, err = StartWith(filepath.Join(h.Dir, "hub.log"), h.env(), h.Programs.Path("hub"), args...)
	return err
}

// env names the database, which may hold a password, where no other process sees it.
func (h *Hub) env() []string {
	if h.Database == "" {
		return nil
	}
	return []string{"GRIDPOST_DATABASE=" + h.Database}
}

// Process returns the hub's process.
func (h *Hub) Process() *Process { return h.process }

// Data returns the hub's data folder.
func (h *Hub) Data() string { return h.data() }

func (h *Hub) ready(ctx context.Context) error {
	select {
	case <-h.process.Ended():
		return fmt.Errorf("it ended: %s", h.process.Tail())
	default:
	}
	at := h.at
	text, err := os.ReadFile(filepath.Join(h.data(), "run.json"))
	if errors.Is(err, fs.ErrNotExist) {
		return ErrNotYet
	}
	if err != nil {
		return fmt.Errorf("reading where the hub listens: %w", err)
	}
	if err := json.Unmarshal(text, &at); err != nil {
		return fmt.Errorf("reading where the hub listens: %w", err)
	}
	if at.PID != h.process.PID() {
		return ErrNotYet // a killed hub's file
	}
	status, body, err := NewClient("http://"+at.Listen, "").Do(ctx, http.MethodGet, "/readyz", nil)
	if err != nil || status != http.StatusOK {
		return errors.Join(ErrNotYet, err, fmt.Errorf("%d %s", status, body))
	}
	h.at = at
	return nil
}

func (h *Hub) data() string { return filepath.Join(h.Dir, "hub") }

// Address returns where the console and the API are served, as host:port.
func (h *Hub) Address() string { return h.at.Listen }

// EdgeAddress returns where edges are served, as host:port.
func (h *Hub) EdgeAddress() string { return h.at.EdgeListen }

// EdgeURL returns where edges reach the hub.
func (h *Hub) EdgeURL() string { return "https://" + h.at.EdgeListen }

// PID returns the number of the hub's process.
func (h *Hub) PID() int { return h.process.PID() }

// Stop ends the hub as an operator does.
func (h *Hub) Stop() error { return h.process.Stop() }

// Kill ends the hub as a power cut does.
func (h *Hub) Kill() { h.process.Kill() }

// Command runs a command of the hub on its data folder and returns what it printed.
func (h *Hub) Command(ctx context.Context, input string, args ...string) (string, error) {
	return command(ctx, h.env(), h.Programs.Path("hub"), input, append(args, "--data", h.data())...)
}

// AddUser adds a user.
func (h *Hub) AddUser(ctx context.Context, name, password, role string) error {
	_, err := h.Command(ctx, password, "user", "add", name, "--role", role)
	return err
}

// Enrol makes an edge called name known to the hub, with its identity in dir.
func (h *Hub) Enrol(ctx context.Context, name, dir string) error {
	token, err := h.Command(ctx, "", "edge", "add", name)
	if err != nil {
		return err
	}
	_, err = command(ctx, nil, h.Programs.Path("edge"), "", "enrol", "--data", dir, h.EdgeURL(), token)
	return err
}

// command runs a program to its end and returns its output.
func command(ctx context.Context, env []string, program, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	if len(env) > 0 {
		cmd.Env = append(os.Environ(), env...)
	}
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
