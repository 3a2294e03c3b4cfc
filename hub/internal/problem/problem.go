// Package problem answers requests that fail, as RFC 9457 says: application/problem+json.
//
// A refusal of credentials carries no detail, so that it tells a stranger nothing. The package
// must import nothing of Gridpost.
package problem

import (
	"encoding/json"
	"net/http"
)

// Problem is the body of a failed request (RFC 9457, section 3.1).
type Problem struct {
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitempty"`
	Cause  any    `json:"cause,omitempty"` // extension member: the detail as a code with parameters
	Code   string `json:"code,omitempty"`  // extension member: what a program acts on
}

// Write answers with a status and, unless it is 401 or 403, a detail in words.
func Write(w http.ResponseWriter, status int, detail string) {
	write(w, status, Problem{Detail: detail})
}

// WriteCode answers like Write, and with a code that a program acts on.
func WriteCode(w http.ResponseWriter, status int, code, detail string) {
	write(w, status, Problem{Detail: detail, Code: code})
}

// WriteCause answers like Write, and with the cause of the failure for programs. cause is
// anything that JSON can hold.
func WriteCause(w http.ResponseWriter, status int, detail string, cause any) {
	write(w, status, Problem{Detail: detail, Cause: cause})
}

func write(w http.ResponseWriter, status int, p Problem) {
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		p.Detail, p.Cause = "", nil
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// The client may be gone; there is nobody left to tell.
	p.Title, p.Status = http.StatusText(status), status
	_ = json.NewEncoder(w).Encode(p)
}
