package presence

import (
	"fmt"
	"log/slog"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

type hub struct{ announced []string }

func (h *hub) SetStatus(st devices.Status) {
	h.announced = append(h.announced, fmt.Sprintf("%s %s %s", st.Device, st.State, st.Cause.Code))
}

func TestChangesAreAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := &hub{}
		s := New(h, slog.New(slog.DiscardHandler))
		s.Set("yard", devices.Online, devices.Cause{}) // of a device that is not there
		s.Add("yard")
		s.Add("gate")
		time.Sleep(time.Minute)
		s.Set("yard", devices.Offline, devices.NewCause("camera_no_video"))
		went := time.Now()
		time.Sleep(time.Minute)
		s.Add("yard") // again, by a reload
		s.Set("yard", devices.Offline, devices.NewCause("camera_session_ended"))
		s.Set("yard", devices.Offline, devices.NewCause("camera_session_ended"))
		if st, ok := s.Get("yard"); !ok || !st.Since.Equal(went) {
			t.Errorf("offline since %v, expected %v", st.Since, went)
		}
		if all := s.All(); len(all) != 2 || all[0].Device != "gate" || all[1].Device != "yard" {
			t.Errorf("all: %+v", all)
		}
		s.Remove("yard")
		s.Set("yard", devices.Online, devices.Cause{}) // what it called while it stopped
		if _, ok := s.Get("yard"); ok {
			t.Error("a device that was removed came back")
		}
		if want := []string{
			"yard unknown device_not_heard", "gate unknown device_not_heard", "yard offline camera_no_video", "yard offline camera_session_ended",
		}; !slices.Equal(h.announced, want) {
			t.Errorf("announced %q, expected %q", h.announced, want)
		}
	})
}
