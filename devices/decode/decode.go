// Package decode turns messages of sensors into readings.
//
// A mapping says for each sensor its topic, where in the JSON payload the value and its time are,
// and the unit and scale. Payloads are hostile: their size is bounded, what
// does not fit a mapping is counted and logged once, and no reading is NaN, infinite, or from the
// future. The package must import nothing of Gridpost but devices.
package decode

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"gridpost/devices"
)

// Mapping is how one sensor's messages are read.
type Mapping struct {
	Device string
	Topic  string  // MQTT topic filter, as devices.CheckFilter accepts it
	Value  Path    // zero: the payload itself is the value
	Time   Path    // zero: the time of arrival
	Unit   string  // of the readings
	Scale  float64 // factor from the payload's value to Unit; 0: 1
}

// Options are what a Decoder needs.
type Options struct {
	Mappings []Mapping
	Logger   *slog.Logger
}

// Decoder is safe for concurrent use.
type Decoder struct {
	mappings []Mapping
	logger   *slog.Logger

	mu      sync.Mutex
	stats   Stats
	refused map[string]bool // by device: its last message was refused, which was logged
}

// Stats are the counters of a Decoder.
type Stats struct {
	Readings   uint64 // made
	Refused    uint64 // messages that do not fit the mapping of their sensor
	Unmatched  uint64 // messages of topics that belong to no sensor
	WrongClock uint64 // readings whose own time was not plausible: that of arrival was taken
}

// New returns a Decoder of the mappings.
func New(o Options) *Decoder {
	d := &Decoder{mappings: slices.Clone(o.Mappings), logger: o.Logger, refused: map[string]bool{}}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	for i := range d.mappings {
		if d.mappings[i].Scale == 0 {
			d.mappings[i].Scale = 1
		}
	}
	return d
}

// Stats returns the counts up to now.
func (d *Decoder) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Decode returns a reading for each sensor whose topic filter matches the message and whose
// mapping fits its payload. A payload that does not fit is no error for the caller: it is counted,
// and logged once for each sensor until a message fits again.
func (d *Decoder) Decode(m devices.Message) []devices.Reading {
	var out []devices.Reading
	matched := false
	var document any
	var parsed bool
	var parseErr error
	for i := range d.mappings {
		s := &d.mappings[i]
		if !devices.TopicMatches(s.Topic, m.Topic) {
			continue
		}
		matched = true
		if !parsed {
			document, parseErr = parse(m.Payload)
			parsed = true
		}
		r, wrongClock, err := s.read(document, parseErr, m)
		d.count(s.Device, m.Topic, wrongClock, err)
		if err == nil {
			out = append(out, r)
		}
	}
	if !matched {
		d.mu.Lock()
		d.stats.Unmatched++
		d.mu.Unlock()
	}
	return out
}

func (d *Decoder) count(device, topic string, wrongClock bool, err error) {
	d.mu.Lock()
	logged := d.refused[device]
	d.refused[device] = err != nil
	if err != nil {
		d.stats.Refused++
	} else {
		d.stats.Readings++
		if wrongClock {
			d.stats.WrongClock++
		}
	}
	d.mu.Unlock()
	if err != nil && !logged {
		d.logger.Warn("a sensor's message does not fit its mapping; further ones are only counted",
			"device", device, "topic", topic, "error", err)
	}
}

// parse reads a payload as JSON, numbers as they are written. A payload that is not JSON is taken as
// text, for sensors that publish a bare word or number.
func parse(payload []byte) (any, error) {
	if len(payload) > devices.MaxMessage {
		return nil, fmt.Errorf("the payload has more than %d bytes", devices.MaxMessage)
	}
	dec := json.NewDecoder(bytes.NewReader(payload))
	dec.UseNumber()
	var v any
	if err := dec.Decode(&v); err != nil {
		return strings.TrimSpace(string(payload)), nil // see above
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return strings.TrimSpace(string(payload)), nil
	}
	return v, nil
}

func (m *Mapping) read(document any, parseErr error, msg devices.Message) (r devices.Reading, wrongClock bool, err error) {
	if parseErr != nil {
		return r, false, parseErr
	}
	r = devices.Reading{Device: m.Device, Time: msg.Received, Unit: m.Unit, Quality: devices.Good}
	v, ok := m.Value.in(document)
	if !ok {
		return r, false, fmt.Errorf("there is no value at %s", m.Value)
	}
	if v == nil { // null: the sensor works, and has no value
		r.Quality = devices.Bad
	} else if r.Value, err = number(v); err != nil {
		return r, false, err
	}
	if r.Value *= m.Scale; math.IsNaN(r.Value) || math.IsInf(r.Value, 0) {
		return r, false, errors.New("the value is out of range")
	}
	if m.Time.IsZero() {
		return r, false, nil
	}
	if v, ok = m.Time.in(document); ok {
		if at, ok := moment(v); ok && plausible(at, msg.Received) {
			r.Time = at
			return r, false, nil
		}
	}
	return r, true, nil
}

// switched returns the value of a switch's state, as sensors write them in practice.
func switched(word string) (value float64, ok bool) {
	switch word {
	case "on", "open", "true", "yes", "alarm":
		return 1, true
	case "off", "closed", "false", "no", "ok":
		return 0, true
	}
	return 0, false
}

// number returns the value of a JSON number or boolean, or of a string that is a number or a
// switch's state.
func number(v any) (float64, error) {
	var text string
	switch c := v.(type) {
	case bool:
		if c {
			return 1, nil
		}
		return 0, nil
	case json.Number:
		text = c.String()
	case string:
		text = strings.ToLower(strings.TrimSpace(c))
		if f, ok := switched(text); ok {
			return f, nil
		}
	default:
		return 0, errors.New("the value is neither a number nor a switch's state")
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil || math.IsNaN(f) || math.IsInf(f, 0) {
		if len(text) > 40 {
			text = text[:40]
		}
		return 0, fmt.Errorf("the value %q is neither a number nor a switch's state", text)
	}
	return f, nil
}

// moment reads a time as RFC 3339, or as seconds, milliseconds or microseconds since 1970,
// told apart by their size: in seconds the bounds are the years 1973 and 5138.
func moment(v any) (time.Time, bool) {
	text, ok := v.(string)
	if n, isNumber := v.(json.Number); isNumber {
		text, ok = n.String(), true
	}
	if !ok || len(text) > 64 {
		return time.Time{}, false
	}
	if t, err := time.Parse(time.RFC3339Nano, strings.TrimSpace(text)); err == nil {
		return t.UTC(), true
	}
	f, err := strconv.ParseFloat(strings.TrimSpace(text), 64)
	switch {
	case err != nil || math.IsNaN(f) || f < 1e8 || f >= 1e17:
		return time.Time{}, false
	case f < 1e11:
		return time.UnixMicro(int64(math.Round(f * 1e6))).UTC(), true
	case f < 1e14:
		return time.UnixMicro(int64(math.Round(f * 1e3))).UTC(), true
	}
	return time.UnixMicro(int64(f)).UTC(), true
}

// How far a sensor's own time may be from the time of arrival. The past is wide: a sensor may
// have kept its readings over an outage. The future is not: its clock is wrong.
const (
	maxFuture = time.Minute
	maxPast   = 30 * 24 * time.Hour
)

func plausible(at, received time.Time) bool {
	return at.Before(received.Add(maxFuture)) && at.After(received.Add(-maxPast))
}
