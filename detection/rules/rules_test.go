package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"gridpost/detection"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return day.Add(time.Duration(math.Round(seconds*1000)) * time.Millisecond)
}

var yard = []detection.Point{{X: 0.2, Y: 0.4}, {X: 0.8, Y: 0.4}, {X: 0.8, Y: 1}, {X: 0.2, Y: 1}}

func zoneSpec() Spec {
	return Spec{Name: "yard", Kind: detection.Zone, Severity: detection.Moderate, Polygon: yard, MinSize: 0.01, For: time.Second}
}

// thing is a track whose foot is at (x, y) in the picture of time t.
func thing(id uint64, x, y float64, t time.Time) detection.Track {
	b := detection.Box{X: x - 0.05, Y: y - 0.2, W: 0.1, H: 0.2}
	return detection.Track{ID: id, Class: detection.Motion, Score: 1, Box: b, First: t, Last: t, Trail: []detection.Point{b.Foot()}}
}

// rig is an engine whose alerts are checked as they come and told in short.
type rig struct {
	t   *testing.T
	e   *Engine
	log ledger
}

func newRig(t *testing.T, specs ...Spec) *rig {
	t.Helper()
	r := &rig{t: t, log: newLedger()}
	e, err := NewEngine("gate", specs, r.log.id)
	if err != nil {
		t.Fatal(err)
	}
	r.e = e
	return r
}

// want checks alerts against lines such as "opened yard 1.0 count 1".
func (r *rig) want(alerts []detection.Incident, lines ...string) {
	r.t.Helper()
	if err := r.log.take(alerts); err != nil {
		r.t.Error(err)
	}
	var got []string
	for _, a := range alerts {
		got = append(got, tell(a))
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		r.t.Errorf("got %q, want %q", got, lines)
	}
}

// picture shows the engine things at the time given; each is id, x, y.
func (r *rig) picture(seconds float64, things ...[3]float64) []detection.Incident {
	var tracks []detection.Track
	for _, th := range things {
		tracks = append(tracks, thing(uint64(th[0]), th[1], th[2], at(seconds)))
	}
	return r.e.Tracks(at(seconds), tracks)
}

func tell(a detection.Incident) string {
	since := func(t time.Time) string { return fmt.Sprintf("%.1f", t.Sub(day).Seconds()) }
	var s string
	switch {
	case a.State == detection.Closed:
		s = "closed " + a.Rule + " " + since(a.Closed)
	case a.Version == 1:
		s = "opened " + a.Rule + " " + since(a.Opened)
	default:
		s = "changed " + a.Rule + " " + since(a.Updated)
	}
	if a.Direction != "" {
		s += " " + string(a.Direction)
	}
	if a.Value != nil {
		s += fmt.Sprintf(" value %g", *a.Value)
	}
	if a.Count != 1 {
		s += fmt.Sprintf(" count %d", a.Count)
	}
	return s
}

// ledger holds what must be true of any sequence of alerts.
type ledger struct {
	minted int
	known  map[string]detection.Incident // the last alert of each incident
	single map[string]string             // per rule that has one at a time: the open incident
}

func newLedger() ledger {
	return ledger{known: map[string]detection.Incident{}, single: map[string]string{}}
}

func (l *ledger) id() string {
	l.minted++
	return fmt.Sprintf("incident-%d", l.minted)
}

func (l *ledger) take(alerts []detection.Incident) error {
	for _, a := range alerts {
		before, seen := l.known[a.ID]
		switch {
		case a.ID == "" || a.Device == "" || a.Rule == "" || a.Kind == "" || a.Severity == "":
			return fmt.Errorf("something is missing: %+v", a)
		case !seen && (a.Version != 1 || a.State != detection.Open):
			return fmt.Errorf("an incident begins as %+v", a)
		case seen && before.State == detection.Closed:
			return fmt.Errorf("heard of after it closed: %+v", a)
		case seen && a.Version != before.Version+1:
			return fmt.Errorf("version %d after %d: %+v", a.Version, before.Version, a)
		case seen && !a.Opened.Equal(before.Opened):
			return fmt.Errorf("opened again: %+v", a)
		case a.Updated.Before(a.Opened):
			return fmt.Errorf("updated before it opened: %+v", a)
		case a.State == detection.Closed && a.Closed.Before(a.Updated):
			return fmt.Errorf("closed before it was updated: %+v", a)
		case a.State == detection.Open && !a.Closed.IsZero():
			return fmt.Errorf("open and closed: %+v", a)
		case a.Count < 1 || (seen && a.Count < before.Count):
			return fmt.Errorf("count %d after %d: %+v", a.Count, before.Count, a)
		}
		if _, err := json.Marshal(a); err != nil {
			return fmt.Errorf("cannot be stored: %w: %+v", err, a)
		}
		if a.Kind != detection.Line {
			if open := l.single[a.Rule]; open != "" && open != a.ID {
				return fmt.Errorf("a second open incident of %s: %+v", a.Rule, a)
			}
			l.single[a.Rule] = a.ID
			if a.State == detection.Closed {
				l.single[a.Rule] = ""
			}
		}
		l.known[a.ID] = a
	}
	return nil
}

func (l *ledger) open() []detection.Incident {
	var open []detection.Incident
	for i := range l.minted {
		if inc, ok := l.known[fmt.Sprintf("incident-%d", i+1)]; ok && inc.State == detection.Open {
			open = append(open, inc)
		}
	}
	return open
}

func TestSpecsAreChecked(t *testing.T) {
	two := 2.0
	nan := math.NaN()
	for want, s := range map[string]Spec{
		"name: missing": {Kind: detection.Zone},
		"kind: \"area\", expected zone, line, above, below or silence": {Name: "x", Kind: "area"},
		"polygon: has 0 corners":                   {Name: "x", Kind: detection.Zone},
		"polygon: crosses itself":                  {Name: "x", Kind: detection.Zone, Polygon: []detection.Point{{X: 0, Y: 0}, {X: 1, Y: 1}, {X: 1, Y: 0}, {X: 0, Y: 1}}},
		"min_size: 2, expected":                    {Name: "x", Kind: detection.Zone, Polygon: yard, MinSize: 2},
		"min_size: NaN, expected":                  {Name: "x", Kind: detection.Zone, Polygon: yard, MinSize: nan},
		"line: 0 points, expected 2":               {Name: "x", Kind: detection.Line},
		"line: its ends are the same point":        {Name: "x", Kind: detection.Line, Line: make([]detection.Point, 2)},
		"line: point 2 [3, 0] is outside":          {Name: "x", Kind: detection.Line, Line: []detection.Point{{}, {X: 3}}},
		"direction: \"north\", expected up, down":  {Name: "x", Kind: detection.Line, Line: []detection.Point{{}, {X: 1}}, Direction: "north"},
		"clear: 2, expected at most value, 1":      {Name: "x", Kind: detection.Above, Value: 1, ClearValue: &two},
		"clear: 2, expected at least value, 3":     {Name: "x", Kind: detection.Below, Value: 3, ClearValue: &two},
		"value: NaN, expected a number":            {Name: "x", Kind: detection.Below, Value: nan},
		"for: missing, expected how long":          {Name: "x", Kind: detection.Silence},
		"for, clear: negative time":                {Name: "x", Kind: detection.Silence, For: -1},
		"clear: NaN, expected at most value, 1":    {Name: "x", Kind: detection.Above, Value: 1, ClearValue: &nan},
		"polygon: corner 1 [NaN, 0] is outside":    {Name: "x", Kind: detection.Zone, Polygon: []detection.Point{{X: nan}, {X: 1}, {Y: 1}}},
		"rule \"x\" of gate: min_size: -1, expect": {Name: "x", Kind: detection.Line, Line: []detection.Point{{}, {X: 1}}, MinSize: -1},
	} {
		if _, err := NewEngine("gate", []Spec{s}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := NewEngine("gate", []Spec{zoneSpec(), zoneSpec()}, nil); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("two rules of one name: %v", err)
	}
}
