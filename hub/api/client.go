package api

import (
	"encoding/json"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// Where an incident stands with the people at the hub.
const (
	StateOpen         = "open"         // nobody has taken it yet
	StateAcknowledged = "acknowledged" // somebody has seen it
	StateClosed       = "closed"       // somebody has said that it is done with
)

// Where an incident comes from.
const (
	SourceEdge   = "edge"   // a rule on an edge opened it
	SourceReport = "report" // a person told it: a phone call, a patrol, another system
)

// Incident is an incident as the hub tells it.
type Incident struct {
	ID        string                  `json:"id"`
	Edge      string                  `json:"edge" doc:"edge that opened it; empty for a report"`
	Device    string                  `json:"device"`
	Rule      string                  `json:"rule"`
	Kind      string                  `json:"kind" doc:"kind of the rule, or the kind of a report"`
	Title     string                  `json:"title" doc:"what happened, in words"`
	Severity  detection.Severity      `json:"severity" enum:"minor,moderate,severe,extreme"`
	State     string                  `json:"state" enum:"open,acknowledged,closed" doc:"where it stands with the people at the hub"`
	Condition detection.IncidentState `json:"condition" enum:"open,closed" doc:"whether what opened it still holds, as its edge says"`
	Source    string                  `json:"source" enum:"edge,report"`

	OpenedAt   time.Time  `json:"opened_at" doc:"time of the picture or reading"`
	OccurredAt time.Time  `json:"occurred_at" doc:"when it opened, by the hub's clock: right even when the edge's clock is wrong"`
	Clock      ClockGrade `json:"clock" doc:"grade of the edge's clock when it opened: synchronized, unsynchronized; empty: not known"`
	ReceivedAt time.Time  `json:"received_at" doc:"when the hub first heard of it"`
	UpdatedAt  time.Time  `json:"updated_at" doc:"when the hub last changed it"`
	ClosedAt   *time.Time `json:"closed_at" doc:"when its condition was over, or a person closed it, whichever came first"`

	Place *devices.Place `json:"place"`

	Class string    `json:"class,omitempty"`
	Box   []float64 `json:"box,omitempty" doc:"x, y, width and height in fractions of the picture"`
	Value *float64  `json:"value,omitempty"`
	Limit *float64  `json:"limit,omitempty"`
	Unit  string    `json:"unit,omitempty"`
	Count int       `json:"count" doc:"tracks or readings that met the condition while it was open"`

	Version  int             `json:"version" doc:"grows by one with each alert"`
	Assignee string          `json:"assignee"`
	StateBy  string          `json:"state_by" doc:"who acknowledged, assigned or closed it last; empty while it is open"`
	Evidence []EvidenceFile  `json:"evidence"`
	Timeline []TimelineEntry `json:"timeline,omitempty"`
}

// EvidenceFile is one file of an incident.
type EvidenceFile struct {
	Name        string    `json:"name"`
	URL         string    `json:"url"`
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`
	SHA256      string    `json:"sha256"`
	Time        time.Time `json:"time" doc:"of the picture"`
	Complete    bool      `json:"complete" doc:"false: the edge has announced it, its bytes are on their way"`
}

// TimelineEntry is one thing that happened to an incident.
type TimelineEntry struct {
	At   time.Time       `json:"at"`
	Kind string          `json:"kind" doc:"opened, changed, over, evidence, reported, acknowledged, unacknowledged, assigned, noted, closed, reopened"`
	Who  string          `json:"who" doc:"user, token or edge"`
	Text string          `json:"text"`
	Data json.RawMessage `json:"data,omitempty"`
}

// LastReading is a sensor's newest value at the hub.
type LastReading struct {
	Time    time.Time       `json:"time"`
	Value   float64         `json:"value"`
	Unit    string          `json:"unit"`
	Quality devices.Quality `json:"quality"`
}

// DeviceRecord is a camera or sensor as the hub knows it.
type DeviceRecord struct {
	Edge  string        `json:"edge"`
	Name  string        `json:"name"`
	Kind  devices.Kind  `json:"kind" enum:"camera,sensor"`
	State devices.State `json:"state" enum:"online,offline,unknown"`
	Cause string        `json:"cause" doc:"why it is not online, in English"`

	CauseCode   string            `json:"cause_code,omitempty" doc:"the same as a code; absent for edges of an older version"`
	CauseParams map[string]string `json:"cause_params,omitempty" doc:"the values of the code's sentence, by name"`

	Since   *time.Time     `json:"since" doc:"since when it is in that state"`
	Place   *devices.Place `json:"place"`
	Unit    string         `json:"unit,omitempty"`
	Rules   []Rule         `json:"rules"`
	Reading *LastReading   `json:"reading,omitempty"`
}

// EdgeRecord is an edge as the hub knows it.
type EdgeRecord struct {
	Name     string      `json:"name"`
	State    string      `json:"state" enum:"pending,online,offline,revoked"`
	LastSeen *time.Time  `json:"last_seen"`
	Version  string      `json:"version,omitempty"`
	SkewMS   int64       `json:"skew_ms" doc:"the edge's clock minus the hub's, in milliseconds, at its last batch"`
	Created  time.Time   `json:"created_at"`
	Revoked  *time.Time  `json:"revoked_at,omitempty"`
	Token    *time.Time  `json:"token_until,omitempty" doc:"until when its newest enrolment token can be or could have been redeemed; absent once that was used"`
	Health   *EdgeHealth `json:"health,omitempty"`
}

// EdgeHealth is how an edge itself is doing, as the hub tells it.
type EdgeHealth struct {
	Time     time.Time         `json:"time"`
	Problems []string          `json:"problems" doc:"in English, worst first; empty: none"`
	Causes   []devices.Cause   `json:"problem_codes" doc:"the same problems, as codes with parameters"`
	Counters map[string]uint64 `json:"counters"`
}

// ViewRecord is one person's look through one camera.
type ViewRecord struct {
	ID       string     `json:"id"`
	Edge     string     `json:"edge"`
	Device   string     `json:"device"`
	Who      string     `json:"who"`
	Incident string     `json:"incident,omitempty"`
	Reason   string     `json:"reason"`
	Began    time.Time  `json:"began_at"`
	Until    time.Time  `json:"until"`
	Ended    *time.Time `json:"ended_at"`
	EndedWhy string     `json:"ended_why,omitempty"`
}

// Change is one line of the live stream: the event's name and its data.
type Change struct {
	ID   int64           `json:"id"`
	Kind string          `json:"kind"`
	Data json.RawMessage `json:"data"`
}

// The names of the live stream's events.
const (
	ChangeIncident = "incident" // Incident, without its timeline
	ChangeDevice   = "device"   // DeviceRecord
	ChangeEdge     = "edge"     // EdgeRecord
	ChangeView     = "view"     // ViewRecord
	ChangeReset    = "reset"    // what was missed is no longer kept: fetch everything again
)
