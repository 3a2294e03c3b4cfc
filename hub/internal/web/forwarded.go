package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// remote is the client at the other end of a request.
type remote struct {
	address string // an IP address; with a port where the connection is the client's own
	https   bool   // the client speaks HTTPS
}

// remoteOf returns the client of a request, also behind a TLS terminator on this machine, which adds
// X-Forwarded-For and X-Forwarded-Proto. These headers are ignored from everywhere else: with
// another address, an attacker would escape the limit of log-in attempts. The last address is the one
// that the terminator itself has seen.
func remoteOf(r *http.Request) remote {
	p := remote{address: r.RemoteAddr, https: r.TLS != nil}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return p
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return p
	}
	p.https = p.https || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	forwarded := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if behind, err := netip.ParseAddr(strings.TrimSpace(forwarded[len(forwarded)-1])); err == nil {
		p.address = behind.String()
	}
	return p
}

// remoteFrom returns the client of the request of a context; only behind Handler.
func remoteFrom(ctx context.Context) remote {
	p, _ := ctx.Value(keyRemote).(remote)
	return p
}
