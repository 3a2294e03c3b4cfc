package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// runFile tells programs on this machine where the hub listens, with the ports that were bound.
const runFile = "run.json"

// Running is what the run file says while a hub runs.
type Running struct {
	Listen      string `json:"listen"`
	EdgeListen  string `json:"edge_listen"`
	MediaListen string `json:"media_listen"`
	PID         int    `json:"pid"`
}

// announce tells where the hub listens, and what to do when nobody can log in yet.
func (h *hub) announce(ctx context.Context) error {
	r := Running{
		Listen: h.public.Addr().String(), EdgeListen: h.edges.Addr().String(), MediaListen: h.engine.Addr(), PID: os.Getpid(),
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing %s: %w", runFile, err)
	}
	h.writeRunFile(append(body, '\n'))
	h.log.Info("hub runs", "listen", r.Listen, "edge_listen", r.EdgeListen, "media_listen", r.MediaListen, "data", h.config.Data)
	// Who stops the hub this very moment wants no error.
	users, err := h.store.Users(context.WithoutCancel(ctx))
	if err != nil {
		return err
	}
	if len(users) == 0 {
		h.log.Warn("nobody can log in yet; make the first administrator with: hub user add --data " + h.config.Data + " --role administrator NAME")
	}
	return nil
}

// writeRunFile replaces the run file. When there is no room for another one it writes over the old
// one. A hub that cannot write it runs all the same: edges and people do not need it.
func (h *hub) writeRunFile(body []byte) {
	path := filepath.Join(h.config.Data, runFile)
	err := os.WriteFile(path+".new", body, 0o600)
	if err == nil {
		err = os.Rename(path+".new", path)
	}
	if err == nil {
		return
	}
	if again := os.WriteFile(path, body, 0o600); again != nil {
		h.log.Error("programs on this machine do not learn where the hub listens", "error", errors.Join(err, again))
	}
}

func (h *hub) withdraw() {
	if err := os.Remove(filepath.Join(h.config.Data, runFile)); err != nil {
		h.log.Debug("removing the run file", "error", err)
	}
}

// lock makes sure that one hub at most runs on a data folder. The lock ends with the process,
// however it ends. Commands such as hub token create do not need it.
func lock(dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "hub.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("locking the data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = errors.New("another hub runs on it")
		}
		return nil, errors.Join(fmt.Errorf("locking the data folder %s: %w", dir, err), f.Close())
	}
	return func() { _ = f.Close() }, nil
}
