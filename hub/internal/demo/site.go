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

// site holds the values of the document that differ between runs.
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

// place is the position of a device, as in the document. Heading and the like are only for cameras.
type place struct {
	Lat     float64 `yaml:"lat"`
	Lon     float64 `yaml:"lon"`
	Heading float64 `yaml:"heading,omitempty"`
	FOV     float64 `yaml:"fov,omitempty"`
	Range   float64 `yaml:"range,omitempty"`
	Height  float64 `yaml:"height,omitempty"`
}

// rule is a rule of the document, by its keys.
type rule map[string]any

// cameraPosition is the position of a camera. The cameras stand around a small square, so that more
// than one sees an incident anywhere on the square.
type cameraPosition struct {
	name    string
	lat     float64
	lon     float64
	heading float64
}

// cameraPositions returns the names and positions of the cameras.
func cameraPositions() []cameraPosition {
	return []cameraPosition{
		{"market", 30.92010, 120.93020, 45},
		{"bridge", 30.92055, 120.93075, 225},
		{"school", 30.92060, 120.93015, 135},
		{"station", 30.91995, 120.93090, 315},
	}
}

func (at cameraPosition) place() place {
	return place{Lat: at.lat, Lon: at.lon, Heading: at.heading, FOV: 100, Range: 120, Height: 4}
}

// cameraRules returns the rules of camera i for the footage of pedestrians: a zone on the lawn in front,
// a line across the road at the upper right, and a zone on the walkway that reports only people who
// stay.
func cameraRules(i int) []rule {
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

// startDevices starts the simulated cameras and sensors and returns their site. They run until stop is
// called.
func (s *demonstration) startDevices(ctx context.Context, fail func(error)) (_ site, stop func(), err error) {
	st := site{Secret: s.secrets.Sensors, Sensors: sensors()}
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
			return st, nil, fmt.Errorf("creating the sensor %s: %w", sn.Name, err)
		}
		run("simulating the sensor "+sn.Name, func(ctx context.Context) error { return sn.run(ctx, p) })
	}
	return st, stop, nil
}

// cameras returns the cameras of the site: those of Options.Cameras or, if there are none, simulated
// ones, which it starts.
func (s *demonstration) cameras(ctx context.Context, run func(string, func(context.Context) error)) ([]camera, error) {
	var all []camera
	if len(s.Cameras) > 0 {
		// The scenes of these cameras are not known: one rule reports any movement in the lower part of the frame.
		anywhere := rule{
			"name": "movement", "kind": "zone", "severity": "minor", "min_size": 0.01, "for": "2s", "clear": "10s",
			"polygon": [][2]float64{{0, 0.4}, {1, 0.4}, {1, 1}, {0, 1}},
		}
		for i, url := range s.Cameras {
			at := cameraPositions()[i%len(cameraPositions())]
			at.lat += 0.002 * float64(i/len(cameraPositions()))
			at.name = fmt.Sprintf("camera-%d", i+1)
			all = append(all, camera{Name: at.name, URL: escape(url), Place: at.place(), Rules: []rule{anywhere}})
		}
		return all, nil
	}
	file, err := s.footageFile(ctx)
	if err != nil {
		return nil, err
	}
	played := make([]simcam.Camera, 0, len(cameraPositions()))
	for i, at := range cameraPositions() {
		played = append(played, simcam.Camera{Path: at.name, File: file, Offset: offset(i)})
	}
	server, err := simcam.NewServer(simcam.Options{Cameras: played, User: cameraUser, Password: s.secrets.Cameras, Logger: s.Logger})
	if err != nil {
		return nil, fmt.Errorf("creating the simulated cameras: %w", err)
	}
	run("simulating the cameras", server.Run)
	for i, at := range cameraPositions() {
		all = append(all, camera{Name: at.name, URL: escape(server.URL(at.name)), Place: at.place(), Rules: cameraRules(i)})
	}
	return all, nil
}

// footageFile returns the path of the video that the cameras play. It converts the video at the first
// start.
func (s *demonstration) footageFile(ctx context.Context) (string, error) {
	video := s.Video
	if video == "" {
		video = footage.Pedestrians
	}
	file, err := footage.Cached(ctx, video, s.Footage, footage.Format{}, func() {
		s.printf("Converting %s to H.264 (only at the first start)", video)
	})
	if errors.Is(err, os.ErrNotExist) && s.Video == "" {
		return "", fmt.Errorf("%w; Debian's package opencv-doc contains it, and `make deps` installs that", err)
	}
	return file, err
}

// writeDocument writes the site's document and returns its path.
func (s *demonstration) writeDocument(st site) (string, error) {
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

// escape escapes ${, which begins a reference to an environment variable in the document.
func escape(s string) string { return strings.ReplaceAll(s, "${", "$${") }

// freePort returns a loopback address that is not in use at the moment. The edge's broker will listen
// on it.
func freePort(ctx context.Context) (string, error) {
	var lc net.ListenConfig
	l, err := lc.Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("looking for a free port: %w", err)
	}
	return l.Addr().String(), l.Close()
}
