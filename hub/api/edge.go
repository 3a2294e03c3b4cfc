// Package api holds what edges and the hub send to each other, as types only.
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
	PathCommands = "GET /edge/v1/commands"               // server-sent events, each data line a Command; see QueryURL
	PathResult   = "POST /edge/v1/commands/{id}"         // Result -> 204
	PathCheck    = "POST /edge/v1/incidents/check"       // Check -> CheckAnswer
	PathEvidence = "/edge/v1/evidence/{incident}/{name}" // HEAD tells Upload-Offset, PATCH appends from Upload-Offset; see Evidence
	PathWHIP     = "POST /whip/{edge}/{device}"          // RFC 9725; also on the public port
)

// QueryURL is the query parameter of PathCommands by which an edge says that it understands paths in Command.URL, with
// the value URLPath. To edges that do not, the hub names URLs of relays elsewhere only.
const (
	QueryURL = "url"
	URLPath  = "path"
)

// Lane is an order of its own within an edge's events. Lanes are sent by priority, so that an
// incident never waits behind telemetry; within a lane events keep their order.
type Lane string

// The lanes, first come first.
const (
	LaneAlerts    Lane = "alerts"    // incidents: never dropped, committed before anything else
	LaneState     Lane = "state"     // inventory, device states and health: the newest values
	LaneTelemetry Lane = "telemetry" // readings: thinned when the line is slow
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
	KindGap       Kind = "gap"       // Gap: what was lost on the edge and will never arrive
)

// Event is one thing that happened on an edge. (edge, epoch, lane, seq) is its identity:
// the hub applies it once however often it arrives.
type Event struct {
	Lane Lane      `json:"lane"`
	Seq  uint64    `json:"seq"` // from 1, rising within the epoch and lane; gaps are allowed (thinned telemetry)
	Kind Kind      `json:"kind"`
	Time time.Time `json:"time"` // when it happened, by the edge's clock

	// Clock grades the edge's clock when the event was recorded. AgeMS is how long ago the event
	// was recorded when its batch was sent, in milliseconds of the edge's monotonic clock (time
	// asleep included); absent when the machine has restarted since. Together with the time of
	// receipt, it dates the event by the hub's clock even when the edge's clock is wrong.
	Clock ClockGrade `json:"clock,omitempty"`
	AgeMS *int64     `json:"age_ms,omitempty"`

	Data json.RawMessage `json:"data"`
}

// ClockGrade says how far an edge's clock can be trusted.
type ClockGrade string

// The grades. An edge before protocol 2 sends none.
const (
	ClockSynchronized   ClockGrade = "synchronized"   // disciplined by NTP or PTP, as the kernel says
	ClockUnsynchronized ClockGrade = "unsynchronized" // free-running: may be wrong by seconds or decades
)

// Batch is what an edge posts: at most MaxBatchEvents events and MaxBatchBytes of JSON, which
// may be compressed (Content-Encoding: gzip).
//
// An epoch is one run of the edge's program. The hub accepts one epoch of an edge at a time, the
// one that greeted last: a request of another epoch is answered 409 with the code
// CodeEpochSuperseded, and its sender starts a new epoch. So neither a copy of an edge, nor a
// delayed request of an earlier run, nor a store restored from a backup can mix two numberings.
type Batch struct {
	Epoch  string    `json:"epoch"` // random, minted when the program starts
	Sent   time.Time `json:"sent"`  // the edge's clock when posting: the hub learns its skew
	Hello  *Hello    `json:"hello,omitempty"`
	Events []Event   `json:"events"`
}

// Hello starts an epoch. It is sent, with no events, before anything else of the epoch.
type Hello struct {
	// Open lists the incidents that are open on the edge, or whose alerts still wait there. The
	// hub ends the condition of every other open incident of this edge: the edge has lost its
	// memory of it. The hub asks by Ack.Missing for those that it does not have in this version.
	// null says that the edge cannot tell, because its store does not answer; then nothing ends.
	Open []IncidentRef `json:"open"`
}

// IncidentRef names a version of an incident.
type IncidentRef struct {
	ID       string `json:"id"`
	Version  int    `json:"version"`
	Evidence int    `json:"evidence,omitempty"` // files of evidence that the hub has said it has
}

// Check asks which incidents of the last days the hub lacks: one that was restored from a backup
// has forgotten what edges have long deleted from their outboxes. At most MaxCheck a request.
type Check struct {
	Epoch     string        `json:"epoch"`
	Incidents []IncidentRef `json:"incidents"`
}

// MaxCheck bounds the incidents of a Check.
const MaxCheck = 500

// CheckAnswer lists the IDs of the Check that the hub does not have, or has in an older version or
// with less evidence. The edge sends them again, whole.
type CheckAnswer struct {
	Missing []string `json:"missing"`
}

// ProtocolVersion is sent with every request and answer between edge and hub, in the header
// HeaderProtocol. Version 1 is what was spoken before the header existed. A hub that cannot
// speak an edge's version answers 400 with the code CodeProtocolUnsupported.
const (
	ProtocolVersion = 2
	HeaderProtocol  = "Gridpost-Protocol"
)

// The codes of problem+json answers (RFC 9457, extension member "code") that an edge acts on.
const (
	CodeEpochSuperseded     = "epoch_superseded"
	CodeProtocolUnsupported = "protocol_unsupported"
)

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

	// NotYet lists the events of this request whose kind the hub does not know. They count as
	// committed, so that they do not block those behind them; the edge sets them aside and sends
	// them again when Kinds names their kind. An event is listed again when it is sent again.
	NotYet []Refusal `json:"not_yet,omitempty"`

	// History names the history of the hub's database: random, the same for all hubs on one
	// database. When it changes, the hub may have been restored from a backup: the edge starts a
	// new epoch, and sends again what the hub lacks of everything that it still keeps. Hub is
	// the same under the name that earlier edges know.
	History string `json:"history,omitempty"`
	Hub     string `json:"hub,omitempty"`

	// Kinds are the kinds of events that the hub knows, and Missing the incidents of Hello that
	// it wants again, whole; both in the answer to a Hello only.
	Kinds   []Kind   `json:"kinds,omitempty"`
	Missing []string `json:"missing,omitempty"`
}

// Refusal says why one event was refused.
type Refusal struct {
	Lane   Lane              `json:"lane"`
	Seq    uint64            `json:"seq"`
	Code   string            `json:"code,omitempty"`   // one of Refused...; hubs before the codes send none
	Params map[string]string `json:"params,omitempty"` // the values of the code, by name
	Reason string            `json:"reason"`           // the same in English, for a log
}

// The codes of refusals, with their parameters.
const (
	RefusedKind     = "unknown_kind"     // kind: this hub does not know it
	RefusedLane     = "wrong_lane"       // lane, kind: the kind does not belong into the lane, or the lane is not known
	RefusedNumber   = "wrong_number"     // seq: it is not within 1 and 2^63-1
	RefusedData     = "malformed"        // error: its data does not parse
	RefusedValue    = "wrong_value"      // field, value: a value that is not possible
	RefusedTooMany  = "too_many"         // field, max: a list is too long
	RefusedForeign  = "foreign_incident" // it belongs to an incident of another edge
	RefusedDevice   = "unknown_device"   // device: the edge's inventory has no such device
	RefusedQuota    = "evidence_quota"   // max: the edge has announced more evidence, that it has not uploaded, than it may
	RefusedHubFault = "hub_fault"        // the hub cannot apply it because of a fault of its own
)

// Inventory is every device of an edge, sent when it starts and when its document changes.
// Devices that are missing from it are gone.
type Inventory struct {
	Version string         `json:"version"`         // of the edge's program
	Title   *devices.Title `json:"title,omitempty"` // of the site; hubs before titles do not read it
	Devices []Device       `json:"devices"`
}

// Device is one camera or sensor as its edge describes it. It never carries a URL or a secret.
type Device struct {
	Name  string         `json:"name"`
	Title *devices.Title `json:"title,omitempty"`
	Kind  devices.Kind   `json:"kind"`
	Place *devices.Place `json:"place,omitempty"`
	Unit  string         `json:"unit,omitempty"`  // of a sensor's readings
	Class devices.Class  `json:"class,omitempty"` // of a sensor with the values 1 and 0
	Rules []Rule         `json:"rules,omitempty"`
}

// Rule is what a person at the hub needs to know of a rule.
type Rule struct {
	Name     string             `json:"name"`
	Title    *devices.Title     `json:"title,omitempty"`
	Kind     detection.RuleKind `json:"kind"`
	Severity detection.Severity `json:"severity"`

	// What of the rule's terms its kind has, so that it can be said in words.
	Value     *float64            `json:"value,omitempty"`     // above and below: the limit, in the sensor's unit; crowd: of objects
	Direction detection.Direction `json:"direction,omitempty"` // line; wrong-way: mostly the one that is allowed
	Classes   []string            `json:"classes,omitempty"`   // of rules about objects; empty: any
	Problems  []string            `json:"problems,omitempty"`  // health: those that it looks for
	ForMS     int64               `json:"for_ms,omitempty"`    // how long it must hold; for silence, how long nothing is heard

	CoolDownMS int64 `json:"cool_down_ms,omitempty"` // least time between two incidents that open

	Schedule      string         `json:"schedule,omitempty"` // name of the one in which it is active; empty: always
	ScheduleTitle *devices.Title `json:"schedule_title,omitempty"`
}

// Evidence announces a file of an incident. Its bytes follow on PathEvidence, in pieces of at
// most MaxEvidencePiece; the hub publishes them when all have come and the hash is right.
type Evidence struct {
	Incident    string    `json:"incident"`
	Name        string    `json:"name"` // file name, [a-z0-9.-]{1,80}
	ContentType string    `json:"content_type"`
	Size        int64     `json:"size"`   // bytes
	SHA256      string    `json:"sha256"` // hex, computed on the edge when the file was made
	Time        time.Time `json:"time"`   // of the picture, or of the first frame of a clip

	Clip *Clip `json:"clip,omitempty"` // of a clip, whose ContentType is ClipType
}

// ClipType is the content type of clips: video of an incident's camera, as fragmented MP4.
const ClipType = "video/mp4"

// Clip describes a clip. Its times are by the edge's clock.
type Clip struct {
	From   time.Time `json:"from"`   // of the first frame
	To     time.Time `json:"to"`     // when the last frame ends
	Frames int       `json:"frames"` // 1..MaxClipFrames
	Codec  string    `json:"codec"`  // RFC 6381, such as avc1.64001f; at most 80 bytes
	Gaps   []ClipGap `json:"gaps,omitempty"`
	Signed bool      `json:"signed,omitempty"` // it carries a manifest that the edge's key has signed
}

// ClipGap is a time of a clip without frames.
type ClipGap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to"`
}

// Bounds of a Clip.
const (
	MaxClipFrames = 1_000_000
	MaxClipGaps   = 100
)

// Gap says what was lost on an edge and will never arrive.
type Gap struct {
	ID     string    `json:"id"`               // UUID; a gap that grew is sent again under its ID
	Kind   GapKind   `json:"kind"`             // what was lost
	Device string    `json:"device,omitempty"` // of readings; empty: of several devices
	From   time.Time `json:"from"`             // time of the oldest item lost
	To     time.Time `json:"to"`               // time of the newest item lost
	Count  uint64    `json:"count"`            // items lost; 0: not known
	Reason string    `json:"reason"`           // cause code: store_full, store_damaged, wal_damaged, ...
}

// GapKind is what a Gap lost.
type GapKind string

// The kinds of gaps.
const (
	GapReadings GapKind = "readings"
	GapAlerts   GapKind = "alerts"
	GapEvidence GapKind = "evidence"
)

// Bounds of evidence.
const (
	MaxEvidencePiece = 1 << 20
	MaxEvidenceSize  = 256 << 20
)

// Health is how an edge itself is doing.
type Health struct {
	Time     time.Time         `json:"time"`
	Problems []devices.Cause   `json:"problems"` // worst first; empty: none
	Counters map[string]uint64 `json:"counters"` // dropped units, refused readings, worker restarts, ...; Prometheus-style names
}

// CommandKind is what the hub asks of an edge.
type CommandKind string

// The commands.
const (
	CommandPublish CommandKind = "publish" // send a stream of Device by WHIP, until stopped or Until
	CommandStop    CommandKind = "stop"    // stop sending it

	// The same for a stream that Command.Stream names. An edge that knows main streams only refuses them;
	// with the kinds above, it would publish and stop the main stream instead.
	CommandPublishStream CommandKind = "publish_stream"
	CommandStopStream    CommandKind = "stop_stream"
)

// StreamSub is a camera's second stream, of a lower bitrate.
const StreamSub = "sub"

// Command is one wish of the hub. Carrying it out twice is the same as once.
type Command struct {
	ID     string      `json:"id"`
	Kind   CommandKind `json:"kind"`
	Device string      `json:"device"`
	Until  time.Time   `json:"until,omitzero"`
	Issued time.Time   `json:"issued"`

	Stream string `json:"stream,omitempty"` // StreamSub, with CommandPublishStream and CommandStopStream

	// URL is where to publish: a path that begins with /whip/, of the hub's edge port; or the https URL of a relay
	// elsewhere, at most MaxURL bytes long. "": PathWHIP of the hub's edge port.
	URL string `json:"url,omitempty"`

	// Credential is a bearer token (RFC 6750) for the publication's requests, at most MaxCredential bytes long. It is
	// for this edge, device and stream, and begins publications for about a minute and a half; the next command has
	// another one. "": the client certificate is enough.
	Credential string `json:"credential,omitempty"`
}

// Bounds of Command, in bytes.
const (
	MaxURL        = 2048
	MaxCredential = 2048
)

// Result is how a command went.
type Result struct {
	OK    bool          `json:"ok"`
	Cause devices.Cause `json:"cause,omitzero"` // when not OK
}

// EnrolRequest trades a one-time token for a certificate. Redeeming a token again with the
// same key is harmless; the token is burnt at the first request with the certificate.
type EnrolRequest struct {
	Token string `json:"token"` // the secret part of the printed token
	CSR   string `json:"csr"`   // PEM; its key was made on the edge and never leaves it
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
