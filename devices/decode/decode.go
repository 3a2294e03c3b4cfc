// Package decode turns messages of sensors into readings.
//
// A mapping says for each sensor its format and topic, where in the document the value and its time
// are, and the unit and scale. Payloads are hostile: their size is bounded, what
// does not fit a mapping is counted and logged once, and no reading is NaN, infinite, or from the
// future. The package must import nothing of Gridpost but devices and the packages below it.
package decode

import (
	"log/slog"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/format"
)

// Mapping is how one sensor's messages are read.
type Mapping struct {
	Device string
	Source string // the broker that it is at, as devices.Message names it; empty: any
	Format string // of the format registry; empty: plain
	Topic  string // base topic of the device, as its format returns it
	ValueMapping

	// Availability are further topics that say whether the device is connected. It is offline while one
	// of them says so.
	Availability []string
}

// Options are what a Decoder needs.
type Options struct {
	Mappings []Mapping
	Formats  format.Registry // nil: format.Standard
	Last     *Decoder        // whose knowledge of devices goes on; may be nil
	Logger   *slog.Logger
}

// Decoder is safe for concurrent use.
type Decoder struct {
	routes  routes
	readers map[readerKey]*reader
	sensors map[string]*sensor // by device
	logger  *slog.Logger

	mu    sync.Mutex
	stats Stats
	seen  map[string]*outcomes // by device
}

// outcomes are what became of the last messages of a device.
type outcomes struct {
	refused          bool // the last one; that was logged
	refusal, warning described
}

// described is what was wrong with a message.
type described struct {
	at    time.Time // when it was received
	cause devices.Cause
}

// describeEvery is how often what is wrong with a device is described anew: a storm of such messages must not
// cost more than messages that are understood.
const describeEvery = time.Second

// Stats are the counters of a Decoder.
type Stats struct {
	Readings   uint64 // made
	Refused    uint64 // messages that do not fit the mapping of their sensor
	Unmatched  uint64 // messages of topics that belong to no sensor
	WrongClock uint64 // readings whose own time was not plausible: that of arrival was taken
}

// Decoded is what a message says.
type Decoded struct {
	Readings []devices.Reading // in the order of the message
	States   []State
	Problems []Problem // at most one of a device counts, the last
}

// State is what a device says about itself.
type State struct {
	Device       string
	Availability format.Availability
}

// New returns a Decoder of the mappings. A mapping whose format is not in the registry is read as plain.
func New(o Options) *Decoder {
	d := &Decoder{readers: map[readerKey]*reader{}, sensors: map[string]*sensor{}, logger: o.Logger, seen: map[string]*outcomes{}}
	if d.logger == nil {
		d.logger = slog.New(slog.DiscardHandler)
	}
	if o.Formats == nil {
		o.Formats = format.Standard()
	}
	for _, m := range o.Mappings {
		d.add(m, o)
	}
	return d
}

// Stats returns the counts up to now.
func (d *Decoder) Stats() Stats {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.stats
}

// Decode returns what a message says about each sensor to whose device it belongs. A payload that does
// not fit is no error for the caller: it is counted, and logged once for each sensor until a message
// fits again.
func (d *Decoder) Decode(m devices.Message) Decoded {
	var out Decoded
	matched := false
	d.routes.each(m.Topic, func(to route) {
		matched = true
		to(d, m, &out)
	})
	if !matched {
		d.mu.Lock()
		d.stats.Unmatched++
		d.mu.Unlock()
	}
	return out
}

// count counts what a message says about a device, and adds its problem to out: err, or else warn's.
func (d *Decoder) count(device string, m devices.Message, warn warning, err error, out *Decoded) {
	d.mu.Lock()
	seen := d.seen[device]
	if seen == nil {
		seen = &outcomes{}
		d.seen[device] = seen
	}
	again := seen.refused
	seen.refused = err != nil
	if err != nil {
		d.stats.Refused++
	} else {
		d.stats.Readings++
		if warn.wrongClock {
			d.stats.WrongClock++
		}
	}
	d.mu.Unlock()
	switch {
	case err != nil:
		out.Problems = append(out.Problems, Problem{Device: device, Cause: d.described(&seen.refusal, m, func() devices.Cause { return notUnderstood(m.Payload, err) })})
	case warn.cause != nil:
		out.Problems = append(out.Problems, Problem{Device: device, Cause: d.described(&seen.warning, m, warn.cause)})
	}
	if err != nil && !again {
		d.logger.Warn("a sensor's message does not fit its mapping; further ones are only counted",
			"device", device, "topic", m.Topic, "error", err)
	}
}

// described returns the last cause, or a new one when that is older than describeEvery.
func (d *Decoder) described(last *described, m devices.Message, describe func() devices.Cause) devices.Cause {
	d.mu.Lock()
	defer d.mu.Unlock()
	if last.cause.IsZero() || m.Received.Sub(last.at).Abs() >= describeEvery {
		*last = described{at: m.Received, cause: describe()}
	}
	return last.cause
}
