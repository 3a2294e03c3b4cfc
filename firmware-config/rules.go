package firmwareconfig

import (
	"errors"
	"fmt"
	"strings"

	"gridpost/detection"
	"gridpost/detection/rules"
	"gridpost/detection/rules/param"
	"gridpost/devices"

	"go.yaml.in/yaml/v3"
)

func (p *parser) rules(v value, device devices.Kind) []rules.Spec {
	var specs []rules.Spec
	names := firsts{}
	v.items(maxRules, func(v value) { specs = append(specs, p.rule(v, device, names)) })
	return specs
}

// rule reads one rule. Its kind is looked at first: it decides which keys there are.
func (p *parser) rule(v value, device devices.Kind, names firsts) rules.Spec {
	var s rules.Spec
	before := len(p.problems)
	fields := []field{
		must("name", func(v value) {
			v.name(&s.Name)
			names.once(v, s.Name, "rule of this device")
		}),
		may("title", func(v value) { v.title(&s.Title) }),
		must("kind", func(v value) { p.ruleKind(v, &s.Kind, device) }),
		must("severity", by(param.OneOf(&s.Severity, detection.Minor, detection.Moderate, detection.Severe, detection.Extreme))),
		may("cool_down", by(param.Duration(&s.CoolDown, 0, param.Longest))),
		may("schedule", func(v value) { p.ruleSchedule(v, &s.Schedule) }),
	}
	kind, known := p.kinds.Find(p.peekKind(v))
	if known {
		s.Terms = kind.Terms()
		for _, own := range s.Terms.Params() {
			fields = append(fields, field{key: own.Key, required: own.Required, read: by(own.Read)})
		}
	} else {
		// The problem is the kind alone; the other keys may well fit what was meant.
		for _, key := range p.allRuleKeys() {
			fields = append(fields, may(key, func(value) {}))
		}
	}
	v.fields(fields...)
	if known && len(p.problems) == before {
		p.checkTerms(v, s.Terms)
	}
	return s
}

// checkTerms reports what is wrong between the keys of a rule that are right by themselves.
func (p *parser) checkTerms(v value, terms rules.Terms) {
	err := terms.Check()
	var wrong *param.Error
	switch {
	case err == nil:
	case errors.As(err, &wrong):
		if at, given := v.child(wrong.Key); given {
			at.Fail(wrong.Expected, "")
			return
		}
		p.fail(v.node.Line, v.join(wrong.Key), "expected %s, found nothing", wrong.Expected)
	default:
		v.fail("%s", err)
	}
}

// peekKind returns the kind of a rule that has not been read yet. Problems are reported when it is read.
func (p *parser) peekKind(v value) detection.RuleKind {
	kind, given := v.child("kind")
	if !given || kind.node.Kind != yaml.ScalarNode || kind.null() {
		return ""
	}
	kind.p = &parser{getenv: p.getenv}
	text, _ := kind.Text()
	return detection.RuleKind(text)
}

// allRuleKeys returns every key that any kind of rule has.
func (p *parser) allRuleKeys() []string {
	var keys []string
	seen := map[string]bool{"name": true, "title": true, "kind": true, "severity": true, "cool_down": true, "schedule": true}
	for _, k := range p.kinds {
		for _, own := range k.Terms().Params() {
			if !seen[own.Key] {
				seen[own.Key] = true
				keys = append(keys, own.Key)
			}
		}
	}
	return keys
}

func (p *parser) ruleKind(v value, dst *detection.RuleKind, device devices.Kind) {
	var name detection.RuleKind
	if !param.OneOf(&name, p.kinds.Names()...)(v) {
		return
	}
	if kind, _ := p.kinds.Find(name); kind.Fits(device) {
		*dst = name
		return
	}
	var fitting []string
	for _, k := range p.kinds.For(device) {
		fitting = append(fitting, string(k.Name))
	}
	v.Fail(fmt.Sprintf("one of %s for a %s", strings.Join(fitting, ", "), device), "")
}
