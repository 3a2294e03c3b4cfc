package ingest

import (
	"errors"
	"fmt"

	"gridpost/hub/api"
)

// refusal is why an event can never be applied, or not yet: a code of package api with its parameters,
// and the same in English.
type refusal struct {
	code   string
	params map[string]string
	reason string
}

// Error implements error.
func (r *refusal) Error() string { return r.reason }

// refuse returns a refusal. params are names and values in turn.
func refuse(code, reason string, params ...string) *refusal {
	r := &refusal{code: code, reason: reason}
	for i := 0; i+1 < len(params); i += 2 {
		if r.params == nil {
			r.params = make(map[string]string, len(params)/2)
		}
		r.params[params[i]] = params[i+1]
	}
	return r
}

// wrongValue refuses a value that is not possible. rule says what it would have to be.
func wrongValue(field, value, rule string) error {
	value = clip(value)
	return refuse(api.RefusedValue, fmt.Sprintf("its %s %q is not %s", field, value, rule), "field", field, "value", value)
}

// tooMany refuses a list that is too long.
func tooMany(field string, most int) error {
	return refuse(api.RefusedTooMany, fmt.Sprintf("it has more than %d %s", most, field), "field", field, "max", fmt.Sprint(most))
}

// refusalOf returns an error of a check as a refusal, with all that is wrong in its reason.
func refusalOf(err error) *refusal {
	out := &refusal{code: api.RefusedData, reason: err.Error()}
	var first *refusal
	if errors.As(err, &first) {
		out.code, out.params = first.code, first.params
	}
	return out
}

// of returns the refusal as it is sent.
func (r *refusal) of(e event) api.Refusal {
	return api.Refusal{Lane: e.lane, Seq: e.seq, Code: r.code, Params: r.params, Reason: r.reason}
}
