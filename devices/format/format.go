// Package format knows how kinds of sensors speak MQTT: on which topics a device publishes, how a
// message becomes values, what says that the device is offline, and how devices announce themselves.
//
// A format is one file and one line in Standard. Formats do no I/O and start no goroutine; what their
// readers remember of a device is bounded, because payloads are hostile. The package must import
// nothing of Gridpost but devices and devices/payload.
package format

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"gridpost/devices"
)

// Format is one way in which sensors speak MQTT. Its functions may be called concurrently.
type Format struct {
	Name string // in the document

	// Base returns the base topic of a device from what the document says, in which a level may be +
	// (see Template). Its error says what was expected.
	Base func(topic string) (string, error)

	// Filters returns the topic filters of the messages that a device with this base topic publishes.
	Filters func(base string) []string

	// Owner returns the topic by which devices share one reader; nil: each has its own.
	Owner func(base string) string

	// Of returns the base topic of the device to whose values a message belongs, or "" when the topic
	// carries no values.
	Of func(topic string) string

	// New returns a reader for one device, or for all of one owner. A format that only announces devices
	// of other formats has none.
	New func(base string) Reader

	// Announced are the topic filters of the messages by which devices announce themselves, and
	// NewDiscoverer returns a reader for them. A format whose devices do not has neither.
	Announced     []string
	NewDiscoverer func() Discoverer
}

// Reader reads the messages of one device. It remembers what later messages need, and is not safe for
// concurrent use. A message may come twice.
type Reader interface {
	// Read returns what a message says, in the order of its parts; nothing when it says nothing of the
	// device's values or availability. Its error says why the message is not understood.
	Read(m devices.Message) ([]Report, error)
}

// Report is what one message says about a device.
type Report struct {
	Base string // of the device, among those that share a reader; empty: all of them

	// Refused says why the device's message is not understood; nil: it is. Nothing else but Base is set then.
	Refused error

	// Document is a tree of map[string]any, []any, json.Number, string, bool and nil, as payload.Parse
	// returns it, to which the paths of a sensor apply. HasValues says whether there is one.
	Document  any
	HasValues bool

	// Partial says that the document has only some of the device's values: one that is not in it has
	// not changed, and is no error.
	Partial bool

	// Absent says why the document lacks values that it should have; nil: it has all.
	Absent error

	Time         time.Time // the device's own; zero: it says none
	Availability Availability
	Historical   bool          // measured earlier than what has been reported already: it must not replace the present state
	Bad          bool          // the device says that its values cannot be used
	Cause        devices.Cause // what is wrong with the device although it reports; zero: nothing
}

// Availability is what a device, or its broker by a will, says about its connection.
type Availability string

// Availabilities. The zero value says nothing.
const (
	Online  Availability = "online"
	Offline Availability = "offline"
)

// Discoverer collects what devices announce. It is bounded, and not safe for concurrent use.
type Discoverer interface {
	// Discover returns the devices that a message announces or withdraws. Its error says why the
	// message is not understood.
	Discover(m devices.Message) ([]Discovered, error)
}

// Discovered is a device that has announced itself.
type Discovered struct {
	Format  string       `json:"format"`
	ID      string       `json:"id"`              // unique in the format, and the same when the device is renamed: a MAC or IEEE address, an EUI
	Name    string       `json:"name"`            // as its owner calls it
	Model   string       `json:"model,omitempty"` // maker and model
	Sensors []Suggestion `json:"sensors"`
	Removed bool         `json:"-"` // it has been withdrawn
}

// Suggestion is a sensor of a discovered device, as the document would have it.
type Suggestion struct {
	Name         string             `json:"name"` // of the value: temperature, contact
	Format       string             `json:"format,omitempty"`
	Topic        string             `json:"topic"`
	Value        string             `json:"value,omitempty"` // JSON path
	Unit         string             `json:"unit,omitempty"`
	Map          map[string]float64 `json:"map,omitempty"`          // words to numbers
	Availability []string           `json:"availability,omitempty"` // topics that say online or offline
	Needs        string             `json:"needs,omitempty"`        // what a person must complete; empty: nothing
}

// needsWords says what a person must add for a value that is a word.
const needsWords = "it is a word: give its words numbers with map, or write type: text"

// maxSuggestions bounds the sensors of one discovered device.
const maxSuggestions = 64

// Plain is the name of the format of sensors that name none.
const Plain = "plain"

// Registry is a set of formats.
type Registry []Format

// Standard returns the formats of an edge.
func Standard() Registry {
	return Registry{
		plain(),
		tasmota(),
		zigbee2mqtt(),
		esphome(),
		shellyGen1(),
		shellyGen2(),
		chirpstack(),
		thingsStack(),
		sparkplug(),
		homeAssistant(),
	}
}

// Find returns the format of a name. The empty name is that of plain.
func (r Registry) Find(name string) (Format, bool) {
	if name == "" {
		name = Plain
	}
	i := slices.IndexFunc(r, func(f Format) bool { return f.Name == name })
	if i < 0 {
		return Format{}, false
	}
	return r[i], true
}

// Names returns the names of the formats that sensors may have.
func (r Registry) Names() []string {
	var names []string
	for _, f := range r {
		if f.New != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// Announcing returns the names of the formats whose devices announce themselves.
func (r Registry) Announcing() []string {
	var names []string
	for _, f := range r {
		if f.NewDiscoverer != nil {
			names = append(names, f.Name)
		}
	}
	return names
}

// values returns the report of a document with all values of a device.
func values(document any) []Report { return []Report{{Document: document, HasValues: true}} }

// available returns the report of a message that says only whether the device is connected.
func available(a Availability) []Report { return []Report{{Availability: a}} }

// levels splits a topic, of which it must have want levels. The error describes the topic by example.
func levels(topic string, want int, example string) ([]string, error) {
	all := strings.Split(topic, "/")
	if len(all) != want || slices.Contains(all, "") || slices.Contains(all, "#") {
		return nil, expected(example)
	}
	return all, nil
}

// baseTopic checks a base topic of any number of levels.
func baseTopic(topic, example string) (string, error) {
	if topic == "" || strings.HasPrefix(topic, "/") || strings.HasSuffix(topic, "/") || strings.Contains(topic, "#") {
		return "", expected(example)
	}
	return topic, nil
}

// expected describes a topic by example.
func expected(example string) error { return fmt.Errorf("expected a topic such as %s", example) }

var errNotText = errors.New("it says neither online nor offline")
