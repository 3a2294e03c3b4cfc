package app

import (
	"net"
	"net/netip"
	"os"
	"strings"
)

// publicURL returns the URL under which browsers and other systems reach the hub, without a slash at its end.
// It is called once the ports are bound.
func (h *hub) publicURL() string {
	if h.config.PublicURL != "" {
		return strings.TrimRight(h.config.PublicURL, "/")
	}
	return listenURL(h.public.Addr().String(), os.Hostname)
}

// listenURL returns the URL of an address that the hub listens on. An address that stands for all of the machine
// is replaced by the name of the machine, if it has one.
func listenURL(address string, hostname func() (string, error)) string {
	at, err := netip.ParseAddrPort(address)
	if err != nil || !at.Addr().IsUnspecified() {
		return "http://" + address
	}
	name, err := hostname()
	if err != nil || name == "" {
		name = "localhost"
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return "http://" + address
	}
	return "http://" + net.JoinHostPort(name, port)
}
