package public

import "time"

// Webhook is one receiver of alerts as an administrator sees it.
type Webhook struct {
	ID       string    `json:"id"`
	Kind     string    `json:"kind" enum:"webhook,mqtt,cap"`
	URL      string    `json:"url"`
	Format   int       `json:"format" doc:"of events: 2, or 1 as before the type gridpost.incident.cleared"`
	Created  time.Time `json:"created_at"`
	Disabled string    `json:"disabled" doc:"why nothing is sent, in English; empty: it is enabled"`

	DisabledCode   string            `json:"disabled_code,omitempty" doc:"the same as a code; absent if it was disabled by an older version"`
	DisabledParams map[string]string `json:"disabled_params,omitempty" doc:"the values of the code's sentence, by name"`

	Pending int      `json:"pending" doc:"alerts still to be delivered, counted up to 10000"`
	Dead    int      `json:"given_up" doc:"alerts that were given up and are not deleted yet, counted up to 10000"`
	Failing *Failure `json:"failing,omitempty" doc:"the last attempt that failed, while its alert waits for another"`

	Settings *WebhookSettings `json:"settings,omitempty"`

	GiveUpAfter float64 `json:"give_up_after_seconds" doc:"age at which an alert that could not be delivered is given up"`
}

// Failure is an attempt that did not deliver.
type Failure struct {
	At    time.Time `json:"at"`
	Cause string    `json:"cause" doc:"in English"`

	CauseCode   string            `json:"cause_code,omitempty" doc:"the same as a code; absent for an attempt of an older version"`
	CauseParams map[string]string `json:"cause_params,omitempty" doc:"the values of the code's sentence, by name"`

	Next time.Time `json:"next_at" doc:"when the next attempt is due at the earliest"`
}

// DeliveryRecord is the state of one alert's delivery to a target.
type DeliveryRecord struct {
	ID       string `json:"id"`
	Incident string `json:"incident"`
	Kind     string `json:"kind"`
	Sequence int64  `json:"sequence" doc:"number among the deliveries to the target; none is left out"`
	State    string `json:"state" enum:"pending,delivered,dead"`
	Attempts int    `json:"attempts"`
	Status   int    `json:"status" doc:"of the last HTTP answer; 0: there was none"`
	Cause    string `json:"cause" doc:"why it is not delivered, in English"`

	CauseCode   string            `json:"cause_code,omitempty" doc:"the same as a code; absent for an attempt of an older version"`
	CauseParams map[string]string `json:"cause_params,omitempty" doc:"the values of the code's sentence, by name"`

	Queued time.Time  `json:"queued_at"`
	Last   *time.Time `json:"last_at"`
	Next   *time.Time `json:"next_at" doc:"when it is tried again"`
}

// WebhookSettings are the settings of a target that depend on its kind.
type WebhookSettings struct {
	Topic    string `json:"topic,omitempty" maxLength:"500" doc:"of kind mqtt; gridpost/incidents unless given"`
	Username string `json:"username,omitempty" maxLength:"500" doc:"at the broker"`
	CA       string `json:"ca,omitempty" maxLength:"20000" doc:"PEM certificates of the broker's authority; the system's unless given"`
	Sender   string `json:"sender,omitempty" maxLength:"200" doc:"of kind cap: who is responsible; an ID of the installation unless given"`
	Status   string `json:"status,omitempty" enum:"Actual,Exercise,Test" doc:"of kind cap; Actual unless given"`
}
