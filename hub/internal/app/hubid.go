package app

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"

	"github.com/google/uuid"
)

// hubFile holds the ID of the hub in its data folder.
const hubFile = "hub.id"

// hubID returns the ID that distinguishes the hubs of one database. It is created at the first
// start. When it cannot be stored, for want of room, the hub runs with an ID of this run: the leases
// of the run are ended by the next one all the same, only later.
func hubID(dir string, log *slog.Logger) (string, error) {
	path := filepath.Join(dir, hubFile)
	text, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("reading the ID of the hub: %w", err)
	}
	if id, err := uuid.Parse(strings.TrimSpace(string(text))); err == nil {
		return id.String(), nil
	}
	id, err := uuid.NewV7()
	if err != nil {
		return "", fmt.Errorf("generating the ID of the hub: %w", err)
	}
	if err := os.WriteFile(path, []byte(id.String()+"\n"), 0o600); err != nil {
		log.Warn("the ID of the hub is not stored", "error", err)
	}
	return id.String(), nil
}
