package rtsptest

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Request is a request that the server has read.
type Request struct {
	Method, URL string
	Header      textproto.MIMEHeader
	Body        string
	At          time.Time
}

// Answer is a response that is about to be sent.
type Answer struct {
	Status string   // the first line; default "RTSP/1.0 200 OK"
	Header []string // lines such as "CSeq: 1", without their ends
	Body   string
	EOL    string // end of each line of the header; default "\r\n"

	// Length is the value of Content-Length; default the length of Body, or no such line if Body is empty. "-" leaves
	// the line out.
	Length string
}

// Set replaces the header line with a name, or appends it. An empty value removes the line.
func (a *Answer) Set(name, value string) {
	kept := a.Header[:0]
	for _, line := range a.Header {
		if key, _, _ := strings.Cut(line, ":"); !strings.EqualFold(strings.TrimSpace(key), name) {
			kept = append(kept, line)
		}
	}
	a.Header = kept
	if value != "" {
		a.Header = append(a.Header, name+": "+value)
	}
}

// Bytes returns the response as it is sent.
func (a *Answer) Bytes() []byte {
	eol := a.EOL
	if eol == "" {
		eol = "\r\n"
	}
	lines := append([]string{a.Status}, a.Header...)
	switch {
	case a.Length == "-":
	case a.Length != "":
		lines = append(lines, "Content-Length: "+a.Length)
	case a.Body != "":
		lines = append(lines, "Content-Length: "+strconv.Itoa(len(a.Body)))
	}
	return []byte(strings.Join(lines, eol) + eol + eol + a.Body)
}

// Conn is one connection to the server.
type Conn struct {
	Camera *Camera
	Path   string // of the camera
	Nonces int    // challenges sent

	nonce  nonceState
	net    net.Conn
	server *Server
	closed chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex // guards writing, so that responses and frames do not mix, and the fields below
	setups []setup
	seq    map[int]uint16
}

// setup is a track that the client has set up.
type setup struct {
	track   int // index in Tracks
	channel int // interleaved channel of RTP; -1: UDP
	udp     *net.UDPConn
	udpRTCP *net.UDPConn
	to      *net.UDPAddr
}

func (s *Server) serveConn(conn net.Conn) {
	c := &Conn{net: conn, server: s, closed: make(chan struct{}), seq: map[int]uint16{}}
	ended := make(chan struct{})
	c.wg.Go(func() {
		select {
		case <-s.done:
		case <-ended:
		}
		close(c.closed)
		_ = conn.Close() // the client may have closed it
	})
	r := bufio.NewReader(conn)
	for {
		request, err := readRequest(r)
		if err != nil || !c.handle(request) {
			break
		}
	}
	close(ended)
	c.wg.Wait()
	for _, su := range c.setups {
		if su.udp != nil {
			_, _ = su.udp.Close(), su.udpRTCP.Close() // the test is over, or the connection is
		}
	}
}

// readRequest reads the next request and passes over interleaved frames.
func readRequest(r *bufio.Reader) (Request, error) {
	for {
		first, err := r.Peek(1)
		if err != nil {
			return Request{}, err
		}
		if first[0] != '$' {
			break
		}
		var head [4]byte
		if _, err := io.ReadFull(r, head[:]); err != nil {
			return Request{}, err
		}
		if _, err := r.Discard(int(binary.BigEndian.Uint16(head[2:]))); err != nil {
			return Request{}, err
		}
	}
	text := textproto.NewReader(r)
	line, err := text.ReadLine()
	if err != nil {
		return Request{}, err
	}
	header, err := text.ReadMIMEHeader()
	if err != nil {
		return Request{}, err
	}
	parts := strings.SplitN(line, " ", 3)
	if len(parts) != 3 {
		return Request{}, fmt.Errorf("reading a request: %q", line)
	}
	req := Request{Method: parts[0], URL: parts[1], Header: header, At: time.Now()}
	if n, err := strconv.Atoi(header.Get("Content-Length")); err == nil && n > 0 && n < 1<<20 {
		body := make([]byte, n)
		if _, err := io.ReadFull(r, body); err != nil {
			return Request{}, err
		}
		req.Body = string(body)
	}
	return req, nil
}

// handle answers a request and reports whether to go on.
func (c *Conn) handle(r Request) bool {
	path := r.URL
	if u, err := url.Parse(r.URL); err == nil {
		path = u.Path
		if u.RawQuery != "" {
			path += "?" + u.RawQuery
		}
	}
	if strings.HasPrefix(r.Method, "RTSP/") {
		return true // a response to a request of the camera
	}
	name, camera := c.server.find(path)
	if camera == nil {
		return c.Send(c.answer(&r, "404 Not Found"))
	}
	if c.Camera != camera { // Play's goroutine reads both
		c.Path, c.Camera = name, camera
	}
	c.server.record(c.Path, r)
	if c.Camera.Before != nil && c.Camera.Before(c, &r) {
		return c.open()
	}
	a := c.answer(&r, "200 OK")
	if c.Camera.Auth != nil && !c.Camera.Auth.admit(c, &r, a) {
		return c.Send(a)
	}
	c.usual(&r, a)
	if c.Camera.Answer != nil {
		c.Camera.Answer(c, &r, a)
	}
	if !c.Send(a) {
		return false
	}
	if r.Method == "PLAY" && strings.Contains(a.Status, "200") {
		c.play()
	}
	return r.Method != "TEARDOWN"
}

func (c *Conn) answer(r *Request, status string) *Answer {
	return &Answer{Status: "RTSP/1.0 " + status, Header: []string{"CSeq: " + r.Header.Get("CSeq")}}
}

// usual completes the response of a camera that follows the standard.
func (c *Conn) usual(r *Request, a *Answer) {
	session := c.Camera.Session
	if session == "" {
		session = "42"
	}
	switch r.Method {
	case MethodOptions:
		public := c.Camera.Public
		if public == "" {
			public = "OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN"
		}
		a.Set("Public", public)
	case "DESCRIBE":
		a.Set("Content-Type", "application/sdp")
		if a.Body = c.Expand(c.Camera.SDP); a.Body == "" {
			a.Body = Describe(c.Camera.tracks()...)
		}
	case "SETUP":
		transport, ok := c.setup(r)
		if !ok {
			a.Status = "RTSP/1.0 461 Unsupported Transport"
			return
		}
		a.Set("Transport", transport)
		a.Set("Session", session)
	case "PLAY":
		a.Set("Session", session)
	}
}

// setup prepares the track of a SETUP request and returns the Transport header of the response. The track is the one
// whose control ends the URL, else the first that is not set up.
func (c *Conn) setup(r *Request) (string, bool) {
	tracks := c.Camera.tracks()
	su := setup{track: len(c.setups) % len(tracks), channel: -1}
	for i, track := range tracks {
		if track.Control != "" && strings.HasSuffix(r.URL, track.Control) {
			su.track = i
		}
	}
	transport := r.Header.Get("Transport")
	if ids, ok := parameter(transport, "interleaved"); ok {
		su.channel = ids[0]
		c.addSetup(su)
		return fmt.Sprintf("RTP/AVP/TCP;unicast;interleaved=%d-%d", ids[0], ids[0]+1), true
	}
	ports, ok := parameter(transport, "client_port")
	host, isTCP := c.net.RemoteAddr().(*net.TCPAddr)
	if !ok || !isTCP {
		return "", false
	}
	su.to = &net.UDPAddr{IP: host.IP, Port: ports[0]}
	var err error
	if su.udp, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		return "", false
	}
	if su.udpRTCP, err = net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)}); err != nil {
		_ = su.udp.Close() // the response says that it failed
		return "", false
	}
	c.addSetup(su)
	return fmt.Sprintf("RTP/AVP;unicast;client_port=%d-%d;server_port=%d-%d", ports[0], ports[1],
		su.udp.LocalAddr().(*net.UDPAddr).Port, su.udpRTCP.LocalAddr().(*net.UDPAddr).Port), true
}

func (c *Conn) addSetup(su setup) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.setups = append(c.setups, su)
}

// parameter returns the pair of numbers in "name=1-2" of a Transport header.
func parameter(transport, name string) (pair [2]int, ok bool) {
	for _, field := range strings.Split(transport, ";") {
		if value, found := strings.CutPrefix(strings.TrimSpace(field), name+"="); found {
			if n, err := fmt.Sscanf(value, "%d-%d", &pair[0], &pair[1]); err == nil && n == 2 {
				return pair, true
			}
		}
	}
	return pair, false
}

func (c *Conn) play() {
	run := c.Camera.Play
	if run == nil {
		run = (*Conn).SendMedia
	}
	closeAfter := c.Camera.CloseAfterPlay
	c.server.mu.Lock()
	c.server.sessions++
	c.server.mu.Unlock()
	c.wg.Go(func() {
		run(c)
		if closeAfter {
			_ = c.net.Close() // ends the reading loop
		}
	})
}

// Expand replaces HOST by the server's host:port and /PATH by the camera's path.
func (c *Conn) Expand(s string) string {
	return strings.NewReplacer("HOST", c.server.Addr(), "/PATH", c.Path).Replace(s)
}

// Send sends a response and reports whether the connection is still open.
func (c *Conn) Send(a *Answer) bool { return c.Write(a.Bytes()) }

// Printf sends any text.
func (c *Conn) Printf(format string, args ...any) bool {
	return c.Write(fmt.Appendf(nil, format, args...))
}

// Write sends any bytes at once and reports whether the connection is still open.
func (c *Conn) Write(b []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := c.net.Write(b)
	return err == nil && c.open()
}

// Close ends the connection.
func (c *Conn) Close() { _ = c.net.Close() }

// Reset ends the connection as a power cut of the camera does: without a word, or with a TCP reset.
func (c *Conn) Reset() {
	if tcp, ok := c.net.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0) // Close then sends a reset
	}
	c.Close()
}

func (c *Conn) open() bool {
	select {
	case <-c.closed:
		return false
	default:
		return true
	}
}

// Pause waits, and reports false when the connection or the test has ended.
func (c *Conn) Pause(d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-c.closed:
		return false
	}
}

// UDP reports whether the first track is sent by UDP.
func (c *Conn) UDP() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.setups) > 0 && c.setups[0].channel < 0
}
