// Package firmwareconfig holds the document that says what an edge is to do: its hub, its
// cameras, its sensors and their rules.
//
// A document is accepted whole or refused whole; every complaint names file, line, key and
// what was expected. It imports the words of devices and detection, never their adapters, and neither edge nor hub:
// whoever runs the document turns it into its own parts.
package firmwareconfig

import (
	"time"

	"gridpost/detection/rules"
	"gridpost/devices"
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

// Hub is where incidents go. An empty URL is an edge that stands alone.
type Hub struct {
	URL string `yaml:"url"` // https://host:port of the hub's edge port
}

// MQTT is where sensors are heard.
type MQTT struct {
	Listen  string     `yaml:"listen"` // address of the embedded broker; empty: none
	Users   []MQTTUser `yaml:"users"`  // who may use the embedded broker; nobody else gets in
	Brokers []Broker   `yaml:"brokers"`
}

// MQTTUser may publish to the topics named.
type MQTTUser struct {
	Name     string   `yaml:"name"`
	Password string   `yaml:"password"`
	Topics   []string `yaml:"topics"` // MQTT topic filters
}

// Broker is a broker elsewhere on the site.
type Broker struct {
	URL      string `yaml:"url"` // mqtt://, mqtts://
	Username string `yaml:"username"`
	Password string `yaml:"password"`
	CA       string `yaml:"ca"` // path of a PEM file; empty: the system's authorities
}

// Detection is how pictures are looked at.
type Detection struct {
	Model  string  `yaml:"model"`  // path of an ONNX file; empty: motion and size
	Labels string  `yaml:"labels"` // path of a file with one label a line
	Rate   float64 `yaml:"rate"`   // frames analysed a second and camera, 1..30; 10 unless set
}

// Camera is one RTSP camera.
type Camera struct {
	Name      string         `yaml:"name"`      // [a-z0-9-]{1,40}, unique among devices
	URL       string         `yaml:"url"`       // rtsp:// or rtsps://
	Detect    string         `yaml:"detect"`    // sub-stream for detection; empty: URL
	Transport string         `yaml:"transport"` // auto (UDP, then TCP), tcp or udp; auto unless set
	Place     *devices.Place `yaml:"place"`
	Rules     []rules.Spec   `yaml:"rules"`
}

// Sensor is one topic's value.
type Sensor struct {
	Name  string         `yaml:"name"`
	Topic string         `yaml:"topic"` // MQTT topic filter
	Value string         `yaml:"value"` // JSON path; empty: the payload itself is the value
	Time  string         `yaml:"time"`  // JSON path of the time of measurement; empty: on arrival
	Unit  string         `yaml:"unit"`
	Scale float64        `yaml:"scale"` // factor from payload to Unit; 1 unless set
	Every time.Duration  `yaml:"every"` // how often it speaks; offline after three times that
	Place *devices.Place `yaml:"place"`
	Rules []rules.Spec   `yaml:"rules"`
}
