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

// title is what people call a site, a device or a rule.
type title struct {
	En string `yaml:"en"`
	Zh string `yaml:"zh"`
}

// camera is one camera of the document.
type camera struct {
	Name  string `yaml:"name"`
	Title *title `yaml:"title,omitempty"`
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
	title   title
	lat     float64
	lon     float64
	heading float64
	view    footage.View // of the footage, so that the cameras show different places
}

// cameraPositions returns the names, positions and views of the cameras.
func cameraPositions() []cameraPosition {
	return []cameraPosition{
		{
			"market",
			title{"market square", "集市广场"},
			30.92010, 120.93020, 45,
			footage.View{X: 0, Y: 0.27, Width: 0.73, Height: 0.73, Brightness: 0.04, Saturation: 1.3, Warmth: 0.06},
		},
		{
			"bridge",
			title{"bridge road", "大桥路口"},
			30.92055, 120.93075, 225,
			footage.View{X: 0.48, Y: 0.07, Width: 0.52, Height: 0.52, Mirror: true, Saturation: 0.7, Warmth: -0.1},
		},
		{
			"school",
			title{"school gate", "学校门口"},
			30.92060, 120.93015, 135,
			footage.View{X: 0, Y: 0.10, Width: 0.52, Height: 0.52, Brightness: 0.05, Saturation: 1, Warmth: 0.15},
		},
		{
			"station",
			title{"bus station", "汽车站"},
			30.91995, 120.93090, 315,
			footage.View{X: 0.40, Y: 0.32, Width: 0.60, Height: 0.60, Mirror: true, Brightness: -0.18, Saturation: 0.4, Warmth: -0.05},
		},
	}
}

func (at cameraPosition) place() place {
	return place{Lat: at.lat, Lon: at.lon, Heading: at.heading, FOV: 100, Range: 120, Height: 4}
}

// cameraRules returns the rules of camera i for its view of the footage. The footage lasts 80 s and is repeated:
// what clears later than that is one incident that goes on, and not one in each repetition.
func cameraRules(i int) []rule {
	return [][]rule{
		{{
			"name": "lawn", "title": title{"person on the lawn", "有人进入草坪"}, "kind": "zone", "severity": "moderate", "min_size": 0.004, "for": "1s", "clear": "2m",
			"polygon": [][2]float64{{0, 0.30}, {0.3, 0.36}, {0.6, 0.54}, {0.98, 0.72}, {0.98, 0.98}, {0, 0.98}},
		}},
		{{
			"name": "road", "title": title{"road", "道路"}, "kind": "line", "severity": "minor", "direction": "up", "min_size": 0.006,
			"line": [][2]float64{{0.10, 0.45}, {0.50, 0.45}},
		}},
		{{
			"name": "waiting", "title": title{"long stay", "有人久留"}, "kind": "zone", "severity": "minor", "min_size": 0.004, "for": "10s", "clear": "2m",
			"polygon": [][2]float64{{0, 0.40}, {0.98, 0.45}, {0.98, 0.85}, {0.5, 0.72}, {0, 0.62}},
		}},
		{{
			"name": "loitering", "title": title{"loitering", "逗留"}, "kind": "zone", "severity": "moderate", "min_size": 0.004, "for": "12s", "clear": "2m",
			"polygon": [][2]float64{{0.05, 0.15}, {0.95, 0.15}, {0.75, 0.55}, {0.05, 0.90}},
		}},
	}[i%4]
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
			"name": "movement", "title": title{"movement", "有移动物体"}, "kind": "zone", "severity": "minor", "min_size": 0.01, "for": "2s", "clear": "10s",
			"polygon": [][2]float64{{0, 0.4}, {1, 0.4}, {1, 1}, {0, 1}},
		}
		for i, url := range s.Cameras {
			at := cameraPositions()[i%len(cameraPositions())]
			at.lat += 0.002 * float64(i/len(cameraPositions()))
			at.name = fmt.Sprintf("camera-%d", i+1)
			called := title{fmt.Sprintf("camera %d", i+1), fmt.Sprintf("%d号摄像机", i+1)}
			all = append(all, camera{Name: at.name, Title: &called, URL: escape(url), Place: at.place(), Rules: []rule{anywhere}})
		}
		return all, nil
	}
	played := make([]simcam.Camera, 0, len(cameraPositions()))
	for i, at := range cameraPositions() {
		file, err := s.footageFile(ctx, at.view)
		if err != nil {
			return nil, err
		}
		played = append(played, simcam.Camera{Path: at.name, File: file, Offset: offset(i)})
	}
	server, err := simcam.NewServer(simcam.Options{Cameras: played, User: cameraUser, Password: s.secrets.Cameras, Logger: s.Logger})
	if err != nil {
		return nil, fmt.Errorf("creating the simulated cameras: %w", err)
	}
	run("simulating the cameras", server.Run)
	for i, at := range cameraPositions() {
		all = append(all, camera{Name: at.name, Title: &at.title, URL: escape(server.URL(at.name)), Place: at.place(), Rules: cameraRules(i)})
	}
	return all, nil
}

// footageFile returns the path of the video that a camera plays. It converts the video at the first start. A video of
// the user is shown as it is.
func (s *demonstration) footageFile(ctx context.Context, view footage.View) (string, error) {
	video, format := s.Video, footage.Format{}
	if video == "" {
		video, format = footage.Pedestrians, footage.Format{Width: 640, Height: 480, View: view}
	}
	file, err := footage.Cached(ctx, video, s.Footage, format, func() {
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
		"edge":  edgeName,
		"title": title{"Old Town", "古镇"},
		"hub":   map[string]any{"url": st.Hub},
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
