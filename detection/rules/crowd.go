package rules

import (
	"fmt"
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

// maxCrowd is the highest limit of a crowd: a tracker follows 64 objects.
const maxCrowd = 60

// crowdKind opens an incident when more objects than a limit are in an area at once for long enough, and closes
// it when no more than another number are.
func crowdKind() Kind {
	return Kind{
		Name:    detection.Crowd,
		Devices: []devices.Kind{devices.Camera},
		Terms:   func() Terms { return &crowdTerms{tracked: tracked{clear: defaultClear}, calm: unsetCount} },
		Title:   crowdTitle,
	}
}

// crowdTitle returns "crowd: market 14 (limit 10)".
func crowdTitle(inc detection.Incident, n Names) string {
	title := called("crowd")(inc, n)
	if inc.Value == nil || inc.Limit == nil {
		return title
	}
	return title + " " + quantity(*inc.Value, "") + " (limit " + quantity(*inc.Limit, "") + ")"
}

// unsetCount stands for a clear_count that was not given.
const unsetCount = -1

type crowdTerms struct {
	tracked
	area  detection.Polygon
	limit int           // an incident opens when more objects than this are inside
	calm  int           // it is over when no more than this are; unsetCount: limit
	hold  time.Duration // how long they must be
}

func (t *crowdTerms) Params() []param.Param {
	return append(t.params(),
		param.Required("polygon", polygon(&t.area)),
		param.Required("count", param.Whole(&t.limit, 0, maxCrowd)),
		param.Optional("clear_count", param.Whole(&t.calm, 0, maxCrowd)),
		param.Optional("for", param.Duration(&t.hold, 0, param.Longest)))
}

func (t *crowdTerms) Check() error {
	if t.calm <= t.limit {
		return nil
	}
	return &param.Error{Key: "clear_count", Expected: fmt.Sprintf("a number not above count (%d)", t.limit)}
}

func (t *crowdTerms) Describe() Description {
	limit := float64(t.limit)
	return Description{Detection: true, Classes: t.classes, Value: &limit, For: t.hold}
}

func (t *crowdTerms) Judge(o Opener) Judge {
	c := &crowd{crowdTerms: *t, ongoing: ongoing{opener: o, clear: t.clear}, flicker: min(flicker, t.hold/2), since: unset}
	if c.calm == unsetCount {
		c.calm = c.limit
	}
	return c
}

type crowd struct {
	crowdTerms
	ongoing
	flicker time.Duration
	since   time.Duration // when there were too many first; unset: there are not
	above   time.Duration // when there were too many last
}

// Frame implements FrameJudge. The incident's value is the most objects at once so far.
func (c *crowd) Frame(now time.Duration, at time.Time, tracks []detection.Track) []detection.Incident {
	c.frame(now)
	n := c.countInside(tracks)
	switch {
	case n > c.limit:
		if c.since == unset {
			c.since = now
		}
		c.above = now
	case c.since != unset && now-c.above > c.flicker:
		c.since = unset
	}
	var alerts []detection.Incident
	switch {
	case c.open == nil && n > c.limit && now-c.since >= c.hold:
		limit := float64(c.limit)
		c.met(now, at).Incident.Limit = &limit
		c.show(n)
		alerts = []detection.Incident{c.open.Alert()}
	case c.open != nil && n > c.calm:
		c.met(now, at)
		if most := c.open.Incident.Value; most == nil || float64(n) > *most {
			c.show(n)
			c.open.Changed()
		}
	}
	return append(alerts, c.settle(now, at)...)
}

func (c *crowd) show(n int) {
	value := float64(n)
	c.open.Incident.Value, c.open.Incident.Count = &value, max(c.open.Incident.Count, n)
}

// countInside counts the objects inside. One that is not detected in a frame counts where it was last, for as
// long as the tracker knows it: among many, somebody is always hidden.
func (c *crowd) countInside(tracks []detection.Track) int {
	n := 0
	for _, tr := range tracks {
		if c.within(c.area, tr) {
			n++
		}
	}
	return n
}

// Tick implements TickJudge.
func (c *crowd) Tick(t Tick) []detection.Incident {
	if !c.blind(t) {
		return nil
	}
	c.since = unset
	return c.abandon(t)
}
