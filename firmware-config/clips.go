package firmwareconfig

import (
	"time"

	"gridpost/detection/rules/param"
)

func (p *parser) clips(v value, c *Clips) {
	v.fields(
		may("before", by(param.Duration(&c.Before, time.Second, 30*time.Second))),
		may("after", by(param.Duration(&c.After, time.Second, 10*time.Minute))),
		may("longest", by(param.Duration(&c.Longest, time.Second, 10*time.Minute))),
		may("keep", by(param.Duration(&c.Keep, time.Hour, 30*24*time.Hour))),
		may("size", by(param.Number(&c.Size, 0.1, 1000))),
	)
	if d := c.withDefaults(); d.Longest < d.After {
		v.p.fail(v.node.Line, v.join("longest"), "expected a time that is not shorter than after, which is %s, found %s", d.After, d.Longest)
	}
}

func (c Clips) withDefaults() Clips {
	for _, d := range []struct {
		value *time.Duration
		usual time.Duration
	}{{&c.Before, 10 * time.Second}, {&c.After, 20 * time.Second}, {&c.Longest, max(time.Minute, c.After)}, {&c.Keep, 7 * 24 * time.Hour}} {
		if *d.value == 0 {
			*d.value = d.usual
		}
	}
	if c.Size == 0 {
		c.Size = 2
	}
	return c
}
