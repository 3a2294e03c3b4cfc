package headexport

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"strings"

	"gridpost/hub/internal/store/audit"
)

// Parts of a message of syslog (RFC 5424).
const (
	facilityAudit  = 13
	severityNotice = 5
)

// newSyslog returns the target that sends heads in messages of syslog: by UDP (RFC 5426), by TCP with octet
// counting (RFC 6587), by TLS (RFC 5425), or to a socket of this machine. Each is sent on a connection of its own.
// UDP and a socket cannot say whether a message has arrived.
func newSyslog(text string) (func(context.Context, audit.Head) error, error) {
	u, err := url.Parse(text)
	wrong := errors.New("expected udp://HOST, tcp://HOST or tls://HOST, with :PORT if it is another than usual, or unix:///PATH")
	if err != nil || u.User != nil || u.RawQuery != "" {
		return nil, wrong
	}
	port, counted := map[string]string{"udp": "514", "tcp": "601", "tls": "6514"}[u.Scheme], u.Scheme == "tcp" || u.Scheme == "tls"
	var dial func(context.Context) (net.Conn, error)
	switch {
	case u.Scheme == "unix" && u.Host == "" && len(u.Path) > 1:
		dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, "unixgram", u.Path)
		}
	case port != "" && u.Hostname() != "" && strings.Trim(u.Path, "/") == "":
		if u.Port() != "" {
			port = u.Port()
		}
		address := net.JoinHostPort(u.Hostname(), port)
		dial = func(ctx context.Context) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, u.Scheme, address)
		}
		if u.Scheme == "tls" {
			dial = func(ctx context.Context) (net.Conn, error) { return (&tls.Dialer{}).DialContext(ctx, "tcp", address) }
		}
	default:
		return nil, wrong
	}
	return func(ctx context.Context, h audit.Head) error {
		conn, err := dial(ctx)
		if err != nil {
			return fmt.Errorf("sending a head to syslog: %w", err)
		}
		if deadline, ok := ctx.Deadline(); ok {
			err = conn.SetDeadline(deadline)
		}
		message, merr := syslogMessage(h)
		err = errors.Join(err, merr)
		if counted {
			message = fmt.Appendf(nil, "%d %s", len(message), message)
		}
		if err == nil {
			_, err = conn.Write(message)
		}
		if err = errors.Join(err, conn.Close()); err != nil {
			return fmt.Errorf("sending a head to syslog: %w", err)
		}
		return nil
	}, nil
}

// syslogMessage returns a head as a message of RFC 5424 whose text is the head in JSON, so that it can be found and
// verified in whatever form a receiver stores it. It is under 480 bytes, which every receiver must accept, but for
// long names of machines.
func syslogMessage(h audit.Head) ([]byte, error) {
	host, err := os.Hostname()
	if err != nil || host == "" {
		host = "-"
	}
	text, err := json.Marshal(h)
	if err != nil {
		return nil, fmt.Errorf("sending a head to syslog: %w", err)
	}
	return fmt.Appendf(nil, "<%d>1 %s %.255s gridpost-hub %d audit-head - %s", 8*facilityAudit+severityNotice,
		h.At.UTC().Format("2006-01-02T15:04:05.000Z07:00"), printable(host), os.Getpid(), text), nil
}

// printable replaces what the name of a machine must not have in a message: only printable ASCII may be in it.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 33 || r > 126 {
			return '?'
		}
		return r
	}, s)
}
