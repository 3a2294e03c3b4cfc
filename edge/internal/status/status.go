// Package status shows how the edge is doing on the edge itself: over a socket in the data directory
// for the command line, and over HTTP on the loopback interface for a browser and for Prometheus.
package status

import (
	"time"

	"gridpost/devices"
	"gridpost/edge/internal/discovery"
	"gridpost/hub/api"

	firmwareconfig "gridpost/firmware-config"
	"gridpost/streams"
)

// Status is how an edge is doing.
type Status struct {
	Edge    string    `json:"edge"`
	Version string    `json:"version"`
	Time    time.Time `json:"time"` // by the edge's clock
	Started time.Time `json:"started"`
	PID     int       `json:"pid"`

	Document Document            `json:"document"`
	Hub      Hub                 `json:"hub"`
	Outbox   map[api.Lane]uint64 `json:"outbox"`   // events that wait for the hub, by lane
	Problems []devices.Cause     `json:"problems"` // worst first; empty: none
	Devices  []Device            `json:"devices"`  // by their names
	Counters map[string]uint64   `json:"counters"`

	// Discovered are devices that have announced themselves and are not in the document.
	Discovered []Discovered `json:"discovered,omitempty"`
}

// Discovered is a device that is not in the document, with the entries that would make its values sensors.
type Discovered struct {
	discovery.Device
	Entries []firmwareconfig.SensorEntry `json:"entries"`
}

// Document is what the edge runs.
type Document struct {
	File    string    `json:"file"`
	Applied bool      `json:"applied"` // by `edge apply`; otherwise it is the --config file
	Loaded  time.Time `json:"loaded"`
}

// Hub is the connection to the hub.
type Hub struct {
	URL    string        `json:"url"` // empty: there is no hub
	Online bool          `json:"online"`
	Cause  devices.Cause `json:"cause"` // when not online
}

// Device is a camera or a sensor.
type Device struct {
	Name     string            `json:"name"`
	Kind     devices.Kind      `json:"kind"`
	State    devices.State     `json:"state"`
	Cause    devices.Cause     `json:"cause"` // when not online
	Since    time.Time         `json:"since"`
	Reading  *devices.Reading  `json:"reading,omitempty"` // the last one of a sensor
	Video    *Video            `json:"video,omitempty"`   // of a camera that has been online
	Counters map[string]uint64 `json:"counters,omitempty"`
}

// Video is what a camera sends on its main stream.
type Video struct {
	Codec       streams.Codec   `json:"codec"`
	Width       int             `json:"width"` // pixels
	Height      int             `json:"height"`
	Audio       streams.Codec   `json:"audio,omitempty"`
	LostPercent float64         `json:"lost_percent"`      // share of the last minute's packets that did not arrive, 0..100
	Remarks     []devices.Cause `json:"remarks,omitempty"` // what is left out of what the camera offers, and what outputs cannot carry
}
