package demo

import (
	"bytes"
	_ "embed" // the town
	"fmt"
	"os"
	"path/filepath"
)

// The made-up town that the demonstration's devices stand in: streets, water, buildings and parks
// with their names in Chinese and in English.
//
//go:embed town/town.geojson
var town []byte

// layOutTown puts the town beside the hub, where its map looks for it. A file that is there stays
// as it is, so that whoever tries their own is not overruled at the next start.
func (s *show) layOutTown() error {
	dir := filepath.Join(s.hubData(), "map")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("making the folder of the map: %w", err)
	}
	path := filepath.Join(dir, "town.geojson")
	if _, err := os.Stat(path); err == nil {
		return nil
	}
	// In one step: the hub may be asked for it at any time.
	next := path + ".new"
	if err := os.WriteFile(next, bytes.TrimSpace(town), 0o600); err != nil {
		return fmt.Errorf("writing the town: %w", err)
	}
	if err := os.Rename(next, path); err != nil {
		return fmt.Errorf("writing the town: %w", err)
	}
	return nil
}
