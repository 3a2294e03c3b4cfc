package web

import (
	"context"
	"net"
	"net/http"
	"net/netip"
	"strings"
)

// peer is who is at the other end of a request.
type peer struct {
	remote string // address; with a port where the connection is its own
	secure bool   // it speaks HTTPS
}

// peerOf looks behind a TLS terminator on this machine, which tells of its clients by
// X-Forwarded-For and X-Forwarded-Proto. Nobody else is believed: by saying another address, an
// attacker would escape the limit of log-in attempts. The last address is the one that the
// terminator itself has seen.
func peerOf(r *http.Request) peer {
	p := peer{remote: r.RemoteAddr, secure: r.TLS != nil}
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return p
	}
	if ip, err := netip.ParseAddr(host); err != nil || !ip.Unmap().IsLoopback() {
		return p
	}
	p.secure = p.secure || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https")
	told := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	if behind, err := netip.ParseAddr(strings.TrimSpace(told[len(told)-1])); err == nil {
		p.remote = behind.String()
	}
	return p
}

// from returns the peer of a request; only behind Handler.
func from(ctx context.Context) peer {
	p, _ := ctx.Value(keyPeer).(peer)
	return p
}
