package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"gridpost/edge/e2e/rig"
	"gridpost/streams/simcam/footage"
)

const devicesLimit = 90 * time.Second // with the machine busy

// testbed is one hub with its edges.
type testbed struct {
	programs rig.Programs
	footage  string
	dir      string

	hub   *rig.Hub
	sites map[string]*site
	edges map[string]*syntheticEdge
}

// site is a running edge with its devices.
type site struct {
	*rig.Site
	sensors map[string]*rig.Sensor
	end     func() error // of the cameras
}

func (s *testbed) handlers() map[string]func(context.Context, []byte) (any, error) {
	return map[string]func(context.Context, []byte) (any, error){
		"start":     handler(s.start),
		"hub-stop":  handler(s.hubStop),
		"hub-start": handler(s.hubStart),
		"user":      handler(s.user),
		"site":      handler(s.site),
		"site-stop": handler(s.siteStop),
		"camera":    handler(s.camera),
		"publish":   handler(s.publish),
		"edge":      handler(s.edge),
		"incident":  handler(s.incident),
		"bulk":      handler(s.bulk),
	}
}

type nothing struct{}

// start starts the hub, with a new data folder.
func (s *testbed) start(ctx context.Context, o struct {
	Town   string `json:"town"`   // GeoJSON file that is copied to the map layers of the hub, if any
	Host   string `json:"host"`   // IP address of this machine where all is served; 127.0.0.1 if empty
	Config string `json:"config"` // of the hub, YAML; empty: none
},
) (any, error) {
	if s.hub != nil {
		return nil, errors.New("the hub has been started already")
	}
	if o.Town != "" {
		text, err := os.ReadFile(o.Town)
		if err != nil {
			return nil, fmt.Errorf("reading the town: %w", err)
		}
		layers := filepath.Join(s.dir, "hub", "map")
		if err := os.MkdirAll(layers, 0o700); err != nil {
			return nil, fmt.Errorf("copying the town: %w", err)
		}
		if err := os.WriteFile(filepath.Join(layers, "town.geojson"), text, 0o600); err != nil {
			return nil, fmt.Errorf("copying the town: %w", err)
		}
	}
	options := rig.HubOptions{Host: o.Host, Console: o.Host}
	if o.Config != "" {
		options.Config = filepath.Join(s.dir, "hub.yml")
		if err := os.WriteFile(options.Config, []byte(o.Config), 0o600); err != nil {
			return nil, fmt.Errorf("writing the hub's configuration: %w", err)
		}
	}
	hub, err := rig.StartHubWith(ctx, s.programs, s.dir, options)
	if err != nil {
		return nil, err
	}
	s.hub, s.sites, s.edges = hub, map[string]*site{}, map[string]*syntheticEdge{}
	return map[string]string{"url": hub.URL, "token": hub.Token}, nil
}

func (s *testbed) hubStop(_ context.Context, _ nothing) (any, error)    { return nil, s.hub.Stop() }
func (s *testbed) hubStart(ctx context.Context, _ nothing) (any, error) { return nil, s.hub.Start(ctx) }

func (s *testbed) user(ctx context.Context, o struct{ Name, Password, Role string }) (any, error) {
	return nil, s.hub.AddUser(ctx, o.Name, o.Password, o.Role)
}

// site starts an edge with cameras and sensors and waits until all of them are online.
func (s *testbed) site(ctx context.Context, o struct {
	Name    string               `json:"name"`
	Cameras map[string][]rig.Map `json:"cameras"` // rules by name
	Sensors map[string][]rig.Map `json:"sensors"`
	Places  map[string]rig.Map   `json:"places"`
	Clips   rig.Map              `json:"clips"`   // section of the document; empty: the defaults
	Program string               `json:"program"` // that runs the edge, as in a network of its own; empty: the edge itself
	Host    string               `json:"host"`    // IP address of this machine where the cameras are served; 127.0.0.1 if empty
},
) (any, error) {
	file := ""
	if len(o.Cameras) > 0 {
		var err error
		if file, err = footage.Cached(ctx, footage.Pedestrians, s.footage, footage.Format{}, nil); err != nil {
			return nil, fmt.Errorf("%w: `make deps` installs ffmpeg and opencv-doc", err)
		}
	}
	made, err := rig.NewSite(ctx, s.hub, rig.SiteOptions{
		Name: o.Name, Dir: s.dir, Footage: file, Host: o.Host, Cameras: o.Cameras, Sensors: o.Sensors, Places: o.Places,
		Edit: func(document rig.Map) {
			if o.Clips != nil {
				document["clips"] = o.Clips
			}
		},
	})
	if err != nil {
		return nil, err
	}
	made.Program = o.Program
	at := &site{Site: made, sensors: map[string]*rig.Sensor{}, end: func() error { return nil }}
	s.sites[o.Name] = at
	if made.Cameras != nil {
		playing, stop := context.WithCancel(context.WithoutCancel(ctx))
		done := make(chan error, 1)
		go func() { done <- made.Cameras.Run(playing) }()
		at.end = func() error {
			stop()
			return <-done
		}
	}
	if err := made.Start(); err != nil {
		return nil, err
	}
	if err := s.hub.Knows(ctx, o.Name, len(o.Cameras)+len(o.Sensors), devicesLimit); err != nil {
		return nil, err
	}
	for name := range o.Sensors {
		if at.sensors[name], err = made.Sensor(name); err != nil {
			return nil, err
		}
	}
	return nil, s.camerasOnline(ctx, o.Name, len(o.Cameras))
}

func (s *testbed) camerasOnline(ctx context.Context, edge string, want int) error {
	return rig.Until(ctx, devicesLimit, "the cameras of "+edge, func(ctx context.Context) error {
		all, err := s.hub.Devices(ctx)
		if err != nil {
			return errors.Join(rig.ErrNotYet, err)
		}
		online := 0
		for _, d := range all {
			if d.Edge == edge && d.Kind == "camera" && d.State == "online" {
				online++
			}
		}
		if online < want {
			return fmt.Errorf("%w: %d of %d are online", rig.ErrNotYet, online, want)
		}
		return nil
	})
}

func (s *testbed) siteStop(_ context.Context, o struct{ Name string }) (any, error) {
	at, ok := s.sites[o.Name]
	if !ok {
		return nil, fmt.Errorf("there is no site %q", o.Name)
	}
	return nil, at.Stop()
}

// camera starts or stops a camera, or freezes it: its connections stay open, but it sends no frames.
func (s *testbed) camera(_ context.Context, o struct {
	Site, Name      string
	Playing, Frozen bool
},
) (any, error) {
	at, ok := s.sites[o.Site]
	if !ok || !at.Cameras.SetPlaying(o.Name, o.Playing) || !at.Cameras.SetFrozen(o.Name, o.Frozen) {
		return nil, fmt.Errorf("there is no camera %s/%s", o.Site, o.Name)
	}
	return nil, nil
}

// publish sends a value of a sensor and returns when the edge has committed it.
func (s *testbed) publish(ctx context.Context, o struct {
	Site, Sensor string
	Value        float64
},
) (any, error) {
	at, ok := s.sites[o.Site]
	if !ok || at.sensors[o.Sensor] == nil {
		return nil, fmt.Errorf("there is no sensor %s/%s", o.Site, o.Sensor)
	}
	return nil, at.sensors[o.Sensor].Publish(ctx, o.Value)
}

// clear ends everything, the edges before the hub.
func (s *testbed) clear() (err error) {
	for _, b := range s.edges {
		b.close()
	}
	for _, at := range s.sites {
		for _, sensor := range at.sensors {
			sensor.Close()
		}
		err = errors.Join(err, at.Stop(), at.end())
	}
	if s.hub != nil {
		s.hub.Close()
		err = errors.Join(err, s.hub.Stop())
	}
	return err
}
