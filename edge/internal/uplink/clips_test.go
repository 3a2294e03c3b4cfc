package uplink

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/hub/api"
)

// TestPicturesOvertakeClips: the upload of a clip stops for a picture that has come since, and goes on where it stands.
func TestPicturesOvertakeClips(t *testing.T) {
	h := newHub(t)
	e := newEdge(t, h)
	var inc detection.Incident
	must(t, json.Unmarshal([]byte(e.incident()), &inc))
	save := func(name, contentType string, size int) (api.Evidence, []byte) {
		content := bytes.Repeat([]byte(name), size/len(name))
		meta, err := e.store.SaveEvidence(t.Context(), api.Evidence{Incident: inc.ID, Name: name, ContentType: contentType, Time: inc.Opened}, content)
		must(t, err)
		events, err := e.store.Alerts(t.Context(), 100, 1<<20)
		must(t, err)
		must(t, e.store.AlertsDelivered(t.Context(), events[len(events)-1].Seq, nil))
		return meta, content
	}
	up := &uploader{u: e.up, postponed: map[string]*postponed{}, pace: pace{size: firstPiece, least: leastPiece, most: firstPiece, target: time.Minute}}
	clip, video := save("clip.mp4", api.ClipType, 10*firstPiece)
	picture, image := save("snapshot.jpg", "image/jpeg", 1000)
	if err := up.one(t.Context(), clip); !errors.Is(err, errPicture) {
		t.Fatalf("a clip before a picture: %v", err)
	}
	key := inc.ID + "/clip.mp4"
	h.do(func() {
		if n := len(h.files[key]); n != firstPiece {
			t.Errorf("%d bytes of the clip were sent before the picture", n)
		}
	})
	must(t, up.one(t.Context(), picture))
	must(t, up.one(t.Context(), clip))
	h.do(func() {
		if !bytes.Equal(h.files[key], video) || !bytes.Equal(h.files[inc.ID+"/snapshot.jpg"], image) {
			t.Errorf("%d bytes of the clip and %d of the picture arrived", len(h.files[key]), len(h.files[inc.ID+"/snapshot.jpg"]))
		}
	})
	if left, err := e.store.WaitingEvidence(t.Context(), 10, nil); err != nil || len(left) != 0 {
		t.Errorf("%+v, %v", left, err)
	}
}

// TestShare: pictures are sent at once; clips keep to their share of the line.
func TestShare(t *testing.T) {
	picture, clip := api.Evidence{ContentType: "image/jpeg"}, api.Evidence{ContentType: api.ClipType}
	const took = 100 * time.Millisecond
	for _, c := range []struct {
		name  string
		meta  api.Evidence
		share Share
		most  int
		wait  time.Duration // after a piece of 12,500 bytes, which is 100,000 bits
	}{
		{"no bound", clip, Share{}, mostPiece, 0},
		{"a picture", picture, Share{Rate: 1e6, Video: true}, mostPiece, 0},
		{"a bound", clip, Share{Rate: 500e3}, 18750, 200*time.Millisecond - took},
		{"a bound, with live video", clip, Share{Rate: 800e3, Video: true}, leastPiece, time.Second - took},
		{"live video", clip, Share{Video: true}, mostPiece, 7 * took},
	} {
		up := &uploader{u: &Uplink{o: Options{Share: func() Share { return c.share }}}}
		most, wait := up.share(c.meta)
		if got := wait(12_500, took); most != c.most || got != c.wait {
			t.Errorf("%s: pieces of %d bytes and %v, expected %d and %v", c.name, most, got, c.most, c.wait)
		}
	}
}
