package rtsp

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"unicode"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"

	"gridpost/devices"
)

// Reasons for the end of a session that the library does not know.
var (
	errUnreachable    = errors.New("no connection in time")
	errNoResponse     = errors.New("connected, but no response in time")
	errNoFrames       = errors.New("no frames")
	errNoKeyframe     = errors.New("no keyframe")
	errNoVideo        = errors.New("no H.264 or H.265 video is offered")
	errNoUDPPackets   = errors.New("no packets by UDP")
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
	return code == base.StatusUnauthorized || code == base.StatusForbidden
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
// parsed; the cause is the same then whatever it was, so that it is not reported each time.
func causeOf(err error, address *base.URL, o Options) (cause devices.Cause, understood bool) {
	if cause := knownCause(err, address, o); !cause.IsZero() {
		return cause, true
	}
	return devices.NewCause("camera_not_understood", "address", hostPort(address)), false
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
		return causeOfStatus(err, address)
	case errors.Is(err, errNoFrames), errors.As(err, &udpTime), errors.As(err, &tcpTime):
		return devices.NewCause("camera_no_frames", "seconds", devices.Seconds(o.FrameTimeout))
	case errors.Is(err, errNoKeyframe):
		return devices.NewCause("camera_no_keyframe", "seconds", devices.Seconds(o.FrameTimeout))
	case errors.Is(err, errNoUDPPackets):
		return devices.NewCause("camera_udp_silent")
	case errors.Is(err, errNoVideo):
		return devices.NewCause("camera_no_video")
	case errors.Is(err, errSessionExpired):
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
func causeOfStatus(err error, address *base.URL) devices.Cause {
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
		return devices.NewCause("camera_transport_refused")
	}
	return devices.NewCause("camera_status", "status", code, "message", sanitize(status.Message, address))
}

// maxForeignText bounds the bytes of a camera's own text in a cause.
const maxForeignText = 200

// sanitize makes a text from outside safe for a log and a screen: short, printable, without the password.
func sanitize(text string, address *base.URL) string {
	if address.User != nil {
		if password, ok := address.User.Password(); ok && password != "" {
			text = strings.ReplaceAll(text, password, "***")
		}
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
