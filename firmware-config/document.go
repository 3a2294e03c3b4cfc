// Package firmwareconfig reads the document that configures an edge: its hub, its cameras, its
// sensors and their rules.
//
// A document is accepted as a whole or refused as a whole; every problem names file, line, key and
// what was expected. Each value is parsed once, by the function of the package that works with it,
// and the Document carries the result: an address, a path or the terms of a rule that was accepted
// cannot be refused when the edge runs.
//
// The package imports the types of devices and detection and their parsers, no package that talks
// to a device, and neither edge nor hub.
package firmwareconfig

import (
	"time"

	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/decode"
)

// Document is one edge's configuration.
type Document struct {
	Edge      string    `yaml:"edge"` // [a-z0-9-]{1,40}
	Hub       Hub       `yaml:"hub"`
	MQTT      MQTT      `yaml:"mqtt"`
	Detection Detection `yaml:"detection"`
	Cameras   []Camera  `yaml:"cameras"`
	Sensors   []Sensor  `yaml:"sensors"`
}

// Hub is where incidents are sent. Without a URL the edge works alone.
type Hub struct {
	URL string `yaml:"url"` // https://host[:port] of the hub's edge port, as address.ParseHub returns it
}

// MQTT is how messages of sensors arrive.
type MQTT struct {
	Listen  string     `yaml:"listen"` // address of the embedded broker; empty: none
	Users   []MQTTUser `yaml:"users"`  // who may publish to the embedded broker; nobody else may connect
	Brokers []Broker   `yaml:"brokers"`
}

// MQTTUser may publish to the topics named.
type MQTTUser struct {
	Name     string   `yaml:"name"`
	Password string   `yaml:"password"`
	Topics   []string `yaml:"topics"` // MQTT topic filters
}

// Broker is another broker of the site.
type Broker struct {
	URL      address.Broker `yaml:"url"` // mqtt://, mqtts://
	Username string         `yaml:"username"`
	Password string         `yaml:"password"`
	CA       string         `yaml:"ca"` // path of a PEM file; empty: the system's authorities
}

// Detection is how objects are detected in frames.
type Detection struct {
	Model  string  `yaml:"model"`  // path of an ONNX file; empty: motion detection
	Labels string  `yaml:"labels"` // path of a file with one label a line
	Rate   float64 `yaml:"rate"`   // frames analysed a second and camera, 1..30; 10 unless set
	Memory float64 `yaml:"memory"` // MiB that the worker of a camera may use, 256..4096; 1024 unless set
}

// Camera is one RTSP camera.
type Camera struct {
	Name      string         `yaml:"name"`      // [a-z0-9-]{1,40}, unique among devices
	URL       address.Stream `yaml:"url"`       // rtsp:// or rtsps://
	Detect    address.Stream `yaml:"detect"`    // sub-stream for detection; zero: URL
	Transport string         `yaml:"transport"` // auto (TCP first, UDP if the camera refuses it), tcp or udp; auto unless set
	Place     *devices.Place `yaml:"place"`
	Rules     []rules.Spec   `yaml:"rules"`
}

// Sensor is one value in the messages of a topic.
type Sensor struct {
	Name  string         `yaml:"name"`
	Topic string         `yaml:"topic"` // MQTT topic filter
	Value decode.Path    `yaml:"value"` // zero: the payload itself is the value
	Time  decode.Path    `yaml:"time"`  // of the time of measurement; zero: the time of arrival
	Unit  string         `yaml:"unit"`
	Scale float64        `yaml:"scale"` // factor from payload to Unit; 1 unless set
	Every time.Duration  `yaml:"every"` // how often it sends a reading; offline after three times that; 0: not known
	Place *devices.Place `yaml:"place"`
	Rules []rules.Spec   `yaml:"rules"`
}
