package rtsp

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"time"
	"unicode"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
	"github.com/bluenviron/gortsplib/v4/pkg/liberrors"
)

// Reasons for the end of a session that the library does not know.
var (
	errUnreachable    = errors.New("no connection in time")
	errNoResponse     = errors.New("connected, but no answer in time")
	errNoFrames       = errors.New("no pictures")
	errNoKeyframe     = errors.New("no key picture")
	errNoVideo        = errors.New("no H.264 or H.265 video is offered")
	errNoUDPPackets   = errors.New("nothing came by UDP")
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

// causeOf returns a text for people that says why a session ended. understood is false when the camera sent
// something that cannot be parsed; the text is the same then whatever it was, so that it is not reported each time.
func causeOf(err error, address *base.URL, o Options) (cause string, understood bool) {
	if cause := knownCause(err, address, o); cause != "" {
		return cause, true
	}
	return fmt.Sprintf("what answers at %s is not understood", hostPort(address)), false
}

func knownCause(err error, address *base.URL, o Options) string {
	var (
		dns     *net.DNSError
		udpTime liberrors.ErrClientUDPTimeout
		tcpTime liberrors.ErrClientTCPTimeout
		reqTime liberrors.ErrClientRequestTimedOut
		op      *net.OpError
	)
	host := hostPort(address)
	silent := fmt.Sprintf("connected, but no pictures for %s", formatDuration(o.FrameTimeout))
	switch {
	case statusOf(err) != 0:
		return causeOfStatus(err, address)
	case errors.Is(err, errNoFrames), errors.As(err, &udpTime), errors.As(err, &tcpTime):
		return silent
	case errors.Is(err, errNoKeyframe):
		return fmt.Sprintf("connected, but no key picture within %s", formatDuration(o.FrameTimeout))
	case errors.Is(err, errNoUDPPackets):
		return "connected, but nothing comes by UDP"
	case errors.Is(err, errNoVideo):
		return "the camera offers no H.264 or H.265 video"
	case errors.Is(err, errSessionExpired):
		return "the camera ended the session"
	case errors.As(err, &dns):
		return fmt.Sprintf("the name %s is not known", address.Hostname())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing answers at %s (connection refused)", host)
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return fmt.Sprintf("nothing answers at %s (no route)", host)
	case errors.Is(err, errNoResponse), errors.As(err, &reqTime):
		return fmt.Sprintf("what answers at %s does not speak RTSP, or too slowly", host)
	case errors.Is(err, errUnreachable), errors.As(err, &op) && op.Op == "dial" && op.Timeout(),
		errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Sprintf("nothing answers at %s (no answer within %s)", host, formatDuration(o.ConnectTimeout))
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return "the camera hung up"
	}
	return ""
}

func causeOfStatus(err error, address *base.URL) string {
	var status liberrors.ErrClientBadStatusCode
	if !errors.As(err, &status) {
		return sanitize(err.Error(), address)
	}
	code := status.Code
	switch code {
	case base.StatusUnauthorized:
		if address.User == nil {
			return "the camera asks for a user name and password (401)"
		}
		return "the camera refuses the user name or password (401)"
	case base.StatusForbidden:
		return "the camera refuses access (403)"
	case base.StatusNotFound:
		return "the camera knows no stream at this path (404)"
	case base.StatusNotEnoughBandwidth, base.StatusServiceUnavailable:
		return fmt.Sprintf("the camera has no room for another viewer (%d)", code)
	case base.StatusUnsupportedTransport:
		return "the camera serves neither TCP nor UDP as asked (461)"
	}
	return fmt.Sprintf("the camera answers %d (%s)", code, sanitize(status.Message, address))
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

// formatDuration rounds d for people: "10 s", "300 ms".
func formatDuration(d time.Duration) string {
	if d < time.Second {
		return fmt.Sprintf("%d ms", d.Milliseconds())
	}
	return fmt.Sprintf("%g s", d.Round(100*time.Millisecond).Seconds())
}
