package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api"
	"gridpost/streams/webrtc"
)

const (
	reloadCameras = 8
	reloadRounds  = 5
	frameTicks    = 90_000 / 10 // of the footage: 10 frames/s, in units of the RTP clock
)

// viewer watches a camera and looks for what is missing in it.
type viewer struct {
	mu     sync.Mutex
	frames int
	last   uint32   // time stamp of the last frame
	faults []string // what a person would have noticed
}

func (v *viewer) frame(f webrtc.Frame) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.frames++
	// The first frames come fast, from the cached group of pictures, with time stamps squeezed
	// together; after that they are a frame's length apart.
	if step := f.Timestamp - v.last; v.frames > 1 && step > frameTicks*3/2 {
		v.faults = append(v.faults, fmt.Sprintf("frame %d comes %.0f ms after the one before", v.frames, float64(step)/90))
	}
	if !f.Complete {
		v.faults = append(v.faults, fmt.Sprintf("frame %d is not complete", v.frames))
	}
	v.last = f.Timestamp
}

func (v *viewer) count() (frames int, faults []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.frames, append([]string(nil), v.faults...)
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

// more waits until every viewer has so many frames more than now.
func more(t *testing.T, views map[string]*viewer, frames int) {
	t.Helper()
	for camera, v := range views {
		before, _ := v.count()
		err := rig.Until(t.Context(), time.Minute, "frames of "+camera, func(context.Context) error {
			if now, _ := v.count(); now < before+frames {
				return fmt.Errorf("%w: %d of %d", rig.ErrNotYet, now-before, frames)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
}

// One of eight cameras is changed while the edge runs: seven live views lose no frame, and no
// incident is closed or doubled. A document that is refused changes nothing.
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

	// A busy machine loses frames now and then without a reload, so several reloads are made: a
	// reload that touches the other cameras loses frames each time.
	clean := false
	for round := 1; round <= reloadRounds && !clean; round++ {
		before := len(faultsOf(views))
		reload(t, h, s, 30.90+float64(round)/100)
		more(t, views, 10)
		lost := len(faultsOf(views)) - before
		clean = lost == 0
		t.Logf("reload %d: %d faults", round, lost)
	}
	if !clean {
		t.Errorf("live views of cameras that did not change lost frames in each of %d reloads", reloadRounds)
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
	reload(t, h, s, 30.99)
	more(t, views, 10)
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

// reload moves the camera that changes, gives it another transport so that it is started anew, and
// waits until the hub has its place.
func reload(t *testing.T, h *rig.Hub, s *rig.Site, lat float64) {
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
	if err := errors.Join(err, s.Reload()); err != nil {
		t.Fatal(err)
	}
	waitPlace(t, h, lat)
}

// faultsOf returns what all viewers have noticed, camera by camera in the order of time.
func faultsOf(views map[string]*viewer) (all []string) {
	for _, v := range views {
		_, faults := v.count()
		all = append(all, faults...)
	}
	return all
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
func waitOpen(t *testing.T, h *rig.Hub) (open api.Incident) {
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

func devicesOf(t *testing.T, h *rig.Hub) []api.DeviceRecord {
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
