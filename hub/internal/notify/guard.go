package notify

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"syscall"
)

// A target is named by an administrator, but the hub stands inside a network that its targets
// may not be allowed to reach into. The guard looks at the address that is about to be dialled,
// after the name has been resolved: a check of the name alone could be answered differently a
// moment later.

// errInside says that an address is not one of the public internet.
var errInside = errors.New("is inside the network, where webhooks may not go unless allow_private_webhooks is set")

// CheckURL says in words what is wrong with a target's URL; nil: nothing. It looks up no name:
// a name that resolves into the network is refused when it is dialled. The error never shows the
// URL, which may carry a secret.
func CheckURL(raw string, allowPrivate bool) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Opaque != "" || u.Hostname() == "":
		return errors.New("expected a URL such as https://receiver.example/alerts")
	case len(raw) > 2000:
		return errors.New("expected a URL of at most 2000 characters")
	case u.Scheme != "https" && !(allowPrivate && u.Scheme == "http"):
		return errors.New("expected a URL that begins with https://")
	case u.User != nil:
		return errors.New("expected a URL without a user name: deliveries are signed instead")
	case u.Fragment != "":
		return errors.New("expected a URL without #")
	}
	if port := u.Port(); port != "" {
		if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
			return errors.New("expected a port from 1 to 65535")
		}
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && !allowPrivate && !public(ip) {
		return fmt.Errorf("the address %s %w", ip, errInside)
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
		return fmt.Errorf("the address %s %w", to.Addr(), errInside)
	}
	return nil
}

// special lists what the standard library's predicates leave out of the IANA special-purpose
// address registries (RFC 6890), among them the IPv6 ranges that carry an IPv4 address inside.
func special() []netip.Prefix {
	var list []netip.Prefix
	for _, s := range strings.Fields(`
		0.0.0.0/8 100.64.0.0/10 192.0.0.0/24 192.0.2.0/24 192.88.99.0/24 198.18.0.0/15 198.51.100.0/24 203.0.113.0/24 240.0.0.0/4
		2001::/23 2001:db8::/32 2002::/16 3fff::/20`) {
		list = append(list, netip.MustParsePrefix(s))
	}
	return list
}

// globalIPv6 is where public IPv6 addresses are (RFC 4291, section 2.4, as assigned by IANA).
func globalIPv6() netip.Prefix { return netip.MustParsePrefix("2000::/3") }

// public says whether ip is an address of the public internet.
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
