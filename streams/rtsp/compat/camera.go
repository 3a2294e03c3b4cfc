// Package compat stands between the RTSP library and a camera. It works on the bytes of the connection, so that the
// library only reads what it understands:
//
//   - responses are written anew, from what could be read of the camera's (message.go, response.go);
//   - descriptions are rebuilt with what is needed of them (sdp.go, codec.go);
//   - logging in is done here, for every request (digest.go, logins.go); the library gets no credentials;
//   - requests of the camera are answered here, and keepalives sent by the method that the camera wants;
//   - TLS is done here, with certificates that are pinned by their fingerprint (tls.go).
//
// A Camera remembers what was learned about one camera. Each attempt of the library to play is a Session, whose
// DialContext the library uses. Interleaved frames pass without being copied more than once.
package compat

import (
	"context"
	"net"
	"net/url"
	"slices"
	"sync"
	"time"
)

// Options of a Camera.
type Options struct {
	URL *url.URL // rtsp or rtsps, with user name and password if the camera requires them

	// Fingerprint is the SHA-256 of the camera's certificate as address.ParseFingerprint returns it; "": the certificate must be
	// signed by an authority that the system trusts, for the host of URL.
	Fingerprint string

	Logins *Logins // shared by the streams of a camera; default: one of its own
}

// Camera remembers what was learned about one camera from one Session to the next. Its methods may be called from any
// goroutine.
type Camera struct {
	o              Options
	user, password string
	hasUser        bool
	key            loginKey

	mu        sync.Mutex
	keepalive keepalive
	noOptions bool       // OPTIONS is not sent before DESCRIBE: the camera did not answer it the last time
	spoken    bool       // the camera has sent an RTSP message
	reconnect *challenge // the camera closes the connection after a challenge: the challenge to answer at once next time
}

// NewCamera returns a Camera.
func NewCamera(o Options) *Camera {
	if o.Logins == nil {
		o.Logins = &Logins{}
	}
	c := &Camera{o: o}
	if o.URL.User != nil {
		c.hasUser = true
		c.user = o.URL.User.Username()
		c.password, _ = o.URL.User.Password()
	}
	c.key = newLoginKey(o.URL.Hostname(), c.user, c.password)
	return c
}

// LoginWait returns how long no login may be tried, because the camera has refused it; 0: it may be tried.
func (c *Camera) LoginWait() time.Duration {
	if !c.hasUser {
		return 0
	}
	if until := c.o.Logins.wait(c.key, time.Now()); !until.IsZero() {
		return time.Until(until)
	}
	return 0
}

// heard records that the camera speaks RTSP without TLS.
func (c *Camera) heard() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.spoken = true
}

// firstSilence reports whether the camera has never sent an RTSP message.
func (c *Camera) firstSilence() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return !c.spoken
}

// skipsOptions reports whether a session begins without OPTIONS.
func (c *Camera) skipsOptions() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.noOptions
}

// optionsUnanswered records that a session got no answer at all: the next one begins in the other way.
func (c *Camera) optionsUnanswered() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.noOptions = !c.noOptions
}

// maxRedirects bounds the redirections of one Session.
const maxRedirects = 4

// target is where to connect.
type target struct {
	address string // host:port
	host    string // the name that a certificate must be for
	tls     bool
}

func targetOf(u *url.URL) target {
	t := target{host: u.Hostname(), tls: u.Scheme == "rtsps"}
	port := u.Port()
	switch {
	case port != "":
	case t.tls:
		port = "322"
	default:
		port = "554"
	}
	t.address = net.JoinHostPort(t.host, port)
	return t
}

// Session is one attempt to play: one connection, or several if the camera redirects.
type Session struct {
	camera *Camera

	mu        sync.Mutex
	target    target
	dials     int
	raw       net.Conn // the last TCP connection
	remarks   []Remark
	types     map[uint8]uint8 // payload types that the camera sends, by those that the library knows where they differ
	filters   []*rtpFilter    // by the order in which the tracks are set up; Conn.Read's goroutine changes what is in them
	err       error           // the first reason of this package why a connection ended
	connected bool
}

// NewSession returns a Session.
func (c *Camera) NewSession() *Session {
	return &Session{camera: c, target: targetOf(c.o.URL)}
}

// DialContext connects to the camera, whatever address the library asks for: the library does not know of TLS. It is for
// the library's client, whose scheme must be rtsp.
func (s *Session) DialContext(ctx context.Context, network, _ string) (net.Conn, error) {
	conn, err := s.dial(ctx, network)
	if err != nil {
		return nil, s.fail(err)
	}
	return conn, nil
}

func (s *Session) dial(ctx context.Context, network string) (*Conn, error) {
	s.mu.Lock()
	t := s.target
	s.dials++
	tooMany := s.dials > maxRedirects+1
	s.mu.Unlock()
	if tooMany {
		return nil, ErrTooManyRedirects
	}
	if s.camera.hasUser {
		if until := s.camera.o.Logins.wait(s.camera.key, time.Now()); !until.IsZero() {
			return nil, &LoginWaitError{until}
		}
	}
	raw, err := (&net.Dialer{}).DialContext(ctx, network, t.address)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	s.raw, s.connected = raw, true
	s.mu.Unlock()
	conn := raw
	if t.tls {
		if conn, err = handshake(ctx, raw, t.host, s.camera.o.Fingerprint); err != nil {
			_ = raw.Close() // the error is the handshake's
			return nil, err
		}
	}
	return newConn(conn, s, t.tls), nil
}

// Connected reports whether something at the camera's address has accepted a TCP connection.
func (s *Session) Connected() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.connected
}

// Close closes the TCP connection, which ends everything that waits for the camera. The library may have closed it before.
func (s *Session) Close() {
	s.mu.Lock()
	raw := s.raw
	s.mu.Unlock()
	if raw != nil {
		_ = raw.Close() // closed already, or it fails as a connection does that nobody needs
	}
}

// Remarks returns what was left out or repaired so far.
func (s *Session) Remarks() []Remark {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.remarks)
}

// Err returns why the connection ended, if this package knows; nil otherwise. It is more exact than what the library says.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.err
}

// fail stores the first of the errors that this package makes, and returns err.
func (s *Session) fail(err error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err == nil && isOwn(err) {
		s.err = err
	}
	return err
}

func (s *Session) remark(subject, reason string) {
	n := notes{}
	n.add(subject, reason)
	s.addRemarks(n.list)
}

func (s *Session) addRemarks(list []Remark) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range list {
		if len(s.remarks) < maxRemarks && !slices.Contains(s.remarks, r) {
			s.remarks = append(s.remarks, r)
		}
	}
}

// redirect makes u the target of the next connection.
func (s *Session) redirect(u *url.URL) error {
	t := targetOf(u)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.target.tls && !t.tls {
		return ErrDowngrade
	}
	s.target = t
	return nil
}
