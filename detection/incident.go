package detection

import "time"

// IncidentState says whether an incident's condition holds on the edge that opened it. What people do
// about it (acknowledge, assign, close) is recorded by the hub.
type IncidentState string

// The states of an incident on its edge.
const (
	Open   IncidentState = "open"   // the rule's condition holds, or held less than its clear time ago
	Closed IncidentState = "closed" // the condition is over
)

// Incident is a condition that a person must look at.
type Incident struct {
	ID       string        `json:"id"` // UUIDv7 (RFC 9562), minted where it is opened
	Device   string        `json:"device"`
	Rule     string        `json:"rule"` // name of the rule, unique on its device
	Kind     RuleKind      `json:"kind"`
	Severity Severity      `json:"severity"`
	State    IncidentState `json:"state"`

	Opened  time.Time `json:"opened_at"`  // when the rule's condition was met, by the time of the frame or reading
	Updated time.Time `json:"updated_at"` // the last frame or reading that belongs to it
	Closed  time.Time `json:"closed_at,omitzero"`

	// Version grows by one with each alert about this incident, from 1.
	Version int `json:"version"`

	// What was detected; for rules about tracks. Of health rules, Class is the problem.
	Class   string  `json:"class,omitempty"`
	Score   float64 `json:"score,omitempty"`
	Box     *Box    `json:"box,omitempty"`
	TrackID uint64  `json:"track,omitempty"`

	// Direction is the direction in which a line was crossed; never AnyDirection.
	Direction Direction `json:"direction,omitempty"`

	// What was measured; for rules about readings.
	Value *float64 `json:"value,omitempty"`
	Limit *float64 `json:"limit,omitempty"`
	Unit  string   `json:"unit,omitempty"`

	// Count is how many tracks or readings have met the condition while it was open, and before, while the rule's
	// cool-down held back what opened.
	Count int `json:"count"`
}

// Pending is a rule's condition that holds, but not for long enough yet to open an incident.
type Pending struct {
	Device string        `json:"device"`
	Rule   string        `json:"rule"`
	Kind   RuleKind      `json:"kind"`
	Limit  float64       `json:"limit"` // of the rule
	First  time.Time     `json:"first"` // of the first reading that met the condition, as a reading's time is
	Held   time.Duration `json:"held"`  // how long the condition has held, by this machine's clock; not negative
	Count  int           `json:"count"` // readings that met it, from 1
	Value  float64       `json:"value"` // of the last one
	Unit   string        `json:"unit,omitempty"`
}

// RuleKind is the name of a kind of rule; see package rules.
type RuleKind string

// The kinds of rules of rules.Standard.
const (
	Zone          RuleKind = "zone"      // a track of a least size inside a polygon for a time
	Line          RuleKind = "line"      // a track crosses a line in a direction
	Loitering     RuleKind = "loitering" // a track stays inside a polygon for a time
	WrongWay      RuleKind = "wrong-way" // a track inside a polygon moves against the allowed direction
	Crowd         RuleKind = "crowd"     // more tracks than a limit inside a polygon for a time
	Stopped       RuleKind = "stopped"   // a vehicle's track stands inside a polygon for a time
	Absence       RuleKind = "absence"   // nobody's track inside a polygon for a time
	ObjectLeft    RuleKind = "left"      // a thing's track stands inside a polygon, where none was before, and nobody is near
	ObjectRemoved RuleKind = "removed"   // a thing's track that stood inside a polygon is gone
	Sighting      RuleKind = "sighting"  // a class of the model detected in several of the last looks
	Above         RuleKind = "above"     // a reading above a value, until below another
	Below         RuleKind = "below"     // a reading below a value, until above another
	Silence       RuleKind = "silence"   // no sign of life of the device for a time
	Health        RuleKind = "health"    // a camera shows nothing, or not what it should
)
