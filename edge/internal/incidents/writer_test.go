package incidents

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"go.uber.org/goleak"

	"gridpost/detection"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// disk is a store that fails on demand.
type disk struct {
	mu    sync.Mutex
	fail  error
	saved []string
}

func (d *disk) SaveIncident(_ context.Context, inc detection.Incident) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fail != nil {
		return d.fail
	}
	d.saved = append(d.saved, fmt.Sprintf("%s/%d", inc.ID, inc.Version))
	return nil
}

func (d *disk) set(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fail = err
}

func (d *disk) all() string {
	d.mu.Lock()
	defer d.mu.Unlock()
	return strings.Join(d.saved, " ")
}

func TestAlertsWaitForAFullDiskInOrder(t *testing.T) {
	d := &disk{fail: errors.New("the disk is full")}
	w := New(d, slog.New(slog.DiscardHandler))
	alert := func(id string, v int) []detection.Incident { return []detection.Incident{{ID: id, Version: v}} }
	for _, a := range [][]detection.Incident{alert("a", 1), alert("b", 1), alert("a", 2)} {
		if err := w.Save(t.Context(), a); err == nil {
			t.Fatal("an alert that is only in memory was reported as saved")
		}
	}
	if cause, waiting, _ := w.State(); cause != "the disk is full" || waiting != 3 {
		t.Errorf("%d wait because of %q", waiting, cause)
	}
	d.set(nil)
	if err := w.Save(t.Context(), alert("c", 1)); err != nil {
		t.Fatal(err)
	}
	if got := d.all(); got != "a/1 b/1 a/2 c/1" {
		t.Errorf("saved: %s", got)
	}
	if cause, waiting, lost := w.State(); cause != "" || waiting != 0 || lost != 0 {
		t.Errorf("at the end: %q, %d, %d", cause, waiting, lost)
	}
	d.set(errors.New("the disk is full"))
	for range maxPending + 5 {
		_ = w.Save(t.Context(), alert("x", 1))
	}
	if _, waiting, lost := w.State(); waiting != maxPending || lost != 5 {
		t.Errorf("%d wait and %d are lost", waiting, lost)
	}
}
