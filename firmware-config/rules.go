package firmwareconfig

import (
	"math"
	"strings"
	"time"

	"gridpost/detection"
	"gridpost/devices"

	"go.yaml.in/yaml/v3"
)

// defaultClear is how long nothing must be seen before a zone's or a line's incident closes.
const defaultClear = 3 * time.Second

// kindsFor lists the rules that fit a device.
func kindsFor(kind devices.Kind) []detection.RuleKind {
	if kind == devices.Camera {
		return []detection.RuleKind{detection.Zone, detection.Line, detection.Silence}
	}
	return []detection.RuleKind{detection.Above, detection.Below, detection.Silence}
}

func (p *parser) rules(v value, kind devices.Kind) []Rule {
	var rules []Rule
	names := firsts{}
	v.items(maxRules, func(_ int, v value) { rules = append(rules, p.rule(v, kind, names)) })
	return rules
}

// rule reads one rule. Its kind is looked at first: it decides which keys there are.
func (p *parser) rule(v value, kind devices.Kind, names firsts) Rule {
	var r Rule
	fields := []field{
		must("name", func(v value) {
			v.name(&r.Name)
			names.once(v, r.Name, "rule of this device")
		}),
		must("kind", func(v value) { p.ruleKind(v, &r.Kind, kind) }),
		must("severity", func(v value) {
			oneOf(v, &r.Severity, detection.Minor, detection.Moderate, detection.Severe, detection.Extreme)
		}),
	}
	own, known := p.ruleFields(peek(v, "kind"), &r)
	if !known {
		// The complaint is about the kind alone; the other keys may well fit what was meant.
		for _, key := range []string{"polygon", "line", "direction", "classes", "min_size", "value", "for", "clear"} {
			own = append(own, may(key, func(value) {}))
		}
	}
	v.fields(append(fields, own...)...)
	return r
}

// peek returns the text of a key of a mapping that has not been read yet.
func peek(v value, key string) string {
	if v.node.Kind != yaml.MappingNode {
		return ""
	}
	for i := 0; i+1 < len(v.node.Content); i += 2 {
		if v.node.Content[i].Value == key {
			return v.node.Content[i+1].Value
		}
	}
	return ""
}

func (p *parser) ruleKind(v value, dst *detection.RuleKind, kind devices.Kind) {
	var which detection.RuleKind
	before := len(p.problems)
	oneOf(v, &which, detection.Zone, detection.Line, detection.Above, detection.Below, detection.Silence)
	if len(p.problems) > before {
		return
	}
	fits := kindsFor(kind)
	list := make([]string, len(fits))
	for i, k := range fits {
		if k == which {
			*dst = which
			return
		}
		list[i] = string(k)
	}
	v.fail("expected one of %s for a %s, found %q", strings.Join(list, ", "), kind, string(which))
}

// ruleFields returns the keys that belong to a kind of rule.
func (p *parser) ruleFields(kind string, r *Rule) (fields []field, known bool) {
	hold := func(v value) { v.duration(&r.For, 0, longest) }
	seen := []field{
		may("classes", func(v value) {
			v.items(100, func(_ int, v value) {
				var c string
				v.into(&c)
				r.Classes = append(r.Classes, c)
			})
		}),
		may("min_size", func(v value) { v.number(&r.MinSize, 0, 1) }),
		may("clear", func(v value) { v.duration(&r.Clear.After, 100*time.Millisecond, longest) }),
	}
	switch detection.RuleKind(kind) {
	case detection.Zone:
		return append(seen, must("polygon", func(v value) { v.polygon(&r.Polygon) }), may("for", hold)), true
	case detection.Line:
		return append(seen,
			must("line", func(v value) { v.line(&r.Line) }),
			may("direction", func(v value) {
				oneOf(v, &r.Direction, detection.AnyDirection, detection.Up, detection.Down, detection.Left, detection.Right)
			})), true
	case detection.Above, detection.Below:
		var over value
		return []field{
			must("value", func(v value) {
				r.Value = v.measured()
				checkClear(over, r, detection.RuleKind(kind))
			}),
			may("clear", func(v value) {
				over = v
				r.Clear.Value = v.measured()
				checkClear(over, r, detection.RuleKind(kind))
			}),
			may("for", hold),
		}, true
	case detection.Silence:
		return []field{must("for", func(v value) { v.duration(&r.For, time.Second, longest) })}, true
	}
	return nil, false
}

// measured reads a value of a sensor.
func (v value) measured() *float64 {
	f := math.NaN()
	v.number(&f, -math.MaxFloat64, math.MaxFloat64)
	if math.IsNaN(f) {
		return nil
	}
	return &f
}

// checkClear holds the two ends of a hysteresis apart the right way round. It is called after
// each of them, as they come in any order.
func checkClear(over value, r *Rule, kind detection.RuleKind) {
	if r.Value == nil || r.Clear.Value == nil {
		return
	}
	if kind == detection.Above && *r.Clear.Value > *r.Value {
		over.fail("expected a number not above value (%g), found %s", *r.Value, over.found())
	}
	if kind == detection.Below && *r.Clear.Value < *r.Value {
		over.fail("expected a number not below value (%g), found %s", *r.Value, over.found())
	}
}

// points reads a list of [x, y] in fractions of the picture.
func (v value) points(limit int) (points []detection.Point, ok bool) {
	before := len(v.p.problems)
	v.items(limit, func(_ int, v value) {
		var xy []float64
		v.items(2, func(_ int, v value) {
			f := math.NaN()
			v.number(&f, 0, 1)
			xy = append(xy, f)
		})
		if len(xy) == 2 {
			points = append(points, detection.Point{X: xy[0], Y: xy[1]})
		} else if v.node.Kind == yaml.SequenceNode && len(v.node.Content) < 2 {
			v.fail("expected a point [x, y], found a list of %d", len(xy))
		}
	})
	return points, len(v.p.problems) == before
}

func (v value) line(dst *[]detection.Point) {
	pts, ok := v.points(2)
	switch {
	case !ok:
	case len(pts) != 2:
		v.fail("expected two points [[x, y], [x, y]], found %d", len(pts))
	case pts[0] == pts[1]:
		v.fail("expected two points apart from each other, found the same one twice")
	default:
		*dst = pts
	}
}

func (v value) polygon(dst *[]detection.Point) {
	pts, ok := v.points(detection.MaxCorners)
	if !ok {
		return
	}
	if len(pts) < detection.MinCorners {
		v.fail("expected a polygon of %d to %d points, found %d", detection.MinCorners, detection.MaxCorners, len(pts))
		return
	}
	if err := detection.Polygon(pts).Check(); err != nil {
		v.fail("expected a polygon that does not cross or touch itself, found: %s", err)
		return
	}
	*dst = pts
}

// setRuleDefaults fills in what rules left out.
func setRuleDefaults(rules []Rule) {
	for i := range rules {
		r := &rules[i]
		switch r.Kind {
		case detection.Line:
			if r.Direction == "" {
				r.Direction = detection.AnyDirection
			}
			fallthrough
		case detection.Zone:
			if r.Clear.After == 0 {
				r.Clear.After = defaultClear
			}
		case detection.Above, detection.Below:
			if r.Clear.Value == nil {
				same := *r.Value
				r.Clear.Value = &same
			}
		}
	}
}
