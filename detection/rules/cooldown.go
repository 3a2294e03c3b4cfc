package rules

import (
	"slices"
	"time"

	"gridpost/detection"
)

// cooldown holds back the incidents that a rule opens too soon after the one before. One that is still open
// when the time is over opens then; those that have ended are in the count of the next one.
type cooldown struct {
	span  time.Duration // least time between two incidents that open; 0: nothing is held back
	until time.Duration // by the clock of ticks
	held  []held        // by age
	ended int           // counts of those that ended while they were held back, since the last one that opened
	given map[string]difference
}

// held is an incident that is open for its judge only.
type held struct {
	detection.Incident               // its last alert
	since              time.Duration // by the clock of ticks
}

// difference is what the alerts of an incident have more, or less, than those of its judge, until it closes.
type difference struct{ versions, count int }

// filter takes a judge's alerts and returns those that go out. now is the time since the engine's first tick.
func (c *cooldown) filter(now time.Duration, alerts []detection.Incident) []detection.Incident {
	if c.span == 0 {
		return alerts
	}
	var out []detection.Incident
	for _, inc := range alerts {
		i := c.find(inc.ID)
		switch {
		case i >= 0 && inc.State == detection.Closed:
			c.ended += inc.Count
			c.held = slices.Delete(c.held, i, i+1)
		case i >= 0:
			c.held[i].Incident = inc
		case inc.Version > 1:
			out = append(out, c.alert(inc))
		case now < c.until:
			c.held = append(c.held, held{Incident: inc, since: now})
		default:
			out = append(out, c.open(now, inc))
		}
	}
	return out
}

// release returns the alert of an incident that was held back and is still open when the time is over.
func (c *cooldown) release(now time.Duration) []detection.Incident {
	if len(c.held) == 0 || now < c.until {
		return nil
	}
	inc := c.held[0].Incident
	c.held = slices.Delete(c.held, 0, 1)
	return []detection.Incident{c.open(now, inc)}
}

func (c *cooldown) open(now time.Duration, inc detection.Incident) detection.Incident {
	c.until = now + c.span
	if d := (difference{versions: 1 - inc.Version, count: c.ended}); d != (difference{}) {
		c.given[inc.ID] = d
	}
	c.ended = 0
	return c.alert(inc)
}

// alert returns an incident as those who are told of it know it.
func (c *cooldown) alert(inc detection.Incident) detection.Incident {
	d := c.given[inc.ID]
	inc.Version += d.versions
	inc.Count += d.count
	if inc.State == detection.Closed {
		delete(c.given, inc.ID)
	}
	return inc
}

// known returns the incidents of open that have been told of.
func (c *cooldown) known(open []detection.Incident) []detection.Incident {
	var out []detection.Incident
	for _, inc := range open {
		if c.find(inc.ID) < 0 {
			out = append(out, c.alert(inc))
		}
	}
	return out
}

func (c *cooldown) find(id string) int {
	return slices.IndexFunc(c.held, func(h held) bool { return h.ID == id })
}

// inherit takes over from the same rule with other terms. What was held back opens anew if its condition holds.
func (c *cooldown) inherit(now time.Duration, old cooldown) {
	if c.span == 0 {
		return
	}
	c.until, c.ended = min(old.until, now+c.span), old.ended
	for _, h := range old.held {
		c.ended += h.Count
	}
}

// pending returns what was held back as conditions that hold, so that it is not forgotten by a restart.
func (c *cooldown) pending(now, hold time.Duration) []detection.Pending {
	var all []detection.Pending
	for _, h := range c.held {
		if h.Value == nil || h.Limit == nil {
			continue // it opens anew after a restart
		}
		all = append(all, detection.Pending{Limit: *h.Limit, First: h.Opened, Held: hold + now - h.since, Count: h.Count, Value: *h.Value, Unit: h.Unit})
	}
	return all
}
