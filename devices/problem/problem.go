// Package problem reads the answers of HTTP servers that refuse a request: RFC 9457
// (application/problem+json) for the reason, and Retry-After for the time of the next attempt.
//
// It is the client side; the hub's answers are written by hub/internal/problem. The package must
// import nothing of Gridpost.
package problem

import (
	"encoding/json"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// Bounds of what is taken from an answer, because it comes from outside.
const (
	maxBody = 64 << 10 // bytes that are read; a longer document counts as none
	maxText = 300      // bytes of each text that is kept

	// MaxRetryAfter is the longest wait that an Error asks for; a longer one is cut to it.
	MaxRetryAfter = time.Hour
)

// Error is the answer of a server that did not do what it was asked to. Every field but Status may
// be empty. Texts are valid UTF-8 of at most 300 bytes without control characters.
type Error struct {
	Status int    // the HTTP status code, of the status line
	Title  string // the kind of problem (RFC 9457, section 3.1.4)
	Detail string // what is wrong with this request (section 3.1.3)
	Code   string // the extension member "code": a stable name of the cause, for programs

	// RetryAfter is how long to wait before the next attempt (RFC 9110, section 10.2.3), between 0
	// and MaxRetryAfter; 0 when the server named no time, or one that has passed.
	RetryAfter time.Duration
}

// Error returns the status and the most precise text that the server gave.
func (e *Error) Error() string {
	switch {
	case e.Detail != "":
		return fmt.Sprintf("the server answers %d: %s", e.Status, e.Detail)
	case e.Title != "":
		return fmt.Sprintf("the server answers %d: %s", e.Status, e.Title)
	}
	return strings.TrimSpace(fmt.Sprintf("the server answers %d %s", e.Status, http.StatusText(e.Status)))
}

// Reason returns the most precise text that the server gave: the detail, else the title, else the
// text of the status code.
func (e *Error) Reason() string {
	switch {
	case e.Detail != "":
		return e.Detail
	case e.Title != "":
		return e.Title
	}
	return http.StatusText(e.Status)
}

// FromResponse returns the error that resp stands for; the caller has found that its status is none
// that it can use. It reads at most 64 KiB of the body and does not close it. A body that is no
// problem document, or that is cut short, leaves the texts empty: the status alone is an answer.
func FromResponse(resp *http.Response) *Error {
	e := &Error{Status: resp.StatusCode, RetryAfter: retryAfter(resp.Header)}
	if !isDocument(resp.Header.Get("Content-Type")) || resp.Body == nil {
		return e
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	if err != nil || len(body) > maxBody {
		return e
	}
	// RFC 9457, section 3.1: a member of another type than the specified one is ignored, not the
	// whole document.
	var members map[string]json.RawMessage
	if json.Unmarshal(body, &members) != nil {
		return e
	}
	e.Title, e.Detail, e.Code = text(members["title"]), text(members["detail"]), text(members["code"])
	return e
}

func isDocument(contentType string) bool {
	kind, _, err := mime.ParseMediaType(contentType)
	return err == nil && (kind == "application/problem+json" || kind == "application/json")
}

// text returns a string member without control characters, cut to maxText bytes.
func text(raw json.RawMessage) string {
	var s string
	if raw == nil || json.Unmarshal(raw, &s) != nil {
		return ""
	}
	s = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.TrimSpace(s))
	if len(s) > maxText {
		s = strings.ToValidUTF8(s[:maxText], "")
	}
	return s
}

// retryAfter reads a number of seconds or a date. A date is compared with the answer's own Date,
// because this machine's clock may be wrong.
func retryAfter(h http.Header) time.Duration {
	value := strings.TrimSpace(h.Get("Retry-After"))
	if value == "" {
		return 0
	}
	if strings.Trim(value, "0123456789") == "" {
		seconds, err := strconv.ParseInt(value, 10, 32)
		if err != nil { // too many digits
			return MaxRetryAfter
		}
		return min(time.Duration(seconds)*time.Second, MaxRetryAfter)
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	now, err := http.ParseTime(h.Get("Date"))
	if err != nil {
		now = time.Now()
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
