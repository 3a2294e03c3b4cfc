package presence

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/goleak"

	"gridpost/devices"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a store that fails on demand. Only one goroutine uses it.
type disk struct {
	fail  error
	saved []string
}

func (d *disk) SaveStatus(_ context.Context, st devices.Status) error {
	if d.fail == nil {
		d.saved = append(d.saved, fmt.Sprintf("%s %s", st.Device, st.State))
	}
	return d.fail
}

func TestTheNewestStateIsSaved(t *testing.T) {
	d := &disk{fail: errors.New("the disk is full")}
	s := New(d, slog.New(slog.DiscardHandler))
	s.Add("yard")
	first, _ := s.Get("yard")
	s.Set("yard", devices.Offline, "one")
	s.Set("yard", devices.Offline, "two")
	st, _ := s.Get("yard")
	if first.State != devices.Unknown || st.Cause.Text != "two" {
		t.Errorf("states: %+v, %+v", first, st)
	}
	s.save(t.Context())
	d.fail = nil
	s.save(t.Context())
	s.save(t.Context())
	if got := strings.Join(d.saved, ", "); got != "yard offline" {
		t.Errorf("saved: %q", got)
	}
}
