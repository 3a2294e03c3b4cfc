package rig

import (
	"bytes"
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

const startLimit = 60 * time.Second // with the machine busy

// Hub is a hub on a data folder. It keeps its ports when it is started again.
type Hub struct {
	Programs Programs
	Dir      string // of its data and its log
	Config   string // configuration file; empty: none
	*Client         // with an administrator's token

	process *Process
	at      struct {
		Listen      string `json:"listen"`
		EdgeListen  string `json:"edge_listen"`
		MediaListen string `json:"media_listen"`
		PID         int    `json:"pid"`
	}
}

// StartHub starts a hub with a new data folder in dir and makes a token.
func StartHub(ctx context.Context, p Programs, dir string) (*Hub, error) {
	return StartHubWith(ctx, p, dir, HubOptions{})
}

// HubOptions are what a hub can have beside the defaults.
type HubOptions struct {
	Config string // configuration file; empty: none
	Host   string // IP address of this machine where edges and media are served; 127.0.0.1 if empty
}

// StartHubWith is StartHub with options.
func StartHubWith(ctx context.Context, p Programs, dir string, o HubOptions) (*Hub, error) {
	h := &Hub{Programs: p, Dir: dir, Config: o.Config}
	host := o.Host
	if host == "" {
		host = "127.0.0.1"
	}
	h.at.Listen, h.at.EdgeListen, h.at.MediaListen = "127.0.0.1:0", host+":0", host+":0"
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
	h.process, err = Start(filepath.Join(h.Dir, "hub.log"), h.Programs.Path("hub"), args...)
	return err
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
	return command(ctx, h.Programs.Path("hub"), input, append(args, "--data", h.data())...)
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
	_, err = command(ctx, h.Programs.Path("edge"), "", "enrol", "--data", dir, h.EdgeURL(), token)
	return err
}

// command runs a program to its end and returns its output.
func command(ctx context.Context, program, input string, args ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, startLimit)
	defer cancel()
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdin = strings.NewReader(input)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s", filepath.Base(program), args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return strings.TrimSpace(string(out)), nil
}
