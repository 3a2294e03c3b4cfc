package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// maxAnswer bounds how much of an answer's body is read, in bytes. Nothing of it is kept; a
// connection whose answer is read to its end can be used again.
const maxAnswer = 64 << 10

// schedule is how long to wait after each failed attempt. After the last of them the delivery
// is given up: three days in all.
func schedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour,
		3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 24 * time.Hour,
	}
}

// longestRetryAfter bounds what a target can ask for.
const longestRetryAfter = 24 * time.Hour

// jitter spreads d by a quarter to both sides, so that what failed together is not tried
// again together.
func jitter(d time.Duration) time.Duration {
	return d*3/4 + rand.N(d/2+1) // spreads load, guards nothing
}

// newClient makes the client that every target shares. It follows no redirect: a target is the
// URL that was signed for, and a redirect could lead into the network. It uses no proxy, which
// would dial in place of the guard.
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
			MaxResponseHeaderBytes: maxAnswer,
			MaxIdleConnsPerHost:    inFlight,
			IdleConnTimeout:        time.Minute,
			DisableCompression:     true,
		},
	}
}

// attempt sends d once and says what came of it. ok is false when ctx ended first: then nothing
// is known, and the attempt does not count.
func (n *Notifier) attempt(ctx context.Context, t Target, d Delivery) (o Outcome, ok bool) {
	began := time.Now()
	status, retryAfter, err := n.post(ctx, t, d)
	if err != nil && ctx.Err() != nil {
		return Outcome{}, false
	}
	now := time.Now()
	o = Outcome{
		Delivery: d.ID, Target: t.ID, Attempt: d.Attempts + 1,
		At: now, Took: now.Sub(began), Status: status,
	}
	switch {
	case err != nil:
		o.Cause = n.words(err)
	case status >= 200 && status < 300:
		o.State = Delivered
		return o, true
	default:
		o.Cause = fmt.Sprintf("the target answered %d %s", status, http.StatusText(status))
	}
	switch waits := schedule(); {
	case status == http.StatusGone:
		o.State, o.Disable = Dead, "the target answered 410 Gone"
	case status == http.StatusUnsupportedMediaType:
		o.State = Dead
	case d.Attempts >= len(waits):
		o.State = Dead
		o.Cause += fmt.Sprintf("; given up after %d attempts", o.Attempt)
	default:
		o.State = Pending
		o.Next = now.Add(max(jitter(waits[d.Attempts]), retryAfter))
	}
	return o, true
}

// post makes one request. retryAfter is what the target asked for, or 0.
func (n *Notifier) post(ctx context.Context, t Target, d Delivery) (status int, retryAfter time.Duration, err error) {
	if err := CheckURL(t.URL, n.o.AllowPrivate); err != nil {
		return 0, 0, fmt.Errorf("checking the target's URL: %w", err)
	}
	payload, err := body(n.o.Source, d.Alert)
	if err != nil {
		return 0, 0, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(payload))
	if err != nil {
		return 0, 0, errors.New("the target's URL cannot be used")
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", n.o.UserAgent)
	if err := sign(req.Header, d.ID, time.Now(), payload, t.Secrets); err != nil {
		return 0, 0, fmt.Errorf("signing with the target's secret: %w", err)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return 0, 0, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	// The status is the answer; a body that breaks off changes nothing about it.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusServiceUnavailable {
		retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), time.Now())
	}
	return resp.StatusCode, retryAfter, nil
}

// parseRetryAfter reads seconds or a date (RFC 9110, section 10.2.3); anything else is 0.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	var d time.Duration
	if secs, err := strconv.ParseUint(s, 10, 32); err == nil {
		d = time.Duration(secs) * time.Second
	} else if at, err := http.ParseTime(s); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), longestRetryAfter)
}

// words says what went wrong for a person. The URL, which the HTTP client puts into its errors,
// is left out: its path may be a secret.
func (n *Notifier) words(err error) string {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	switch {
	case errors.Is(err, errInside), errors.Is(err, ErrSecret):
		// Said in words where it was found.
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s could not be resolved", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, &op) && op.Addr != nil:
		return fmt.Sprintf("nothing answers at %s (connection refused)", op.Addr)
	case errors.As(err, &cert):
		return "the target's certificate is not accepted: " + cert.Err.Error()
	case isTimeout(err):
		return fmt.Sprintf("no answer within %s", n.o.Timeout)
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return err.Error()
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}
