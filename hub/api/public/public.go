// Package public holds the types of the hub's public HTTP API and of its live stream, as types only.
//
// Clients of every kind depend on the JSON of these types: fields may be added, and never
// change their meaning or disappear. OpenAPI is generated from them. The package must import
// nothing of Gridpost but devices and detection; what edges and the hub send to each other
// is in hub/api.
package public

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

// ClockGrade says how far the clock of an edge could be trusted when an incident opened.
type ClockGrade string

// The grades. Incidents of edges before protocol 2, and reports, have none.
const (
	ClockSynchronized   ClockGrade = "synchronized"   // disciplined by NTP or PTP
	ClockUnsynchronized ClockGrade = "unsynchronized" // free-running: may be wrong by seconds or decades
)

// Rule is a rule of a device, as far as it can be shown to a person.
type Rule struct {
	Name     string             `json:"name"`
	Title    *devices.Title     `json:"title,omitempty" doc:"what people call it; absent: its name"`
	Kind     detection.RuleKind `json:"kind"`
	Severity detection.Severity `json:"severity"`

	Value     *float64            `json:"value,omitempty"`
	Direction detection.Direction `json:"direction,omitempty"`
	Classes   []string            `json:"classes,omitempty"`
	Problems  []string            `json:"problems,omitempty" doc:"of a rule of the kind health: those that it looks for; the class of its incidents is one of them"`
	ForMS     int64               `json:"for_ms,omitempty"`

	CoolDownMS int64 `json:"cool_down_ms,omitempty" doc:"least time between two incidents that open"`

	Schedule      string         `json:"schedule,omitempty" doc:"name of the one in which it is active; absent: always"`
	ScheduleTitle *devices.Title `json:"schedule_title,omitempty"`
}

// Incident is an incident as the public API returns it.
type Incident struct {
	ID     string `json:"id"`
	Edge   string `json:"edge" doc:"edge that opened it; empty for a report"`
	Device string `json:"device"`
	Rule   string `json:"rule"`
	Kind   string `json:"kind" doc:"kind of the rule, or the kind of a report"`

	// What people called them when it opened, or call them since.
	EdgeTitle   *devices.Title `json:"edge_title,omitempty" doc:"of the edge's site; absent: the identifier has to do"`
	DeviceTitle *devices.Title `json:"device_title,omitempty"`
	RuleTitle   *devices.Title `json:"rule_title,omitempty"`
	DeviceClass devices.Class  `json:"device_class,omitempty" doc:"of a sensor with the values 1 and 0: opening, power, leak, smoke, gas, motion, alarm"`

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

	Site    string `json:"site" doc:"of its edge; empty for a report"`
	Group   string `json:"group" doc:"ID of its group: repeated incidents of one edge, device and rule"`
	Outcome string `json:"outcome,omitempty" enum:"false_alarm,dealt_with,handed_on,other,joined" doc:"what came of it, once it is closed; joined: its reports went to another incident"`
	Held    bool   `json:"held,omitempty" doc:"it is not deleted, however old it becomes"`

	MutedUntil *time.Time `json:"muted_until,omitempty" doc:"until when its rule is muted, unless that is ended before; absent: it is not muted"`

	Version  int             `json:"version" doc:"grows by one with each change; its ETag"`
	Assignee string          `json:"assignee"`
	StateBy  string          `json:"state_by" doc:"who acknowledged, assigned or closed it last; empty while it is open"`
	Evidence []EvidenceFile  `json:"evidence"`
	Timeline []TimelineEntry `json:"timeline,omitempty"`
	Reports  []Report        `json:"reports,omitempty" doc:"that opened or joined it, with its timeline"`
}

// Report is what a person or another system reported about an incident.
type Report struct {
	ID         string             `json:"id"`
	Who        string             `json:"who"`
	Title      string             `json:"title"`
	Text       string             `json:"text"`
	Kind       string             `json:"kind"`
	Severity   detection.Severity `json:"severity" enum:"minor,moderate,severe,extreme"`
	Place      *devices.Place     `json:"place"`
	OccurredAt time.Time          `json:"occurred_at"`
	RecordedAt time.Time          `json:"recorded_at"`
}

// IncidentGroup is repeated incidents of one edge, device and rule, each within ten minutes after the one
// before it opened or ended; or one report.
type IncidentGroup struct {
	ID           string             `json:"id"`
	Edge         string             `json:"edge"`
	Device       string             `json:"device"`
	Rule         string             `json:"rule"`
	Kind         string             `json:"kind"`
	Site         string             `json:"site"`
	Source       string             `json:"source" enum:"edge,report"`
	Severity     detection.Severity `json:"severity" enum:"minor,moderate,severe,extreme" doc:"the highest of its incidents"`
	Title        string             `json:"title" doc:"of newest"`
	Count        int                `json:"count" doc:"incidents in it"`
	Open         int                `json:"open"`
	Acknowledged int                `json:"acknowledged"`
	Closed       int                `json:"closed"`
	Holding      int                `json:"holding" doc:"incidents whose condition still holds"`
	FirstAt      time.Time          `json:"first_at" doc:"when the first incident occurred"`
	LastAt       time.Time          `json:"last_at" doc:"when the newest incident occurred"`
	Newest       Incident           `json:"newest" doc:"the newest incident, of a list with state=closed the newest closed one; without its timeline"`
}

// NoisyRule is how many incidents a rule opened in a day.
type NoisyRule struct {
	Edge   string    `json:"edge"`
	Device string    `json:"device"`
	Rule   string    `json:"rule"`
	Kind   string    `json:"kind"`
	Site   string    `json:"site"`
	Count  int       `json:"count" doc:"incidents"`
	Groups int       `json:"groups" doc:"groups that they made"`
	LastAt time.Time `json:"last_at" doc:"when the newest incident occurred"`
}

// Mute is a rule of a device that somebody has muted: its incidents are recorded and delivered as before, but the
// console raises no alarm and leaves those that nobody has taken out of its list.
type Mute struct {
	ID      string     `json:"id"`
	Edge    string     `json:"edge"`
	Device  string     `json:"device"`
	Rule    string     `json:"rule"`
	Site    string     `json:"site"`
	Reason  string     `json:"reason"`
	Who     string     `json:"who" doc:"user or token"`
	Began   time.Time  `json:"began_at"`
	Until   time.Time  `json:"until" doc:"when it ends by itself"`
	Ended   *time.Time `json:"ended_at" doc:"when somebody ended it before its time; null: nobody has"`
	EndedBy string     `json:"ended_by,omitempty"`
}

// IncidentCount is how many incidents have a state and a severity.
type IncidentCount struct {
	State    string             `json:"state" enum:"open,acknowledged,closed"`
	Severity detection.Severity `json:"severity" enum:"minor,moderate,severe,extreme"`
	Count    int                `json:"count"`
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
	Clip        *Clip     `json:"clip,omitempty" doc:"of video; its URL needs a view, see watch-clip"`
}

// Clip describes a file of video.
type Clip struct {
	From   time.Time `json:"from" doc:"of the first frame, by the edge's clock"`
	To     time.Time `json:"to" doc:"when the last frame ends"`
	Frames int       `json:"frames"`
	Codec  string    `json:"codec" doc:"as in RFC 6381: avc1.64001f"`
	Gaps   []ClipGap `json:"gaps,omitempty" doc:"times without frames"`
	Signed bool      `json:"signed" doc:"it carries a manifest that the edge's key has signed: hub evidence verify"`
}

// ClipGap is a time of a clip without frames.
type ClipGap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// ClipView is the right to watch a clip for some minutes.
type ClipView struct {
	ID    string    `json:"id"`
	URL   string    `json:"url" doc:"of the clip, for this caller and until the view ends; ?download=1 beside it names the file"`
	Until time.Time `json:"until"`
}

// Picture is the newest picture that the hub has of a camera: a snapshot of an incident.
type Picture struct {
	Edge     string    `json:"edge"`
	Device   string    `json:"device"`
	Incident string    `json:"incident"`
	URL      string    `json:"url"`
	Time     time.Time `json:"time" doc:"of the picture"`
}

// TimelineEntry is one thing that happened to an incident.
type TimelineEntry struct {
	At   time.Time       `json:"at"`
	Kind string          `json:"kind" doc:"opened, changed, over, evidence, reported, acknowledged, unacknowledged, assigned, noted, closed, reopened, joined, held, released"`
	Who  string          `json:"who" doc:"user, token or edge"`
	Text string          `json:"text"`
	Data json.RawMessage `json:"data,omitempty"`

	OccurredAt time.Time `json:"occurred_at" doc:"when it happened, by the hub's clock; the same as at"`
	RecordedAt time.Time `json:"recorded_at" doc:"when the hub recorded it; the order of the timeline"`
}

// LastReading is a sensor's newest value at the hub.
type LastReading struct {
	Time    time.Time       `json:"time"`
	Value   float64         `json:"value"`
	Unit    string          `json:"unit"`
	Quality devices.Quality `json:"quality"`
	Text    string          `json:"text,omitempty" doc:"a value that is no number; then value is 0"`
}

// DeviceRecord is a camera or sensor as the hub knows it.
type DeviceRecord struct {
	Edge string `json:"edge"`
	Name string `json:"name"`

	Title *devices.Title `json:"title,omitempty" doc:"what people call it; absent: its name"`
	Class devices.Class  `json:"class,omitempty" doc:"of a sensor with the values 1 and 0: opening, power, leak, smoke, gas, motion, alarm"`

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

	Title *devices.Title `json:"title,omitempty" doc:"what people call its site; absent: its name"`

	Inventory int64 `json:"inventory" doc:"grows whenever the list of the edge's devices changes"`
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
	Site     string     `json:"site"`
	Who      string     `json:"who"`
	UserID   string     `json:"user_id" doc:"ID of the user; empty: a token"`
	Incident string     `json:"incident,omitempty"`
	File     string     `json:"file,omitempty" doc:"the clip that was watched; absent: live video"`
	Reason   string     `json:"reason"`
	Began    time.Time  `json:"began_at"`
	Until    time.Time  `json:"until"`
	Ended    *time.Time `json:"ended_at"`
	EndedWhy string     `json:"ended_why,omitempty" doc:"in English"`

	EndedCode   string            `json:"ended_code,omitempty" doc:"the same as a code; absent for views of before"`
	EndedParams map[string]string `json:"ended_params,omitempty" doc:"the values of the code's sentence, by name"`
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
	ChangeMute     = "mute"     // Mute: it takes the place of an earlier one of the same rule
	ChangeReset    = "reset"    // what was missed is no longer kept: fetch everything again
	ChangeHello    = "hello"    // Hello: the first event of each stream
)

// Hello greets a client of the live stream. A number of the stream means something only together with its
// history: after a restore from a backup the same numbers are used again. A client that goes on sends
// both: Last-Event-ID and ?history=.
type Hello struct {
	History string `json:"history"`
	Hub     string `json:"hub"` // names the run of the hub that serves the stream
}

// IncidentEvent is the data of an event about an incident that is sent to other systems: the incident with its
// timeline, and what a system needs that does not know the hub. The URLs of its evidence are absolute.
type IncidentEvent struct {
	Incident

	Link  string `json:"link" format:"uri" doc:"the incident in the hub's console"`
	Where string `json:"where" doc:"names of device, edge and site in one line; empty for a report"`
}

// LiveSource says where a camera is watched.
type LiveSource struct {
	WHEP string `json:"whep" doc:"endpoint of WHEP: a path of this hub, or the URL of a relay; with the purpose of the request"`
	FMP4 string `json:"fmp4" doc:"the same for fragmented MP4 over HTTP"`

	Credential *string    `json:"credential" doc:"bearer token for requests to a relay, for this camera only; null: this hub, with the credentials that it knows"`
	Expires    *time.Time `json:"expires_at" doc:"until when the credential begins a view; a view that has begun goes on. null: there is no credential"`
}
