package mqtt

import (
	"crypto/x509"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"

	"github.com/eclipse/paho.mqtt.golang/packets"

	"gridpost/devices"
	"gridpost/devices/mqttwire"
)

// errUnanswered is wrapped by the errors of a connection that ended before CONNACK.
var errUnanswered = errors.New("no answer to CONNECT")

// errClientIDInUse says that the broker ended several connections soon after they had been made, as it does
// when another client comes with the same client ID (MQTT 3.1.1, section 3.1.4).
var errClientIDInUse = errors.New("another client uses the client ID")

// cause says why a broker cannot be used.
func (s Server) cause(err error) devices.Cause {
	is := func(code string, params ...string) devices.Cause {
		return devices.NewCause(code, append(params, "broker", s.Address.Host)...)
	}
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var invalid x509.CertificateInvalidError
	var name x509.HostnameError
	var timeout net.Error
	var op *net.OpError
	reason := strings.TrimSpace(err.Error())
	switch {
	case errors.Is(err, packets.ErrorRefusedBadUsernameOrPassword), errors.Is(err, packets.ErrorRefusedNotAuthorised):
		return is("broker_login_refused")
	case errors.Is(err, packets.ErrorRefusedIDRejected):
		return is("broker_client_refused")
	case errors.Is(err, packets.ErrorRefusedServerUnavailable):
		return is("broker_unavailable")
	case errors.Is(err, errClientIDInUse):
		return is("broker_client_id_in_use", "client_id", s.ClientID)
	case errors.Is(err, errNotMQTT), errors.Is(err, mqttwire.ErrFraming):
		return is("broker_not_mqtt")
	case errors.Is(err, errCA):
		return is("broker_authority_unreadable", "reason", reason)
	case errors.Is(err, errCertificate):
		return is("broker_certificate_unreadable", "reason", reason)
	case errors.As(err, &op) && op.Op == "remote error": // an alert of TLS
		return is("broker_refuses_certificate", "reason", op.Err.Error())
	case errors.Is(err, syscall.ECONNREFUSED):
		return is("broker_connection_refused")
	case errors.As(err, &dns):
		return is("broker_name_unknown")
	case errors.As(err, &unknown), errors.As(err, &invalid), errors.As(err, &name):
		if inner, ok := devices.CertificateCause(err); ok {
			return is("broker_certificate_untrusted").Because(inner)
		}
		return is("broker_certificate_untrusted", "reason", reason)
	case s.Address.TLS && errors.Is(err, errUnanswered) && (errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)):
		// TLS 1.3 tells a client only after the handshake that its certificate is refused, and the alert may be
		// lost when the connection is closed.
		return is("broker_refuses_certificate", "reason", "it closed the connection instead of an answer")
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return is("broker_closed_connection")
	case errors.As(err, &timeout) && timeout.Timeout():
		return is("broker_timed_out")
	}
	return is("broker_failed", "reason", reason)
}
