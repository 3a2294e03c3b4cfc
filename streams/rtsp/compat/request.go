package compat

import (
	"fmt"
	"strings"
	"time"
)

// exchange is a request of the library.
type exchange struct {
	request   *request
	cseq      string // of the library
	sent      string // the CSeq as sent
	keepalive bool
	retried   bool   // a keepalive: the other method was tried
	login     *login // in the last try; nil: none
	tries     int    // with a login
	counted   bool   // by Logins.try
}

// Write sends what the library writes: a request, or an interleaved frame.
func (c *Conn) Write(b []byte) (int, error) {
	if len(b) > 1 && b[0] == '$' {
		return c.Conn.Write(c.toCamera(b))
	}
	r, ok := parseRequest(b)
	if !ok {
		return c.Conn.Write(b)
	}
	if c.secure && strings.HasPrefix(r.url, "rtsp://") {
		r.url = "rtsps" + strings.TrimPrefix(r.url, "rtsp")
	}
	c.mu.Lock()
	ex := &exchange{request: r, cseq: r.get("CSeq")}
	if !c.played.IsZero() && (r.method == methodOptions || r.method == "GET_PARAMETER") {
		ex.keepalive = true
		r.method = c.camera.keepaliveMethod(r.method)
		c.alive = r.method
	}
	switch r.method {
	case "PLAY":
		c.playSent = true
		if r.get("Range") == "npt=0-" {
			r.set("Range", "npt=0.000-") // as the most used clients write it; some cameras know no other form
		}
	case methodOptions:
		if c.played.IsZero() && c.cseq == 0 && c.camera.skipsOptions() {
			c.mu.Unlock()
			return len(b), c.inject(&response{code: 200, fields: []field{{"CSeq", ex.cseq}}})
		}
	case "TEARDOWN":
		c.playSent, c.teardown = false, make(chan struct{}) // frames are of no use any more, and the library ends at them
	}
	ex.login = c.login
	wire, err := c.prepare(ex)
	c.mu.Unlock()
	if err != nil {
		return 0, c.session.fail(err)
	}
	if _, err := c.Conn.Write(wire); err != nil {
		return 0, err
	}
	return len(b), nil
}

// inject makes Read return a response that the camera has not sent.
func (c *Conn) inject(r *response) error {
	c.mu.Lock()
	c.injected = r.bytes()
	c.mu.Unlock()
	return c.SetReadDeadline(time.Unix(1, 0)) // wakes Read up
}

// takeInjected makes the injected response what is read next, and reports whether there was one.
func (c *Conn) takeInjected() (bool, error) {
	c.mu.Lock()
	c.out, c.injected = c.injected, nil
	c.mu.Unlock()
	if len(c.out) == 0 {
		return false, nil
	}
	return true, c.SetReadDeadline(time.Time{})
}

// prepare numbers a request, adds the login and stores the exchange. It returns the bytes to send.
func (c *Conn) prepare(ex *exchange) ([]byte, error) {
	if ex.login != nil {
		if !c.accepted && ex.tries == 0 {
			until, counted, ok := c.camera.o.Logins.try(c.camera.key, time.Now())
			if !ok {
				return nil, &LoginWaitError{until}
			}
			ex.counted = counted
		}
		ex.tries++
		ex.request.set(ex.login.header(), ex.login.authorization(ex.request.method, ex.request.url, ex.request.body))
	}
	c.cseq++
	ex.sent = fmt.Sprint(c.cseq)
	ex.request.set("CSeq", ex.sent)
	c.pending = append(c.pending, ex)
	if len(c.pending) > maxPending {
		c.pending = c.pending[1:]
	}
	return ex.request.bytes(), nil
}

// resend sends the request of an exchange once more, from Read's goroutine.
func (c *Conn) resend(ex *exchange) error {
	c.mu.Lock()
	wire, err := c.prepare(ex)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.Conn.Write(wire)
	return err
}
