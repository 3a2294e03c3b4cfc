package compat

import (
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// response reads a response of the camera and handles it.
func (c *Conn) response() error {
	m, err := c.in.message()
	if err != nil {
		return err
	}
	code, reason, ok := m.status()
	if !ok {
		return &NotRTSPError{printable(m.first, maxRemark)}
	}
	c.found()
	cseq, _ := m.get("CSeq")
	if code >= 100 && code < 200 {
		c.skip, _ = m.contentLength()
		return nil
	}
	ex := c.answered(cseq)
	if ex == nil {
		c.skip, _ = m.contentLength()
		c.pass(&response{code: code, reason: reason}, nil, m)
		return nil
	}
	if code == 401 || code == 407 {
		c.skip, _ = m.contentLength()
		again, err := c.challenged(ex, challengesOf(code, m))
		if err != nil || again {
			return err
		}
		code = 401
	} else if ex.login != nil && code != 0 {
		c.loginAccepted()
	}
	if ex.request.method == "TEARDOWN" {
		c.mu.Lock()
		if c.teardown != nil {
			close(c.teardown)
			c.teardown = nil
		}
		c.mu.Unlock()
	}
	if ex.keepalive {
		c.skip, _ = m.contentLength()
		return c.keepaliveAnswered(ex, code, reason, m)
	}
	return c.answer(ex, &response{code: code, reason: reason}, m)
}

func (c *Conn) loginAccepted() {
	c.mu.Lock()
	first := !c.accepted
	c.accepted = true
	c.mu.Unlock()
	if first {
		c.camera.o.Logins.accept(c.camera.key)
	}
}

// pass makes r, with those headers of m that the library needs, what is read next.
func (c *Conn) pass(r *response, ex *exchange, m *message) {
	if ex != nil {
		r.add("CSeq", ex.cseq)
	}
	if id, timeout, ok := parseSession(m); ok {
		r.add("Session", id+timeoutParameter(timeout))
		if timeout > 0 {
			c.mu.Lock()
			c.timeout = time.Duration(timeout) * time.Second
			c.mu.Unlock()
		}
	}
	if public := m.values("Public"); len(public) > 0 {
		r.add("Public", strings.ToUpper(strings.Join(public, ", ")))
	}
	c.out = r.bytes()
}

// parseSession parses the Session header (RFC 2326, section 12.37). timeout is 0 if it is missing or cannot be read.
func parseSession(m *message) (id string, timeout int, ok bool) {
	value, ok := m.get("Session")
	if !ok {
		return "", 0, false
	}
	id, rest, _ := strings.Cut(value, ";")
	if id = strings.TrimSpace(id); id == "" {
		return "", 0, false
	}
	for _, p := range strings.Split(rest, ";") {
		key, v, _ := strings.Cut(p, "=")
		if strings.EqualFold(strings.TrimSpace(key), "timeout") {
			if n, err := strconv.Atoi(leadingDigits(v)); err == nil && n <= 1<<20 {
				timeout = n
			}
		}
	}
	return id, timeout, true
}

func timeoutParameter(timeout int) string {
	if timeout <= 0 {
		return ""
	}
	return ";timeout=" + strconv.Itoa(timeout)
}

// answer handles the response to a request that the library waits for.
func (c *Conn) answer(ex *exchange, r *response, m *message) error {
	if r.code >= 200 && r.code < 300 {
		r.code = 200 // the library accepts no other
	}
	method := ex.request.method
	if method != "DESCRIBE" {
		c.skip, _ = m.contentLength()
	}
	switch {
	case method == "DESCRIBE" && r.code == 200:
		return c.described(ex, r, m)
	case method == "DESCRIBE":
		c.skip, _ = m.contentLength()
		if location, ok := m.get("Location"); ok && r.code >= 300 && r.code < 400 {
			r.code = 302 // the library follows 301 to 305
			return c.redirected(ex, r, m, location)
		}
	case method == "PLAY" && r.code >= 400 && r.code != 401 && r.code != 454 && ex.request.get("Range") != "":
		c.session.remark("PLAY", "the camera answers "+strconv.Itoa(r.code)+", the Range header is left out")
		ex.request.remove("Range")
		ex.tries = 0
		return c.resend(ex)
	case method == methodOptions && r.code != 200 && r.code != 401:
		// What the camera can do is seen from the requests that follow.
		c.session.remark(methodOptions, "the camera answers "+strconv.Itoa(r.code))
		r.code, r.reason = 200, ""
	case method == "SETUP" && r.code == 200:
		r.add("Transport", c.transport(ex.request.get("Transport"), m))
	case method == "PLAY" && r.code == 200:
		c.mu.Lock()
		c.played = time.Now()
		c.mu.Unlock()
	}
	c.pass(r, ex, m)
	return nil
}

// challenged handles a 401, or a 407. It reports whether the request was sent again with a login.
//
// A refused login is not repeated: only if none was sent yet, if the camera says that the nonce is too old
// (stale=true), if a login that was made for an earlier request meets another nonce or realm, or if the camera has
// accepted the password on this connection.
func (c *Conn) challenged(ex *exchange, list []challenge) (again bool, err error) {
	if !c.camera.hasUser {
		return false, nil
	}
	best, ok := strongest(list)
	if !ok {
		var names []string
		for _, l := range list {
			names = append(names, l.name())
		}
		if ex.tries > 0 && len(list) == 0 {
			return false, c.loginRefused(ex)
		}
		return false, &LoginMethodError{names}
	}
	inherited := ex.tries == 1 && ex.login.count != 1 && ex.login.scheme == "digest"
	if reconnect := c.isReconnect(ex); reconnect {
		inherited = ex.tries == 1
	}
	c.mu.Lock()
	accepted := c.accepted
	c.mu.Unlock()
	switch {
	case ex.tries == 0:
	case best.scheme != "digest":
		return false, c.loginRefused(ex)
	case best.stale() && ex.tries < 3:
	case inherited && (accepted || !ex.login.same(best)):
	default:
		return false, c.loginRefused(ex)
	}
	l := newLogin(best, c.camera.user, c.camera.password)
	c.mu.Lock()
	c.login, ex.login = l, l
	c.mu.Unlock()
	return true, c.resend(ex)
}

// isReconnect reports whether an exchange was sent with the login that an earlier connection has left.
func (c *Conn) isReconnect(ex *exchange) bool {
	c.camera.mu.Lock()
	defer c.camera.mu.Unlock()
	return c.camera.reconnect != nil && ex.login != nil && ex.login.same(*c.camera.reconnect)
}

func (c *Conn) loginRefused(ex *exchange) error {
	c.mu.Lock()
	accepted := c.accepted
	c.mu.Unlock()
	if ex.login != nil && !accepted {
		c.camera.o.Logins.refuse(c.camera.key, ex.counted, time.Now())
	}
	return nil
}

// keepaliveAnswered handles the response to a keepalive. A method that the camera refuses is replaced by the other at
// once, for good; the session ends only if both are refused in a way that says that there is no session.
func (c *Conn) keepaliveAnswered(ex *exchange, code int, reason string, m *message) error {
	if code < 400 {
		c.pass(&response{code: code, reason: reason}, ex, m)
		return nil
	}
	method := ex.request.method
	next := c.camera.keepaliveRefused(method)
	if !ex.retried && next != method {
		c.session.remark(method, fmt.Sprintf("the camera answers %d, %s keeps the session alive", code, next))
		ex.retried, ex.tries = true, 0
		ex.request.method = next
		c.mu.Lock()
		c.alive, ex.login = next, c.login
		c.mu.Unlock()
		return c.resend(ex)
	}
	if code == 401 || code == 454 {
		c.pass(&response{code: code, reason: reason}, ex, m)
	}
	return nil
}

// redirected makes the library connect again. Only this package knows of TLS, so the library sees an rtsp URL.
func (c *Conn) redirected(ex *exchange, r *response, m *message, location string) error {
	from, err := url.Parse(ex.request.url)
	if err != nil {
		return fmt.Errorf("reading our own URL: %w", err)
	}
	u, err := from.Parse(strings.TrimSpace(location))
	if err != nil || u.Host == "" || u.Scheme != "rtsp" && u.Scheme != "rtsps" {
		location, _, _ = strings.Cut(location, "?") // where a password may stand
		return &NotRTSPError{"Location: " + printable(location, maxRemark)}
	}
	u.User, u.Fragment = nil, ""
	if err := c.session.redirect(u); err != nil {
		return err
	}
	u.Scheme = "rtsp"
	r.add("Location", u.String())
	c.pass(r, ex, m)
	return nil
}
