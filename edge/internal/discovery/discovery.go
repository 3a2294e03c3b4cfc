// Package discovery lists the devices that have announced themselves on the site's brokers, until they are in
// the document. It only looks: nothing becomes a sensor by itself.
package discovery

import (
	"cmp"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"gridpost/devices"
	"gridpost/devices/format"

	firmwareconfig "gridpost/firmware-config"
)

// MaxDevices bounds the list. Further devices are counted and left out.
const MaxDevices = 1000

// maxText bounds each text that a device says of itself, in runes.
const maxText = 200

// Device is a device that has announced itself.
type Device struct {
	format.Discovered
	Broker string    `json:"broker,omitempty"` // through which it announced itself
	Seen   time.Time `json:"seen"`             // when it did last
}

// List is the devices that have announced themselves. Its methods may be called concurrently.
type List struct {
	mu      sync.Mutex
	formats []discoverer
	devices map[deviceKey]Device
	stats   Stats
}

// Stats are the counters of a List.
type Stats struct {
	Refused uint64 // announcements that are not understood
	Dropped uint64 // devices for which there was no room
}

type discoverer struct {
	format  format.Format
	readers map[string]format.Discoverer // by broker
}

// deviceKey names a device. The same one may be at two brokers.
type deviceKey struct{ broker, format, id string }

// New returns an empty List that listens to no format.
func New() *List { return &List{devices: map[deviceKey]Device{}} }

// SetFormats replaces the formats whose devices are listed. What is known of the others is forgotten.
func (l *List) SetFormats(names []string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var next []discoverer
	for _, name := range names {
		f, ok := format.Standard().Find(name)
		if !ok || f.NewDiscoverer == nil {
			continue
		}
		d := discoverer{format: f, readers: map[string]format.Discoverer{}}
		for _, before := range l.formats {
			if before.format.Name == name {
				d = before
			}
		}
		next = append(next, d)
	}
	l.formats = next
	for key := range l.devices {
		if !slices.Contains(names, key.format) {
			delete(l.devices, key)
		}
	}
}

// Notice reads a message if devices announce themselves by it.
func (l *List) Notice(m devices.Message) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, d := range l.formats {
		if slices.ContainsFunc(d.format.Announced, func(filter string) bool { return devices.TopicMatches(filter, m.Topic) }) {
			l.read(d, m)
		}
	}
}

// read reads an announcement. l.mu is held.
func (l *List) read(d discoverer, m devices.Message) {
	reader := d.readers[m.Source]
	if reader == nil {
		reader = d.format.NewDiscoverer()
		d.readers[m.Source] = reader
	}
	found, err := reader.Discover(m)
	if err != nil {
		l.stats.Refused++
	}
	for _, device := range found {
		key := deviceKey{m.Source, d.format.Name, device.ID}
		_, known := l.devices[key]
		switch {
		case device.Removed:
			delete(l.devices, key)
		case !known && len(l.devices) >= MaxDevices:
			l.stats.Dropped++
		default:
			l.devices[key] = Device{Discovered: printable(device), Broker: m.Source, Seen: m.Received.UTC()}
		}
	}
}

// Waiting returns the devices of which the document has no sensor, by their names.
func (l *List) Waiting(doc *firmwareconfig.Document) []Device {
	l.mu.Lock()
	all := make([]Device, 0, len(l.devices))
	for _, d := range l.devices {
		all = append(all, d)
	}
	l.mu.Unlock()
	all = slices.DeleteFunc(all, func(d Device) bool { return doc.HasSensorOf(d.Discovered) })
	slices.SortFunc(all, func(a, b Device) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), strings.Compare(a.Format, b.Format), strings.Compare(a.ID, b.ID), strings.Compare(a.Broker, b.Broker))
	})
	return all
}

// Stats may be called at any time.
func (l *List) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.stats
}

// printable bounds what a device says of itself, and leaves out characters that could be taken for
// commands by a terminal.
func printable(d format.Discovered) format.Discovered {
	clean := func(s string) string {
		s = strings.Map(func(r rune) rune {
			if !unicode.IsPrint(r) {
				return -1
			}
			return r
		}, s)
		if runes := []rune(s); len(runes) > maxText {
			s = string(runes[:maxText])
		}
		return s
	}
	d.ID, d.Name, d.Model = clean(d.ID), clean(d.Name), clean(d.Model)
	d.Sensors = slices.Clone(d.Sensors)
	for i := range d.Sensors {
		s := &d.Sensors[i]
		s.Name, s.Unit, s.Needs = clean(s.Name), clean(s.Unit), clean(s.Needs)
	}
	return d
}
