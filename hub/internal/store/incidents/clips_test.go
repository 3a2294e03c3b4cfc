package incidents

import (
	"testing"
	"time"

	"gridpost/hub/api"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
)

// TestClipsHaveBoundsOfTheirOwn: what an edge says of a clip is stored, and clips are measured and deleted apart from pictures.
func TestClipsHaveBoundsOfTheirOwn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		r := New(d, Hooks{})
		now := time.Now().Add(-time.Hour).UTC().Truncate(time.Millisecond)
		a := alertAt(t, now)
		id := a.Incident.ID
		applyAll(t, d, r, "gate-7", a)
		snapshot, clip := picture(id, "a.jpg", now), picture(id, "clip.mp4", now)
		clip.ContentType = api.ClipType
		clip.Clip = &api.Clip{
			From: now, To: now.Add(30 * time.Second), Frames: 700, Codec: "avc1.64001f", Signed: true,
			Gaps: []api.ClipGap{{From: now.Add(time.Second), To: now.Add(3 * time.Second)}},
		}
		for _, ev := range []api.Evidence{snapshot, clip} {
			if err := announce(t, d, r, "gate-7", ev); err != nil {
				t.Fatal(err)
			}
			if err := r.CompleteEvidence(t.Context(), "gate-7", Upload{Evidence: ev}); err != nil {
				t.Fatal(err)
			}
		}
		inc := get(t, r, id)
		if len(inc.Evidence) != 2 || inc.Evidence[0].IsClip() || inc.Evidence[0].Clip != nil || !inc.Evidence[1].IsClip() {
			t.Fatalf("%+v", inc.Evidence)
		}
		if c := inc.Evidence[1].Clip; c == nil || !c.From.Equal(now) || c.Frames != 700 || !c.Signed || len(c.Gaps) != 1 || c.Codec != "avc1.64001f" {
			t.Errorf("%+v", c)
		}
		f, err := r.File(t.Context(), scope.All(), id, "clip.mp4")
		if err != nil || f.Clip == nil || f.Clip.Frames != 700 {
			t.Errorf("%+v, %v", f, err)
		}
		for kind, want := range map[FileKind]int64{Pictures: snapshot.Size, Clips: clip.Size} {
			if n, err := r.StoredFiles(t.Context(), kind); err != nil || n != want {
				t.Errorf("%s: %d bytes, %v", kind, n, err)
			}
		}
		later := time.Now().Add(time.Minute)
		if gone, err := r.DeleteEvidenceBefore(t.Context(), Clips, later, 10); err != nil || len(gone) != 0 {
			t.Errorf("a clip of an open incident was deleted: %v, %v", gone, err)
		}
		if _, err := r.Edit(t.Context(), Edit{Who: "li", ID: id, Scope: scope.All(), Apply: func(inc *Incident) (*Fact, error) {
			inc.State = Closed
			return &Fact{Kind: FactNoted, Text: "seen"}, nil
		}}); err != nil {
			t.Fatal(err)
		}
		gone, err := r.DeleteEvidenceBefore(t.Context(), Clips, later, 10)
		if err != nil || len(gone) != 1 || gone[0].Name != "clip.mp4" || !gone[0].Clip || gone[0].Size != clip.Size {
			t.Errorf("%+v, %v", gone, err)
		}
		gone, err = r.DeleteEvidenceBefore(t.Context(), Pictures, later, 10)
		if err != nil || len(gone) != 1 || gone[0].Name != "a.jpg" || gone[0].Clip {
			t.Errorf("%+v, %v", gone, err)
		}
	})
}
