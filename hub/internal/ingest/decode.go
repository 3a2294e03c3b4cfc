package ingest

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/store"
)

// Bounds of what one event may carry.
const (
	maxDevices  = 5000
	maxRules    = 200
	maxReadings = 10_000
	maxProblems = 50
	maxCounters = 500
	maxWords    = 500 // bytes of a text for people
)

// checks holds the patterns of names and what is known; made once by newChecks.
type checks struct {
	name, id, file *regexp.Regexp
	kinds          []api.Kind // of events
}

func newChecks() checks {
	return checks{
		name: regexp.MustCompile(`^[a-z0-9-]{1,40}$`),
		id:   regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`), // RFC 9562, section 4
		file: regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,79}$`),                                    // never "." or ".."
		kinds: []api.Kind{
			api.KindIncident, api.KindEvidence, api.KindInventory, api.KindStatus, api.KindReadings, api.KindHealth, api.KindGap,
		},
	}
}

// event decodes and checks an event. One of an unknown kind is left with an edge that can hold it.
func (c checks) event(e api.Event, now time.Time, protocol int) store.Event {
	out := store.Event{Lane: e.Lane, Seq: e.Seq}
	if !slices.Contains(c.kinds, e.Kind) {
		reason := fmt.Sprintf("its kind %q is not known to this hub", clip(string(e.Kind)))
		if protocol >= 2 {
			out.NotYet = reason
		} else {
			out.Refuse = reason
		}
		return out
	}
	value, err := c.decode(e, now)
	if err != nil {
		out.Refuse = err.Error()
		return out
	}
	out.Value = value
	return out
}

// refs leaves out what names no incident. nil stays nil.
func (c checks) refs(all []api.IncidentRef) []api.IncidentRef {
	return slices.DeleteFunc(slices.Clone(all), func(ref api.IncidentRef) bool { return !c.id.MatchString(ref.ID) })
}

// decode reads an event's data and checks it. Its errors are reasons for the edge's log.
func (c checks) decode(e api.Event, now time.Time) (any, error) {
	switch e.Kind {
	case api.KindIncident:
		var v detection.Incident
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		if err := c.incident(&v); err != nil {
			return nil, err
		}
		clamped := clampIncident(&v, e, now)
		return store.Alert{Incident: v, Title: rules.Standard().Title(v), Occurred: occurred(v, e, now), Clock: grade(e.Clock), Clamped: clamped}, nil
	case api.KindEvidence:
		var v api.Evidence
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		clamp(&v.Time, now)
		return v, c.evidence(&v)
	case api.KindInventory:
		var v api.Inventory
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		return v, c.inventory(&v)
	case api.KindStatus:
		var v devices.Status
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		v.Cause = clipCause(v.Cause)
		clamp(&v.Since, time.Time{}) // not known
		return v, errors.Join(c.device(v.Device), oneOf("state", v.State, devices.Online, devices.Offline, devices.Unknown))
	case api.KindReadings:
		var v []devices.Reading
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		at, _ := recorded(e, now)
		return v, c.readings(v, at)
	case api.KindHealth:
		var v api.Health
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		clamp(&v.Time, now)
		return v, health(&v)
	case api.KindGap:
		var v api.Gap
		if err := parse(e.Data, &v); err != nil {
			return nil, err
		}
		return v, c.gap(&v, now)
	}
	return nil, fmt.Errorf("its kind %q is not known to this hub", clip(string(e.Kind)))
}

// grade returns a grade of a clock that is known; others count as not known.
func grade(g api.ClockGrade) api.ClockGrade {
	if g == api.ClockSynchronized || g == api.ClockUnsynchronized {
		return g
	}
	return ""
}

func (c checks) gap(v *api.Gap, now time.Time) error {
	v.Reason = clip(v.Reason)
	clamp(&v.To, now)
	clamp(&v.From, v.To)
	v.Count = min(v.Count, math.MaxInt64)
	err := oneOf("kind", v.Kind, api.GapReadings, api.GapAlerts, api.GapEvidence)
	if !c.id.MatchString(v.ID) {
		err = errors.Join(err, fmt.Errorf("its id %q is not a UUID in lower case", clip(v.ID)))
	}
	if v.Device != "" {
		err = errors.Join(err, c.device(v.Device))
	}
	return err
}

func parse(data json.RawMessage, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return fmt.Errorf("its data does not parse: %w", err)
	}
	return nil
}

func (c checks) device(name string) error {
	if !c.name.MatchString(name) {
		return fmt.Errorf("its device %q is not of [a-z0-9-]{1,40}", clip(name))
	}
	return nil
}

func oneOf[T ~string](key string, v T, all ...T) error {
	for _, one := range all {
		if v == one {
			return nil
		}
	}
	return fmt.Errorf("its %s %q is not one of %q", key, clip(string(v)), all)
}

func (c checks) incident(v *detection.Incident) error {
	if !c.id.MatchString(v.ID) {
		return fmt.Errorf("its id %q is not a UUID in lower case", clip(v.ID))
	}
	v.Class, v.Unit, v.Rule = clip(v.Class), clip(v.Unit), clip(v.Rule)
	err := errors.Join(
		c.device(v.Device),
		oneOf("severity", v.Severity, detection.Minor, detection.Moderate, detection.Severe, detection.Extreme),
		oneOf("state", v.State, detection.Open, detection.Closed),
	)
	if v.Version < 1 {
		err = errors.Join(err, fmt.Errorf("its version %d is below 1", v.Version))
	}
	if !c.name.MatchString(string(v.Kind)) {
		err = errors.Join(err, fmt.Errorf("its kind %q is not of [a-z0-9-]{1,40}", clip(string(v.Kind))))
	}
	return err
}

func (c checks) evidence(v *api.Evidence) error {
	var err error
	if !c.id.MatchString(v.Incident) {
		err = fmt.Errorf("its incident %q is not a UUID in lower case", clip(v.Incident))
	}
	if !c.file.MatchString(v.Name) {
		err = errors.Join(err, fmt.Errorf("its name %q is not of [a-z0-9.-]{1,80}", clip(v.Name)))
	}
	if v.Size < 1 || v.Size > api.MaxEvidenceSize {
		err = errors.Join(err, fmt.Errorf("its size %d is not within 1 and %d bytes", v.Size, api.MaxEvidenceSize))
	}
	v.SHA256 = strings.ToLower(v.SHA256)
	if len(v.SHA256) != 64 || strings.Trim(v.SHA256, "0123456789abcdef") != "" {
		err = errors.Join(err, errors.New("its sha256 is not of 64 hexadecimal digits"))
	}
	v.ContentType = clip(v.ContentType)
	return err
}

func (c checks) inventory(v *api.Inventory) error {
	if len(v.Devices) > maxDevices {
		return fmt.Errorf("it has more than %d devices", maxDevices)
	}
	v.Version = clip(v.Version)
	for i := range v.Devices {
		d := &v.Devices[i]
		d.Unit = clip(d.Unit)
		err := errors.Join(c.device(d.Name), oneOf("kind", d.Kind, devices.Camera, devices.Sensor))
		if p := d.Place; p != nil && (p.Lat < -90 || p.Lat > 90 || p.Lon < -180 || p.Lon > 180) {
			err = errors.Join(err, fmt.Errorf("the place of %s is not on the Earth", clip(d.Name)))
		}
		if len(d.Rules) > maxRules {
			err = errors.Join(err, fmt.Errorf("%s has more than %d rules", clip(d.Name), maxRules))
		}
		for j := range d.Rules {
			err = errors.Join(err, ruleTerms(&d.Rules[j]))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// ruleTerms bounds what is shown of a rule.
func ruleTerms(r *api.Rule) error {
	if len(r.Classes) > maxRules {
		return fmt.Errorf("the rule %s has more than %d classes", clip(r.Name), maxRules)
	}
	r.Name, r.Direction = clip(r.Name), detection.Direction(clip(string(r.Direction)))
	for i := range r.Classes {
		r.Classes[i] = clip(r.Classes[i])
	}
	return nil
}

func (c checks) readings(v []devices.Reading, at time.Time) error {
	if len(v) > maxReadings {
		return fmt.Errorf("it has more than %d readings", maxReadings)
	}
	for i := range v {
		if v[i].Quality == "" {
			v[i].Quality = devices.Good
		}
		clamp(&v[i].Time, at)
		err := errors.Join(c.device(v[i].Device), oneOf("quality", v[i].Quality, devices.Good, devices.Bad))
		if err != nil {
			return err
		}
	}
	return nil
}

func health(v *api.Health) error {
	if len(v.Problems) > maxProblems || len(v.Counters) > maxCounters {
		return fmt.Errorf("it has more than %d problems or %d counters", maxProblems, maxCounters)
	}
	for i := range v.Problems {
		v.Problems[i] = clipCause(v.Problems[i])
	}
	return nil
}

// maxParams bounds the parameters of a cause.
const maxParams = 20

// clipCause bounds a cause.
func clipCause(c devices.Cause) devices.Cause {
	out := devices.Cause{Code: clip(c.Code), Text: clip(c.Text)}
	for name, value := range c.Params {
		if len(out.Params) == maxParams {
			break
		}
		if out.Params == nil {
			out.Params = map[string]string{}
		}
		out.Params[clip(name)] = clip(value)
	}
	return out
}

// clip bounds a text for people, without cutting a character in two.
func clip(s string) string {
	s = strings.ToValidUTF8(s, "\uFFFD")
	if len(s) <= maxWords {
		return s
	}
	end := maxWords
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
