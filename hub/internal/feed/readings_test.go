package feed_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/feed"
)

// sensors is a telemetry whose devices all have a newer reading each time it is asked.
type sensors struct {
	names []string

	mu     sync.Mutex
	asked  int
	values int
}

func (s *sensors) Changed(context.Context) ([]feed.Received, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.asked++
	if s.asked == 1 {
		return nil, nil
	}
	out := make([]feed.Received, len(s.names))
	for i, name := range s.names {
		out[i] = feed.Received{Device: feed.Device{Edge: "e", Name: name}, At: time.UnixMilli(int64(s.asked))}
	}
	return out, nil
}

func (s *sensors) Present(_ context.Context, of []feed.Device) ([]feed.Presented, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []feed.Presented
	for _, d := range of {
		s.values++
		out = append(out, feed.Presented{Device: d, Site: "e", Data: json.RawMessage(fmt.Sprintf(`{"name":%q,"value":%d}`, d.Name, s.values))})
	}
	return out, nil
}

// TestReadingsAreEventsWithoutNumbers: each device has at most one event in each interval, and readings
// neither use numbers of the feed nor keep durable entries from being seen.
func TestReadingsAreEventsWithoutNumbers(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	s := &sensors{names: []string{"a", "b", "c"}}
	const interval = 200 * time.Millisecond
	tail := feed.New(feed.Options{
		Source: d, Devices: s, Logger: slog.New(slog.DiscardHandler), Poll: 5 * time.Millisecond, Interval: interval, Entries: 8,
	})
	defer run(t, tail)()
	r, err := tail.Subscribe(t.Context(), feed.Start{Now: true})
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	began := time.Now()
	events, last := map[string]int{}, int64(0)
	for events["c"] < 4 {
		publish(t, d, 1)
		wake := r.Wait()
		b, err := r.Read(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range b.Entries {
			if e.ID > 0 {
				if e.ID != last+1 {
					t.Errorf("%d after %d", e.ID, last)
				}
				last = e.ID
				continue
			}
			text := string(e.Text)
			if e.Kind != "device" || e.Site != "e" || !strings.HasPrefix(text, "event: device\ndata: {") || strings.Contains(text, "id:") {
				t.Errorf("%+v %q", e, text)
			}
			var of struct{ Name string }
			if err := json.Unmarshal([]byte(strings.TrimPrefix(strings.TrimSpace(text), "event: device\ndata: ")), &of); err != nil {
				t.Fatal(err)
			}
			events[of.Name]++
		}
		if !b.More {
			<-wake
		}
	}
	// A busy machine makes intervals longer, never shorter.
	if most := int(time.Since(began)/interval) + 1; events["a"] > most || events["b"] > most || events["c"] > most {
		t.Errorf("%v events in %s", events, time.Since(began))
	}
	if end, err := d.LastChange(t.Context()); err != nil || end < last {
		t.Errorf("the feed ends at %d, %v; %d was seen", end, err, last)
	}
}

// TestNoReadingsAreReadForNobody: without a console, devices are not read.
func TestNoReadingsAreReadForNobody(t *testing.T) {
	d := dbtest.Open(t, db.SQLite, db.Options{})
	s := &sensors{names: []string{"a"}}
	tail := feed.New(feed.Options{Source: d, Devices: s, Logger: slog.New(slog.DiscardHandler), Poll: time.Millisecond, Interval: time.Millisecond})
	stop := run(t, tail)
	for n := 0; n < 20; {
		s.mu.Lock()
		n = s.asked
		s.mu.Unlock()
	}
	stop()
	if s.values != 0 || tail.Stats().Readings != 0 {
		t.Errorf("%d devices were read", s.values)
	}
}
