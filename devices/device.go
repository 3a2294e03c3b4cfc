// Package devices has the types of cameras and sensors, of their states, and of what sensors send.
//
// Packages mqtt and broker receive messages of sensors, and decode turns them into readings. The
// package must not import streams, detection, edge or hub.
package devices

import (
	"hash/fnv"
	"time"
)

// Kind is the kind of a device.
type Kind string

// The kinds of devices.
const (
	Camera Kind = "camera"
	Sensor Kind = "sensor"
)

// Place is where a device stands and, for a camera, what it sees.
type Place struct {
	Lat float64 `json:"lat" yaml:"lat"` // degrees north, WGS-84, -90..90
	Lon float64 `json:"lon" yaml:"lon"` // degrees east, WGS-84, -180..180

	Heading float64 `json:"heading,omitempty" yaml:"heading"` // degrees clockwise from true north, 0..360
	FOV     float64 `json:"fov,omitempty" yaml:"fov"`         // horizontal field of view in degrees, 0..360; 0: not a camera, or unknown
	Range   float64 `json:"range,omitempty" yaml:"range"`     // metres within which a person is recognisable as one
	Height  float64 `json:"height,omitempty" yaml:"height"`   // metres above the ground
}

// State is whether a device works.
type State string

// The states of a device. Every state but Online comes with a cause.
const (
	Online  State = "online"
	Offline State = "offline"
	Unknown State = "unknown" // nothing has come from it since the edge or the hub started
)

// Status is a device's state, why, and since when.
type Status struct {
	Device string    `json:"device"`
	State  State     `json:"state"`
	Cause  Cause     `json:"cause"` // why it is not online, or what is wrong with it although it is; may be zero only when online
	Since  time.Time `json:"since"`
}

// Quality says whether a reading's value can be used.
type Quality string

// The qualities of a reading.
const (
	Good Quality = "good"
	Bad  Quality = "bad" // the sensor or the decoder marked the value as not usable
)

// MaxText bounds a reading that is a text, in runes.
const MaxText = 200

// Reading is one value of a sensor.
type Reading struct {
	Device  string    `json:"device"`
	Time    time.Time `json:"time"` // when it was measured; when it arrived, if the sensor does not say
	Value   float64   `json:"value"`
	Unit    string    `json:"unit"` // as configured: m, %, °C, 1
	Quality Quality   `json:"quality"`
	Text    string    `json:"text,omitempty"` // a value that is no number, of at most MaxText runes; then Value is 0

	// Retained says that a broker had stored the message before: the reading is the sensor's state,
	// and how old it is is not known unless the sensor says. It is neither stored nor sent.
	Retained bool `json:"-"`

	// Historical says that the sensor measured it earlier than what it has reported already, and has
	// sent it late: it is stored, but it neither is the sensor's state nor changes it. It is neither
	// stored nor sent.
	Historical bool `json:"-"`
}

// Key returns the number that tells a reading from the others of its device and time: its value, or
// a checksum of its text. Stores have it in the place of the value.
func (r Reading) Key() float64 {
	if r.Text == "" {
		return r.Value
	}
	h := fnv.New64a()
	_, _ = h.Write([]byte(r.Text)) // a hash never fails
	return float64(h.Sum64() >> 11)
}
