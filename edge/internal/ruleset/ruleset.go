// Package ruleset turns the rules of a site's document into those that detection/rules runs, for
// the daemon and for replay alike: both must judge a picture the same way.
//
// It must not import other packages of edge.
package ruleset

import (
	"gridpost/detection/rules"

	firmwareconfig "gridpost/firmware-config"
)

// Specs returns what the document's rules of one device say, in its order.
func Specs(document []firmwareconfig.Rule) []rules.Spec {
	specs := make([]rules.Spec, 0, len(document))
	for _, r := range document {
		s := rules.Spec{
			Name:       r.Name,
			Kind:       r.Kind,
			Severity:   r.Severity,
			Polygon:    r.Polygon,
			Line:       r.Line,
			Direction:  r.Direction,
			Classes:    r.Classes,
			MinSize:    r.MinSize,
			ClearValue: r.Clear.Value,
			For:        r.For,
			Clear:      r.Clear.After,
		}
		if r.Value != nil {
			s.Value = *r.Value
		}
		specs = append(specs, s)
	}
	return specs
}
