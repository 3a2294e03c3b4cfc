package demo

import (
	"bytes"
	_ "embed" // the town
	"fmt"
	"os"
	"path/filepath"
)

// town is the map of a fictitious town: streets, water, buildings and parks, with names in Chinese and
// English.
//
//go:embed town/town.geojson
var town []byte

// writeTown writes the town to the hub's folder of map layers. It does not replace an existing file,
// because a user may have put their own map there.
func (s *demonstration) writeTown() error {
	dir := filepath.Join(s.hubData(), "map")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("creating the folder of the map: %w", err)
	}
	path := filepath.Join(dir, "town.geojson")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	// The file is renamed into place, because the hub may serve it at any time.
	next := path + ".new"
	if err := os.WriteFile(next, bytes.TrimSpace(town), 0o600); err != nil {
		return fmt.Errorf("writing the town: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing the town: %w", err)
	}
	return nil
}
