package store

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

const mebibyte = 1 << 20

// clip saves a clip of so many bytes.
func clip(t *testing.T, s *Store, inc detection.Incident, size int, at time.Time) (api.Evidence, error) {
	t.Helper()
	c, err := s.CreateClip(t.Context(), inc.ID, "clip.mp4")
	if err != nil {
		return api.Evidence{}, err
	}
	if _, err := c.Write(make([]byte, size)); err != nil {
		return api.Evidence{}, errors.Join(err, c.Discard())
	}
	return c.Save(t.Context(), api.Evidence{ContentType: api.ClipType, Time: at})
}

// deliverAll notes that the hub has all alerts.
func deliverAll(t *testing.T, s *Store) {
	t.Helper()
	events := outbox(t, s, api.LaneAlerts)
	if len(events) > 0 {
		must(t, s.AlertsDelivered(t.Context(), events[len(events)-1].Seq, nil))
	}
}

// TestClipsMakeRoomForClips: only those that the hub has, oldest first; pictures are not touched, and make room for themselves among
// clips first.
func TestClipsMakeRoomForClips(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir, EvidenceBytes: 8 * mebibyte})
	s.KeepClips(5*mebibyte, time.Hour)
	now := time.Now().UTC().Truncate(time.Millisecond)
	incidents := make([]detection.Incident, 4)
	for i := range incidents {
		incidents[i] = incident(i)
		must(t, save(t.Context(), s, incidents[i]))
	}
	picture := snapshot(t, s, incidents[0], mebibyte)
	var metas []api.Evidence
	for i := range 2 {
		meta, err := clip(t, s, incidents[i], 2*mebibyte, now.Add(time.Duration(i)*time.Second))
		must(t, err)
		metas = append(metas, meta)
	}
	if known := s.incidents.known(); known.clips != 4*mebibyte || known.evidence != 5*mebibyte || s.recording.Load() != 0 {
		t.Errorf("%+v, %d", known, s.recording.Load())
	}
	if _, err := clip(t, s, incidents[2], 2*mebibyte, now); !errors.Is(err, ErrFull) {
		t.Fatalf("what the hub does not have made room: %v", err)
	}
	deliverAll(t, s)
	must(t, s.EvidenceDelivered(t.Context(), metas[1]))
	if _, err := clip(t, s, incidents[2], 2*mebibyte, now.Add(2*time.Second)); err != nil {
		t.Fatal(err)
	}
	left := func(i int, want ...string) {
		t.Helper()
		all, err := s.EvidenceOf(t.Context(), incidents[i].ID)
		must(t, err)
		var names []string
		for _, e := range all {
			names = append(names, e.Name)
		}
		if len(names) != len(want) || len(want) > 0 && names[0] != want[0] {
			t.Errorf("incident %d has %v, expected %v", i, names, want)
		}
	}
	left(0, "clip.mp4", picture.Name)
	left(1)
	left(2, "clip.mp4")

	// Pictures wait first.
	deliverAll(t, s)
	waiting, err := s.WaitingEvidence(t.Context(), 10, nil)
	must(t, err)
	if len(waiting) != 3 || waiting[0].Name != picture.Name || waiting[1].Incident != incidents[0].ID || waiting[2].Incident != incidents[2].ID {
		t.Errorf("%+v", waiting)
	}
	// A picture makes room among the clips that the hub has.
	must(t, s.EvidenceDelivered(t.Context(), metas[0]))
	must(t, s.EvidenceDelivered(t.Context(), picture))
	snapshot(t, s, incidents[3], 4*mebibyte)
	left(0, picture.Name)

	// After a restart the sums are the same.
	known := s.incidents.known()
	must(t, s.Close())
	s = open(t, Options{Dir: dir})
	if again := s.incidents.known(); again.clips != known.clips || again.evidence != known.evidence {
		t.Errorf("%+v after a restart, before %+v", again, known)
	}
}

// TestClipsExpire: those that the hub has, after their time, and the oldest where a bound has become less.
func TestClipsExpire(t *testing.T) {
	now := time.Now().UTC().Truncate(time.Millisecond)
	s := open(t, Options{Dir: t.TempDir(), Now: func() time.Time { return now }})
	s.KeepClips(10*mebibyte, time.Hour)
	var metas []api.Evidence
	for i, age := range []time.Duration{3 * time.Hour, 2 * time.Hour, time.Minute, 0} {
		inc := incident(i)
		must(t, save(t.Context(), s, inc))
		meta, err := clip(t, s, inc, mebibyte, now.Add(-age))
		must(t, err)
		metas = append(metas, meta)
	}
	deliverAll(t, s)
	for _, i := range []int{1, 2, 3} {
		must(t, s.EvidenceDelivered(t.Context(), metas[i]))
	}
	count := func() int64 { return s.incidents.known().clips / mebibyte }
	must(t, s.Maintain(t.Context()))
	if count() != 3 {
		t.Errorf("%d clips are left, expected one that the hub lacks and two that are new", count())
	}
	s.KeepClips(2*mebibyte, time.Hour)
	must(t, s.Maintain(t.Context()))
	if _, err := os.Stat(s.evidencePath(metas[2].Incident, metas[2].Name)); count() != 2 || !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%d clips are left; the oldest that the hub has: %v", count(), err)
	}
}

// TestUnfinishedClips: the file of a clip outlives the process, counts as used room, and ends as evidence.
func TestUnfinishedClips(t *testing.T) {
	dir := t.TempDir()
	s := open(t, Options{Dir: dir})
	inc := incident(1)
	must(t, save(t.Context(), s, inc))
	c, err := s.CreateClip(context.WithoutCancel(t.Context()), inc.ID, "clip.mp4")
	must(t, err)
	_, err = c.Write([]byte("half"))
	must(t, err)
	if _, err := s.CreateClip(t.Context(), inc.ID, "clip.mp4"); err == nil {
		t.Error("a clip was begun twice")
	}
	must(t, s.Close())
	s = open(t, Options{Dir: dir})
	all, err := s.UnfinishedClips(t.Context())
	must(t, err)
	if len(all) != 1 || all[0].Incident != inc.ID || all[0].Size() != 4 || s.recording.Load() != 4 {
		t.Fatalf("%+v", all)
	}
	meta, err := all[0].Save(t.Context(), api.Evidence{ContentType: api.ClipType, Time: time.Now()})
	must(t, err)
	if meta.Size != 4 || s.recording.Load() != 0 {
		t.Errorf("%+v", meta)
	}
	if all, err = s.UnfinishedClips(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("%v, %v", all, err)
	}
}

// TestFullDiskCostsClips, and no incident.
func TestFullDiskCostsClips(t *testing.T) {
	dir := smallDisk(t)
	s := open(t, Options{Dir: dir})
	inc := incident(1)
	must(t, save(t.Context(), s, inc))
	if _, err := clip(t, s, inc, 10, time.Now()); !errors.Is(err, ErrFull) { // less than 128 MiB are free
		t.Fatalf("a clip on a disk that has no room: %v", err)
	}
	must(t, save(t.Context(), s, incident(2)))
	if gaps := gapsOf(t, s, api.LaneAlerts); len(gaps) != 1 || gaps[0].Kind != api.GapEvidence || gaps[0].Reason != reasonFull {
		t.Errorf("%+v", gaps)
	}
}
