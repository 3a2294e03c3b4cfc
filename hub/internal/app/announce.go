package app

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// runFile is the name of the file from which programs on this machine read the addresses of the hub.
const runFile = "run.json"

// Running is the content of the run file.
type Running struct {
	Listen      string `json:"listen"`
	EdgeListen  string `json:"edge_listen"`
	MediaListen string `json:"media_listen"`
	TurnListen  string `json:"turn_listen,omitempty"`
	PID         int    `json:"pid"`
}

// announce logs the addresses of the hub, writes the run file, and explains how to add a user if there is none.
func (h *hub) announce(ctx context.Context) error {
	r := Running{
		Listen: h.public.Addr().String(), EdgeListen: h.edgePort.Addr().String(), MediaListen: h.engine.Addr(), PID: os.Getpid(),
	}
	body, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("writing %s: %w", runFile, err)
	}
	h.writeRunFile(append(body, '\n'))
	if h.turn != nil {
		r.TurnListen = h.turn.Addr().String()
	}
	h.log.Info("hub runs", "listen", r.Listen, "edge_listen", r.EdgeListen, "media_listen", r.MediaListen, "data", h.config.Data)
	// Without cancellation: a stop of the hub at this moment is no error.
	users, err := h.people.Users(context.WithoutCancel(ctx), "", 1)
	if err != nil {
		return err
	}
	if len(users) == 0 {
		h.log.Warn("there are no users yet; create the first administrator with: hub user add --data " + h.config.Data + " --role administrator NAME")
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
