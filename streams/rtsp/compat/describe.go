package compat

import (
	"bytes"
	"encoding/binary"
	"errors"
	"io"
	"net/url"
	"os"
	"strings"
	"time"
)

// described reads the description and replaces it by a rebuilt one.
func (c *Conn) described(ex *exchange, r *response, m *message) error {
	body, err := c.readBody(m)
	if err != nil {
		return err
	}
	sdp, err := RebuildSDP(body)
	c.session.addRemarks(sdp.Remarks)
	if err != nil {
		return err
	}
	if base := baseURL(ex.request.url, m, sdp.Control); base != "" {
		r.add("Content-Base", base)
	}
	r.add("Content-Type", "application/sdp")
	r.body = sdp.Text
	c.session.numbered(sdp.types)
	c.pass(r, ex, m)
	return nil
}

// Waiting for a description whose length the camera has not told, or told wrongly.
const (
	bodyIdle = 500 * time.Millisecond
	bodyWait = 3 * time.Second
)

// readBody reads a description. It ends where Content-Length says; if that is missing or too large, when nothing has
// come for a while or something else begins. What a too small Content-Length leaves out follows in the same packet.
func (c *Conn) readBody(m *message) ([]byte, error) {
	length, given := m.contentLength()
	if length > maxDescription {
		return nil, &DescriptionTooLargeError{length}
	}
	if err := c.in.skipLF(); err != nil {
		return nil, err
	}
	var body []byte
	wait := bodyWait
	for !given || int64(len(body)) < length {
		if err := c.SetReadDeadline(time.Now().Add(wait)); err != nil {
			return nil, err
		}
		b, err := c.in.r.Peek(1)
		if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, io.EOF) && len(body) > 0 {
			break
		} else if err != nil {
			return nil, err
		}
		if len(body) == 0 && b[0] == '$' { // a frame of an older session
			head, err := c.in.r.Peek(4)
			if err != nil {
				return nil, err
			}
			if _, err := c.in.r.Discard(4 + int(binary.BigEndian.Uint16(head[2:]))); err != nil {
				return nil, err
			}
			continue
		}
		if atLineStart := len(body) == 0 || body[len(body)-1] == '\n'; atLineStart && c.endsBody(b[0]) {
			break
		}
		n := min(c.in.r.Buffered(), maxDescription+1-len(body))
		if given {
			n = int(min(int64(n), length-int64(len(body))))
		}
		chunk, err := c.in.r.Peek(n)
		if err != nil {
			return nil, err
		}
		if i := messageStart(chunk); i >= 0 {
			chunk = chunk[:i]
		}
		body = append(body, chunk...)
		if _, err := c.in.r.Discard(len(chunk)); err != nil {
			return nil, err
		}
		if len(body) > maxDescription {
			return nil, &DescriptionTooLargeError{int64(len(body))}
		}
		if wait = bodyIdle; given {
			wait = bodyWait
		}
	}
	if err := c.SetReadDeadline(time.Time{}); err != nil {
		return nil, err
	}
	return c.leftover(body)
}

// leftover appends what stands behind a description with too small a Content-Length, as far as it has arrived.
func (c *Conn) leftover(body []byte) ([]byte, error) {
	rest, err := c.in.r.Peek(min(c.in.r.Buffered(), maxDescription-len(body)))
	if err != nil || len(rest) == 0 || rest[0] == '$' || bytes.HasPrefix(rest, []byte("RTSP/")) {
		return body, err
	}
	if i := messageStart(rest); i >= 0 {
		rest = rest[:i]
	}
	body = append(body, rest...)
	_, err = c.in.r.Discard(len(rest))
	return body, err
}

// endsBody reports whether another message begins at the start of a line of a description; b is its first byte.
func (c *Conn) endsBody(b byte) bool {
	return b == '$' || b == 'R' && c.starts("RTSP/")
}

// messageStart returns where a response begins in a chunk of a description, after the start of a line, or -1.
func messageStart(chunk []byte) int {
	for from := 0; ; {
		i := bytes.IndexByte(chunk[from:], '\n')
		if i < 0 {
			return -1
		}
		from += i + 1
		if bytes.HasPrefix(chunk[from:], []byte("RTSP/")) || bytes.HasPrefix(chunk[from:], []byte("$")) {
			return from
		}
	}
}

// baseURL returns the URL that the controls of media are relative to, "" for that of the request (RFC 2326, appendix
// C.1.1): the session's control if there is one, else Content-Base, else Content-Location.
func baseURL(request string, m *message, control string) string {
	from, err := url.Parse(request)
	if err != nil {
		return ""
	}
	base := ""
	for _, name := range []string{"Content-Base", "Content-Location"} {
		if value, ok := m.get(name); ok && base == "" {
			base = repairURL(from, value)
		}
	}
	if control == "" {
		return base
	}
	if base != "" {
		if u, err := url.Parse(base); err == nil {
			from = u
		}
	}
	if repaired := repairURL(from, encodeControl(control)); repaired != "" {
		return repaired
	}
	return base
}

// repairURL returns the absolute URL that a camera meant, relative to from; "" if none can be made of it. Cameras double
// the scheme or leave it out.
func repairURL(from *url.URL, value string) string {
	value = strings.Trim(strings.TrimSpace(value), `"<>`)
	for {
		scheme, rest, ok := strings.Cut(value, "://")
		if !ok || !strings.Contains(rest, "://") || !strings.HasPrefix(strings.ToLower(rest), "rtsp") {
			break
		}
		_, value = scheme, rest
	}
	scheme, rest, ok := strings.Cut(value, "://")
	switch {
	case value == "":
		return ""
	case ok:
		if scheme = strings.ToLower(scheme); scheme != "rtsp" && scheme != "rtsps" {
			return ""
		}
		value = scheme + "://" + rest
	case strings.HasPrefix(value, "//"):
		value = from.Scheme + ":" + value
	case strings.HasPrefix(value, "/"):
		value = from.Scheme + "://" + from.Host + value
	case strings.HasPrefix(value, from.Hostname()):
		value = from.Scheme + "://" + value
	default:
		host, _, _ := strings.Cut(value, "/")
		if strings.Contains(host, ":") || strings.Count(host, ".") == 3 {
			value = from.Scheme + "://" + value
		} else {
			value = strings.TrimSuffix(from.Scheme+"://"+from.Host+from.RequestURI(), "/") + "/" + value
		}
	}
	u, err := parseURL(value)
	if err != nil || u.Host == "" || len(value) > 1024 {
		return ""
	}
	u.User = nil
	return u.String()
}
