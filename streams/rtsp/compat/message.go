package compat

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"

	"github.com/bluenviron/gortsplib/v4/pkg/base"
)

// Bounds of what is read from a camera.
const (
	maxHeader = 64 << 10 // bytes of the first line and the header of one message
	maxLines  = 500      // of one header
)

func parseURL(s string) (*base.URL, error) { return base.ParseURL(s) }

// field is one line of a header.
type field struct{ name, value string }

// message is a response from the camera, or a request from it.
type message struct {
	first  string // the first line
	fields []field
}

// get returns the first value of a header, and whether there is one. Names are compared without case.
func (m *message) get(name string) (string, bool) {
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			return f.value, true
		}
	}
	return "", false
}

// values returns all values of a header.
func (m *message) values(name string) []string {
	var values []string
	for _, f := range m.fields {
		if strings.EqualFold(f.name, name) {
			values = append(values, f.value)
		}
	}
	return values
}

// contentLength returns the Content-Length, 0 if it is missing or cannot be read, and whether it is given.
func (m *message) contentLength() (int64, bool) {
	value, ok := m.get("Content-Length")
	if !ok {
		return 0, false
	}
	n, err := strconv.ParseInt(leadingDigits(value), 10, 64)
	if err != nil {
		return 0, false
	}
	return n, true
}

// status returns the status code and the reason phrase of a response. Some cameras leave the phrase out, send more than
// one space, another version, or no space after the code.
func (m *message) status() (code int, reason string, ok bool) {
	fields := strings.Fields(m.first)
	if len(fields) < 2 {
		return 0, "", false
	}
	code, err := strconv.Atoi(leadingDigits(fields[1]))
	if err != nil || code > 999 {
		return 0, "", false
	}
	return code, strings.Join(fields[2:], " "), true
}

func leadingDigits(s string) string {
	s = strings.TrimSpace(s)
	n := 0
	for n < len(s) && s[n] >= '0' && s[n] <= '9' {
		n++
	}
	return s[:n]
}

// lineReader reads lines that end with CRLF, LF or CR. It never waits for the byte after a CR: the line feed of a CRLF is
// passed over when the next line is read.
type lineReader struct {
	r      *bufio.Reader
	pastCR bool // the last line ended with CR; a line feed that follows belongs to it
}

// skipLF passes over the line feed that belongs to the last line. It waits for the next byte.
func (l *lineReader) skipLF() error {
	if !l.pastCR {
		return nil
	}
	b, err := l.r.Peek(1)
	if err != nil {
		return err
	}
	l.pastCR = false
	if b[0] == '\n' {
		_, err = l.r.Discard(1)
	}
	return err
}

// line returns the next line without its end; limit bounds its bytes.
func (l *lineReader) line(limit int) (string, error) {
	if err := l.skipLF(); err != nil {
		return "", err
	}
	var line []byte
	for {
		b, err := l.r.ReadByte()
		switch {
		case err != nil:
			return "", err
		case b == '\n':
			return string(line), nil
		case b == '\r':
			l.pastCR = true
			return string(line), nil
		case len(line) == limit:
			return "", ErrHeaderTooLarge
		}
		line = append(line, b)
	}
}

// message reads a first line and a header. A line that is no header is passed over, one that begins with white space
// continues the line before (RFC 2326, section 15.1).
func (l *lineReader) message() (*message, error) {
	m := &message{}
	budget := maxHeader
	for n := 0; ; n++ {
		line, err := l.line(budget)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return nil, err
		}
		if budget -= len(line); n > maxLines {
			return nil, ErrHeaderTooLarge
		}
		if n == 0 {
			m.first = line
			continue
		}
		if strings.TrimSpace(line) == "" {
			return m, nil
		}
		if (line[0] == ' ' || line[0] == '\t') && len(m.fields) > 0 {
			last := &m.fields[len(m.fields)-1]
			last.value += " " + strings.TrimSpace(line)
			continue
		}
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) != "" {
			m.fields = append(m.fields, field{strings.TrimSpace(name), strings.TrimSpace(value)})
		}
	}
}

// methodOptions is a method of RTSP (RFC 2326, section 10.1), and not of HTTP.
const methodOptions = "OPTIONS"

// request is what the library sends.
type request struct {
	method, url string
	fields      []field
	body        string
}

// parseRequest parses what the library writes at once. It reports false for anything else.
func parseRequest(b []byte) (*request, bool) {
	head, body, ok := strings.Cut(string(b), "\r\n\r\n")
	if !ok {
		return nil, false
	}
	lines := strings.Split(head, "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || parts[2] != "RTSP/1.0" {
		return nil, false
	}
	r := &request{method: parts[0], url: parts[1], body: body}
	for _, line := range lines[1:] {
		name, value, _ := strings.Cut(line, ":")
		r.fields = append(r.fields, field{name, strings.TrimSpace(value)})
	}
	return r, true
}

func (r *request) get(name string) string {
	for _, f := range r.fields {
		if strings.EqualFold(f.name, name) {
			return f.value
		}
	}
	return ""
}

// set replaces a header, or adds it.
func (r *request) set(name, value string) {
	r.remove(name)
	r.fields = append(r.fields, field{name, value})
}

func (r *request) remove(name string) {
	r.fields = slices.DeleteFunc(r.fields, func(f field) bool { return strings.EqualFold(f.name, name) })
}

func (r *request) bytes() []byte {
	var b strings.Builder
	fmt.Fprintf(&b, "%s %s RTSP/1.0\r\n", r.method, r.url)
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	b.WriteString("\r\n" + r.body)
	return []byte(b.String())
}

// response is what the library reads instead of the camera's.
type response struct {
	code   int
	reason string
	fields []field
	body   []byte
}

// maxValue bounds a header's value; the library refuses 2048 bytes and more.
const maxValue = 2000

func (r *response) add(name, value string) {
	if value = strings.Map(dropControl, value); value != "" && len(value) <= maxValue {
		r.fields = append(r.fields, field{name, value})
	}
}

func dropControl(r rune) rune {
	if r < ' ' || r == 0x7f {
		return -1
	}
	return r
}

func (r *response) bytes() []byte {
	reason := printable(r.reason, 100)
	if reason == "" {
		reason = base.StatusMessages[base.StatusCode(r.code)]
	}
	if reason == "" {
		reason = "Unknown"
	}
	var b strings.Builder
	fmt.Fprintf(&b, "RTSP/1.0 %03d %s\r\n", r.code, reason)
	for _, f := range r.fields {
		fmt.Fprintf(&b, "%s: %s\r\n", f.name, f.value)
	}
	if len(r.body) > 0 {
		fmt.Fprintf(&b, "Content-Length: %d\r\n", len(r.body))
	}
	b.WriteString("\r\n")
	return append([]byte(b.String()), r.body...)
}
