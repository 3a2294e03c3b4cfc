// Package templates makes sensors of the devices that publish on the topics of a template, each when it is
// first heard of.
//
// Which devices have been heard of is saved, so that one that falls silent is missed after a restart,
// too.
package templates

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"gridpost/devices"
	"gridpost/devices/durable"

	firmwareconfig "gridpost/firmware-config"
)

// MaxDevices bounds the devices of one template. Further ones are ignored, which is a problem of the edge.
const MaxDevices = 1000

// fileName is the file in the data directory.
const fileName = "templates.json"

// saveEvery is how long new devices wait until they are saved together.
const saveEvery = time.Second

// Device is a device of a template.
type Device struct {
	Template string `json:"template"` // its name and topic, as the document writes them
	Topic    string `json:"topic"`    // base topic
	Name     string `json:"name"`     // never changes, whatever other devices come
}

// Devices are the devices of all templates of the document that runs. Its methods may be called
// concurrently.
type Devices struct {
	path   string
	logger *slog.Logger
	dirty  chan struct{} // room for one: there is something to save

	mu        sync.Mutex
	templates []firmwareconfig.Template
	taken     map[string]bool // names of all devices of the document, and of those here
	devices   []Device
	known     map[deviceKey]bool
	pending   bool            // there are devices that Sensors has not returned yet
	full      map[string]bool // by template: more devices have come than it may have
	saveError error
}

// deviceKey names a device: its topic alone does not, because two templates may fit it.
type deviceKey struct{ template, topic string }

// Open reads the devices that were saved in dir. A file that cannot be read is reported and replaced: its
// devices are heard of again.
func Open(dir string, logger *slog.Logger) *Devices {
	d := &Devices{path: filepath.Join(dir, fileName), logger: logger, dirty: make(chan struct{}, 1), known: map[deviceKey]bool{}, full: map[string]bool{}}
	text, err := os.ReadFile(d.path)
	if err == nil {
		err = json.Unmarshal(text, &d.devices)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		logger.Error("the list of the templates' devices cannot be read; they appear when they are heard of again", "file", d.path, "error", err)
		d.devices = nil
	}
	return d
}

func keyOf(t firmwareconfig.Template) string { return t.Name + " " + t.Format + " " + t.Topic }

// SetDocument takes the templates of a document. Devices of templates that it does not have are
// forgotten.
func (d *Devices) SetDocument(doc *firmwareconfig.Document) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.templates = doc.Templates
	d.taken, d.known, d.full = map[string]bool{}, map[deviceKey]bool{}, map[string]bool{}
	for _, c := range doc.Cameras {
		d.taken[c.Name] = true
	}
	for _, s := range doc.Sensors {
		d.taken[s.Name] = true
	}
	before := len(d.devices)
	d.devices = slices.DeleteFunc(d.devices, func(device Device) bool {
		key := deviceKey{device.Template, device.Topic}
		t, ok := d.template(device.Template)
		if ok {
			_, ok = t.Instance(device.Topic, nobody)
		}
		if !ok || d.known[key] || d.taken[device.Name] || !firmwareconfig.IsName(device.Name) || d.count(device.Template) >= MaxDevices {
			return true
		}
		d.known[key], d.taken[device.Name] = true, true
		return false
	})
	if len(d.devices) != before {
		d.save()
	}
}

func nobody(string) bool { return false }

func (d *Devices) template(key string) (firmwareconfig.Template, bool) {
	i := slices.IndexFunc(d.templates, func(t firmwareconfig.Template) bool { return keyOf(t) == key })
	if i < 0 {
		return firmwareconfig.Template{}, false
	}
	return d.templates[i], true
}

// count returns how many devices a template has. d.mu is held.
func (d *Devices) count(template string) int {
	n := 0
	for key := range d.known {
		if key.template == template {
			n++
		}
	}
	return n
}

// Sensors returns the sensors of all devices.
func (d *Devices) Sensors() []firmwareconfig.Sensor {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.pending = false
	var all []firmwareconfig.Sensor
	for _, device := range d.devices {
		if t, ok := d.template(device.Template); ok {
			s, _ := t.Instance(device.Topic, nobody)
			s.Name = device.Name
			all = append(all, s)
		}
	}
	return all
}

// Notice adds the devices of a message that are not known yet. It says whether there are any that Sensors has
// not returned since.
func (d *Devices) Notice(m devices.Message) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(m.Payload) == 0 {
		return d.pending // what deletes a retained message says nothing of a device
	}
	added := false
	for _, t := range d.templates {
		if t.Broker != "" && m.Source != "" && t.Broker != m.Source {
			continue
		}
		base, ok := t.Match(m.Topic)
		key := deviceKey{keyOf(t), base}
		if !ok || d.known[key] {
			continue
		}
		if len(base) > maxTopic || d.count(key.template) >= MaxDevices {
			d.full[t.Name] = true
			continue
		}
		s, _ := t.Instance(base, func(name string) bool { return d.taken[name] })
		if d.taken[s.Name] {
			d.full[t.Name] = true // two hashes are equal
			continue
		}
		d.known[key], d.taken[s.Name] = true, true
		d.devices = append(d.devices, Device{Template: key.template, Topic: base, Name: s.Name})
		d.logger.Info("a device of a template is heard of for the first time", "device", s.Name, "topic", base)
		added = true
	}
	if added {
		d.pending = true
		d.save()
	}
	return d.pending
}

// maxTopic bounds the base topic of a device in bytes.
const maxTopic = 1024

// Forget removes a device. It says whether there was one; it comes back when it is heard of again.
func (d *Devices) Forget(name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.devices, func(device Device) bool { return device.Name == name })
	if i < 0 {
		return false
	}
	delete(d.known, deviceKey{d.devices[i].Template, d.devices[i].Topic})
	delete(d.taken, name)
	d.devices = slices.Delete(d.devices, i, i+1)
	d.save()
	return true
}

// Problems returns which templates have more devices than they may have, and why devices cannot be saved.
func (d *Devices) Problems() []devices.Cause {
	d.mu.Lock()
	defer d.mu.Unlock()
	var out []devices.Cause
	for _, t := range d.templates {
		if d.full[t.Name] {
			out = append(out, devices.NewCause("template_full", "template", t.Name, "count", fmt.Sprint(MaxDevices)))
		}
	}
	if d.saveError != nil {
		out = append(out, devices.NewCause("template_not_saved", "reason", d.saveError.Error()))
	}
	return out
}

// save makes Run save the devices soon.
func (d *Devices) save() {
	select {
	case d.dirty <- struct{}{}:
	default:
	}
}

// Run saves the devices until ctx ends, at most once a second, and once more then. A save that fails is
// tried again with the next one, and after a minute.
func (d *Devices) Run(ctx context.Context) error {
	retry := time.NewTicker(time.Minute)
	defer retry.Stop()
	for {
		select {
		case <-ctx.Done():
			if len(d.dirty) > 0 {
				d.write()
			}
			return nil
		case <-retry.C:
			if d.failed() {
				d.write()
			}
		case <-d.dirty:
			d.write()
			select {
			case <-time.After(saveEvery):
			case <-ctx.Done():
			}
		}
	}
}

func (d *Devices) failed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.saveError != nil
}

func (d *Devices) write() {
	d.mu.Lock()
	all := slices.Clone(d.devices)
	d.mu.Unlock()
	slices.SortFunc(all, func(a, b Device) int { return strings.Compare(a.Name, b.Name) })
	text, err := json.MarshalIndent(all, "", " ")
	if err == nil {
		err = durable.Replace(d.path, text)
	}
	if err != nil {
		d.logger.Error("the list of the templates' devices cannot be saved", "file", d.path, "error", err)
	}
	d.mu.Lock()
	d.saveError = err
	d.mu.Unlock()
}
