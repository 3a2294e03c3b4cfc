package store

import (
	"encoding/json"
	"fmt"

	"gridpost/devices"
)

// causeParams writes the parameters of a cause for its column.
func causeParams(c devices.Cause) (string, error) {
	if len(c.Params) == 0 {
		return "{}", nil
	}
	raw, err := json.Marshal(c.Params)
	if err != nil {
		return "", fmt.Errorf("writing the parameters of the cause %s: %w", c.Code, err)
	}
	return string(raw), nil
}

// readCause puts a cause together from its columns.
func readCause(code, params, text string) (devices.Cause, error) {
	c := devices.Cause{Code: code, Text: text}
	if params == "" || params == "{}" {
		return c, nil
	}
	if err := json.Unmarshal([]byte(params), &c.Params); err != nil {
		return c, fmt.Errorf("reading the parameters of the cause %s: %w", code, err)
	}
	return c, nil
}
