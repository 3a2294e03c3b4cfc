package web

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"reflect"
	"strings"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/validation"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/problem"
)

// problemOf maps the errors of the hub's packages to answers. It is the only place that does.
// What is not expected is logged and answered without its text.
func (s *Server) problemOf(ctx context.Context, operation string, err error) error {
	var coded *problem.Error
	var status huma.StatusError
	var slow *auth.ThrottledError
	switch {
	case errors.As(err, &coded):
		return coded
	case errors.As(err, &status):
		return err
	case errors.As(err, &slow):
		return problem.New("login_throttled").RetryAfter(slow.After)
	case errors.Is(err, db.ErrNotFound):
		return problem.New("not_found")
	case errors.Is(err, db.ErrConflict):
		return problem.New("conflict")
	case errors.Is(err, db.ErrFull):
		s.o.Logger.Error("answering a request", "operation", operation, "error", err)
		return problem.New("storage_full")
	case ctx.Err() != nil:
		return problem.New("request_cancelled")
	}
	s.o.Logger.Error("answering a request", "operation", operation, "error", err)
	return problem.New("internal")
}

// trouble writes the error response of a route that huma does not serve.
func (s *Server) trouble(w http.ResponseWriter, r *http.Request, err error) {
	if r.Context().Err() != nil {
		return
	}
	var coded *problem.Error
	if !errors.As(s.problemOf(r.Context(), r.URL.Path, err), &coded) {
		coded = problem.New("internal")
	}
	coded.Write(w)
}

// codeOfValidation is a huma.Transformer: it gives the refusals of the validation a code, that of
// the first part that is not valid.
func codeOfValidation(_ huma.Context, _ string, v any) (any, error) {
	m, ok := v.(*huma.ErrorModel)
	if !ok {
		return v, nil
	}
	e := problem.New("input_unreadable", "reason", m.Detail)
	if len(m.Errors) > 0 {
		e = codeOfInvalid(m.Errors[0])
	}
	e.Status = m.Status
	for _, d := range m.Errors {
		e.Invalid = append(e.Invalid, problem.Invalid{Message: d.Message, Location: d.Location, Value: d.Value})
	}
	return e, nil
}

// codeOfInvalid recognises the messages of the validation by the library's own templates.
func codeOfInvalid(d *huma.ErrorDetail) *problem.Error {
	field := d.Location[strings.LastIndexAny(d.Location, ".")+1:]
	if field == "" {
		field = "body"
	}
	var number float64
	var count int
	var name string
	scanned := func(template string, into any) bool {
		n, err := fmt.Sscanf(d.Message, template, into)
		return err == nil && n == 1
	}
	switch {
	case scanned(validation.MsgExpectedMaxLength, &count):
		return problem.New("input_too_long", "field", field, "count", fmt.Sprint(count))
	case scanned(validation.MsgExpectedMinLength, &count) && count == 1:
		return problem.New("input_empty", "field", field)
	case scanned(validation.MsgExpectedMinLength, &count):
		return problem.New("input_too_short", "field", field, "count", fmt.Sprint(count))
	case scanned(validation.MsgExpectedMinimumNumber, &number):
		return problem.New("input_too_small", "field", field, "limit", fmt.Sprint(number))
	case scanned(validation.MsgExpectedMaximumNumber, &number):
		return problem.New("input_too_large", "field", field, "limit", fmt.Sprint(number))
	case scanned(validation.MsgExpectedRequiredProperty, &name):
		return problem.New("input_missing", "field", name)
	case d.Message == validation.MsgUnexpectedProperty:
		return problem.New("input_not_known", "field", field)
	}
	before, after, _ := strings.Cut(validation.MsgExpectedOneOf, "%s")
	if values, ok := strings.CutPrefix(d.Message, before); ok {
		return problem.New("input_not_allowed", "field", field, "values", strings.TrimSuffix(values, after))
	}
	return problem.New("input_invalid", "field", field, "reason", d.Message)
}

// describeProblems replaces the library's schema of a failed request by that of problem.Problem.
func describeProblems(o *huma.OpenAPI) {
	o.Components.Schemas.Map()["ErrorModel"] = huma.SchemaFromType(o.Components.Schemas, reflect.TypeFor[problem.Problem]())
}
