package detection

import "time"

// IncidentState is where an incident stands on the edge that opened it. What people do about
// it (acknowledge, assign, close) is the hub's affair.
type IncidentState string

// The states of an incident on its edge.
const (
	Open   IncidentState = "open"   // the rule's condition holds, or held less than its clear time ago
	Closed IncidentState = "closed" // the condition is over
)

// Incident is something that a person must look at.
type Incident struct {
	ID       string        `json:"id"` // UUIDv7 (RFC 9562), minted where it is opened
	Device   string        `json:"device"`
	Rule     string        `json:"rule"` // name of the rule, unique on its device
	Kind     RuleKind      `json:"kind"`
	Severity Severity      `json:"severity"`
	State    IncidentState `json:"state"`

	Opened  time.Time `json:"opened_at"`  // when the rule's condition held, by the time of the picture or reading
	Updated time.Time `json:"updated_at"` // the last picture or reading that belongs to it
	Closed  time.Time `json:"closed_at,omitzero"`

	// Version grows by one with each alert about this incident, from 1.
	Version int `json:"version"`

	// What was seen; for rules over pictures.
	Class   string  `json:"class,omitempty"`
	Score   float64 `json:"score,omitempty"`
	Box     *Box    `json:"box,omitempty"`
	TrackID uint64  `json:"track,omitempty"`

	// Direction is the way in which a line was crossed; never AnyDirection.
	Direction Direction `json:"direction,omitempty"`

	// What was measured; for rules over readings.
	Value *float64 `json:"value,omitempty"`
	Limit *float64 `json:"limit,omitempty"`
	Unit  string   `json:"unit,omitempty"`

	// Count is how many tracks or readings have met the condition while it was open.
	Count int `json:"count"`
}

// RuleKind is what a rule looks at.
type RuleKind string

// The kinds of rules.
const (
	Zone    RuleKind = "zone"    // a track of a least size inside a polygon for a time
	Line    RuleKind = "line"    // a track crosses a line in a direction
	Above   RuleKind = "above"   // a reading above a value, until below another
	Below   RuleKind = "below"   // a reading below a value, until above another
	Silence RuleKind = "silence" // nothing heard of the device for a time
)
