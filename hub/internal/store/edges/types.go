package edges

import (
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// State is where an edge stands.
type State string

// The states of an edge.
const (
	Pending State = "pending" // never connected
	Online  State = "online"
	Offline State = "offline" // not heard of for AwayAfter
	Revoked State = "revoked"
)

// Edge is an edge as the hub knows it.
type Edge struct {
	Name       string
	Site       string
	Title      devices.Title // of its site
	State      State
	LastSeen   *time.Time // to within FlushInterval while it is online
	Version    string     // of its program
	Skew       time.Duration
	Created    time.Time
	Revoked    *time.Time
	TokenUntil *time.Time // when the newest token that was not redeemed expires
	Health     *Health

	// Inventory grows by one whenever the list of the edge's devices changes: readers of the change
	// feed list the devices anew when it has changed, or State has.
	Inventory int64
}

// Health is how an edge does.
type Health struct {
	Time     time.Time         `json:"time"` // by the hub's clock
	Received time.Time         `json:"received,omitzero"`
	Problems []devices.Cause   `json:"problems"` // worst first
	Counters map[string]uint64 `json:"counters"`
}

// Device is a camera or sensor of an edge.
type Device struct {
	Edge  string
	Site  string
	Name  string
	Title devices.Title
	Kind  devices.Kind
	State devices.State
	Cause devices.Cause
	Since *time.Time // by the hub's clock
	Place *devices.Place
	Unit  string
	Class devices.Class // of a sensor with the values 1 and 0
	Rules []Rule
}

// Rule is what people need to know of a rule.
type Rule struct {
	Name      string              `json:"name"`
	Title     *devices.Title      `json:"title,omitempty"`
	Kind      detection.RuleKind  `json:"kind"`
	Severity  detection.Severity  `json:"severity"`
	Value     *float64            `json:"value,omitempty"`
	Direction detection.Direction `json:"direction,omitempty"`
	Classes   []string            `json:"classes,omitempty"`
	Problems  []string            `json:"problems,omitempty"`
	ForMS     int64               `json:"for_ms,omitempty"`

	CoolDownMS int64 `json:"cool_down_ms,omitempty"`

	Schedule      string         `json:"schedule,omitempty"`
	ScheduleTitle *devices.Title `json:"schedule_title,omitempty"`
}
