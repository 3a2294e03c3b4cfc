package ingest

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/names"
)

// Bounds of what one event may carry.
const (
	maxDevices  = 5000
	maxRules    = 200
	maxReadings = 10_000
	maxProblems = 50
	maxCounters = 500
	maxParams   = 20     // of a cause
	maxText     = 500    // bytes of a text for people
	maxOpen     = 60_000 // open incidents of a greeting; an edge names at most 50,000
)

// checks holds the patterns of names and what is known; made once by newChecks.
type checks struct {
	id, file *regexp.Regexp
	kinds    []api.Kind // of events
}

func newChecks() checks {
	return checks{
		id:   regexp.MustCompile(`^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$`), // RFC 9562, section 4
		file: regexp.MustCompile(`^[a-z0-9-][a-z0-9.-]{0,79}$`),                                    // never "." or ".."
		kinds: []api.Kind{
			api.KindIncident, api.KindEvidence, api.KindInventory, api.KindStatus, api.KindReadings, api.KindHealth, api.KindGap,
		},
	}
}

// refs returns the refs that name an incident. nil stays nil.
func (c checks) refs(all []api.IncidentRef) []api.IncidentRef {
	return slices.DeleteFunc(slices.Clone(all), func(ref api.IncidentRef) bool { return !c.id.MatchString(ref.ID) })
}

// epoch reports whether a name of an epoch can be stored: printable ASCII, at most maxEpoch bytes.
func (c checks) epoch(name string) bool {
	return name != "" && len(name) <= maxEpoch && strings.IndexFunc(name, func(r rune) bool { return r < ' ' || r > '~' }) < 0
}

func (c checks) device(name string) error {
	if names.CheckEdge(name) != nil {
		return wrongValue("device", name, "of [a-z0-9-]{1,40}")
	}
	return nil
}

func (c checks) uuid(field, id string) error {
	if !c.id.MatchString(id) {
		return wrongValue(field, id, "a UUID in lower case")
	}
	return nil
}

func oneOf[T ~string](field string, v T, all ...T) error {
	if slices.Contains(all, v) {
		return nil
	}
	return wrongValue(field, string(v), fmt.Sprintf("one of %q", all))
}

func (c checks) incident(v *detection.Incident) error {
	v.Class, v.Unit, v.Rule = clip(v.Class), clip(v.Unit), clip(v.Rule)
	err := errors.Join(
		c.uuid("id", v.ID),
		c.device(v.Device),
		oneOf("severity", v.Severity, detection.Minor, detection.Moderate, detection.Severe, detection.Extreme),
		oneOf("state", v.State, detection.Open, detection.Closed),
	)
	if v.Version < 1 || v.Version > math.MaxInt32 {
		err = errors.Join(err, wrongValue("version", strconv.Itoa(v.Version), "within 1 and 2^31-1"))
	}
	if v.Count < 0 || v.Count > math.MaxInt32 {
		err = errors.Join(err, wrongValue("count", strconv.Itoa(v.Count), "within 0 and 2^31-1"))
	}
	if names.CheckEdge(string(v.Kind)) != nil {
		err = errors.Join(err, wrongValue("kind", string(v.Kind), "of [a-z0-9-]{1,40}"))
	}
	return err
}

func (c checks) evidence(v *api.Evidence) error {
	err := c.uuid("incident", v.Incident)
	if !c.file.MatchString(v.Name) {
		err = errors.Join(err, wrongValue("name", v.Name, "of [a-z0-9.-]{1,80}"))
	}
	if v.Size < 1 || v.Size > api.MaxEvidenceSize {
		err = errors.Join(err, wrongValue("size", strconv.FormatInt(v.Size, 10), fmt.Sprintf("within 1 and %d bytes", api.MaxEvidenceSize)))
	}
	v.SHA256 = strings.ToLower(v.SHA256)
	if len(v.SHA256) != 64 || strings.Trim(v.SHA256, "0123456789abcdef") != "" {
		err = errors.Join(err, wrongValue("sha256", v.SHA256, "of 64 hexadecimal digits"))
	}
	v.ContentType = clip(v.ContentType)
	if v.ContentType != api.ClipType {
		v.Clip = nil
	}
	return errors.Join(err, checkClip(v.Clip))
}

func checkClip(v *api.Clip) error {
	if v == nil {
		return nil
	}
	if len(v.Gaps) > api.MaxClipGaps {
		return tooMany("gaps of a clip", api.MaxClipGaps)
	}
	v.Codec = clip(v.Codec)
	if v.Frames < 1 || v.Frames > api.MaxClipFrames {
		return wrongValue("frames of a clip", strconv.Itoa(v.Frames), fmt.Sprintf("within 1 and %d", api.MaxClipFrames))
	}
	for _, at := range []time.Time{v.From, v.To} {
		if y := at.Year(); y < 1970 || y > 9999 {
			return wrongValue("time of a clip", at.Format(time.RFC3339), "within the years 1970 and 9999")
		}
	}
	for _, g := range v.Gaps {
		if g.From.Before(v.From) || g.To.After(v.To) || g.To.Before(g.From) {
			return wrongValue("gap of a clip", g.From.Format(time.RFC3339), "within the clip")
		}
	}
	return nil
}

func (c checks) inventory(v *api.Inventory) error {
	if len(v.Devices) > maxDevices {
		return tooMany("devices", maxDevices)
	}
	v.Version, v.Title = clip(v.Version), clipTitle(v.Title)
	for i := range v.Devices {
		d := &v.Devices[i]
		d.Unit, d.Title = clip(d.Unit), clipTitle(d.Title)
		if !d.Class.Known() {
			d.Class = "" // of a newer edge
		}
		err := errors.Join(c.device(d.Name), oneOf("kind", d.Kind, devices.Camera, devices.Sensor))
		if p := d.Place; p != nil && !(p.Lat >= -90 && p.Lat <= 90 && p.Lon >= -180 && p.Lon <= 180) {
			err = errors.Join(err, wrongValue("place of "+clip(d.Name), fmt.Sprintf("%v, %v", p.Lat, p.Lon), "on the Earth"))
		}
		if len(d.Rules) > maxRules {
			return errors.Join(err, tooMany("rules of "+clip(d.Name), maxRules))
		}
		for j := range d.Rules {
			err = errors.Join(err, rule(&d.Rules[j]))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clipTitle leaves out what is not usable of a title.
func clipTitle(t *devices.Title) *devices.Title {
	if t == nil {
		return nil
	}
	usable := *t
	if devices.CheckTitle(usable.En) != nil {
		usable.En = ""
	}
	if devices.CheckTitle(usable.Zh) != nil {
		usable.Zh = ""
	}
	return usable.Pointer()
}

// rule bounds what is shown of a rule.
func rule(r *api.Rule) error {
	if len(r.Classes) > maxRules || len(r.Problems) > maxRules {
		return tooMany("classes of "+clip(r.Name), maxRules)
	}
	r.Title, r.ScheduleTitle = clipTitle(r.Title), clipTitle(r.ScheduleTitle)
	r.Schedule = clip(r.Schedule)
	r.Name, r.Direction = clip(r.Name), detection.Direction(clip(string(r.Direction)))
	r.Kind, r.Severity = detection.RuleKind(clip(string(r.Kind))), detection.Severity(clip(string(r.Severity)))
	for i := range r.Classes {
		r.Classes[i] = clip(r.Classes[i])
	}
	for i := range r.Problems {
		r.Problems[i] = clip(r.Problems[i])
	}
	return nil
}

func (c checks) status(v *devices.Status) error {
	v.Cause = clipCause(v.Cause)
	return errors.Join(c.device(v.Device), oneOf("state", v.State, devices.Online, devices.Offline, devices.Unknown))
}

func (c checks) readings(v []devices.Reading) error {
	if len(v) > maxReadings {
		return tooMany("readings", maxReadings)
	}
	for i := range v {
		if v[i].Quality == "" {
			v[i].Quality = devices.Good
		}
		v[i].Text, v[i].Unit = clipRunes(v[i].Text, devices.MaxText), clip(v[i].Unit)
		if err := errors.Join(c.device(v[i].Device), oneOf("quality", v[i].Quality, devices.Good, devices.Bad)); err != nil {
			return err
		}
	}
	return nil
}

func health(v *api.Health) error {
	if len(v.Problems) > maxProblems {
		return tooMany("problems", maxProblems)
	}
	if len(v.Counters) > maxCounters {
		return tooMany("counters", maxCounters)
	}
	for i := range v.Problems {
		v.Problems[i] = clipCause(v.Problems[i])
	}
	for name := range v.Counters {
		if len(name) > maxText {
			return wrongValue("counters", name, fmt.Sprintf("named with at most %d bytes", maxText))
		}
	}
	return nil
}

func (c checks) gap(v *api.Gap, clock eventClock) error {
	v.Reason = clip(v.Reason)
	v.From, v.To = clock.at(v.From), clock.at(v.To)
	if v.From.After(v.To) {
		v.From = v.To
	}
	v.Count = min(v.Count, math.MaxInt64)
	err := errors.Join(c.uuid("id", v.ID), oneOf("kind", v.Kind, api.GapReadings, api.GapAlerts, api.GapEvidence))
	if v.Device != "" {
		err = errors.Join(err, c.device(v.Device))
	}
	return err
}

// clipCause bounds a cause.
func clipCause(c devices.Cause) devices.Cause {
	out := devices.Cause{Code: clip(c.Code), Text: clip(c.Text)}
	names := make([]string, 0, len(c.Params))
	for name := range c.Params {
		names = append(names, name)
	}
	slices.Sort(names) // the same cause stays the same
	for _, name := range names[:min(len(names), maxParams)] {
		if out.Params == nil {
			out.Params = map[string]string{}
		}
		out.Params[clip(name)] = clip(c.Params[name])
	}
	return out
}

// storableText replaces what a database refuses: invalid UTF-8, and NUL, which PostgreSQL cannot store.
func storableText(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// clipRunes bounds a text in runes.
func clipRunes(s string, most int) string {
	runes := []rune(storableText(s))
	return string(runes[:min(len(runes), most)])
}

// clip bounds a text for people, without cutting a character in two.
func clip(s string) string {
	s = storableText(s)
	if len(s) <= maxText {
		return s
	}
	end := maxText
	for !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + "…"
}
