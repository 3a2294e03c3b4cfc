package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"go.yaml.in/yaml/v3"

	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/streams/simcam"
)

// Map is a part of a site's document, by its keys.
type Map map[string]any

// How simulated sensors log in. The password must not appear in any log.
const (
	SensorUser     = "sensors"
	SensorPassword = "not-a-secret-7c41"
)

// Site is an edge with simulated cameras, and a broker that simulated sensors speak to.
type Site struct {
	Name     string
	Dir      string // of its data, document and log
	Cameras  *simcam.Server
	Program  string   // of the edge; empty: the one of Programs
	Env      []string // added to the edge's environment, each as KEY=value
	document Map
	broker   string // host:port
	programs Programs
	process  *Process
}

// SiteOptions say what a site has.
type SiteOptions struct {
	Name    string
	Dir     string
	Footage string           // MPEG-TS that the cameras play; needed if there are cameras
	Host    string           // IP address of this machine where the cameras are served; 127.0.0.1 if empty
	Cameras map[string][]Map // rules by name of the camera

	CameraURLs map[string]string // further cameras without rules, which the caller serves, by name

	Sensors   map[string][]Map // rules by name of the sensor, which is what its topic ends with
	Places    map[string]Map   // of devices by name; the others stand at the square
	Detection Map              // section of the document
	Edit      func(Map)        // changes the document before it is written; nil: it stays
	HubURL    string           // where the edge connects to the hub; empty: the hub's own address
	Broker    string           // URL of a broker outside of the edge; empty: the embedded broker
	Time      string           // JSON path of the time in the sensors' messages; empty: time of arrival
	Env       []string         // added to the edge's environment, each as KEY=value
}

// NewSite enrols an edge at the hub and writes its document. Start starts it. The caller runs
// Cameras, if there are any.
func NewSite(ctx context.Context, hub *Hub, o SiteOptions) (*Site, error) {
	s := &Site{Name: o.Name, Dir: o.Dir, Env: o.Env, programs: hub.Programs}
	var err error
	if s.broker, err = FreeAddress(loopback); err != nil {
		return nil, err
	}
	hubURL := hub.EdgeURL()
	if o.HubURL != "" {
		hubURL = o.HubURL
	}
	s.document = Map{
		"edge": o.Name, "hub": Map{"url": hubURL},
		"mqtt": Map{"listen": s.broker, "users": []Map{{"name": SensorUser, "password": SensorPassword, "topics": []string{"sensors/#"}}}},
	}
	if o.Broker != "" {
		s.document["mqtt"] = Map{"brokers": []Map{{"url": o.Broker, "username": SensorUser, "password": SensorPassword}}}
	}
	if o.Detection != nil {
		s.document["detection"] = o.Detection
	}
	if err := s.devices(o); err != nil {
		return nil, err
	}
	if o.Edit != nil {
		o.Edit(s.document)
	}
	if err := hub.Enrol(ctx, o.Name, s.data()); err != nil {
		return nil, errors.Join(err, s.closeCameras())
	}
	return s, s.write()
}

func (s *Site) devices(o SiteOptions) (err error) {
	var cameras, sensors []Map
	if len(o.Cameras) > 0 {
		var played []simcam.Camera
		for name := range o.Cameras {
			played = append(played, simcam.Camera{Path: name, File: o.Footage})
		}
		listen := net.JoinHostPort(cmp.Or(o.Host, loopback), "0")
		if s.Cameras, err = simcam.NewServer(simcam.Options{Listen: listen, Cameras: played}); err != nil {
			return fmt.Errorf("making the cameras: %w", err)
		}
	}
	for name, rules := range o.Cameras {
		at := o.place(name, Map{"lat": 30.9201, "lon": 120.9302, "heading": 45, "fov": 90, "range": 60})
		cameras = append(cameras, Map{"name": name, "url": s.Cameras.URL(name), "place": at, "rules": rules})
	}
	for name, url := range o.CameraURLs {
		cameras = append(cameras, Map{"name": name, "url": url, "place": o.place(name, Map{"lat": 30.9201, "lon": 120.9302})})
	}
	for name, rules := range o.Sensors {
		at := o.place(name, Map{"lat": 30.9203, "lon": 120.9304})
		sensor := Map{"name": name, "topic": "sensors/" + name, "value": "$.value", "unit": "m", "place": at, "rules": rules}
		if o.Time != "" {
			sensor["time"] = o.Time
		}
		sensors = append(sensors, sensor)
	}
	s.document["cameras"], s.document["sensors"] = cameras, sensors
	return nil
}

func (o SiteOptions) place(name string, square Map) Map {
	if at, ok := o.Places[name]; ok {
		return at
	}
	return square
}

// Clone returns an edge whose document and identity are those of s, with its data in dir, to which
// the caller has copied them, and with a broker of its own. The cameras stay with s.
func (s *Site) Clone(dir string) (*Site, error) {
	listen, err := FreeAddress(loopback)
	if err != nil {
		return nil, err
	}
	twin := &Site{Name: s.Name, Dir: dir, programs: s.programs, broker: listen, document: maps.Clone(s.document)}
	broker := maps.Clone(s.document["mqtt"].(Map))
	broker["listen"] = listen
	twin.document["mqtt"] = broker
	return twin, twin.write()
}

func (s *Site) data() string { return filepath.Join(s.Dir, s.Name) }
func (s *Site) file() string { return filepath.Join(s.Dir, s.Name+".yml") }

// Identity returns the folder of the edge's key and certificate.
func (s *Site) Identity() string { return filepath.Join(s.data(), "identity") }

// Data returns the edge's data folder.
func (s *Site) Data() string { return s.data() }

func (s *Site) write() error {
	text, err := yaml.Marshal(s.document)
	if err != nil {
		return fmt.Errorf("writing the site's document: %w", err)
	}
	if err := os.WriteFile(s.file(), text, 0o600); err != nil {
		return fmt.Errorf("writing the site's document: %w", err)
	}
	return nil
}

// Edit changes the document. A running edge uses the new document after Reload.
func (s *Site) Edit(change func(document Map)) error {
	change(s.document)
	return s.write()
}

// Reload sends SIGHUP to the edge, which reads its document again.
func (s *Site) Reload() error { return s.process.Signal(syscall.SIGHUP) }

// Apply has the running edge use the document as it is now, as an operator does by `edge apply`, and
// returns what the command printed.
func (s *Site) Apply(ctx context.Context) (string, error) {
	out, err := exec.CommandContext(ctx, s.program(), "apply", s.file(), "--data", s.data()).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("applying the site's document: %w: %s", err, out)
	}
	return string(out), nil
}

// Status returns what `edge status` prints: JSON.
func (s *Site) Status(ctx context.Context) ([]byte, error) {
	out, err := exec.CommandContext(ctx, s.program(), "status", "--data", s.data()).Output()
	if err != nil {
		return nil, fmt.Errorf("asking the edge for its status: %w: %s", err, out)
	}
	return out, nil
}

func (s *Site) program() string {
	if s.Program != "" {
		return s.Program
	}
	return s.programs.Path("edge")
}

// Start starts the edge. It may be called again after Stop or Kill.
func (s *Site) Start() (err error) {
	s.process, err = StartWith(filepath.Join(s.Dir, s.Name+".log"), s.Env, s.program(), "run", "--config", s.file(), "--data", s.data(), "--status", "127.0.0.1:0")
	return err
}

// Process returns the edge's process.
func (s *Site) Process() *Process { return s.process }

// Document returns the path of the edge's configuration document.
func (s *Site) Document() string { return s.file() }

// BrokerAddress returns host:port of the embedded broker.
func (s *Site) BrokerAddress() string { return s.broker }

// PID returns the number of the edge's process.
func (s *Site) PID() int { return s.process.PID() }

// Stop ends the edge as an operator does.
func (s *Site) Stop() error { return s.process.Stop() }

// Kill ends the edge as a power cut does.
func (s *Site) Kill() { s.process.Kill() }

// Tail returns the end of the edge's log.
func (s *Site) Tail() string { return s.process.Tail() }

func (s *Site) closeCameras() error {
	if s.Cameras == nil {
		return nil
	}
	return s.Cameras.Close()
}

// Sensor is a simulated sensor of the site.
type Sensor struct {
	topic     string
	publisher *mqtt.Publisher
}

// Sensor returns the sensor called name. The caller closes it.
func (s *Site) Sensor(name string) (*Sensor, error) { return NewSensor(s.broker, name) }

// NewSensor returns a simulated sensor that publishes to the broker at host:port.
func NewSensor(broker, name string) (*Sensor, error) {
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: broker}, ClientID: "rig-" + name, Username: SensorUser, Password: SensorPassword})
	if err != nil {
		return nil, fmt.Errorf("making the sensor %s: %w", name, err)
	}
	return &Sensor{topic: "sensors/" + name, publisher: p}, nil
}

// Publish sends a reading and returns when the edge has it on its disk.
func (s *Sensor) Publish(ctx context.Context, value float64) error {
	return s.publisher.Publish(ctx, s.topic, fmt.Appendf(nil, `{"value":%g}`, value), false)
}

// PublishText sends a message as it is and returns when the broker has acknowledged it.
func (s *Sensor) PublishText(ctx context.Context, payload string) error {
	return s.publisher.Publish(ctx, s.topic, []byte(payload), false)
}

// Close ends the sensor's connection.
func (s *Sensor) Close() { s.publisher.Close() }
