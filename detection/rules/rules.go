// Package rules turns the tracks and readings of one device into incidents that open, change
// and close.
//
// An Engine is a plain state machine: it has no goroutine and no clock. What it returns is the
// alert to store and send: the incident whole, its Version one higher than the last. A closed
// incident is never heard of again; zone, above, below and silence rules have at most one
// open incident each, line rules one for each crossing.
//
// Durations are measured along the times handed in, in a way that survives clocks that are set:
// time that runs backwards counts as standing still, and so does a gap of more than a minute
// between two pictures. It imports nothing of Gridpost but detection and devices.
package rules

import (
	"errors"
	"fmt"
	"math"
	"time"

	"gridpost/detection"
)

// DefaultClear is how long a zone must be empty, or a crossing ago, before its incident closes.
const DefaultClear = 3 * time.Second

// Spec is one rule of a device. Which fields count depends on Kind.
type Spec struct {
	Name     string // unique on its device
	Kind     detection.RuleKind
	Severity detection.Severity

	Polygon   []detection.Point   // zone: 3..32 corners that do not cross
	Line      []detection.Point   // line: two points
	Direction detection.Direction // line; empty: any
	Classes   []string            // zone and line: what counts; empty: anything. Tracks of class detection.Motion always count
	MinSize   float64             // zone and line: least area of the box as a fraction of the picture, 0..1

	Value      float64  // above and below: beyond it an incident opens
	ClearValue *float64 // above and below: at or beyond it, the other way, the incident closes; nil: Value

	For   time.Duration // zone, above, below: how long the condition must hold; silence: how long nothing is heard
	Clear time.Duration // zone and line: how long it must be over; 0: DefaultClear
}

// Check says in words what is wrong with s, beginning with the key of the document that is to blame.
func (s Spec) Check() error {
	if s.Name == "" {
		return errors.New("name: missing")
	}
	if s.For < 0 || s.Clear < 0 {
		return errors.New("for, clear: negative time")
	}
	switch s.Kind {
	case detection.Zone:
		if err := detection.Polygon(s.Polygon).Check(); err != nil {
			return fmt.Errorf("polygon: %w", err)
		}
	case detection.Line:
		return s.checkLine()
	case detection.Above, detection.Below:
		return s.checkThreshold()
	case detection.Silence:
		if s.For == 0 {
			return errors.New("for: missing, expected how long nothing is heard")
		}
	default:
		return fmt.Errorf("kind: %q, expected zone, line, above, below or silence", s.Kind)
	}
	return s.checkSize()
}

func (s Spec) checkSize() error {
	if !(s.MinSize >= 0 && s.MinSize <= 1) {
		return fmt.Errorf("min_size: %g, expected a fraction of the picture from 0 to 1", s.MinSize)
	}
	return nil
}

func (s Spec) checkLine() error {
	if len(s.Line) != 2 {
		return fmt.Errorf("line: %d points, expected 2", len(s.Line))
	}
	for i, p := range s.Line {
		if !p.InFrame() {
			return fmt.Errorf("line: point %d [%g, %g] is outside the picture, expected numbers from 0 to 1", i+1, p.X, p.Y)
		}
	}
	if s.Line[0] == s.Line[1] {
		return errors.New("line: its ends are the same point")
	}
	switch s.Direction {
	case "", detection.AnyDirection, detection.Up, detection.Down, detection.Left, detection.Right:
	default:
		return fmt.Errorf("direction: %q, expected up, down, left, right or any", s.Direction)
	}
	return s.checkSize()
}

func (s Spec) checkThreshold() error {
	if math.IsNaN(s.Value) || math.IsInf(s.Value, 0) {
		return fmt.Errorf("value: %g, expected a number", s.Value)
	}
	if s.ClearValue == nil {
		return nil
	}
	c := *s.ClearValue
	if s.Kind == detection.Above && !(c <= s.Value) {
		return fmt.Errorf("clear: %g, expected at most value, %g", c, s.Value)
	}
	if s.Kind == detection.Below && !(c >= s.Value) {
		return fmt.Errorf("clear: %g, expected at least value, %g", c, s.Value)
	}
	return nil
}
