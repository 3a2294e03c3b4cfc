package faults

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"gridpost/devices/mqtt/mosquitto"
	"gridpost/edge/e2e/rig"
)

// Sizes of the disks in bytes: small, so that they fill fast, but with room for a run.
const (
	edgeDisk = 96 << 20
	hubDisk  = 256 << 20
)

// bursting is the sensor that publishes in bursts.
const bursting = "gauge"

// site is one edge with its network connections, its disk and its sensors.
type site struct {
	name    string
	rig     *rig.Site
	node    *node
	disk    *Disk
	line    *Line // to the hub
	broker  *node // mosquitto; nil: the embedded broker
	mqtt    *Line // to mosquitto
	sensors []*sensor
	clock   string // file of the clock's error
	skewed  bool   // its clock has been wrong: then it dates readings by their arrival, and a repeated one is another one

	older string // folder of an earlier copy of the data
}

// world is everything that runs.
type world struct {
	o        Options
	hub      *rig.Hub
	hubNode  *node
	hubDisk  *Disk
	hook     *receiver
	observer *observer
	sites    []*site
	acks     *ackBook
	ledger   *ledger
	secrets  []string // that must not be in any log
	skewed   string   // program of the edge whose clock can be set

	mu         sync.Mutex
	violations []string
	hubOlder   bool // the hub has been restored from an older copy
}

// violate records a violation.
func (w *world) violate(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	w.mu.Lock()
	first := len(w.violations) < 200
	w.violations = append(w.violations, text)
	w.mu.Unlock()
	if first {
		w.o.Progress("VIOLATION: %s", text)
	}
}

func (w *world) found() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.violations...)
}

// restored reports whether the hub has been restored from an older copy.
func (w *world) restored() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.hubOlder
}

// build starts hub, edges, brokers and sensors. The caller closes the world, also after an error.
func (w *world) build(ctx context.Context) (err error) {
	w.observer, w.acks, w.ledger = newObserver(func(format string, args ...any) {
		if !w.restored() { // then versions start again from an older one
			w.violate(format, args...)
		}
	}), newAckBook(), newLedger()
	if w.hubDisk, err = NewDisk(filepath.Join(w.o.Dir, "hub"), hubDisk); err != nil {
		return err
	}
	config := filepath.Join(w.o.Dir, "hub.yml")
	if err := os.WriteFile(config, []byte("allow_private_webhooks: true\n"), 0o600); err != nil {
		return fmt.Errorf("writing the hub's configuration: %w", err)
	}
	if w.hub, err = rig.StartHubWith(ctx, w.o.Programs, w.o.Dir, rig.HubOptions{Config: config}); err != nil {
		return err
	}
	w.hubNode = newNode("hub", func() (*rig.Process, error) {
		if err := w.hub.Launch(); err != nil {
			return nil, err
		}
		return w.hub.Process(), nil
	}, w.violate)
	w.hub.Process().Kill() // it is started again under supervision
	if err := w.hubNode.start(); err != nil {
		return err
	}
	if w.hook, err = newReceiver(); err != nil {
		return err
	}
	w.secrets = append(w.secrets, w.hub.Token, rig.SensorPassword)
	if err := w.until(ctx, time.Minute, "the hub", w.addWebhook); err != nil {
		return err
	}
	for _, name := range []string{"alpha", "beta"} {
		s, err := w.newSite(ctx, name, name == "beta")
		if s != nil {
			w.sites = append(w.sites, s)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (w *world) until(ctx context.Context, limit time.Duration, what string, check func(context.Context) error) error {
	return rig.Until(ctx, limit, what, check)
}

func (w *world) addWebhook(ctx context.Context) error {
	body, err := json.Marshal(map[string]string{"url": w.hook.url})
	if err != nil {
		return fmt.Errorf("adding the webhook: %w", err)
	}
	status, text, err := w.hub.Do(ctx, http.MethodPost, "/api/v1/webhooks", body)
	if err != nil {
		return errors.Join(rig.ErrNotYet, err)
	}
	if status != http.StatusCreated {
		return fmt.Errorf("adding the webhook: the hub answered %d: %s", status, text)
	}
	var added struct{ Secret string }
	if err := json.Unmarshal(text, &added); err != nil {
		return fmt.Errorf("adding the webhook: %w", err)
	}
	w.secrets = append(w.secrets, added.Secret)
	return nil
}

// newSite makes an edge and starts it.
func (w *world) newSite(ctx context.Context, name string, outside bool) (s *site, err error) {
	s = &site{name: name, clock: filepath.Join(w.o.Dir, name+".clock")}
	if err := setClock(s.clock, 0); err != nil {
		return s, err
	}
	if s.disk, err = NewDisk(filepath.Join(w.o.Dir, name), edgeDisk); err != nil {
		return s, err
	}
	if s.line, err = NewLine(w.hub.EdgeURL()[len("https://"):], nil); err != nil {
		return s, err
	}
	names := []string{"river", "lake", "dam", "pump"}
	if !outside {
		names = append(names, bursting)
	}
	o := rig.SiteOptions{Name: name, Dir: w.o.Dir, HubURL: "https://" + s.line.Address(), Time: "$.time", Sensors: map[string][]rig.Map{}}
	for _, n := range names {
		o.Sensors[n] = []rig.Map{rule()}
	}
	brokerAddress := ""
	if outside {
		if brokerAddress, err = w.mosquitto(s); err != nil {
			return s, err
		}
		if s.mqtt, err = NewLine(brokerAddress, newAckTap(w.acks.acked)); err != nil {
			return s, err
		}
		o.Broker = "mqtt://" + s.mqtt.Address()
	}
	if s.rig, err = rig.NewSite(ctx, w.hub, o); err != nil {
		return s, err
	}
	s.rig.Env = []string{clockKey + "=" + s.clock}
	s.node = newNode("edge "+name, func() (*rig.Process, error) {
		if err := s.rig.Start(); err != nil {
			return nil, err
		}
		return s.rig.Process(), nil
	}, w.violate)
	if err := s.node.start(); err != nil {
		return s, err
	}
	for i, n := range names {
		p, err := w.publisher(s, n, brokerAddress)
		if err != nil {
			return s, err
		}
		sensor := newSensor(name, n, p, w.o.Pace, 0)
		sensor.standing = i%2 == 1
		if n == bursting {
			sensor.burst, sensor.pace = 2, 12*w.o.Pace
		}
		s.sensors = append(s.sensors, sensor)
	}
	return s, nil
}

func (w *world) publisher(s *site, name, broker string) (publisher, error) {
	if name == bursting {
		return &burst{address: s.rig.BrokerAddress(), name: name}, nil
	}
	if broker == "" {
		p, err := s.rig.Sensor(name)
		return embedded{p}, err
	}
	p, err := rig.NewSensor(broker, name)
	return relayed{sensor: p, acks: w.acks, name: name}, err
}

// mosquitto starts the broker outside of an edge. It keeps sessions in memory only, so that a
// kill makes it forget them.
func (w *world) mosquitto(s *site) (address string, err error) {
	program, err := mosquitto.Program()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(w.o.Dir, s.name+"-broker")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return "", fmt.Errorf("making the broker's folder: %w", err)
	}
	b, err := mosquitto.New(dir, "persistence false", "max_queued_messages 0")
	if err != nil {
		return "", err
	}
	log := filepath.Join(dir, "log")
	s.broker = newNode("broker of "+s.name, func() (*rig.Process, error) { return rig.Start(log, program, "-c", b.Config) }, w.violate)
	return b.Address, s.broker.start()
}

// close ends everything. save keeps copies of the data, for a person to look at.
func (w *world) close(save bool) (err error) {
	for _, s := range w.sites {
		for _, sensor := range s.sensors {
			sensor.publisher.close()
		}
		for _, n := range []*node{s.node, s.broker} {
			if n != nil {
				n.close()
			}
		}
		for _, l := range []*Line{s.line, s.mqtt} {
			if l != nil {
				l.Close()
			}
		}
	}
	if w.hubNode != nil {
		w.hubNode.close()
	}
	if w.hub != nil {
		w.hub.Close()
	}
	if w.hook != nil {
		err = w.hook.close()
	}
	keep := func(name string) string {
		if !save {
			return ""
		}
		return filepath.Join(w.o.Dir, "kept-"+name)
	}
	for _, s := range w.sites {
		if s.disk != nil {
			err = errors.Join(err, s.disk.Close(keep(s.name)))
		}
	}
	if w.hubDisk != nil {
		err = errors.Join(err, w.hubDisk.Close(keep("hub")))
	}
	return err
}
