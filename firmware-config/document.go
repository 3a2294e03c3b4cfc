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
	Edge string `yaml:"edge"` // [a-z0-9-]{1,40}
	Hub  Hub    `yaml:"hub"`

	Title devices.Title `yaml:"title"` // of the site

	TimeZone  string     `yaml:"time_zone"` // of the IANA database; of the schedules
	Schedules []Schedule `yaml:"schedules"`

	MQTT      MQTT      `yaml:"mqtt"`
	Detection Detection `yaml:"detection"`
	Clips     Clips     `yaml:"clips"`
	Cameras   []Camera  `yaml:"cameras"`
	Sensors   []Sensor  `yaml:"sensors"`

	Templates []Template `yaml:"-"` // of the sensors: those whose topic has placeholders
}

// Hub is where incidents are sent. Without a URL the edge works alone.
type Hub struct {
	URL string `yaml:"url"` // https://host[:port] of the hub's edge port, as address.ParseHub returns it

	// Upload is what live video may use of the line to the hub, in Mbit/s, 0.1..10000; 0: what the line carries.
	Upload float64 `yaml:"upload"`
}

// Detection is how objects are detected in frames.
type Detection struct {
	Model  string  `yaml:"model"`  // path of an ONNX file; empty: motion detection
	Labels string  `yaml:"labels"` // path of a file with one label a line
	Rate   float64 `yaml:"rate"`   // frames analysed a second and camera, 1..30; 10 unless set
	Memory float64 `yaml:"memory"` // MiB that the worker of a camera, and the process with the model, may each use, 256..4096; 1024 unless set

	Budget  float64 `yaml:"budget"`  // inferences of the model a second over all cameras, 1..10000; 0: by the model's measured speed
	Threads int     `yaml:"threads"` // that run the model, 1..64; 0: one
}

// Clips says what is recorded around the opening of an incident of a camera, and how long the edge keeps it.
type Clips struct {
	Before  time.Duration `yaml:"before"`  // the opening, 1s..30s; 10s unless set
	After   time.Duration `yaml:"after"`   // the opening, 1s..10m; 20s unless set
	Longest time.Duration `yaml:"longest"` // after the opening, while the incident goes on, 1s..10m; 1m unless set, or After if that is more
	Keep    time.Duration `yaml:"keep"`    // on the edge once the hub has it, 1h..720h; 168h unless set
	Size    float64       `yaml:"size"`    // GiB that all clips may take on the edge, 0.1..1000; 2 unless set
}

// What a camera records.
const (
	RecordClips   = "clips" // of its incidents
	RecordNothing = "nothing"
)

// Camera is one RTSP camera.
type Camera struct {
	Name      string         `yaml:"name"`      // [a-z0-9-]{1,40}, unique among devices
	URL       address.Stream `yaml:"url"`       // rtsp:// or rtsps://
	Detect    address.Stream `yaml:"detect"`    // sub-stream for detection; zero: URL
	Transport string         `yaml:"transport"` // auto (TCP first, UDP if the camera refuses it), tcp or udp; auto unless set
	Place     *devices.Place `yaml:"place"`
	Rules     []rules.Spec   `yaml:"rules"`
	Title     devices.Title  `yaml:"title"`
	Record    string         `yaml:"record"` // RecordClips or RecordNothing; RecordClips unless set

	Clips Clips `yaml:"-"` // the document's, if the camera records clips; else zero

	Fingerprint string `yaml:"fingerprint"` // of the camera's certificate, see address.ParseFingerprint; empty: it must be trusted by the system
}

// Sensor is one value in the messages of a topic.
type Sensor struct {
	Name string `yaml:"name"`

	Title devices.Title `yaml:"title"`
	Class devices.Class `yaml:"class"` // of the values 1 and 0

	Format       string   `yaml:"format"`       // of format.Standard; empty: plain
	Topic        string   `yaml:"topic"`        // base topic of the device, as its format returns it
	Broker       string   `yaml:"broker"`       // Broker.Source of the broker that it is at, or EmbeddedBroker; empty: any
	Availability []string `yaml:"availability"` // further topics that say online or offline

	decode.ValueMapping // how its values and their times are made

	Every time.Duration  `yaml:"every"` // how often it sends a reading; offline after three times that; 0: not known
	Place *devices.Place `yaml:"place"`
	Rules []rules.Spec   `yaml:"rules"`
}
