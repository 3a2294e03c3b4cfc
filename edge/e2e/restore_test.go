package e2e

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gridpost/edge/e2e/rig"
)

// A hub is backed up while it runs, works on, loses its disk, and is restored. What happened since the
// backup comes from the edge again: every flood is at the hub once, and what happens next too.
func TestRestoredHubIsFilledByItsEdges(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{Name: "river-1", Sensors: map[string][]rig.Map{"river": {flood()}}})
	river := sensor(t, s, "river")
	floods := 0
	wave := func(n int) {
		t.Helper()
		for range n {
			for _, level := range []float64{0.5, 3, 0.5} {
				if err := river.Publish(t.Context(), level); err != nil {
					t.Fatal(err)
				}
			}
			floods++
		}
		waitIncidents(t, h, floods)
	}
	wave(3)
	backups := filepath.Join(t.TempDir(), "backups")
	made, err := h.Command(t.Context(), "", "backup", backups)
	if err != nil {
		t.Fatal(err)
	}
	wave(3)
	h.Kill()
	if _, err := h.Command(t.Context(), "", "restore", "--from", backups); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("a hub's data was overwritten: %v", err)
	}
	if err := os.RemoveAll(h.Data()); err != nil {
		t.Fatal(err)
	}
	out, err := h.Command(t.Context(), "", "restore", "--from", backups)
	if err != nil || !strings.Contains(out, made) {
		t.Fatalf("%q, %v", out, err)
	}
	if err := h.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	waitIncidents(t, h, floods) // three are the backup's, three the edge's
	wave(1)
}
