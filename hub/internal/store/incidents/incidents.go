// Package incidents stores incidents, what happened to them (facts), their evidence, the reports that
// opened or joined them, and the groups that repeated ones make.
//
// What always holds: each change of an incident, whoever makes it, raises its version by one and appends
// one entry to the change feed in the same transaction; facts are only ever appended; each incident is in
// exactly one group; the counters agree with the rows; a mute changes no incident. Lists sort by OccurredAt,
// which a wrong clock of an edge cannot move beyond the time of receipt.
//
// The package must not import other domains of the hub but the audit log: ingest hands in what it needs of
// an edge.
package incidents

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/db"
)

// Errors that callers branch on, beside those of package db.
var (
	ErrForeign = errors.New("belongs to another edge")
	ErrNoWords = errors.New("a search needs at least one letter or digit")
)

// VersionError says that an incident has another version than its caller expected.
type VersionError struct{ Current int }

func (e *VersionError) Error() string {
	return fmt.Sprintf("the incident has changed and is of version %d now", e.Current)
}

// State says where an incident stands with the people at the hub.
type State string

// The states.
const (
	Open         State = "open"         // nobody has taken it yet
	Acknowledged State = "acknowledged" // somebody has seen it
	Closed       State = "closed"       // somebody has closed it
)

// Source says where an incident comes from.
type Source string

// The sources.
const (
	FromEdge   Source = "edge"   // a rule on an edge opened it
	FromReport Source = "report" // a person or another system reported it
)

// Outcome says what came of an incident that was closed.
type Outcome string

// The outcomes. An incident that was closed without one has none.
const (
	FalseAlarm Outcome = "false_alarm"
	DealtWith  Outcome = "dealt_with"
	HandedOn   Outcome = "handed_on"
	Other      Outcome = "other"
	Joined     Outcome = "joined" // its reports went to another incident
)

// AlertKind says how an incident changed for those who get alerts about it.
type AlertKind string

// The kinds of alerts. Changes of the kind "" are shown on the live stream only.
const (
	AlertOpened  AlertKind = "opened"
	AlertChanged AlertKind = "changed"
	AlertCleared AlertKind = "cleared" // its condition ended
	AlertClosed  AlertKind = "closed"  // a person closed it
)

// ChangeKind is the kind of the change feed's entries.
const ChangeKind = "incident"

// Incident is one incident.
type Incident struct {
	ID        string
	Number    int64  // in the order of arrival at the hub, from 1
	Edge      string // that opened it; empty for a report
	Device    string
	Rule      string
	Kind      string // of the rule, or of the report
	Title     string
	Names     Names
	Severity  detection.Severity
	State     State
	Condition detection.IncidentState // whether what opened it still holds, as its edge says
	Source    Source
	Site      string
	Group     string

	OpenedAt   time.Time // by the edge's clock
	OccurredAt time.Time // by the hub's clock; never after ReceivedAt
	ReceivedAt time.Time
	UpdatedAt  time.Time
	ClosedAt   *time.Time // when its condition ended or a person closed it, whichever came first
	EndedAt    *time.Time // when its condition ended; nil while it holds
	Clock      string     // grade of the edge's clock when it opened: api.ClockGrade

	Place *devices.Place
	Class string
	Box   []float64 // x, y, width and height in fractions of the frame
	Value *float64
	Limit *float64
	Unit  string
	Count int

	Version  int // grows by one with each change
	Assignee string
	StateBy  string // who acknowledged, assigned or closed it last; empty while it is open
	Outcome  Outcome
	Held     bool // retention deletes nothing of it

	MutedUntil *time.Time // its rule is muted until then; nil: it is not. It is read with the incident and not a part of it

	Evidence []File
	Facts    []Fact   // only of an incident that is read alone
	Reports  []Report // likewise
}

// Names are what people call what an incident is about: as they were when it was closed, or are now.
type Names struct {
	Edge   devices.Title `json:"edge,omitzero"` // of the edge's site
	Device devices.Title `json:"device,omitzero"`
	Rule   devices.Title `json:"rule,omitzero"`
	Class  devices.Class `json:"class,omitempty"` // of a sensor with the values 1 and 0
}

// File is one file of evidence.
type File struct {
	Incident    string
	Name        string
	Edge        string
	ContentType string
	Size        int64
	SHA256      string
	Time        time.Time // of the frame, by the edge's clock
	Complete    bool      // false: its bytes have not all arrived
	Clip        *Clip     // what its edge says of a clip; nil: it is none, or the edge has said nothing
}

// IsClip reports whether the file is video.
func (f File) IsClip() bool { return f.ContentType == clipType }

// clipType is the content type of clips. Queries and an index have it as it is here.
const clipType = api.ClipType

// Clip is what an edge says of a clip, as it is stored. Times are by the edge's clock.
type Clip struct {
	From   time.Time `json:"from"`
	To     time.Time `json:"to"`
	Frames int       `json:"frames"`
	Codec  string    `json:"codec"` // RFC 6381
	Gaps   []Gap     `json:"gaps,omitempty"`
	Signed bool      `json:"signed,omitempty"`
}

// Gap is a time of a clip without frames.
type Gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// storedClip returns what is stored of an announced clip.
func storedClip(c *api.Clip) (string, error) {
	if c == nil {
		return "", nil
	}
	stored := Clip{From: c.From, To: c.To, Frames: c.Frames, Codec: c.Codec, Signed: c.Signed}
	for _, g := range c.Gaps {
		stored.Gaps = append(stored.Gaps, Gap(g))
	}
	text, err := json.Marshal(stored)
	return string(text), err
}

// FactKind says what happened to an incident.
type FactKind string

// The kinds of facts.
const (
	FactOpened         FactKind = "opened"
	FactChanged        FactKind = "changed"
	FactOver           FactKind = "over" // its condition ended
	FactEvidence       FactKind = "evidence"
	FactReported       FactKind = "reported"
	FactAcknowledged   FactKind = "acknowledged"
	FactUnacknowledged FactKind = "unacknowledged"
	FactAssigned       FactKind = "assigned"
	FactNoted          FactKind = "noted"
	FactClosed         FactKind = "closed"
	FactReopened       FactKind = "reopened"
	FactJoined         FactKind = "joined" // its reports went to another incident
	FactHeld           FactKind = "held"
	FactReleased       FactKind = "released"
)

// Fact is one thing that happened to an incident.
type Fact struct {
	Kind FactKind
	Who  string // a user, a token, or "edge NAME"
	Text string
	Data json.RawMessage // of the type that belongs to Kind; nil: none

	OccurredAt time.Time // by the hub's clock
	RecordedAt time.Time // by the hub's clock, from OccurredAt on
}

// The data of facts.
type (
	// EvidenceData is the data of FactEvidence.
	EvidenceData struct {
		Name   string `json:"name"`
		SHA256 string `json:"sha256"`
	}
	// AlertData is the data of facts that an edge reported: the value that was measured, and why the time is
	// not the edge's (edge_clock_wrong).
	AlertData struct {
		Value  *float64 `json:"value,omitempty"` // in the unit of the incident
		Reason string   `json:"reason,omitempty"`
	}
	// ReasonData is the data of facts that the hub adds by itself: edge_lost_memory, edge_knows_again,
	// edge_clock_wrong.
	ReasonData struct {
		Reason string `json:"reason"`
	}
	// ReportData is the data of FactReported.
	ReportData struct {
		Report string `json:"report"`
	}
	// JoinData is the data of FactJoined.
	JoinData struct {
		Into string `json:"into"`
	}
	// OutcomeData is the data of FactClosed.
	OutcomeData struct {
		Outcome Outcome `json:"outcome"`
	}
)

// encode makes the data of a fact. The types above cannot fail to encode.
func encode(data any) json.RawMessage {
	text, err := json.Marshal(data)
	if err != nil {
		panic(fmt.Sprintf("incidents: encoding the data of a fact: %v", err))
	}
	return text
}

// WithData returns the fact with data of the type that belongs to its kind.
func (f Fact) WithData(data any) *Fact {
	f.Data = encode(data)
	return &f
}

// Hooks connect a Repository with what stands above it. Each may be nil. They are called inside
// transactions.
type Hooks struct {
	// Present returns the public form of an incident, which the change feed holds as JSON.
	Present func(Incident) any

	// PresentMute is Present for a mute.
	PresentMute func(Mute) any

	// Alert enqueues what is sent to webhook targets, under the number of the change feed's entry.
	// inc comes with its evidence and without its facts.
	Alert func(tx *db.Tx, seq int64, kind AlertKind, inc Incident) error
}

// Repository stores incidents. Its methods may be called from any goroutine. Those with a transaction
// belong to the transaction of their caller.
type Repository struct {
	db    *db.DB
	hooks Hooks
}

// New returns a repository on a database.
func New(d *db.DB, hooks Hooks) *Repository {
	if hooks.Present == nil {
		hooks.Present = func(inc Incident) any { return inc }
	}
	if hooks.PresentMute == nil {
		hooks.PresentMute = func(m Mute) any { return m }
	}
	if hooks.Alert == nil {
		hooks.Alert = func(*db.Tx, int64, AlertKind, Incident) error { return nil }
	}
	return &Repository{db: d, hooks: hooks}
}
