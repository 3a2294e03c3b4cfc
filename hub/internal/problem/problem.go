// Package problem implements the responses to failed requests: application/problem+json (RFC 9457).
//
// An error that people can see is an Error: a code of the registry in codes.go with parameters, which
// clients translate, and a sentence in English. Any package of the hub may return one; web and relay
// write it as the response. A response with status 401 or 403 has no detail unless it is an Error, so
// that it discloses nothing to clients without credentials. The package must import nothing of Gridpost
// but devices.
package problem

import (
	"encoding/json"
	"errors"
	"maps"
	"math"
	"net/http"
	"strconv"
	"time"

	"gridpost/devices"
)

// Problem is the body of a failed request (RFC 9457, section 3.1). Code, Params, Cause and Errors
// are extension members.
type Problem struct {
	Title  string            `json:"title"`
	Status int               `json:"status"`
	Detail string            `json:"detail,omitempty" doc:"in English"`
	Cause  *devices.Cause    `json:"cause,omitempty" doc:"the same as code and params, where an edge is the reason"`
	Code   string            `json:"code,omitempty" doc:"the detail as a code that never changes its meaning"`
	Params map[string]string `json:"params,omitempty" doc:"the values of the code's sentence, by name"`
	Errors []Invalid         `json:"errors,omitempty" doc:"parts of the request that are not valid"`
}

// Invalid is a part of a request that is not valid.
type Invalid struct {
	Message  string `json:"message,omitempty"`
	Location string `json:"location,omitempty" doc:"such as body.title or query.limit"`
	Value    any    `json:"value,omitempty"`
}

// Error is an error that people can see. It is immutable: its methods return copies.
type Error struct {
	Status  int // of the HTTP answer
	Reason  devices.Cause
	After   time.Duration // when it can be tried again (Retry-After); 0: not known
	Invalid []Invalid

	edge bool // Reason is also written as cause
}

// New returns the error with a code of the registry. params are pairs of a parameter's name and value;
// empty values are left out. For a code that is not in the registry, the status is 500 and the sentence
// is the code.
func New(code string, params ...string) *Error {
	k, ok := kinds()[code]
	if !ok {
		k.Status = http.StatusInternalServerError
	}
	return &Error{Status: k.Status, Reason: NewCause(code, params...)}
}

// NewCause returns the cause with a code of this registry, to be stored or passed on rather than
// returned as an error.
func NewCause(code string, params ...string) devices.Cause {
	return withText(devices.NewCause(code, params...))
}

// Because returns the error whose reason is a cause of devices.Causes or of this registry.
func Because(status int, c devices.Cause) *Error {
	return &Error{Status: status, Reason: c, edge: true}
}

// RetryAfter returns the error with the time after which the client may retry, also as the parameter
// seconds.
func (e *Error) RetryAfter(d time.Duration) *Error {
	out := *e
	out.After = d
	out.Reason = withText(e.Reason.With("seconds", strconv.Itoa(seconds(d))))
	return &out
}

// BecauseOf returns the error with err as its reason, like devices.Cause.BecauseOf.
func (e *Error) BecauseOf(err error) *Error {
	out := *e
	out.Reason = withText(e.Reason.BecauseOf(err))
	return &out
}

// withText returns c with the English sentence of this registry.
func withText(c devices.Cause) devices.Cause {
	if k, ok := kinds()[c.Code]; ok {
		c.Text = devices.Sentence(k.Template, c.Params)
	}
	return c
}

func seconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

func (e *Error) Error() string { return e.Reason.Text }

// Cause returns the reason, for devices.Cause.BecauseOf.
func (e *Error) Cause() devices.Cause { return e.Reason }

// Is makes errors.Is compare errors by their codes, whatever their parameters.
func (e *Error) Is(target error) bool {
	var other *Error
	return errors.As(target, &other) && other.Reason.Code == e.Reason.Code
}

// GetStatus implements huma.StatusError.
func (e *Error) GetStatus() int { return e.Status }

// GetHeaders implements huma.HeadersError.
func (e *Error) GetHeaders() http.Header {
	h := http.Header{}
	if e.After > 0 {
		h.Set("Retry-After", strconv.Itoa(seconds(e.After)))
	}
	if e.Status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", "Bearer")
	}
	return h
}

// ContentType implements huma.ContentTypeFilter.
func (e *Error) ContentType(string) string { return "application/problem+json" }

// MarshalJSON writes the body of the answer.
func (e *Error) MarshalJSON() ([]byte, error) {
	p := Problem{
		Title: http.StatusText(e.Status), Status: e.Status, Detail: e.Reason.Text,
		Code: e.Reason.Code, Params: e.Reason.Params, Errors: e.Invalid,
	}
	if e.edge {
		p.Cause = &e.Reason
	}
	return json.Marshal(p)
}

// Write writes the error as the response to a request.
func (e *Error) Write(w http.ResponseWriter) {
	maps.Copy(w.Header(), e.GetHeaders())
	send(w, e.Status, e)
}

// Write writes a response with a status and, unless the status is 401 or 403, a detail in English. It is
// for responses that only programs see; use Error for those that people see.
func Write(w http.ResponseWriter, status int, detail string) {
	WriteCode(w, status, "", detail)
}

// WriteCode is like Write, with a code on which programs act.
func WriteCode(w http.ResponseWriter, status int, code, detail string) {
	p := Problem{Title: http.StatusText(status), Status: status, Detail: detail, Code: code}
	if status == http.StatusUnauthorized || status == http.StatusForbidden {
		p.Detail = ""
	}
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", "Bearer")
	}
	send(w, status, p)
}

func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	// An error means that the client has disconnected.
	_ = json.NewEncoder(w).Encode(body)
}
