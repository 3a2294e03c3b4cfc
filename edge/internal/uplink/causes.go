package uplink

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"gridpost/devices"
	"gridpost/devices/problem"
	"gridpost/hub/api"
)

// storeError is a failure of the edge's own store, in a loop that delivers from it.
type storeError struct{ err error }

func (e *storeError) Error() string { return e.err.Error() }
func (e *storeError) Unwrap() error { return e.err }

// unsupportedError says that the hub does not speak this edge's protocol version.
type unsupportedError struct{ hub int64 }

func (e *unsupportedError) Error() string {
	return fmt.Sprintf("the hub speaks protocol %d, this edge %d", e.hub, api.ProtocolVersion)
}

// causeFor says why something failed at the hub. Every cause but those of the edge's own store has the
// parameter "hub", the hub's host and port.
func causeFor(hub string, err error) devices.Cause {
	host := hub
	if u, e := url.Parse(hub); e == nil && u.Host != "" {
		host = u.Host
	}
	var own *storeError
	var unsupported *unsupportedError
	var nonsense *answerError
	var refused *problem.Error
	switch {
	case errors.As(err, &own):
		return devices.NewCause("store_failed", "reason", own.Error())
	case errors.As(err, new(*localError)):
		return devices.NewCause("evidence_unreadable", "reason", err.Error())
	case errors.As(err, &unsupported):
		return devices.NewCause("hub_protocol", "hub", host,
			"edge_version", strconv.Itoa(api.ProtocolVersion), "hub_version", strconv.FormatInt(unsupported.hub, 10))
	case errors.As(err, &nonsense):
		return devices.NewCause("hub_answer_invalid", "hub", host, "reason", nonsense.what)
	case errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden):
		return devices.NewCause("hub_refuses_edge", "hub", host)
	case errors.As(err, &refused):
		return devices.NewCause("hub_answers", "hub", host, "status", strconv.Itoa(refused.Status), "reason", refused.Reason())
	}
	return transportCause(host, err)
}

// transportCause says why the hub was not reached at all.
func transportCause(host string, err error) devices.Cause {
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return devices.NewCause("hub_connection_refused", "hub", host)
	case errors.As(err, &dns):
		return devices.NewCause("hub_name_unknown", "hub", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return devices.NewCause("hub_certificate_expired", "hub", host)
	case errors.As(err, new(*tls.CertificateVerificationError)), errors.As(err, new(x509.UnknownAuthorityError)):
		return devices.NewCause("hub_certificate_foreign", "hub", host)
	case strings.Contains(err.Error(), "remote error: tls"):
		return devices.NewCause("hub_refuses_certificate", "hub", host, "reason", innermost(err))
	case errors.As(err, &timeout) && timeout.Timeout():
		return devices.NewCause("hub_timed_out", "hub", host)
	}
	return devices.NewCause("hub_unreachable", "hub", host, "reason", innermost(err))
}

// innermost returns an error's text without the URL of the request.
func innermost(err error) string {
	var viaURL *url.Error
	if errors.As(err, &viaURL) {
		err = viaURL.Err
	}
	return err.Error()
}

// answered says whether the hub answered at all.
func answered(err error) bool {
	var refused *problem.Error
	var nonsense *answerError
	var unsupported *unsupportedError
	return errors.As(err, &refused) || errors.As(err, &nonsense) || errors.As(err, &unsupported)
}

// hasCode says whether the hub refused a request with a code.
func hasCode(err error, code string) bool {
	var refused *problem.Error
	return errors.As(err, &refused) && refused.Code == code
}
