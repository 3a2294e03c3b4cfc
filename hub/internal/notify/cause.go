package notify

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"

	"gridpost/devices"
	"gridpost/hub/internal/problem"
)

// causeOf returns why a request failed. The URL, which the HTTP client puts into its errors, is
// left out, because it may contain a secret.
func (n *Notifier) causeOf(err error) devices.Cause {
	var dns *net.DNSError
	var op *net.OpError
	var cert *tls.CertificateVerificationError
	if c, ok := causeIn(err); ok {
		return c
	}
	switch {
	case errors.As(err, &dns):
		return problem.NewCause("delivery_name_unknown", "host", dns.Name)
	case errors.Is(err, syscall.ECONNREFUSED) && errors.As(err, &op) && op.Addr != nil:
		return problem.NewCause("delivery_connection_refused", "address", op.Addr.String())
	case errors.As(err, &cert):
		if why, ok := devices.CertificateCause(cert.Err); ok {
			return problem.NewCause("delivery_certificate", "cause", why.Text, "cause_code", why.Code)
		}
		return problem.NewCause("delivery_certificate", "reason", cert.Err.Error())
	case isTimeout(err):
		return problem.NewCause("delivery_timed_out", "seconds", seconds(n.o.Timeout))
	}
	if c, ok := connectionCause(err); ok {
		return c
	}
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	return problem.NewCause("delivery_failed", "reason", err.Error())
}

// connectionCause returns the cause of a connection that broke, or on which something else than a receiver answers.
func connectionCause(err error) (devices.Cause, bool) {
	var record tls.RecordHeaderError
	var op *net.OpError
	switch {
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return problem.NewCause("delivery_not_tls"), true
	case errors.As(err, &op) && op.Op == "remote error": // crypto/tls: the other side sent an alert
		return problem.NewCause("delivery_tls_refused", "reason", op.Err.Error()), true
	case errors.Is(err, syscall.EHOSTUNREACH) || errors.Is(err, syscall.ENETUNREACH):
		address := ""
		if op != nil && op.Addr != nil {
			address = op.Addr.String()
		}
		return problem.NewCause("delivery_unreachable", "address", address), true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed):
		return problem.NewCause("delivery_connection_closed"), true
	}
	// net/http has no types for these.
	switch text := err.Error(); {
	case strings.Contains(text, "server closed idle connection"):
		return problem.NewCause("delivery_connection_closed"), true
	case strings.Contains(text, "malformed "), strings.Contains(text, "readLoopPeekFailLocked"): // the second: it spoke before the request
		return problem.NewCause("delivery_not_http"), true
	}
	return devices.Cause{}, false
}

// answered returns the cause of an HTTP response that is no success.
func answered(r response) devices.Cause {
	if r.location != "" {
		return problem.NewCause("delivery_redirect", "status", strconv.Itoa(r.status), "location", r.location)
	}
	return problem.NewCause("delivery_status", "status", strconv.Itoa(r.status), "message", http.StatusText(r.status))
}

// origin returns scheme and host of a redirect's Location (RFC 9110, section 10.2.2), relative to
// the URL of the request: the rest may contain a secret. It is empty when there is none.
func origin(base *url.URL, location string) string {
	if location == "" {
		return ""
	}
	u, err := base.Parse(location)
	if err != nil || u.Host == "" {
		return ""
	}
	return u.Scheme + "://" + u.Host
}

func isTimeout(err error) bool {
	var t interface{ Timeout() bool }
	return errors.As(err, &t) && t.Timeout()
}

func seconds(d time.Duration) string { return strconv.FormatFloat(d.Seconds(), 'f', -1, 64) }
