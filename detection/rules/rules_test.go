package rules

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/devices"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var day = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

func at(seconds float64) time.Time {
	return day.Add(time.Duration(math.Round(seconds*1000)) * time.Millisecond)
}

var yard = detection.Polygon{{X: 0.2, Y: 0.4}, {X: 0.8, Y: 0.4}, {X: 0.8, Y: 1}, {X: 0.2, Y: 1}}

// spec returns a rule of the name given; its kind is that of its terms.
func spec(name string, severity detection.Severity, terms Terms) Spec {
	s := Spec{Name: name, Severity: severity, Terms: terms}
	switch terms := terms.(type) {
	case *zoneTerms:
		s.Kind = detection.Zone
	case *lineTerms:
		s.Kind = detection.Line
	case *loiteringTerms:
		s.Kind = detection.Loitering
	case *wrongWayTerms:
		s.Kind = detection.WrongWay
	case *crowdTerms:
		s.Kind = detection.Crowd
	case *stoppedTerms:
		s.Kind = detection.Stopped
	case *absenceTerms:
		s.Kind = detection.Absence
	case *leftTerms:
		s.Kind = detection.ObjectLeft
	case *removedTerms:
		s.Kind = detection.ObjectRemoved
	case *sightingTerms:
		s.Kind = detection.Sighting
	case *silenceTerms:
		s.Kind = detection.Silence
	case *thresholdTerms:
		s.Kind = detection.Above
		if terms.sign < 0 {
			s.Kind = detection.Below
		}
	}
	return s
}

// zoneSpec returns a zone rule, changed as the edits say.
func zoneSpec(edits ...func(*zoneTerms)) Spec {
	terms := &zoneTerms{tracked: tracked{minSize: 0.01, clear: defaultClear}, area: yard, hold: time.Second}
	for _, edit := range edits {
		edit(terms)
	}
	return spec("yard", detection.Moderate, terms)
}

// object is a track whose foot is at (x, y) in the frame of time t.
func object(id uint64, x, y float64, t time.Time) detection.Track {
	b := detection.Box{X: x - 0.05, Y: y - 0.2, W: 0.1, H: 0.2}
	return detection.Track{ID: id, Class: detection.Motion, Score: 1, Box: b, First: t, Last: t, Trail: []detection.Point{b.Foot()}}
}

// rig is an engine whose alerts are checked as they come and summarised.
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
		got = append(got, summary(a))
	}
	if strings.Join(got, "\n") != strings.Join(lines, "\n") {
		r.t.Errorf("got %q, want %q", got, lines)
	}
}

// frame passes tracks to the engine at the time given; each is id, x, y.
func (r *rig) frame(seconds float64, objects ...[3]float64) []detection.Incident {
	var tracks []detection.Track
	for _, o := range objects {
		tracks = append(tracks, object(uint64(o[0]), o[1], o[2], at(seconds)))
	}
	return r.e.Frame(detection.Frame{Time: at(seconds)}, tracks)
}

// read passes a reading to the engine that arrives at its own time.
func (r *rig) read(x devices.Reading) []detection.Incident { return r.e.Reading(x, x.Time) }

func summary(a detection.Incident) string {
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
			return fmt.Errorf("a field is empty: %+v", a)
		case !seen && (a.Version != 1 || a.State != detection.Open):
			return fmt.Errorf("an incident begins as %+v", a)
		case seen && before.State == detection.Closed:
			return fmt.Errorf("an alert after it closed: %+v", a)
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
	for want, s := range map[string]Spec{
		"name: expected a value, found nothing":        spec("", detection.Minor, &silenceTerms{hold: time.Second}),
		"kind: expected a value, found nothing":        {Name: "x", Kind: "area"},
		"clear: expected a number not above value (1)": spec("x", detection.Minor, &thresholdTerms{sign: 1, value: 1, clear: &two}),
		"clear: expected a number not below value (3)": spec("x", detection.Minor, &thresholdTerms{sign: -1, value: 3, clear: &two}),
	} {
		if _, err := NewEngine("gate", []Spec{s}, nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	if _, err := NewEngine("gate", []Spec{zoneSpec(), zoneSpec()}, nil); err == nil || !strings.Contains(err.Error(), "used twice") {
		t.Errorf("two rules of one name: %v", err)
	}
}

func TestRegistry(t *testing.T) {
	all := Standard()
	for i, name := range all.Names() {
		if slices.Contains(all.Names()[:i], name) {
			t.Errorf("two kinds are called %s", name)
		}
	}
	want := []detection.RuleKind{detection.Zone, detection.Line, detection.Loitering, detection.WrongWay, detection.Crowd, detection.Stopped, detection.Absence, detection.ObjectLeft, detection.ObjectRemoved, detection.Sighting, detection.Silence, detection.Health}
	if got := all.For(devices.Camera).Names(); !slices.Equal(got, want) {
		t.Errorf("a camera may have %v, want %v", got, want)
	}
	if len(all) != len(Standard()) {
		t.Errorf("asking for the kinds of a camera has changed the registry: %v", all.Names())
	}
}

func TestTitles(t *testing.T) {
	value := func(v float64) *float64 { return &v }
	plain := Names{}
	for want, c := range map[string]struct {
		inc   detection.Incident
		names Names
	}{
		"Motion in zone yard":                {detection.Incident{Kind: detection.Zone, Rule: "yard", Device: "gate", Class: detection.Motion}, plain},
		"Person in zone back yard":           {detection.Incident{Kind: detection.Zone, Rule: "back-yard", Device: "gate", Class: "person"}, plain},
		"Loitering: bus station":             {detection.Incident{Kind: detection.Zone, Rule: "r", Device: "d"}, Names{Device: devices.Title{En: "bus station", Zh: "汽车站"}, Rule: devices.Title{En: "loitering"}}},
		"Loitering: bus stop":                {detection.Incident{Kind: detection.Loitering, Rule: "r", Device: "d", Class: "person"}, Names{Device: devices.Title{En: "bus stop"}}},
		"Wrong way: bridge":                  {detection.Incident{Kind: detection.WrongWay, Device: "bridge", Class: "car"}, plain},
		"Crowd: market 14 (limit 10)":        {detection.Incident{Kind: detection.Crowd, Device: "market", Value: value(14), Limit: value(10)}, plain},
		"Crush: market 14 (limit 10)":        {detection.Incident{Kind: detection.Crowd, Device: "market", Value: value(14), Limit: value(10)}, Names{Rule: devices.Title{En: "crush"}}},
		"Stopped vehicle: bus stop":          {detection.Incident{Kind: detection.Stopped, Device: "d", Class: "car"}, Names{Device: devices.Title{En: "bus stop"}}},
		"Nobody at the post: gate":           {detection.Incident{Kind: detection.Absence, Device: "gate"}, plain},
		"Object left: hall":                  {detection.Incident{Kind: detection.ObjectLeft, Device: "hall", Class: "suitcase"}, plain},
		"Object removed: hall":               {detection.Incident{Kind: detection.ObjectRemoved, Device: "hall", Class: "suitcase"}, plain},
		"Smoke seen: yard":                   {detection.Incident{Kind: detection.Sighting, Device: "yard", Class: "smoke"}, plain},
		"Gate line crossed (car)":            {detection.Incident{Kind: detection.Line, Rule: "gate", Device: "street", Class: "car"}, plain},
		"Road line crossed":                  {detection.Incident{Kind: detection.Line, Rule: "r", Device: "street"}, Names{Rule: devices.Title{En: "road line"}}},
		"River 3.4 m (limit 3.2)":            {detection.Incident{Kind: detection.Above, Rule: "flood", Device: "river", Value: value(3.4), Limit: value(3.2), Unit: "m"}, plain},
		"High water: weir 3.4 m (limit 3.2)": {detection.Incident{Kind: detection.Above, Rule: "flood", Device: "river", Value: value(3.4), Limit: value(3.2), Unit: "m"}, Names{Device: devices.Title{En: "weir"}, Rule: devices.Title{En: "high water"}}},
		"Smoke 0.333 (limit 0.3)":            {detection.Incident{Kind: detection.Above, Rule: "fire", Device: "smoke", Value: value(1.0 / 3), Limit: value(0.3), Unit: "1"}, plain},
		"Cold store -20 °C (limit -18)":      {detection.Incident{Kind: detection.Below, Rule: "warm", Device: "cold-store", Value: value(-20), Limit: value(-18), Unit: "°C"}, plain},
		"River above 3.2 m":                  {detection.Incident{Kind: detection.Above, Rule: "flood", Device: "river", Limit: value(3.2), Unit: "m"}, plain},
		"Door open":                          {detection.Incident{Kind: detection.Above, Rule: "left-open", Device: "door", Value: value(1), Limit: value(0.5), Unit: "1"}, Names{Class: devices.Opening}},
		"Left open: side door":               {detection.Incident{Kind: detection.Above, Rule: "r", Device: "door", Value: value(1)}, Names{Class: devices.Opening, Device: devices.Title{En: "side door"}, Rule: devices.Title{En: "left open"}}},
		"No data: river":                     {detection.Incident{Kind: detection.Silence, Rule: "silent", Device: "river"}, plain},
		"Tamper: yard":                       {detection.Incident{Kind: "tamper", Rule: "tamper", Device: "yard"}, plain},
	} {
		if got := Standard().Title(c.inc, c.names); got != want {
			t.Errorf("%q, want %q", got, want)
		}
	}
}

// Of every kind and with every combination of names, a title begins with a capital, says the names that there
// are, and no identifier in their place.
func TestTitlesOfAllNames(t *testing.T) {
	one, half := 1.0, 0.5
	titles := []devices.Title{{}, {En: "north gate"}, {Zh: "北门"}, {En: "north gate", Zh: "北门"}}
	for _, kind := range append(Standard().Names(), "kind-of-tomorrow") {
		for _, device := range titles {
			for _, rule := range titles {
				for _, class := range append(devices.Classes(), "") {
					for _, value := range []*float64{nil, &half, &one} {
						for _, limit := range []*float64{nil, &half} {
							inc := detection.Incident{Kind: kind, Rule: "rule-id", Device: "device-id", Class: "car", Value: value, Limit: limit, Unit: "1"}
							n := Names{Device: device, Rule: rule, Class: class}
							got := Standard().Title(inc, n)
							first, _ := utf8.DecodeRuneInString(got)
							if unicode.IsLower(first) || strings.Contains(got, "  ") || strings.TrimSpace(got) != got ||
								!device.IsZero() && strings.Contains(strings.ToLower(got), "device id") || !rule.IsZero() && strings.Contains(strings.ToLower(got), "rule id") {
								t.Errorf("%+v with %+v: %q", inc, n, got)
							}
						}
					}
				}
			}
		}
	}
}
