package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
)

// brief is a section of the document that makes clips of a few seconds.
func brief(document rig.Map) {
	document["clips"] = rig.Map{"before": "3s", "after": "2s", "longest": "2s"}
}

// clipOf waits until the hub has a whole clip of an incident.
func clipOf(t *testing.T, h *rig.Hub) (inc public.Incident, f public.EvidenceFile) {
	t.Helper()
	err := rig.Until(t.Context(), 2*time.Minute, "a clip", func(ctx context.Context) error {
		all, err := h.Incidents(ctx)
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		for _, i := range all {
			for _, e := range i.Evidence {
				if e.Name == "clip.mp4" && e.Complete {
					inc, f = i, e
					return nil
				}
			}
		}
		return fmt.Errorf("%w: %d incidents without one", rig.ErrNotYet, len(all))
	})
	if err != nil {
		t.Fatal(err)
	}
	return inc, f
}

// download watches a clip and saves it in a folder.
func download(t *testing.T, h *rig.Hub, inc public.Incident, f public.EvidenceFile) (path string, content []byte) {
	t.Helper()
	var v public.ClipView
	if err := h.Post(t.Context(), "/api/v1/evidence/"+inc.ID+"/"+f.Name+"/views", map[string]string{"reason": "test"}, &v); err != nil {
		t.Fatal(err)
	}
	status, content, err := h.Do(t.Context(), "GET", v.URL, nil)
	if err != nil || status != 200 {
		t.Fatalf("%d, %v", status, err)
	}
	path = filepath.Join(t.TempDir(), f.Name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path, content
}

// TestClip: what a camera saw around an incident is at the hub, begins at most a GOP before the wanted second, and is proved
// to be the edge's, until one byte changes. The edge is killed while it records the first clip.
func TestClip(t *testing.T) {
	h := startHub(t)
	s := startSite(t, h, rig.SiteOptions{Name: "gate-7", Footage: pedestrians(t), Cameras: map[string][]rig.Map{"yard": {passing()}}, Edit: brief})
	err := rig.Until(t.Context(), 2*time.Minute, "a clip that is being recorded", func(context.Context) error {
		files, err := filepath.Glob(filepath.Join(s.Data(), "clips", "*", "clip.mp4"))
		if err != nil {
			return err
		}
		for _, file := range files {
			if info, err := os.Stat(file); err == nil && info.Size() > 100_000 {
				return nil
			}
		}
		return rig.ErrNotYet
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Kill()
	if err := s.Start(); err != nil {
		t.Fatal(err)
	}
	inc, f := clipOf(t, h)
	if f.Clip == nil || !f.Clip.Signed || f.Clip.Frames == 0 || f.ContentType != "video/mp4" {
		t.Fatalf("%+v", f)
	}
	const gop = 3 * time.Second // the longest of the footage
	if early := inc.OpenedAt.Add(-3 * time.Second).Sub(f.Clip.From); early > gop {
		t.Errorf("the clip begins %v before the wanted second", early)
	}
	path, content := download(t, h, inc, f)
	out, err := h.Command(t.Context(), "", "evidence", "verify", path)
	if err != nil || !strings.Contains(out, "unchanged since the edge gate-7 signed it") || !strings.Contains(out, "has received the same file from gate-7") {
		t.Fatalf("%s, %v", out, err)
	}
	ca, err := h.Command(t.Context(), "", "evidence", "authority")
	if err != nil {
		t.Fatal(err)
	}
	authority := filepath.Join(t.TempDir(), "authority.pem")
	if err := os.WriteFile(authority, []byte(ca), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Command(t.Context(), "", "evidence", "verify", path, "--authority", authority); err != nil {
		t.Fatalf("%s, %v", out, err)
	}
	content[len(content)/2] ^= 1
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := h.Command(t.Context(), "", "evidence", "verify", path, "--authority", authority); err == nil {
		t.Errorf("a changed file verifies: %s", out)
	}
}
