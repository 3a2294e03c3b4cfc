package compat

import "time"

// keepalive is which request a camera accepts as a sign of life. It is learned: a method that the camera refuses, or after
// which a session does not survive its timeout, is replaced by the other.
type keepalive struct {
	method string // "": what the library chooses by the Public header
	proven bool   // a session has outlived its timeout
}

func otherKeepalive(method string) string {
	if method == methodOptions {
		return "GET_PARAMETER"
	}
	return methodOptions
}

const (
	defaultTimeout = 60 * time.Second // of a session, RFC 2326, section 12.37
	provenFactor   = 2                // a session that lasts so many timeouts is kept alive by what is sent
)

// keepaliveMethod returns the method to send instead of method.
func (c *Camera) keepaliveMethod(method string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keepalive.method == "" {
		c.keepalive.method = method
	}
	return c.keepalive.method
}

// keepaliveRefused records that the camera refuses a method, and returns the one to use from now on.
func (c *Camera) keepaliveRefused(method string) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.keepalive.method == method || c.keepalive.method == "" {
		c.keepalive = keepalive{method: otherKeepalive(method)}
	}
	return c.keepalive.method
}

// sessionEnded learns from the length of a session that has played, kept alive by a method.
func (c *Camera) sessionEnded(method string, played, timeout time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	k := &c.keepalive
	switch {
	case k.method != method:
	case played > provenFactor*timeout:
		k.proven = true
	case !k.proven && played > timeout/2:
		*k = keepalive{method: otherKeepalive(method)}
	}
}
