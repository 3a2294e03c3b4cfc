package demo

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"

	"go.yaml.in/yaml/v3"

	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/streams/simcam"
	"gridpost/streams/simcam/footage"
)

// site is what differs from one run's document to the next.
type site struct {
	Hub     string // URL
	Broker  string // host:port
	Secret  string // password of the sensors
	Cameras []camera
	Sensors []sensor
}

// camera is one camera of the document.
type camera struct {
	Name  string `yaml:"name"`
	URL   string `yaml:"url"`
	Place place  `yaml:"place"`
	Rules []rule `yaml:"rules"`
}

// place is where a device stands, as the document has it: what a sensor does not have is not
// written.
type place struct {
	Lat     float64 `yaml:"lat"`
	Lon     float64 `yaml:"lon"`
	Heading float64 `yaml:"heading,omitempty"`
	FOV     float64 `yaml:"fov,omitempty"`
	Range   float64 `yaml:"range,omitempty"`
	Height  float64 `yaml:"height,omitempty"`
}

// rule is one rule of the document, in its words.
type rule map[string]any

// standpoint is where one of the cameras stands. They surround a small square, so that an
// incident anywhere on it is seen by more than one.
type standpoint struct {
	name    string
	lat     float64
	lon     float64
	heading float64
}

// standpoints returns the cameras' names and places.
func standpoints() []standpoint {
	return []standpoint{
		{"market", 30.92010, 120.93020, 45},
		{"bridge", 30.92055, 120.93075, 225},
		{"school", 30.92060, 120.93015, 135},
		{"station", 30.91995, 120.93090, 315},
	}
}

func (at standpoint) place() place {
	return place{Lat: at.lat, Lon: at.lon, Heading: at.heading, FOV: 100, Range: 120, Height: 4}
}

// pictureRules returns what camera i watches for in the pedestrians' footage: a lawn in front
// that nobody should walk on, a road that comes in at the upper right, and the walkway, where
// somebody who stays is worth a look and the many who pass are not.
func pictureRules(i int) []rule {
	lawn := rule{
		"name": "lawn", "kind": "zone", "severity": "moderate", "min_size": 0.004, "for": "1s", "clear": "5s",
		"polygon": [][2]float64{{0, 0.48}, {0.3, 0.5}, {0.55, 0.66}, {0.92, 0.97}, {0, 0.97}},
	}
	road := rule{
		"name": "road", "kind": "line", "severity": "minor", "direction": "any",
		"line": [][2]float64{{0.72, 0.42}, {0.99, 0.42}},
	}
	staying := rule{
		"name": "staying", "kind": "zone", "severity": "minor", "min_size": 0.003, "for": "8s", "clear": "5s",
		"polygon": [][2]float64{{0.05, 0.33}, {0.7, 0.33}, {0.7, 0.6}, {0.05, 0.45}},
	}
	return [][]rule{{lawn}, {road}, {lawn, road}, {staying}}[i%4]
}

// devices starts the simulated cameras and sensors and returns the site that they make up.
// They run until stop.
func (s *show) devices(ctx context.Context, fail func(error)) (_ site, stop func(), err error) {
	st := site{Secret: s.keys.Sensors, Sensors: sensors()}
	if st.Broker, err = freePort(ctx); err != nil {
		return st, nil, err
	}
	running, cancel := context.WithCancel(context.WithoutCancel(ctx))
	var ended []chan struct{}
	run := func(what string, f func(context.Context) error) {
		done := make(chan struct{})
		ended = append(ended, done)
		go func() {
			defer close(done)
			if err := f(running); err != nil && running.Err() == nil {
				fail(fmt.Errorf("%s: %w", what, err))
			}
		}()
	}
	stop = func() {
		cancel()
		for _, done := range ended {
			<-done
		}
	}
	if st.Cameras, err = s.cameras(ctx, run); err != nil {
		stop()
		return st, nil, err
	}
	for _, sn := range st.Sensors {
		p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: st.Broker}, ClientID: "sensor-" + sn.Name, Username: sensorUser, Password: st.Secret})
		if err != nil {
			stop()
			return st, nil, fmt.Errorf("making the sensor %s: %w", sn.Name, err)
		}
		run("simulating the sensor "+sn.Name, func(ctx context.Context) error { return sn.run(ctx, p) })
	}
	return st, stop, nil
}

// cameras returns the site's cameras: those that were named, or simulated ones, which run.
func (s *show) cameras(ctx context.Context, run func(string, func(context.Context) error)) ([]camera, error) {
	var all []camera
	if len(s.Cameras) > 0 {
		// Nobody knows what these see: a lower half with something in it is all that can be asked for.
		anywhere := rule{
			"name": "movement", "kind": "zone", "severity": "minor", "min_size": 0.01, "for": "2s", "clear": "10s",
			"polygon": [][2]float64{{0, 0.4}, {1, 0.4}, {1, 1}, {0, 1}},
		}
		for i, url := range s.Cameras {
			at := standpoints()[i%len(standpoints())]
			at.lat += 0.002 * float64(i/len(standpoints()))
			at.name = fmt.Sprintf("camera-%d", i+1)
			all = append(all, camera{Name: at.name, URL: escape(url), Place: at.place(), Rules: []rule{anywhere}})
		}
		return all, nil
	}
	file, err := s.recording(ctx)
	if err != nil {
		return nil, err
	}
	played := make([]simcam.Camera, 0, len(standpoints()))
	for i, at := range standpoints() {
		played = append(played, simcam.Camera{Path: at.name, File: file, Offset: offset(i)})
	}
	server, err := simcam.NewServer(simcam.Options{Cameras: played, User: cameraUser, Password: s.keys.Cameras, Logger: s.Logger})
	if err != nil {
		return nil, fmt.Errorf("making the simulated cameras: %w", err)
	}
	run("simulating the cameras", server.Run)
	for i, at := range standpoints() {
		all = append(all, camera{Name: at.name, URL: escape(server.URL(at.name)), Place: at.place(), Rules: pictureRules(i)})
	}
	return all, nil
}

// recording returns the footage that the cameras play.
func (s *show) recording(ctx context.Context) (string, error) {
	video := s.Video
	if video == "" {
		video = footage.Pedestrians
	}
	file, err := footage.Cached(ctx, video, s.Footage, footage.Format{}, func() {
		s.say("Converting %s to H.264, once", video)
	})
	if errors.Is(err, os.ErrNotExist) && s.Video == "" {
		return "", fmt.Errorf("%w; it comes with Debian's package opencv-doc, which `make deps` installs", err)
	}
	return file, err
}

// write writes the site's document and returns its path.
func (s *show) write(st site) (string, error) {
	document := map[string]any{
		"edge": edgeName,
		"hub":  map[string]any{"url": st.Hub},
		"mqtt": map[string]any{
			"listen": st.Broker,
			"users":  []map[string]any{{"name": sensorUser, "password": escape(st.Secret), "topics": []string{"sensors/#"}}},
		},
		"cameras": st.Cameras,
		"sensors": st.Sensors,
	}
	text, err := yaml.Marshal(document)
	if err != nil {
		return "", fmt.Errorf("writing the site's document: %w", err)
	}
	path := filepath.Join(s.Data, "site.yml")
	if err := os.WriteFile(path, append([]byte("# Written by `hub demo` at each start.\n"), text...), 0o600); err != nil {
		return "", fmt.Errorf("writing the site's document: %w", err)
	}
	return path, nil
}

// escape keeps ${ from naming a variable of the environment.
func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// freePort returns an address of this machine that nothing listens on at the moment. The edge's
// broker binds it a little later.
func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
