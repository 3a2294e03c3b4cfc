package uplink

import (
	"context"
	"net/http"
	"time"

	"gridpost/devices"
	"gridpost/devices/retry"
)

const (
	renewLook    = time.Minute // how often the clock is looked at: that of a machine without a battery jumps
	renewTimeout = time.Minute
)

// certificate is the part of enrol.Identity that renewal needs.
type certificate interface {
	RenewIn() time.Duration
	Expires() time.Time
	Renew(ctx context.Context, c *http.Client, hubURL string) error
}

// renewal renews the edge's certificate when two thirds of its life are over.
type renewal struct {
	id     certificate
	client *http.Client
	url    string
	report func(error)
}

func (u *Uplink) renew(ctx context.Context) {
	r := renewal{id: u.o.Identity, client: u.alerts, url: u.o.URL}
	r.report = func(err error) {
		u.reportRenewal(err)
		if err == nil {
			u.reconnect()
		}
	}
	r.run(ctx)
}

// maxOutdated is how many connections may be in use while the certificate is renewed.
const maxOutdated = 16

// reconnect makes new requests use new connections, with the new certificate: its first use ends the old one. The
// hub closes connections that are in use now when it refuses their next request; do sends that request again.
func (u *Uplink) reconnect() {
	u.outdated.Store(maxOutdated)
	u.alerts.CloseIdleConnections()
	u.bulk.CloseIdleConnections()
}

// run renews until ctx ends.
func (r *renewal) run(ctx context.Context) {
	b := retry.Policy{First: 10 * time.Second, Longest: 10 * time.Minute}.New()
	for ctx.Err() == nil {
		if wait := r.id.RenewIn(); wait > 0 {
			retry.Sleep(ctx, min(wait, renewLook))
			continue
		}
		try, cancel := context.WithTimeout(ctx, renewTimeout)
		err := r.id.Renew(try, r.client, r.url)
		cancel()
		if ctx.Err() != nil {
			return
		}
		r.report(err)
		if err != nil {
			b.Wait(ctx)
			continue
		}
		b.Reset() // RenewIn leaves an hour between two renewals, whatever the clocks say
	}
}

// reportRenewal notes how a renewal went.
func (u *Uplink) reportRenewal(err error) {
	if err == nil {
		u.troubles.set(loopRenewal, devices.Cause{})
		u.o.Logger.Info("the certificate was renewed", "until", u.o.Identity.Expires())
		return
	}
	u.failures.Add(1)
	cause := causeFor(u.o.URL, err)
	until := u.o.Identity.Expires().UTC().Format(time.DateOnly)
	changed, _ := u.troubles.set(loopRenewal, devices.NewCause("certificate_not_renewed", "date", until).Because(cause))
	if changed {
		u.o.Logger.Warn("renewing the certificate failed; it is tried again", "until", until, "error", err)
	}
}
