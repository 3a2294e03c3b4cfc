package rules

import (
	"time"

	"gridpost/detection"
	"gridpost/detection/rules/param"
	"gridpost/devices"
)

// shortestSilence is the shortest silence that a document may name: ticks come every second.
const shortestSilence = time.Second

// silenceKind opens an incident when nothing came from the device for long enough, and closes it
// at the next sign of life.
func silenceKind() Kind {
	return Kind{
		Name:    detection.Silence,
		Devices: []devices.Kind{devices.Camera, devices.Sensor},
		Terms:   func() Terms { return &silenceTerms{} },
		Title: titled(func(inc detection.Incident, n Names) string {
			return "no data: " + n.Device.Or(inc.Device)
		}),
	}
}

type silenceTerms struct {
	hold time.Duration // how long nothing must come
}

func (t *silenceTerms) Params() []param.Param {
	return []param.Param{param.Required("for", param.Duration(&t.hold, shortestSilence, param.Longest))}
}

func (t *silenceTerms) Check() error { return nil }

func (t *silenceTerms) Describe() Description { return Description{For: t.hold} }

func (t *silenceTerms) Judge(o Opener) Judge { return &silence{silenceTerms: *t, opener: o} }

type silence struct {
	silenceTerms
	opener Opener
	open   *OpenIncident
}

// Open implements Judge.
func (s *silence) Open() []detection.Incident { return openOf(s.open) }

// Restore implements Judge.
func (s *silence) Restore(inc detection.Incident) bool {
	if s.open != nil {
		return false
	}
	s.open = &OpenIncident{Incident: inc}
	return true
}

// Tick implements TickJudge.
func (s *silence) Tick(t Tick) []detection.Incident {
	if s.open != nil || t.SinceActivity < s.hold {
		return nil
	}
	s.open = s.opener.Open(0, t.Now.Add(s.hold-t.SinceActivity))
	limit := s.hold.Seconds()
	s.open.Incident.Limit, s.open.Incident.Unit = &limit, "s"
	return []detection.Incident{s.open.Alert()}
}

// Active implements ActivityJudge. The silence ends at the time that the device gives.
func (s *silence) Active(at time.Time) []detection.Incident {
	if s.open == nil {
		return nil
	}
	inc := s.open.Close(at)
	s.open = nil
	return []detection.Incident{inc}
}
