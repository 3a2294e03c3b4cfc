// Package notify sends every alert to the targets that administrators added: webhooks, MQTT brokers, receivers of the
// Common Alerting Protocol. Each kind is an output, in a file of its own; see outputs.
//
// An alert becomes one delivery for each target, in the transaction that records the alert, so
// that none is lost and none is sent under two IDs. Deliveries are CloudEvents 1.0 in structured
// JSON with Standard Webhooks signatures. They are retried until they are accepted or too old; each
// attempt is signed anew under the same webhook-id. Targets are independent: a slow or failing one
// delays no other. Within one incident the alerts of a target keep their order, until an earlier
// one has failed OrderAttempts times.
//
// Several hubs may share one queue. One of them at a time serves a target: it holds the target's
// lease, and only the holder of the lease can record outcomes.
//
// The queue is a table of the hub's database; this package declares what it needs of it and has
// no state that a restart would lose. It imports devices for causes, back-off and MQTT, and
// nothing else of Gridpost.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"time"

	"gridpost/devices"
)

// AlertKind says what happened to an incident.
type AlertKind string

// The kinds of alerts: the last part of the CloudEvents type.
const (
	Opened  AlertKind = "opened"
	Changed AlertKind = "changed" // also: acknowledged, assigned, noted, reopened, evidence complete
	Cleared AlertKind = "cleared" // its condition ended; a person may still have to close it
	Closed  AlertKind = "closed"  // a person closed it
)

// Format is the present format of events; see Target.Format.
const Format = 2

// Alert is the message that an incident opened, changed, cleared or closed.
type Alert struct {
	// ID is a UUID. It is empty for an alert of a version whose events were named by their Sequence.
	ID string

	Kind  AlertKind
	Kind1 AlertKind // what format 1 calls it; empty: the same

	Incident string // its ID
	Device   string // edge/device; empty for an incident that a report opened
	Time     time.Time

	// Data is the incident as GET /api/v1/incidents/{id} returns it. Evidence is linked, not
	// embedded.
	Data json.RawMessage
}

// Target is one receiver of alerts.
type Target struct {
	ID       string
	Kind     string // KindWebhook if it is empty
	URL      string
	Settings Settings

	// Secrets are in the form "whsec_" + base64 (see NewSecret), the newest first. During a
	// rotation there are two or more, and each gives a signature.
	Secrets []string

	// Format is that of the events: Format, or 1 for a target that a version before format 2 added.
	// Format 1 has no Cleared: it calls Closed whichever of Cleared and Closed comes first, and the other
	// one Changed. Its URLs of evidence have no host.
	Format int
}

// Settings of a target, which depend on its kind.
type Settings struct {
	Topic    string `json:"topic,omitempty"` // MQTT; DefaultTopic if it is empty
	Username string `json:"username,omitempty"`
	Password string `json:"password,omitempty"`
	CA       string `json:"ca,omitempty"` // PEM of the authorities of the broker's certificate; empty: the system's

	Sender string `json:"sender,omitempty"` // CAP: who is responsible; the installation's source if it is empty
	Status string `json:"status,omitempty"` // CAP: Actual if it is empty, Exercise or Test
}

// Delivery is one alert for one target.
type Delivery struct {
	ID       string // DeliveryID(Alert.ID, Target)
	Target   string // Target.ID
	Sequence int64  // among the deliveries to the target: each has the number after the one before
	Attempts int    // so far
	Queued   time.Time
	Alert    Alert
}

// State is the state of a delivery.
type State string

// The states of a delivery.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Dead      State = "dead" // given up; kept until it is as old as retention allows
)

// Outcome is the result of one attempt.
type Outcome struct {
	Delivery string
	Target   string
	Incident string
	Queued   time.Time // when the alert was enqueued
	Attempt  int       // number of this attempt, from 1: the delivery's new count
	At       time.Time // when the attempt ended
	Took     time.Duration
	Status   int           // of the HTTP response; 0: there was none
	Cause    devices.Cause // why it was not delivered; contains no secret
	State    State         // the delivery's new state
	Next     time.Time     // if Pending: no attempt before

	// Pause is not zero when the target asked for a pause (Retry-After): no delivery to it is
	// attempted before.
	Pause time.Time

	// Disable is not zero when the target answered that it is gone: the queue disables the target
	// for this reason and gives up its pending deliveries.
	Disable devices.Cause
}

// OrderAttempts is the number of attempts of an earlier alert for which the later ones of the same
// incident wait. After that they overtake it; receivers order alerts by the sequence number.
const OrderAttempts = 5

// Errors of a Queue.
var (
	// ErrHeld is returned by Acquire while another hub holds the target's lease.
	ErrHeld = errors.New("another hub serves the target")
	// ErrLost is returned when the lease is no longer held: it expired, or the target was removed.
	// Nothing has been written.
	ErrLost = errors.New("the lease of the target is lost")
)

// Queue is the durable queue. Its methods are called from several goroutines.
type Queue interface {
	// Targets returns every target that is enabled.
	Targets(ctx context.Context) ([]Target, error)

	// Acquire takes the lease of a target for ttl, or returns ErrHeld.
	Acquire(ctx context.Context, target string, ttl time.Duration) (TargetQueue, error)
}

// TargetQueue is the queue of one target under a lease. Methods that write return ErrLost when the
// lease is no longer held.
type TargetQueue interface {
	Deliveries
	Backlog
	Lease
}

// Deliveries reads deliveries and records their outcomes.
type Deliveries interface {
	// Due returns at most limit pending deliveries that may be attempted at now, by the time at
	// which they became due. It omits those that wait behind an earlier pending delivery of the
	// same incident with fewer than OrderAttempts attempts, so that it returns at most one such
	// delivery of an incident. next is when the earliest of the others becomes due, not before
	// now; zero: there is none.
	Due(ctx context.Context, now time.Time, limit int) (due []Delivery, next time.Time, err error)

	// Earlier returns the alerts of d's incident that were delivered to the target before d, the oldest first,
	// at most limit: the newest ones.
	Earlier(ctx context.Context, d Delivery, limit int) ([]Reference, error)

	// Record saves the outcomes of attempts in one transaction. An outcome of a delivery that is
	// no longer pending changes nothing.
	Record(ctx context.Context, outcomes []Outcome) error
}

// Backlog changes many deliveries in small transactions; more says that there are further ones.
type Backlog interface {
	// GiveUp marks pending deliveries that were queued before a time as Dead, and returns how many.
	GiveUp(ctx context.Context, before time.Time) (n int, more bool, err error)

	// Resume makes deliveries that wait for a later attempt due at now.
	Resume(ctx context.Context, now time.Time) (more bool, err error)
}

// Lease is the exclusive right to serve a target.
type Lease interface {
	// Pace returns what was saved when the lease was acquired.
	Pace() Pace

	// SavePace saves how the target is attempted from now on.
	SavePace(ctx context.Context, p Pace) error

	// Renew extends the lease by its ttl from now.
	Renew(ctx context.Context) error

	// Release ends the lease, so that another hub need not wait for its expiry.
	Release(ctx context.Context) error
}

// Pace is how a target that fails, or asked for a pause, is attempted. It outlasts a restart of the hub.
type Pace struct {
	Until    time.Time // no attempt before; zero: at once
	Failures int       // in a row; 0 unless the target is only probed
}

// DeliveryID returns the ID of an alert's delivery to a target. It depends only on the two, so
// enqueuing twice is the same as enqueuing once.
func DeliveryID(alert, target string) string {
	sum := sha256.Sum256([]byte(alert + "\x00" + target))
	return "msg_" + hex.EncodeToString(sum[:16])
}
