package notify

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
)

// output is one kind of target. A new kind is one file, and one line in outputs.
type output interface {
	// check returns a *problem.Error unless a target of the kind can be served: of its URL and settings. It
	// resolves no names.
	check(t Target, allowPrivate bool) error

	// open returns the channel to a target. It connects to nothing.
	open(n *Notifier, t Target) (channel, error)
}

// channel sends to one target. send may be called from several goroutines.
type channel interface {
	// send makes one attempt. earlier returns the alerts of the incident that were delivered before.
	send(ctx context.Context, d Delivery, earlier earlierFunc) (response, error)

	// close ends what is open. It is called once, after the last send has returned.
	close()
}

// earlierFunc returns the alerts of a delivery's incident that were delivered to its target before, the oldest first.
type earlierFunc func(context.Context) ([]Reference, error)

// Reference is an alert that was delivered.
type Reference struct {
	ID   string // of the event
	Time time.Time
}

// response is the part of a target's answer that matters.
type response struct {
	accepted   bool
	status     int           // of HTTP; 0: there was none
	retryAfter time.Duration // of 429 and 503; 0: none
	location   string        // origin to which the target redirects
}

// The kinds of targets.
const (
	KindWebhook = "webhook" // CloudEvents to a URL, with Standard Webhooks signatures
	KindMQTT    = "mqtt"    // CloudEvents to a topic of a broker
	KindCAP     = "cap"     // messages of the Common Alerting Protocol to a URL
)

// outputs is the registry of the kinds of targets.
func outputs() map[string]output {
	return map[string]output{
		KindWebhook: webhookOutput{},
		KindMQTT:    mqttOutput{},
		KindCAP:     capOutput{},
	}
}

// outputOf returns the kind of a target.
func outputOf(t Target) (output, error) {
	kind := t.Kind
	if kind == "" {
		kind = KindWebhook
	}
	o, ok := outputs()[kind]
	if !ok {
		return nil, problem.New("target_kind_unknown", "kind", kind)
	}
	return o, nil
}

// CheckTarget returns a *problem.Error unless the target can be served: of its kind, URL and settings. It resolves no
// names: an address inside the network is refused when it is dialled. The error contains neither the URL nor
// the settings, which may contain secrets.
func CheckTarget(t Target, allowPrivate bool) error {
	o, err := outputOf(t)
	if err != nil {
		return err
	}
	return o.check(t, allowPrivate)
}

// openChannel is the channel to a target, which is replaced when the target changes. It belongs to one goroutine.
type openChannel struct {
	n      *Notifier
	target Target
	ch     channel
}

// to returns the channel to a target as it is now.
func (l *openChannel) to(t Target) (channel, error) {
	if l.ch != nil && reflect.DeepEqual(l.target, t) {
		return l.ch, nil
	}
	l.close()
	o, err := outputOf(t)
	if err != nil {
		return nil, err
	}
	ch, err := o.open(l.n, t)
	if err != nil {
		return nil, err
	}
	t.Secrets = slices.Clone(t.Secrets)
	l.ch, l.target = ch, t
	return ch, nil
}

func (l *openChannel) close() {
	if l.ch != nil {
		l.ch.close()
		l.ch = nil
	}
}

// broken is a channel that cannot be opened: each attempt fails with the reason.
type broken struct{ err error }

func (b broken) send(context.Context, Delivery, earlierFunc) (response, error) {
	return response{}, b.err
}

func (broken) close() {}

// causedError is an error whose cause its output knows.
type causedError struct {
	error
	cause devices.Cause
}

func (e *causedError) Unwrap() error { return e.error }

func causeIn(err error) (devices.Cause, bool) {
	var coded *problem.Error
	if errors.As(err, &coded) {
		return coded.Cause(), true
	}
	var caused *causedError
	if errors.As(err, &caused) {
		return caused.cause, true
	}
	return devices.Cause{}, false
}
