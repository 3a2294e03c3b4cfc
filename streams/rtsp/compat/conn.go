package compat

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync"
	"time"
)

// Conn is a connection to a camera as the library sees it. Read must be called from one goroutine; the other methods may
// be called from any.
type Conn struct {
	net.Conn // to the camera: TCP or TLS
	session  *Session
	camera   *Camera
	secure   bool
	ctx      context.Context // ends with Close
	cancel   context.CancelFunc

	// Only Read's goroutine uses these.
	in      lineReader
	ended   chan struct{} // closed when Read has returned an error
	failed  bool
	out     []byte // is read next
	head    [4]byte
	passing int    // bytes of the current interleaved frame that are still to pass
	skip    int64  // bytes of a body that the camera has announced; they may be missing
	garbage int    // bytes passed over since the last message or frame
	first   []byte // the beginning of the garbage
	spoken  bool   // a message or a frame has come

	mu          sync.Mutex
	pending     []*exchange // requests without a response, oldest first; at most maxPending
	cseq        int
	login       *login
	answers     bool // the camera has answered a request
	accepted    bool // the camera has accepted the login on this connection
	playSent    bool
	played      time.Time // when PLAY was answered
	framesSince time.Time // when the first frame came before the response to PLAY
	timeout     time.Duration
	alive       string        // the last keepalive's method
	channels    map[byte]byte // interleaved channels of the library, by those that the camera uses
	named       map[byte]byte // channels of the library, by those that a response to SETUP has named
	closed      bool
	injected    []byte        // a response to be read that the camera has not sent
	teardown    chan struct{} // closed when the camera has answered TEARDOWN; nil: it was not sent
}

const (
	// maxPending bounds the requests that wait for a response: some cameras answer no keepalive. Beyond it the oldest is
	// forgotten.
	maxPending = 16

	// maxGarbage bounds what is passed over before the first message, and between two.
	maxGarbageFirst = 16 << 10
	maxGarbage      = 4 << 20

	writeTimeout = 10 * time.Second // of requests that Read sends

	// teardownTimeout is how long Close waits for the response to TEARDOWN: it may be another challenge, and a camera
	// that does not accept TEARDOWN counts the session among its viewers until its timeout.
	teardownTimeout = time.Second
)

func newConn(conn net.Conn, s *Session, secure bool) *Conn {
	c := &Conn{
		Conn: conn, session: s, camera: s.camera, secure: secure, timeout: defaultTimeout,
		in: lineReader{r: bufio.NewReader(conn)}, channels: map[byte]byte{}, named: map[byte]byte{},
		ended: make(chan struct{}),
	}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	s.camera.mu.Lock()
	defer s.camera.mu.Unlock()
	if s.camera.reconnect != nil {
		c.login = newLogin(*s.camera.reconnect, s.camera.user, s.camera.password)
	}
	return c
}

// answered removes and returns the exchange that a response belongs to: that with its CSeq, else the oldest. Some cameras
// send no CSeq, or that of another request. It returns nil if nothing is pending.
func (c *Conn) answered(cseq string) *exchange {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.pending) == 0 {
		return nil
	}
	i := max(0, slices.IndexFunc(c.pending, func(ex *exchange) bool { return ex.sent == cseq }))
	ex := c.pending[i]
	c.answers = true
	c.pending = slices.Delete(c.pending, 0, i+1) // what is older will not be answered any more
	return ex
}

// Read returns what the library reads: responses written anew, and interleaved frames as they are.
func (c *Conn) Read(p []byte) (int, error) {
	for {
		switch {
		case len(p) == 0:
			return 0, nil
		case len(c.out) > 0:
			n := copy(p, c.out)
			c.out = c.out[n:]
			return n, nil
		case c.passing > 0:
			n, err := c.in.r.Read(p[:min(len(p), c.passing)])
			c.passing -= n
			return n, err
		}
		if err := c.next(); err != nil {
			if errors.Is(err, os.ErrDeadlineExceeded) {
				if taken, failed := c.takeInjected(); taken && failed == nil {
					continue
				}
			}
			switch {
			case c.spoken || isOwn(err):
			case c.garbage > 0:
				err = &NotRTSPError{printable(strings.TrimSpace(string(c.first)), maxRemark)}
			case !c.secure && c.camera.firstSilence() && speaksTLS(c.ctx, c.RemoteAddr()):
				err = ErrNeedsTLS
			}
			if !c.failed {
				c.failed = true
				close(c.ended)
			}
			return 0, c.session.fail(c.lost(err))
		}
	}
}

// lost learns from the end of a connection.
func (c *Conn) lost(err error) error {
	if isOwn(err) {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed || c.accepted || len(c.pending) == 0 {
		return err
	}
	if ex := c.pending[len(c.pending)-1]; ex.login != nil && ex.tries == 1 && ex.login.count <= 1 {
		c.camera.mu.Lock()
		defer c.camera.mu.Unlock()
		if c.camera.reconnect == nil {
			c.camera.reconnect = &ex.login.challenge
		} else {
			c.camera.reconnect = nil // it was of no use
		}
	}
	return err
}

// Close closes the connection. If the camera requires a login by digest, it waits for the response to TEARDOWN first.
func (c *Conn) Close() error {
	c.mu.Lock()
	if teardown := c.teardown; teardown != nil && !c.closed && c.login != nil && c.login.scheme == "digest" {
		c.mu.Unlock()
		timer := time.NewTimer(teardownTimeout)
		select {
		case <-teardown:
		case <-timer.C:
		case <-c.ended:
		}
		timer.Stop()
		c.mu.Lock()
	}
	silent := !c.closed && !c.answers && c.played.IsZero()
	learn := !c.closed && !c.played.IsZero() && c.alive != ""
	c.closed = true
	method, played, timeout := c.alive, time.Since(c.played), c.timeout
	c.mu.Unlock()
	c.cancel()
	if silent {
		c.camera.optionsUnanswered()
	}
	if learn {
		c.camera.sessionEnded(method, played, timeout)
	}
	return c.Conn.Close()
}

// next reads the next message or the head of the next interleaved frame.
func (c *Conn) next() error {
	if err := c.in.skipLF(); err != nil {
		return err
	}
	head, err := c.in.r.Peek(1)
	if err != nil {
		return err
	}
	first := head[0] // what looks further may move the buffer
	switch {
	case first == '$':
		return c.frame()
	case first == 'R' && c.starts("RTSP/"), first == 'r' && c.starts("rtsp/"):
		return c.response()
	case c.skip == 0 && c.request(first):
		return c.cameraRequest()
	}
	if !c.spoken && c.garbage == 0 {
		switch {
		case first == 'H' && c.starts("HTTP/"):
			return ErrHTTP
		case first == 0x15 && c.starts("\x15\x03"): // an alert, RFC 8446, section 5.1
			return ErrNeedsTLS
		}
	}
	return c.discard(first)
}

// starts reports whether the next bytes are s. It waits for as many bytes only while they agree.
func (c *Conn) starts(s string) bool {
	for n := 1; n <= len(s); n++ {
		if b, err := c.in.r.Peek(n); err != nil || b[n-1] != s[n-1] {
			return false
		}
	}
	return true
}

// cameraMethods are the methods of requests that a camera may send.
var cameraMethods = [...]string{"OPTIONS ", "GET_PARAMETER ", "SET_PARAMETER ", "ANNOUNCE ", "REDIRECT ", "TEARDOWN ", "PLAY_NOTIFY "}

// request reports whether the next bytes are the beginning of a request; first is the next byte.
func (c *Conn) request(first byte) bool {
	for _, m := range cameraMethods {
		if m[0] == first && c.starts(m) {
			return true
		}
	}
	return false
}

// discard passes over a byte that belongs to nothing.
func (c *Conn) discard(b byte) error {
	if _, err := c.in.r.Discard(1); err != nil {
		return err
	}
	if c.skip > 0 {
		c.skip--
		return nil
	}
	blank := b == '\r' || b == '\n' || b == 0 || b == ' '
	if (!blank || len(c.first) > 0) && len(c.first) < maxRemark {
		c.first = append(c.first, b)
	}
	if blank {
		return nil // what stands between messages
	}
	c.garbage++
	if limit := maxGarbageFirst; !c.spoken && c.garbage > limit || c.garbage > maxGarbage {
		return &NotRTSPError{printable(strings.TrimSpace(string(c.first)), maxRemark)}
	}
	return nil
}

// found ends a run of garbage.
func (c *Conn) found() {
	if c.garbage > 0 && c.spoken {
		c.session.remark("connection", "bytes between the messages belong to nothing")
	}
	if !c.spoken {
		c.camera.heard()
	}
	c.spoken, c.garbage, c.skip, c.first = true, 0, 0, nil
}

// frame reads the head of an interleaved frame (RFC 2326, section 10.12). Before PLAY, frames are dropped: they are of an
// older session, and the library ends at them.
func (c *Conn) frame() error {
	head, err := c.in.r.Peek(4)
	if err != nil {
		return err
	}
	c.mu.Lock()
	playing := c.playSent
	channel, known := c.channels[head[1]]
	if !known {
		channel = head[1]
	}
	c.mu.Unlock()
	if !known && (c.garbage > 0 || c.skip > 0) {
		return c.discard('$') // a dollar sign inside what belongs to nothing
	}
	if !c.spoken {
		return c.discard('$') // a camera speaks first when it is asked
	}
	size := int(head[2])<<8 | int(head[3])
	c.found()
	if !playing {
		_, err := c.in.r.Discard(4 + size)
		return err
	}
	if c.playUnanswered() {
		return nil // the frame comes after the response
	}
	if f := c.session.filter(channel); f != nil && size >= rtpHeader {
		return c.filtered(f, channel, size)
	}
	c.head = [4]byte{'$', channel, head[2], head[3]}
	c.out, c.passing = c.head[:], size
	_, err = c.in.r.Discard(4)
	return err
}

// playPatience is how long frames come before PLAY counts as answered: some cameras send no response to it.
const playPatience = 2 * time.Second

// playUnanswered makes a response to PLAY what is read next, if frames have come for a while without one.
func (c *Conn) playUnanswered() bool {
	c.mu.Lock()
	i := slices.IndexFunc(c.pending, func(ex *exchange) bool { return ex.request.method == "PLAY" })
	if i < 0 {
		c.mu.Unlock()
		return false
	}
	if c.framesSince.IsZero() {
		c.framesSince = time.Now()
	}
	if time.Since(c.framesSince) < playPatience {
		c.mu.Unlock()
		return false
	}
	ex := c.pending[i]
	c.pending = slices.Delete(c.pending, 0, i+1)
	c.played = time.Now()
	c.mu.Unlock()
	c.session.remark("PLAY", "the camera sends frames and no response")
	c.pass(&response{code: 200}, ex, &message{})
	return true
}

// cameraRequest answers a request of the camera. The library would end at most of them.
func (c *Conn) cameraRequest() error {
	m, err := c.in.message()
	if err != nil {
		return err
	}
	c.found()
	method, _, _ := strings.Cut(m.first, " ")
	c.skip, _ = m.contentLength()
	status := "200 OK"
	switch method {
	case "REDIRECT", "TEARDOWN":
		return ErrSessionEnded
	case "PLAY_NOTIFY":
		status = "501 Not Implemented"
	}
	var b bytes.Buffer
	fmt.Fprintf(&b, "RTSP/1.0 %s\r\n", status)
	if cseq, ok := m.get("CSeq"); ok {
		fmt.Fprintf(&b, "CSeq: %s\r\n", printable(cseq, 20))
	}
	if method == methodOptions {
		b.WriteString("Public: OPTIONS, GET_PARAMETER, SET_PARAMETER\r\n")
	}
	b.WriteString("\r\n")
	if err := c.SetWriteDeadline(time.Now().Add(writeTimeout)); err != nil {
		return err
	}
	_, err = c.Conn.Write(b.Bytes())
	return err
}
