package notify

import (
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"

	"gridpost/hub/internal/problem"
)

// An administrator sets the URL of a target, but the hub runs inside a network that an
// administrator may have no access to (server-side request forgery). The guard checks the address
// that is about to be dialled, after the name was resolved: a check of the name alone could be
// circumvented by a second, different DNS answer.

// CheckURL returns an error that describes what is wrong with the URL of a target, or nil. It does not
// resolve names: a name that resolves to an address inside the network is refused when it is dialled. The
// error does not contain the URL, which may contain a secret.
func CheckURL(raw string, allowPrivate bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return problem.New("target_url_invalid")
	case len(raw) > 2000:
		return problem.New("target_url_long", "count", "2000")
	case u.Scheme != "https" && !(allowPrivate && u.Scheme == "http"):
		return problem.New("target_url_https")
	case u.User != nil:
		return problem.New("target_url_user")
	case u.Fragment != "":
		return problem.New("target_url_fragment")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return problem.New("target_url_port")
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !public(ip) {
		return problem.New("target_address_private", "address", ip.String())
	}
	return nil
}

// refuseInside is a net.Dialer's Control: it is called with each resolved address before the
// connection is made.
func refuseInside(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("reading the address %s: %w", address, err)
	}
	if !public(to.Addr()) {
		return problem.New("target_address_private", "address", to.Addr().String())
	}
	return nil
}

// special lists the ranges of the IANA special-purpose address registries (RFC 6890) that the
// predicates of net/netip do not cover, among them the IPv6 ranges that embed an IPv4 address.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(`
		0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
		2001::/23 2001:db8::/32 2002::/16 3fff::/20`) {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// globalIPv6 is the range of public IPv6 addresses (RFC 4291, section 2.4, as assigned by IANA).
func globalIPv6() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

// public reports whether ip is an address on the public internet.
func public(ip netip.Addr) bool {
	ip = ip.Unmap()
	if !ip.IsGlobalUnicast() || ip.IsPrivate() || ip.Zone() != "" {
		return false
	}
	if ip.Is6() && !globalIPv6().Contains(ip) {
		return false
	}
	for _, p := range special() {
		if p.Contains(ip) {
			return false
		}
	}
	return true
}
