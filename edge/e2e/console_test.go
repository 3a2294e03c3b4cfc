package e2e

import (
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"gridpost/edge/e2e/rig"
	"gridpost/hub/api/public"
)

// A dispatcher logs in, sees an incident arrive, opens it and sees its snapshot and moving
// video, without loading the page again and without any request to outside.
func TestDispatcherSeesAnIncidentAndLiveVideo(t *testing.T) {
	h := startHub(t)
	if err := h.AddUser(t.Context(), "li.wei", "correct horse battery", "dispatcher"); err != nil {
		t.Fatal(err)
	}
	startSite(t, h, rig.SiteOptions{Name: "gate-7", Footage: pedestrians(t), Cameras: map[string][]rig.Map{"yard": {passing()}}})
	if err := h.AllOnline(t.Context(), 1, time.Minute); err != nil {
		t.Fatal(err)
	}
	b, err := rig.OpenBrowser(t.Context(), h.URL, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()

	message, err := b.LogInRefused("li.wei", "wrong")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the message for a wrong password: %s", message)
	if err := b.LogIn("li.wei", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	loads := b.Loads()

	began := time.Now()
	inc, _, err := await(t, h, func(i public.Incident) bool { return i.OpenedAt.After(began) }, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Open(inc.ID); err != nil {
		t.Fatal(err)
	}
	var width int
	err = b.Run(20*time.Second, "seeing the snapshot", chromedp.WaitVisible("#snapshot"),
		chromedp.Poll(`document.getElementById("snapshot").naturalWidth`, &width))
	if err != nil {
		t.Fatal(err)
	}
	if width != 768 {
		t.Errorf("the snapshot is %d pixels wide, the camera's frame 768", width)
	}
	if err := b.Watch("gate-7", "yard"); err != nil {
		t.Fatal(err)
	}
	sees(t, b)

	if n := b.Loads(); n != loads {
		t.Errorf("the page was loaded %d times after the log-in", n-loads)
	}
	if outside := b.Outside(); len(outside) > 0 {
		t.Errorf("the page sent requests to other hosts: %q", outside)
	}
	if b.Inside() < 10 {
		t.Errorf("only %d requests to the hub were noticed: the record of requests does not work", b.Inside())
	}
	if uncaught := b.UncaughtErrors(); len(uncaught) > 0 {
		t.Errorf("the page threw: %q", uncaught)
	}
	waitView(t, h, inc.ID)
}

// sees expects the camera that was chosen to play, and its frame to move.
func sees(t *testing.T, b *rig.Browser) {
	t.Helper()
	first, err := b.WaitForFrames(t.Context(), 10, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	later, err := b.WaitForFrames(t.Context(), first.Frames+20, 30*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the first frame came after %.0f ms; %d were decoded", first.FirstFrameMS, later.Decoded)
	if first.Width != 768 || len(first.Pixels) == 0 {
		t.Errorf("the video is %d pixels wide, the camera's frame 768", first.Width)
	}
	if later.Pixels == first.Pixels {
		t.Error("the frame does not change")
	}
	if first.FirstFrameMS <= 0 || first.FirstFrameMS > 5000 {
		t.Errorf("the first frame came after %v ms", first.FirstFrameMS)
	}
}

// waitView expects the view on record, with who and for which incident.
func waitView(t *testing.T, h *rig.Hub, incident string) {
	t.Helper()
	var page struct {
		Views []public.ViewRecord `json:"views"`
	}
	if err := h.Get(t.Context(), "/api/v1/views", &page); err != nil {
		t.Fatal(err)
	}
	for _, v := range page.Views {
		if v.Who == "li.wei" && v.Incident == incident && v.Device == "yard" {
			return
		}
	}
	t.Error("the view is not on record:", page.Views)
}
