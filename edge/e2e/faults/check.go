package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"gridpost/edge/e2e/rig"
)

// outcome is what a comparison of hub and edges found. Problems may still disappear while events
// are on their way.
type outcome struct {
	incidents, readings int
	missingReadings     int // acknowledged, and not at the hub
	lost, doubled       []string
	wrong               []string
}

func (o *outcome) bad() error {
	var errs []error
	for _, list := range [][]string{o.lost, o.doubled, o.wrong} {
		if len(list) > 0 {
			errs = append(errs, fmt.Errorf("%s (%d like it)", list[0], len(list)))
		}
	}
	return errors.Join(errs...)
}

// compare compares what the hub has with what the edges acknowledged. standing says that the
// sensors that can stay above their limit do so now.
func (w *world) compare(ctx context.Context, standing bool) (*outcome, error) {
	if err := w.poll(ctx); err != nil {
		return nil, err
	}
	all, err := w.incidents(ctx)
	if err != nil {
		return nil, err
	}
	o := &outcome{incidents: len(all)}
	byWave := map[string]map[int][]incident{}
	ids := map[string]bool{}
	for _, inc := range all {
		w.observer.saw(inc)
		if ids[inc.ID] {
			o.doubled = append(o.doubled, "the hub lists incident "+inc.ID+" twice")
		}
		ids[inc.ID] = true
		device := inc.Edge + "/" + inc.Device
		if inc.Value == nil {
			o.wrong = append(o.wrong, fmt.Sprintf("incident %s of %s has no value", inc.ID, device))
			continue
		}
		if byWave[device] == nil {
			byWave[device] = map[int][]incident{}
		}
		n := waveOf(*inc.Value)
		byWave[device][n] = append(byWave[device][n], inc)
	}
	for id, inc := range w.observer.seen() {
		if !ids[id] && !w.gone(inc) {
			o.lost = append(o.lost, fmt.Sprintf("the hub has forgotten incident %s of %s/%s", id, inc.Edge, inc.Device))
		}
	}
	for _, s := range w.sites {
		excused := 0
		for _, sensor := range s.sensors {
			excused += sensor.compare(byWave[s.name+"/"+sensor.name], standing && sensor.standing, s.skewed && sensor.burst > 0, w.restored(), o)
		}
		if excused > 0 {
			w.checkNamed(s, "alerts", excused, o)
		}
		if err := w.compareReadings(ctx, s, o); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// gone reports whether an incident that the hub has shown may be nowhere any more.
func (w *world) gone(inc incident) bool {
	if !w.restored() || inc.Value == nil {
		return false
	}
	for _, s := range w.sites {
		for _, sensor := range s.sensors {
			if s.name == inc.Edge && sensor.name == inc.Device {
				return sensor.gone(waveOf(*inc.Value))
			}
		}
	}
	return false
}

// compare checks the waves of one sensor, and returns how many are missing with an excuse. repeated
// says that the edge could not notice that it got a message again, restored that the hub lost what it had.
func (s *sensor) compare(got map[int][]incident, standing, repeated, restored bool, o *outcome) (excused int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	device := s.edge + "/" + s.name
	for n, w := range s.waves {
		at := got[n]
		name := fmt.Sprintf("wave %d of %s, published at %s", n, device, w.when.Format("15:04:05.000"))
		switch {
		case len(at) == 0 && (w.copied || restored && n < s.before):
		case len(at) == 0 && w.rose && !w.excused && !w.spanned:
			o.lost = append(o.lost, "the hub has no incident of "+name)
		case len(at) == 0 && w.rose:
			excused++
		case len(at) > 1 && !w.spanned && !repeated:
			o.doubled = append(o.doubled, fmt.Sprintf("the hub has %d incidents of %s: %s and %s", len(at), name, at[0].ID, at[1].ID))
		}
		for _, inc := range at {
			want := "closed"
			if standing && n == s.next {
				want = "open"
			}
			if inc.Condition != want {
				o.wrong = append(o.wrong, fmt.Sprintf("incident %s is %s at the hub; it is %s at the edge (%s)", inc.ID, inc.Condition, want, name))
			}
		}
	}
	for n, at := range got {
		if s.waves[n] == nil && (n < firstCloneWave || len(at) > 1) {
			o.wrong = append(o.wrong, fmt.Sprintf("the hub has %d incidents of wave %d of %s, which the edge cannot have opened", len(at), n, device))
		}
	}
	return excused
}

// compareReadings checks that every reading that an edge acknowledged is at the hub, once, or in
// a gap.
func (w *world) compareReadings(ctx context.Context, s *site, o *outcome) error {
	missing := 0
	for _, sensor := range s.sensors {
		counts, err := w.readings(ctx, s.name, sensor.name)
		if err != nil {
			return err
		}
		sensor.mu.Lock()
		for value := range sensor.acked {
			switch n := counts[value]; {
			case n == 0:
				missing++
			case n > 1 && s.broker != nil && !s.skewed: // its messages carry their time: a repeated one is the same reading
				o.doubled = append(o.doubled, fmt.Sprintf("the hub has the reading %s of %s/%s %d times", value, s.name, sensor.name, n))
			}
		}
		o.readings += len(sensor.acked)
		sensor.mu.Unlock()
	}
	o.missingReadings += missing
	if missing > 0 && !w.restored() { // an edge keeps no readings that its hub has had
		w.checkNamed(s, "readings", missing, o)
	}
	return nil
}

// checkNamed checks that a loss was named by the edge, as far as it can notice it.
func (w *world) checkNamed(s *site, kind string, missing int, o *outcome) {
	history, noticeable := w.ledger.history(s.name)
	told, known := w.ledger.lost(s.name, kind)
	switch {
	case len(history) > 0 && !noticeable:
	case told == 0 && known:
		o.lost = append(o.lost, fmt.Sprintf("%d %s of %s are missing and not named by a gap; its data were damaged by %q", missing, kind, s.name, history))
	case known && told < uint64(missing):
		o.lost = append(o.lost, fmt.Sprintf("%d %s of %s are missing, its gaps name %d", missing, kind, s.name, told))
	}
}

// poll learns what the hub says about the edges.
func (w *world) poll(ctx context.Context) error {
	var edges struct {
		Edges []struct {
			Name   string `json:"name"`
			Health *struct {
				Problems []string `json:"problems"`
			} `json:"health"`
		} `json:"edges"`
	}
	if err := w.hub.Get(ctx, "/api/v1/edges", &edges); err != nil {
		return err
	}
	for _, e := range edges.Edges {
		gaps, err := w.gapsOf(ctx, e.Name)
		if err != nil {
			return err
		}
		var problems []string
		if e.Health != nil {
			problems = e.Health.Problems
		}
		w.ledger.learn(e.Name, problems, gaps)
	}
	return nil
}

func (w *world) gapsOf(ctx context.Context, edge string) ([]gap, error) {
	var page struct {
		Gaps []gap `json:"gaps"`
	}
	status, body, err := w.hub.Do(ctx, http.MethodGet, "/api/v1/edges/"+url.PathEscape(edge)+"/gaps?limit=1000", nil)
	if err != nil {
		return nil, err
	}
	if status != http.StatusOK {
		return nil, fmt.Errorf("the hub answered %d to the question for gaps: %s", status, body)
	}
	if err := json.Unmarshal(body, &page); err != nil {
		return nil, fmt.Errorf("reading the gaps: %w", err)
	}
	return page.Gaps, nil
}

// incidents returns all incidents of the hub.
func (w *world) incidents(ctx context.Context) (all []incident, err error) {
	for after := ""; ; {
		var page struct {
			Incidents []incident `json:"incidents"`
			Next      *string    `json:"next"`
		}
		if err := w.hub.Get(ctx, "/api/v1/incidents?limit=200"+after, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Incidents...)
		if page.Next == nil {
			return all, nil
		}
		after = "&next=" + url.QueryEscape(*page.Next)
	}
}

// maxReadings is the most readings that the hub returns at once.
const maxReadings = 10_000

// readings counts the readings that the hub has of a device, by value.
func (w *world) readings(ctx context.Context, edge, device string) (map[string]int, error) {
	counts := map[string]int{}
	from := time.Unix(0, 0).UTC()
	last := map[string]bool{} // those at the time from, which come again
	for {
		var page struct {
			Readings []struct {
				Time  time.Time `json:"time"`
				Value float64   `json:"value"`
			} `json:"readings"`
		}
		path := fmt.Sprintf("/api/v1/devices/%s/%s/readings?limit=%d&from=%s&to=2100-01-01T00:00:00Z", edge, device, maxReadings, from.Format(time.RFC3339Nano))
		if err := w.hub.Get(ctx, path, &page); err != nil {
			return nil, err
		}
		seen := map[string]bool{}
		for _, r := range page.Readings {
			id := r.Time.String() + key(r.Value)
			if !last[id] {
				counts[key(r.Value)]++
			}
			if r.Time.Equal(page.Readings[len(page.Readings)-1].Time) {
				seen[id] = true
			}
		}
		if len(page.Readings) < maxReadings {
			return counts, nil
		}
		from, last = page.Readings[len(page.Readings)-1].Time, seen
	}
}

// checkHistory checks the order of what happened to each incident, as the hub's timelines and
// webhooks show it. settled is the set of incidents that must be closed by now.
func (w *world) checkHistory(ctx context.Context, all []incident) error {
	deliveries, changed := w.hook.deliveries()
	if w.restored() {
		changed, all = nil, nil // it counts alerts from an older number on
	}
	if len(changed) > 0 {
		return fmt.Errorf("webhook %s came with two contents", changed[0])
	}
	byIncident := map[string][]delivery{}
	for _, d := range deliveries {
		byIncident[d.incident] = append(byIncident[d.incident], d)
	}
	for _, inc := range all {
		if err := checkDeliveries(inc, byIncident[inc.ID]); err != nil {
			return err
		}
	}
	step := max(1, len(all)/maxTimelines)
	for i := 0; i < len(all); i += step {
		var whole incident
		if err := w.hub.Get(ctx, "/api/v1/incidents/"+all[i].ID, &whole); err != nil {
			return err
		}
		opened, over := 0, 0
		for _, e := range whole.Timeline {
			switch e.Kind {
			case "opened":
				opened++
				if over > 0 {
					return fmt.Errorf("the timeline of incident %s closes it before it opens it", whole.ID)
				}
			case "over":
				over++
			}
		}
		if opened != 1 || over == 0 {
			return fmt.Errorf("the timeline of incident %s opens it %d times and closes it %d times", whole.ID, opened, over)
		}
	}
	return nil
}

// maxTimelines bounds the timelines that are read.
const maxTimelines = 400

func checkDeliveries(inc incident, all []delivery) error {
	slices.SortFunc(all, func(a, b delivery) int { return strings.Compare(a.sequence, b.sequence) })
	opened, closed, version := 0, 0, 0
	for i, d := range all {
		switch d.kind {
		case "opened":
			opened++
			if i > 0 {
				return fmt.Errorf("incident %s was announced as opened after something else", inc.ID)
			}
		case "cleared":
			closed++
		}
		if d.version < version {
			return fmt.Errorf("the webhooks of incident %s go from version %d to %d", inc.ID, version, d.version)
		}
		version = d.version
	}
	if opened != 1 {
		return fmt.Errorf("incident %s (%s/%s) was announced as opened %d times", inc.ID, inc.Edge, inc.Device, opened)
	}
	if inc.Condition == "closed" && closed == 0 && version < inc.Version {
		return fmt.Errorf("incident %s is closed, and no webhook said so", inc.ID)
	}
	return nil
}

// checkLogs looks for secrets in everything that the programs logged.
func (w *world) checkLogs() error {
	logs, err := filepath.Glob(filepath.Join(w.o.Dir, "*.log"))
	if err != nil {
		return fmt.Errorf("looking for logs: %w", err)
	}
	secrets := append([]string{"PRIVATE KEY-----"}, w.secrets...)
	for _, path := range logs {
		text, err := os.ReadFile(path)
		if err != nil {
			return fmt.Errorf("reading a log: %w", err)
		}
		for _, secret := range secrets {
			if secret != "" && strings.Contains(string(text), secret) {
				return fmt.Errorf("%s contains a secret", filepath.Base(path))
			}
		}
	}
	return nil
}

// stream reads the hub's live stream once.
func (w *world) stream(ctx context.Context, each func(name string, data []byte) error) error {
	return w.hub.Stream(ctx, nil, func(e rig.Event) error { return each(e.Name, e.Data) })
}
