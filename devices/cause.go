package devices

import "encoding/json"

// Cause says why something is as it is, for programs and for people: why a device is offline,
// why a command failed, what is wrong with an edge.
//
// Programs decide by Code. The console words a code in the reader's language; for a code that
// it does not know it shows Text.
type Cause struct {
	Code   string            `json:"code"`             // [a-z0-9_]{1,60}; never changes its meaning
	Params map[string]string `json:"params,omitempty"` // values for the sentence, by name
	Text   string            `json:"text"`             // the sentence in plain English
}

// IsZero says whether there is no cause.
func (c Cause) IsZero() bool { return c.Code == "" && c.Text == "" }

// String returns the sentence in English.
func (c Cause) String() string { return c.Text }

// Equal says whether both causes say the same.
func (c Cause) Equal(other Cause) bool { return c.Code == other.Code && c.Text == other.Text }

// UnmarshalJSON reads a cause, or a sentence alone as edges before protocol 2 send it.
func (c *Cause) UnmarshalJSON(data []byte) error {
	*c = Cause{}
	if len(data) > 0 && data[0] == '"' {
		return json.Unmarshal(data, &c.Text)
	}
	type plain Cause
	return json.Unmarshal(data, (*plain)(c))
}
