package rtsp

import (
	"context"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/url"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"gridpost/devices"
	"gridpost/streams/rtsp/compat"
)

// Reasons for the end of a session that the library does not know.
var (
	errUnreachable    = errors.New("no connection in time")
	errNoResponse     = errors.New("connected, but no response in time")
	errNoFrames       = errors.New("no frames")
	errNoKeyframe     = errors.New("no keyframe")
	errNoVideo        = errors.New("no H.264, H.265 or motion JPEG video is offered")
	errNoUDPPackets   = errors.New("no packets by UDP")
	errOnlyUDP        = errors.New("the camera serves UDP only, and no packets come")
	errSourceChanged  = errors.New("the packets come from another source (SSRC)")
	errSessionExpired = errors.New("the camera ended the session")
)

// statusOf returns the RTSP status code that err is about, 0 for none.
func statusOf(err error) base.StatusCode {
	var status liberrors.ErrClientBadStatusCode
	if errors.As(err, &status) {
		return status.Code
	}
	return 0
}

// isRefusal reports whether the camera rejected the credentials.
func isRefusal(err error) bool {
	code := statusOf(err)
	var wait *compat.LoginWaitError
	return code == base.StatusUnauthorized || code == base.StatusForbidden || errors.As(err, &wait)
}

// isTransportFault reports whether another transport may work better.
func isTransportFault(err error) bool {
	var (
		wantsTCP    liberrors.ErrClientServerRequestedTCP
		wantsUDP    liberrors.ErrClientServerRequestedUDP
		noPorts     liberrors.ErrClientServerPortsNotProvided
		noChannels  liberrors.ErrClientTransportHeaderNoInterleavedIDs
		badDelivery liberrors.ErrClientTransportHeaderInvalidDelivery
	)
	return errors.Is(err, errNoUDPPackets) || statusOf(err) == base.StatusUnsupportedTransport ||
		errors.As(err, &wantsTCP) || errors.As(err, &wantsUDP) || errors.As(err, &noPorts) ||
		errors.As(err, &noChannels) || errors.As(err, &badDelivery)
}

// causeOf returns why a session ended. understood is false when the camera sent something that cannot be
// parsed; the cause says what.
func causeOf(err error, address *base.URL, o Options) (cause devices.Cause, understood bool) {
	if cause := causeOfWire(err, address); !cause.IsZero() {
		return cause, true
	}
	if cause := knownCause(err, address, o); !cause.IsZero() {
		return cause, true
	}
	return devices.NewCause("camera_not_understood", "address", hostPort(address), "reason", sanitize(err.Error(), address)), false
}

// causeOfWire returns the cause for an error of the layer between the library and the camera.
func causeOfWire(err error, address *base.URL) devices.Cause {
	var (
		large       *compat.DescriptionTooLargeError
		noVideo     *compat.NoVideoError
		method      *compat.LoginMethodError
		wait        *compat.LoginWaitError
		certificate *compat.CertificateError
	)
	host := hostPort(address)
	switch {
	case errors.As(err, &large):
		return devices.NewCause("camera_description_too_large", "bytes", strconv.FormatInt(large.Size, 10))
	case errors.As(err, &noVideo):
		return devices.NewCause("camera_no_video", "offered", sanitize(strings.Join(noVideo.Offered, ", "), address))
	case errors.As(err, &method):
		return devices.NewCause("camera_login_method", "methods", sanitize(strings.Join(method.Methods, ", "), address))
	case errors.As(err, &wait):
		return devices.NewCause("camera_login_waiting")
	case errors.As(err, &certificate) && certificate.Changed:
		return devices.NewCause("camera_certificate_changed", "fingerprint", certificate.Fingerprint)
	case errors.As(err, &certificate):
		return devices.NewCause("camera_certificate_untrusted", "fingerprint", certificate.Fingerprint)
	case errors.Is(err, compat.ErrNeedsTLS):
		return devices.NewCause("camera_needs_tls", "address", host)
	case errors.Is(err, compat.ErrNoTLS):
		return devices.NewCause("camera_no_tls", "address", host)
	case errors.Is(err, compat.ErrHTTP):
		return devices.NewCause("camera_http", "address", host)
	case errors.Is(err, compat.ErrHeaderTooLarge):
		return devices.NewCause("camera_header_too_large")
	case errors.Is(err, compat.ErrTooManyRedirects):
		return devices.NewCause("camera_redirect_loop")
	case errors.Is(err, compat.ErrDowngrade):
		return devices.NewCause("camera_redirect_insecure")
	case errors.Is(err, compat.ErrSessionEnded):
		return devices.NewCause("camera_session_ended")
	}
	return devices.Cause{}
}

func knownCause(err error, address *base.URL, o Options) devices.Cause {
	var (
		dns     *net.DNSError
		udpTime liberrors.ErrClientUDPTimeout
		tcpTime liberrors.ErrClientTCPTimeout
		reqTime liberrors.ErrClientRequestTimedOut
		op      *net.OpError
	)
	host := hostPort(address)
	switch {
	case statusOf(err) != 0:
		return causeOfStatus(err, address, o)
	case errors.Is(err, errNoFrames), errors.As(err, &udpTime), errors.As(err, &tcpTime):
		return devices.NewCause("camera_no_frames", "seconds", devices.Seconds(o.FrameTimeout))
	case errors.Is(err, errNoKeyframe):
		return devices.NewCause("camera_no_keyframe", "seconds", devices.Seconds(o.KeyframeTimeout))
	case errors.Is(err, errOnlyUDP):
		return devices.NewCause("camera_udp_only_silent")
	case errors.Is(err, errNoUDPPackets):
		return devices.NewCause("camera_udp_silent")
	case errors.Is(err, errNoVideo):
		return devices.NewCause("camera_no_video")
	case errors.Is(err, errSessionExpired), errors.Is(err, errSourceChanged):
		return devices.NewCause("camera_session_ended")
	case errors.As(err, &dns):
		return devices.NewCause("camera_name_unknown", "host", address.Hostname())
	case errors.Is(err, syscall.ECONNREFUSED):
		return devices.NewCause("camera_connection_refused", "address", host)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return devices.NewCause("camera_no_route", "address", host)
	case errors.Is(err, errNoResponse), errors.As(err, &reqTime):
		return devices.NewCause("camera_not_rtsp", "address", host)
	case errors.Is(err, errUnreachable), errors.As(err, &op) && op.Op == "dial" && op.Timeout(),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return devices.NewCause("camera_timed_out", "address", host, "seconds", devices.Seconds(o.ConnectTimeout))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return devices.NewCause("camera_closed_connection")
	}
	return devices.Cause{}
}

// causeOfStatus returns the cause for a response that refuses a request.
func causeOfStatus(err error, address *base.URL, o Options) devices.Cause {
	var status liberrors.ErrClientBadStatusCode
	if !errors.As(err, &status) {
		return devices.Cause{}
	}
	code := strconv.Itoa(int(status.Code))
	switch status.Code {
	case base.StatusUnauthorized:
		if address.User == nil {
			return devices.NewCause("camera_password_missing")
		}
		return devices.NewCause("camera_password_refused")
	case base.StatusForbidden:
		return devices.NewCause("camera_access_refused")
	case base.StatusNotFound:
		return devices.NewCause("camera_stream_unknown")
	case base.StatusNotEnoughBandwidth, base.StatusServiceUnavailable:
		return devices.NewCause("camera_full", "status", code)
	case base.StatusUnsupportedTransport:
		if o.Transport == TCP {
			return devices.NewCause("camera_tcp_refused")
		}
		return devices.NewCause("camera_transport_refused")
	}
	return devices.NewCause("camera_status", "status", code, "message", sanitize(status.Message, address))
}

// secretsOf returns the forms in which a password of an address may come back, the longest first. A password can also
// stand in the query.
func secretsOf(address *base.URL) []string {
	if address == nil {
		return nil
	}
	var secrets []string
	add := func(password string) {
		if password != "" {
			secrets = append(secrets, url.QueryEscape(password), url.PathEscape(password), password)
		}
	}
	if address.User != nil {
		if password, ok := address.User.Password(); ok && password != "" {
			secrets = append(secrets, base64.StdEncoding.EncodeToString([]byte(address.User.Username()+":"+password)), address.User.String())
			add(password)
		}
	}
	for key, values := range (*url.URL)(address).Query() {
		for _, hint := range []string{"pass", "pwd", "psw", "token", "auth", "key", "secret"} {
			if strings.Contains(strings.ToLower(key), hint) {
				for _, v := range values {
					add(v)
				}
			}
		}
	}
	return secrets
}

// maxForeignText bounds the bytes of a camera's own text in a cause.
const maxForeignText = 200

// sanitize makes a text from outside safe for a log and a screen: short, printable, without the password in any of the
// forms in which it is sent or written.
func sanitize(text string, address *base.URL) string {
	for _, secret := range secretsOf(address) {
		text = strings.ReplaceAll(text, secret, "***")
	}
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, text)
	if len(text) > maxForeignText {
		text = strings.ToValidUTF8(text[:maxForeignText], "") + "..."
	}
	return text
}

// hostPort returns where the camera is, without credentials and path.
func hostPort(address *base.URL) string {
	if address.Port() != "" {
		return address.Host
	}
	port := "554"
	if address.Scheme == "rtsps" {
		port = "322"
	}
	return net.JoinHostPort(address.Hostname(), port)
}
