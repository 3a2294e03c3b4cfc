package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
	"gridpost/streams/webrtc"
)

const (
	reloadCameras = 8
	frameTicks    = 90_000 / 10 // of the footage: 10 frames/s, in units of the RTP clock
)

// viewer watches a camera and counts what is missing in it. Packets that were lost and sent again are
// not missing.
type viewer struct {
	mu     sync.Mutex
	frames int
	live   bool     // the cached frames of the beginning, whose timestamps are squeezed together, are over
	last   uint32   // timestamp of the last frame
	faults []string // frames that are missing, damaged or come twice
}

func (v *viewer) frame(f webrtc.Frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames++
	step := f.Timestamp - v.last
	regular := step > frameTicks/2 && step < frameTicks*3/2
	v.live = v.live || v.frames > 1 && regular
	if v.live && !regular {
		v.faults = append(v.faults, fmt.Sprintf("frame %d comes %.0f ms after the one before", v.frames, float64(int32(step))/90))
	}
	if !f.Complete {
		v.faults = append(v.faults, fmt.Sprintf("frame %d is not complete", v.frames))
	}
	v.last = f.Timestamp
}

func (v *viewer) count() (frames int, live bool, faults []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frames, v.live, append([]string(nil), v.faults...)
}

// viewAll opens a view of each of the cameras, which end with the test.
func viewAll(t *testing.T, h *rig.Hub, cameras []string) map[string]*viewer {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	client := &http.Client{Transport: &http.Transport{}}
	var views sync.WaitGroup
	t.Cleanup(func() {
		stop()
		views.Wait()
		client.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	all := map[string]*viewer{}
	for _, camera := range cameras {
		v := &viewer{}
		all[camera] = v
		views.Go(func() {
			_, err := engine.Play(ctx, webrtc.PlayOptions{
				URL: h.URL + "/whep/gate-7/" + camera + "?reason=test", Header: http.Header{"Authorization": {"Bearer " + h.Token}}, Client: client,
				OnFrame: v.frame,
			})
			if ctx.Err() == nil {
				t.Errorf("the view of %s ended: %v", camera, err)
			}
		})
	}
	return all
}

// more waits until every view is live and has so many frames more than now.
func more(t *testing.T, views map[string]*viewer, frames int) {
	t.Helper()
	want := map[string]int{}
	for camera, v := range views {
		now, _, _ := v.count()
		want[camera] = now + frames
	}
	for camera, v := range views {
		err := rig.Until(t.Context(), time.Minute, "frames of "+camera, func(context.Context) error {
			if now, live, _ := v.count(); now < want[camera] || !live {
				return fmt.Errorf("%w: there are %d, expected %d; live: %v", rig.ErrNotYet, now, want[camera], live)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// One of eight cameras is changed while the edge runs, by SIGHUP and by `edge apply`: in each of seven
// live views no frame is missing by its timestamp, the cameras keep their sessions, and no incident is
// closed or doubled. A document that is refused changes nothing.
func TestReloadTouchesOnlyWhatChanged(t *testing.T) {
	h := startHub(t)
	o := rig.SiteOptions{Name: "gate-7", Footage: pedestrians(t), Cameras: map[string][]rig.Map{}, Sensors: map[string][]rig.Map{"river": {flood()}}}
	var kept []string
	for i := range reloadCameras {
		name := fmt.Sprintf("camera-%d", i+1)
		o.Cameras[name] = nil
		if i > 0 {
			kept = append(kept, name)
		}
	}
	s := startSite(t, h, o)
	river := sensor(t, s, "river")
	if err := river.Publish(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	open := waitOpen(t, h)
	if err := h.AllOnline(t.Context(), reloadCameras+1, time.Minute); err != nil {
		t.Fatal(err)
	}
	views := viewAll(t, h, kept)
	more(t, views, 20)
	before := statusOf(t, s)

	for round := range 4 {
		move(t, s, 30.90+float64(round)/100)
		if round%2 == 0 {
			if err := s.Reload(); err != nil {
				t.Fatal(err)
			}
		} else if out, err := s.Apply(t.Context()); err != nil || !strings.Contains(out, "\ncamera camera-1: restarted\n") {
			t.Fatalf("edge apply: %v, %q", err, out)
		}
		waitPlace(t, h, 30.90+float64(round)/100)
		more(t, views, 10)
		expectNoFaults(t, fmt.Sprintf("reload %d", round+1), views)
	}
	// Rules alone: not even the changed camera's session ends.
	sessions := sessionsOf(waitSessions(t, s))
	if err := s.Edit(func(document rig.Map) { changed(document)["rules"] = []rig.Map{silent()} }); err != nil {
		t.Fatal(err)
	}
	if out, err := s.Apply(t.Context()); err != nil || !strings.Contains(out, "\ncamera camera-1: updated\n") {
		t.Errorf("edge apply: %v, %q", err, out)
	}
	if now := sessionsOf(statusOf(t, s)); !maps.Equal(now, sessions) {
		t.Errorf("sessions of the cameras: %v, before a change of rules alone %v", now, sessions)
	}

	// Now a document that is refused, as a whole: its other change does not show either.
	err := s.Edit(func(document rig.Map) {
		changed(document)["place"] = rig.Map{"lat": 31.5, "lon": 120.95}
		changed(document)["colour"] = "blue"
	})
	if err := errors.Join(err, s.Reload()); err != nil {
		t.Fatal(err)
	}
	if err := rig.Until(t.Context(), time.Minute, "the refusal", func(context.Context) error {
		if !strings.Contains(s.Tail(), "colour") {
			return rig.ErrNotYet
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, d := range devicesOf(t, h) {
		if d.Place != nil && d.Place.Lat == 31.5 {
			t.Error("a refused document has changed a place")
		}
	}
	if err := s.Edit(func(document rig.Map) { delete(changed(document), "colour") }); err != nil {
		t.Fatal(err)
	}
	move(t, s, 30.99)
	if err := s.Reload(); err != nil {
		t.Fatal(err)
	}
	waitPlace(t, h, 30.99)
	more(t, views, 10)
	expectNoFaults(t, "a reload after a refusal", views)
	after := statusOf(t, s)
	for _, camera := range kept {
		if sessionsOf(after)[camera] != 1 {
			t.Errorf("%s had %d sessions", camera, sessionsOf(after)[camera])
		}
	}
	if dropped := "edge_publish_dropped_frames_total"; after.Counters[dropped] != before.Counters[dropped] {
		t.Errorf("the edge has not sent %d frames of live video", after.Counters[dropped]-before.Counters[dropped])
	}
	if err := river.Publish(t.Context(), 0.5); err != nil {
		t.Fatal(err)
	}
	all := waitIncidents(t, h, 1)
	if all[0].ID != open.ID {
		t.Errorf("the incident is %s, before the reload it was %s", all[0].ID, open.ID)
	}
	whole, err := h.Incident(t.Context(), open.ID)
	if err != nil {
		t.Fatal(err)
	}
	if n := len(whole.Timeline); n != 2 {
		t.Errorf("the timeline has %d entries, not opened and over: %+v", n, whole.Timeline)
	}
}

// waitSessions waits until every camera has a session: the one that was started anew may still be
// connecting.
func waitSessions(t *testing.T, s *rig.Site) (st edgeStatus) {
	t.Helper()
	err := rig.Until(t.Context(), time.Minute, "a session of every camera", func(context.Context) error {
		st = statusOf(t, s)
		for camera, n := range sessionsOf(st) {
			if n == 0 {
				return fmt.Errorf("%w: %s has none", rig.ErrNotYet, camera)
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return st
}

// move moves the camera that changes, and gives it another transport so that it is started anew.
func move(t *testing.T, s *rig.Site, lat float64) {
	t.Helper()
	err := s.Edit(func(document rig.Map) {
		c := changed(document)
		c["place"] = rig.Map{"lat": lat, "lon": 120.95}
		if c["transport"] == "tcp" {
			c["transport"] = "udp"
		} else {
			c["transport"] = "tcp"
		}
	})
	if err != nil {
		t.Fatal(err)
	}
}

// expectNoFaults fails the test if any viewer has noticed anything.
func expectNoFaults(t *testing.T, when string, views map[string]*viewer) {
	t.Helper()
	for camera, v := range views {
		if _, _, faults := v.count(); len(faults) > 0 {
			t.Fatalf("%s: the view of %s, whose camera did not change: %q", when, camera, faults)
		}
	}
}

// edgeStatus is what the test reads of `edge status`.
type edgeStatus struct {
	Devices []struct {
		Name     string            `json:"name"`
		Counters map[string]uint64 `json:"counters"`
	} `json:"devices"`
	Counters map[string]uint64 `json:"counters"`
}

func statusOf(t *testing.T, s *rig.Site) (st edgeStatus) {
	t.Helper()
	data, err := s.Status(t.Context())
	if err := errors.Join(err, json.Unmarshal(data, &st)); err != nil {
		t.Fatal(err)
	}
	return st
}

// sessionsOf returns how many RTSP sessions each camera has had since it was started.
func sessionsOf(st edgeStatus) map[string]uint64 {
	all := map[string]uint64{}
	for _, d := range st.Devices {
		if n, ok := d.Counters["edge_camera_sessions_total"]; ok {
			all[d.Name] = n
		}
	}
	return all
}

// silent is a rule that needs no worker.
func silent() rig.Map {
	return rig.Map{"name": "silent", "kind": "silence", "for": "60s", "severity": "minor"}
}

// changed returns the camera of the document that the test changes.
func changed(document rig.Map) rig.Map {
	for _, c := range document["cameras"].([]rig.Map) {
		if c["name"] == "camera-1" {
			return c
		}
	}
	return nil
}

// waitOpen waits for an open incident.
func waitOpen(t *testing.T, h *rig.Hub) (open public.Incident) {
	t.Helper()
	err := rig.Until(t.Context(), time.Minute, "an open incident", func(ctx context.Context) error {
		all, err := h.Incidents(ctx)
		if err != nil || len(all) == 0 {
			return errors.Join(rig.ErrNotYet, err)
		}
		open = all[0]
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return open
}

func devicesOf(t *testing.T, h *rig.Hub) []public.DeviceRecord {
	t.Helper()
	all, err := h.Devices(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// waitPlace waits until the hub has the changed camera at a latitude.
func waitPlace(t *testing.T, h *rig.Hub, lat float64) {
	t.Helper()
	err := rig.Until(t.Context(), time.Minute, "the camera's new place", func(ctx context.Context) error {
		all, err := h.Devices(ctx)
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		for _, d := range all {
			if d.Name == "camera-1" && d.Place != nil && d.Place.Lat == lat {
				return nil
			}
		}
		return rig.ErrNotYet
	})
	if err != nil {
		t.Fatal(err)
	}
}
