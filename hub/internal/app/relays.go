package app

import (
	"fmt"
	"hash/fnv"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"gridpost/hub/internal/credential"
)

// maxRelays bounds Config.Relays: each one is in a header of every page.
const maxRelays = 16

// isRelayOrigin reports whether a text is an origin as browsers write it, and as a Content-Security-Policy can name it:
// no IPv6 address, no wildcard (CSP Level 3, section 2.3.1).
func isRelayOrigin(text string) bool {
	rest, ok := strings.CutPrefix(text, "https://")
	host, port, hasPort := strings.Cut(rest, ":")
	if !ok || strings.ContainsFunc(host, func(c rune) bool { return !strings.ContainsRune("abcdefghijklmnopqrstuvwxyz0123456789.-", c) }) || host != strings.Trim(host, ".-") || host == "" {
		return false
	}
	n, err := strconv.ParseUint(port, 10, 16)
	return !hasPort || err == nil && n > 0 && n != 443 && strconv.FormatUint(n, 10) == port
}

// relayProblems returns what is wrong with the relays, by key.
func (c Config) relayProblems(wrong func(key, format string, args ...any)) {
	if len(c.Relays) == 0 {
		return
	}
	if len(c.Relays) > maxRelays {
		wrong("relays", "expected at most %d, not %d", maxRelays, len(c.Relays))
	}
	if c.PublicURL == "" {
		wrong("public_url", "expected a URL: relays let the console in by its origin")
	}
	own := originOf(c.PublicURL)
	for i, r := range c.Relays {
		switch {
		case !isRelayOrigin(r):
			wrong("relays", "expected an origin such as https://relay.example or https://relay.example:8444, in small letters, not %q", r)
		case r == own:
			wrong("relays", "%s is this hub, as public_url has it", r)
		case slices.Contains(c.Relays[:i], r):
			wrong("relays", "%s is there twice", r)
		}
	}
}

// originOf returns the origin of a URL; "" if it has none.
func originOf(text string) string {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" {
		return ""
	}
	return strings.ToLower(u.Scheme + "://" + u.Host)
}

// relayOf returns the origin of the relay for an edge; "" if there are no relays elsewhere. All hubs with the same relays
// return the same one, and most edges keep theirs when a relay is added or removed (rendezvous hashing).
func (c Config) relayOf(edge string) (relay string) {
	best := uint64(0)
	for _, r := range c.Relays {
		h := fnv.New64a()
		_, _ = h.Write([]byte(r + " " + edge)) // it does not fail
		if weight := mix(h.Sum64()); relay == "" || weight > best {
			relay, best = r, weight
		}
	}
	return relay
}

// mix spreads the bits of a hash (the finalizer of MurmurHash3): the last bytes hardly change the high bits of FNV.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// apiOrigins returns the origins of other pages that may use the API with a token: to a page, the hub behind the name of
// a relay is another origin, and so the console's own is one of them.
func (c Config) apiOrigins() []string {
	own := originOf(c.PublicURL)
	if len(c.Relays) == 0 || slices.Contains(c.Origins, own) {
		return c.Origins
	}
	return append(slices.Clone(c.Origins), own)
}

// newCredentials returns the authority of the credentials for relays. All hubs on one database have the same one.
func (h *hub) newCredentials() (*credential.Authority, error) {
	seed, err := h.authority.Seed("gridpost credentials for relays")
	if err != nil {
		return nil, fmt.Errorf("deriving the key of credentials: %w", err)
	}
	return credential.New(seed, nil), nil
}
