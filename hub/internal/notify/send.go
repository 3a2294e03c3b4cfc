package notify

import (
	"context"
	"crypto/tls"
	"math/rand/v2"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/internal/problem"
)

// maxBody bounds how much of a response's body is read, in bytes. The body is discarded; a
// connection whose response is read to its end can be reused.
const maxBody = 64 << 10

// schedule is the wait after each failed attempt; the last one repeats until the delivery is given
// up because of its age.
func schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour, 3 * time.Hour, 6 * time.Hour,
	}
}

// waitAfter returns the wait after attempt number n, from 1, without jitter.
func waitAfter(n int) time.Duration {
	waits := schedule()
	return waits[min(max(n, 1), len(waits))-1]
}

// LongestPause bounds the pause that a target can ask for (Retry-After).
const LongestPause = time.Hour

// LongestWait is the longest time for which an attempt is put off. A delivery that is due later
// than that was scheduled by a clock that has been set back since.
const LongestWait = 8 * time.Hour

// jitter spreads d by a quarter to both sides, so that deliveries that failed together are not
// retried together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1) // spreads load; not for secrets
}

// newClient returns the client for all targets. It follows no redirect: a redirect could lead into
// the network, or to a log-in page that accepts every request. It uses no proxy, because a proxy
// would dial instead of the guard.
func newClient(o Options) *http.Client {
	dialer := &net.Dialer{Timeout: o.Timeout, Resolver: o.resolver}
	if !o.AllowPrivate {
		dialer.Control = refuseInside
	}
	dial := dialer.DialContext
	if o.dial != nil {
		dial = o.dial
	}
	return &http.Client{
		Timeout:       o.Timeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext:            dial,
			ForceAttemptHTTP2:      true,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: o.RootCAs},
			TLSHandshakeTimeout:    o.Timeout,
			MaxResponseHeaderBytes: maxBody,
			MaxIdleConnsPerHost:    maxRequests,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
		},
	}
}

// attempt sends d once and returns the outcome. ok is false when ctx ended first: then the result
// is unknown, and the attempt does not count.
func (n *Notifier) attempt(ctx context.Context, ch channel, d Delivery, earlier earlierFunc) (o Outcome, ok bool) {
	began := time.Now()
	resp, err := ch.send(ctx, d, earlier)
	if err != nil && ctx.Err() != nil {
		return Outcome{}, false
	}
	now := time.Now()
	o = Outcome{
		Delivery: d.ID, Target: d.Target, Incident: d.Alert.Incident, Queued: d.Queued, Attempt: d.Attempts + 1,
		At: now, Took: now.Sub(began), Status: resp.status, State: Pending,
	}
	switch {
	case err != nil:
		o.Cause = n.causeOf(err)
	case resp.accepted:
		o.State = Delivered
		return o, true
	case resp.status == http.StatusGone:
		o.State, o.Cause = Dead, problem.NewCause("target_gone")
		o.Disable = o.Cause
		return o, true
	case resp.status == http.StatusUnsupportedMediaType:
		o.State, o.Cause = Dead, answered(resp)
		return o, true
	default:
		o.Cause = answered(resp)
	}
	o.Next = now.Add(max(jitter(waitAfter(o.Attempt)), resp.retryAfter))
	if resp.retryAfter > 0 || resp.status == http.StatusTooManyRequests {
		o.Pause = o.Next // it is the target that asks for a pause, whatever the delivery
	}
	return o, true
}

// senderTime returns the time of the target's clock, from its Date header (RFC 9110, section
// 6.6.1), or now: a date in Retry-After is one of the target's clock, which may be wrong.
func senderTime(h http.Header, now time.Time) time.Time {
	if at, err := http.ParseTime(h.Get("Date")); err == nil {
		return at
	}
	return now
}

// parseRetryAfter reads seconds or a date (RFC 9110, section 10.2.3) and bounds the result by
// LongestPause, however large the number is; anything else is 0.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if s != "" && strings.Trim(s, "0123456789") == "" {
		secs, err := strconv.ParseUint(s, 10, 32)
		if err != nil { // out of range
			return LongestPause
		}
		return min(time.Duration(secs)*time.Second, LongestPause)
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), LongestPause)
}
