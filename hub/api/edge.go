// Package api holds what edges and the hub say to each other, as types only.
//
// An edge posts batches of events and the hub's answer is the acknowledgement; the hub sends
// commands as server-sent events and the edge posts their results. All of it is JSON over
// HTTPS with mutual TLS, on the hub's edge port. The package must import nothing of Gridpost
// but devices and detection.
package api

import (
	"encoding/json"
	"time"

	"gridpost/detection"
	"gridpost/devices"
)

// The paths on the hub's edge port. Braces are ServeMux wildcards.
const (
	PathEnrol    = "POST /edge/v1/enrol"                 // EnrolRequest -> EnrolResponse; the only path without a client certificate
	PathRenew    = "POST /edge/v1/renew"                 // RenewRequest -> EnrolResponse
	PathEvents   = "POST /edge/v1/events"                // Batch -> Ack
	PathCommands = "GET /edge/v1/commands"               // server-sent events, each data line a Command
	PathResult   = "POST /edge/v1/commands/{id}"         // Result -> 204
	PathEvidence = "/edge/v1/evidence/{incident}/{name}" // HEAD tells Upload-Offset, PATCH appends from Upload-Offset; see Evidence
	PathWHIP     = "POST /whip/{edge}/{device}"          // RFC 9725; also on the public port
)

// Lane is an order of its own within an edge's events. Lanes are sent by priority, so that an
// incident never waits behind telemetry; within a lane events keep their order.
type Lane string

// The lanes, first come first.
const (
	LaneAlerts    Lane = "alerts"    // incidents: never dropped, committed before anything else
	LaneState     Lane = "state"     // inventory and device states
	LaneTelemetry Lane = "telemetry" // readings and counters: thinned when the line is slow
)

// Kind says what an event's data is.
type Kind string

// The kinds of events, and the type of their data.
const (
	KindIncident  Kind = "incident"  // detection.Incident, whole: an alert
	KindEvidence  Kind = "evidence"  // Evidence: what belongs to an incident and will be, or has been, uploaded
	KindInventory Kind = "inventory" // Inventory: every device of the edge
	KindStatus    Kind = "status"    // devices.Status of one device
	KindReadings  Kind = "readings"  // []devices.Reading
	KindHealth    Kind = "health"    // Health of the edge itself
)

// Event is one thing that happened on an edge. (edge, epoch, lane, seq) is its identity:
// the hub applies it once however often it arrives.
type Event struct {
	Lane Lane            `json:"lane"`
	Seq  uint64          `json:"seq"` // from 1, rising within the epoch and lane; gaps are allowed (thinned telemetry)
	Kind Kind            `json:"kind"`
	Time time.Time       `json:"time"` // when it happened, by the edge's clock
	Data json.RawMessage `json:"data"`
}

// Batch is what an edge posts: at most MaxBatchEvents events and MaxBatchBytes of JSON.
type Batch struct {
	Epoch  string    `json:"epoch"` // minted with the edge's store; a new store is a new epoch
	Sent   time.Time `json:"sent"`  // the edge's clock when posting: the hub learns its skew
	Events []Event   `json:"events"`
}

// Bounds of a Batch.
const (
	MaxBatchEvents = 500
	MaxBatchBytes  = 4 << 20
)

// Ack answers a Batch after the hub's commit: every event of the lane up to and including the
// number is on the hub's disk.
type Ack struct {
	Committed map[Lane]uint64 `json:"committed"`

	// Refused lists events that the hub can never apply, such as data that does not parse.
	// They count as committed: a poison event must not block those behind it. The edge logs them.
	Refused []Refusal `json:"refused,omitempty"`
}

// Refusal says why one event was refused.
type Refusal struct {
	Lane   Lane   `json:"lane"`
	Seq    uint64 `json:"seq"`
	Reason string `json:"reason"`
}

// Inventory is every device of an edge, sent when it starts and when its document changes.
// Devices that are missing from it are gone.
type Inventory struct {
	Version string   `json:"version"` // of the edge's program
	Devices []Device `json:"devices"`
}

// Device is one camera or sensor as its edge describes it. It never carries a URL or a secret.
type Device struct {
	Name  string         `json:"name"`
	Kind  devices.Kind   `json:"kind"`
	Place *devices.Place `json:"place,omitempty"`
	Unit  string         `json:"unit,omitempty"` // of a sensor's readings
	Rules []Rule         `json:"rules,omitempty"`
}

// Rule is what a person at the hub needs to know of a rule.
type Rule struct {
	Name     string             `json:"name"`
	Kind     detection.RuleKind `json:"kind"`
	Severity detection.Severity `json:"severity"`

	// What of the rule's terms its kind has, so that it can be said in words.
	Value     *float64            `json:"value,omitempty"`     // above and below: the limit, in the sensor's unit
	Direction detection.Direction `json:"direction,omitempty"` // line
	Classes   []string            `json:"classes,omitempty"`   // zone and line; empty: any
	ForMS     int64               `json:"for_ms,omitempty"`    // how long it must hold; for silence, how long nothing is heard
}

// Evidence announces a file of an incident. Its bytes follow on PathEvidence, in pieces of at
// most MaxEvidencePiece; the hub publishes them when all have come and the hash is right.
type Evidence struct {
	Incident    string    `json:"incident"`
	Name        string    `json:"name"` // file name, [a-z0-9.-]{1,80}
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`   // bytes
	SHA256      string    `json:"sha256"` // hex, computed on the edge when the file was made
	Time        time.Time `json:"time"`   // of the picture
}

// Bounds of evidence.
const (
	MaxEvidencePiece = 1 << 20
	MaxEvidenceSize  = 256 << 20
)

// Health is how an edge itself is doing.
type Health struct {
	Time     time.Time         `json:"time"`
	Problems []string          `json:"problems"` // in words, worst first; empty: none
	Counters map[string]uint64 `json:"counters"` // dropped units, refused readings, worker restarts, ...; Prometheus-style names
}

// CommandKind is what the hub asks of an edge.
type CommandKind string

// The commands.
const (
	CommandPublish CommandKind = "publish" // send Device's live picture by WHIP to PathWHIP, until stopped or Until
	CommandStop    CommandKind = "stop"    // stop sending it
)

// Command is one wish of the hub. Carrying it out twice is the same as once.
type Command struct {
	ID     string      `json:"id"`
	Kind   CommandKind `json:"kind"`
	Device string      `json:"device"`
	Until  time.Time   `json:"until,omitzero"`
	Issued time.Time   `json:"issued"`
}

// Result is how a command went.
type Result struct {
	OK    bool   `json:"ok"`
	Cause string `json:"cause,omitempty"` // in words, when not OK
}

// EnrolRequest trades a one-time token for a certificate. Redeeming a token again with the
// same key is harmless; the token is burnt at the first request with the certificate.
type EnrolRequest struct {
	Token string `json:"token"` // the secret part of the printed token
	CSR   string `json:"csr"`   // PEM; its key was made on the box and never leaves it
}

// RenewRequest asks for a new certificate, authenticated by the old one.
type RenewRequest struct {
	CSR string `json:"csr"`
}

// EnrolResponse carries the edge's name and certificate and the hub's authority.
type EnrolResponse struct {
	Edge        string `json:"edge"`
	Certificate string `json:"certificate"` // PEM
	Authority   string `json:"authority"`   // PEM
}
