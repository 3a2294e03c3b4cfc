// Package notify sends every alert to the webhook targets that an administrator named.
//
// An alert becomes one delivery for each target, in the transaction that records the alert, so
// that none is lost and none is sent under two names. Deliveries are CloudEvents 1.0 in
// structured JSON with Standard Webhooks signatures, tried again over days, each attempt
// signed anew under the same webhook-id. Targets are independent of each other: one that is
// slow or gone delays nobody else. Within one incident alerts keep their order for as long as
// the earlier ones are not being refused again and again.
//
// The queue itself is a table of the hub's store; this package declares what it needs of it and
// keeps nothing that a restart would miss. It must import nothing else of Gridpost.
package notify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"time"
)

// AlertKind says what became of an incident.
type AlertKind string

// The kinds of alerts. They are the last word of the CloudEvents type.
const (
	Opened  AlertKind = "opened"
	Changed AlertKind = "changed" // also: acknowledged, assigned, noted, evidence complete
	Closed  AlertKind = "closed"
)

// Alert is the message that an incident opened, changed or closed.
type Alert struct {
	// ID is unique among the hub's alerts and never used twice; with the source it is what a
	// receiver deduplicates by. The decimal number of Sequence will do.
	ID string

	// Sequence rises with each alert of this hub (the id of the changes table).
	Sequence int64

	Kind     AlertKind
	Incident string // its ID
	Device   string // edge/device; empty for an incident that a report opened
	Time     time.Time

	// Data is the incident as GET /api/v1/incidents/{id} gives it. Pictures are linked in it,
	// never embedded.
	Data json.RawMessage
}

// Target is one receiver of alerts.
type Target struct {
	ID  string
	URL string

	// Secrets are in the form "whsec_" + base64 (see NewSecret), the newest first. While a
	// secret rotates there are two or more, and every one of them signs.
	Secrets []string
}

// Delivery is one alert on its way to one target.
type Delivery struct {
	ID       string // DeliveryID(Alert.ID, Target)
	Target   string // Target.ID
	Attempts int    // made so far
	Queued   time.Time
	Alert    Alert
}

// State is where a delivery stands.
type State string

// The states of a delivery.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Dead      State = "dead" // given up, for the reason in the last outcome's Cause; kept to be read
)

// Outcome is what came of one attempt.
type Outcome struct {
	Delivery string
	Target   string
	Attempt  int       // number of this attempt, from 1: the delivery's new count
	At       time.Time // when the attempt ended
	Took     time.Duration
	Status   int       // of the HTTP answer; 0: there was none
	Cause    string    // in words, when not delivered; never a secret
	State    State     // the delivery's new state
	Next     time.Time // when Pending: not to be tried before

	// Disable is not empty when the target has said that it is gone: the store disables the
	// target with this as its reason and marks its pending deliveries Dead, in the same
	// transaction.
	Disable string
}

// OrderAttempts is for how many attempts of an earlier alert the later ones of the same
// incident wait. After that they overtake it, and the receiver has the sequence number.
const OrderAttempts = 5

// Store is the durable queue. Its methods are called from several goroutines.
type Store interface {
	// WebhookTargets returns every target that is not disabled.
	WebhookTargets(ctx context.Context) ([]Target, error)

	// DueDeliveries returns at most limit pending deliveries of one target that may be tried at
	// now, by Sequence. It leaves out those that wait behind an earlier pending delivery of
	// the same target and incident with fewer than OrderAttempts attempts, whether or not that
	// one is due. next is the earliest time at which a pending delivery that was not returned
	// becomes due; zero: none, or it waits behind another.
	DueDeliveries(ctx context.Context, target string, now time.Time, limit int) (due []Delivery, next time.Time, err error)

	// RecordDelivery writes an attempt down. An outcome of a delivery that is no longer pending,
	// or whose target has been deleted meanwhile, changes nothing and is no error.
	RecordDelivery(ctx context.Context, o Outcome) error
}

// DeliveryID returns the one name of an alert's delivery to a target. It depends on nothing but
// the two, so queueing twice is queueing once.
func DeliveryID(alert, target string) string {
	sum := sha256.Sum256([]byte(alert + "\x00" + target))
	return "msg_" + hex.EncodeToString(sum[:16])
}
