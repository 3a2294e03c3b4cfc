package decode

import (
	"errors"
	"fmt"
	"reflect"
	"strings"
	"sync"

	"gridpost/devices"
	"gridpost/devices/format"
)

// routes find what is to be done with the messages of a topic. Topics without wildcards, which are
// nearly all, are looked up; only the rest is tried one by one.
type routes struct {
	exact map[string][]route
	wild  map[string][]wildRoute // by what stands before the first wildcard
}

// route handles a message and adds what it says to out.
type route func(d *Decoder, m devices.Message, out *Decoded)

type wildRoute struct {
	filter string
	to     route
}

func (r *routes) add(filter string, to route) {
	if r.exact == nil {
		r.exact, r.wild = map[string][]route{}, map[string][]wildRoute{}
	}
	if i := strings.IndexAny(filter, "+#"); i >= 0 {
		r.wild[filter[:i]] = append(r.wild[filter[:i]], wildRoute{filter, to})
		return
	}
	r.exact[filter] = append(r.exact[filter], to)
}

func (r *routes) each(topic string, do func(route)) {
	for _, to := range r.exact[topic] {
		do(to)
	}
	if len(r.wild) == 0 {
		return
	}
	// What stands before a wildcard is empty or ends with a slash. "sport/#" also matches "sport" itself.
	r.eachWild("", topic, do)
	for i := range len(topic) {
		if topic[i] == '/' {
			r.eachWild(topic[:i+1], topic, do)
		}
	}
	r.eachWild(topic+"/", topic, do)
}

func (r *routes) eachWild(prefix, topic string, do func(route)) {
	for _, w := range r.wild[prefix] {
		if devices.TopicMatches(w.filter, topic) {
			do(w.to)
		}
	}
}

// readerKey names a device, or the owner of several. Several sensors may be values of one device.
type readerKey struct{ format, topic string }

// reader reads the messages of one device, or of all of one owner, for all sensors that are values of it.
type reader struct {
	sensors []*sensor // does not change once the Decoder works

	state *deviceState
}

// deviceState is what a format remembers of a device. It outlives the Decoder.
type deviceState struct {
	mu      sync.Mutex
	new     func() format.Reader
	readers map[string]format.Reader // by the broker through which messages come: each has devices of its own
}

// read reads a message of the device.
func (d *deviceState) read(m devices.Message) ([]format.Report, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	r := d.readers[m.Source]
	if r == nil {
		r = d.new()
		d.readers[m.Source] = r
	}
	return r.Read(m)
}

// sensor is a mapping and what is known of its sensor.
type sensor struct {
	Mapping
	*sensorState
}

// sensorState is what is known of a sensor. It outlives the Decoder.
type sensorState struct {
	mu           sync.Mutex
	understood   bool            // a reading has been made
	missed       int             // partial documents in a row without its value, since the start
	availability map[string]bool // by topic: the device is connected
}

// add takes a mapping into the routes.
func (d *Decoder) add(m Mapping, o Options) {
	f, ok := o.Formats.Find(m.Format)
	if !ok || f.New == nil {
		f, _ = o.Formats.Find(format.Plain)
	}
	s := &sensor{m, &sensorState{availability: map[string]bool{}}}
	if o.Last != nil {
		if before := o.Last.sensors[m.Device]; before != nil && reflect.DeepEqual(before.Mapping, m) {
			s.sensorState = before.sensorState
		}
	}
	d.sensors[m.Device] = s
	owner := m.Topic
	if f.Owner != nil {
		owner = f.Owner(m.Topic)
	}
	key := readerKey{f.Name, owner}
	r := d.readers[key]
	if r == nil {
		r = &reader{state: &deviceState{new: func() format.Reader { return f.New(owner) }, readers: map[string]format.Reader{}}}
		if o.Last != nil && o.Last.readers[key] != nil {
			r.state = o.Last.readers[key].state
		}
		d.readers[key] = r
		for _, filter := range f.Filters(m.Topic) {
			d.routes.add(filter, r.handle)
		}
	}
	r.sensors = append(r.sensors, s)
	for _, topic := range m.Availability {
		d.routes.add(topic, s.handleAvailability)
	}
}

// handle reads a message of the device.
func (r *reader) handle(d *Decoder, m devices.Message, out *Decoded) {
	reports, err := r.state.read(m)
	for _, s := range r.sensors {
		if !s.isAt(m.Source) {
			continue
		}
		if err != nil {
			d.count(s.Device, m, warning{}, err, out)
			continue
		}
		for _, report := range reports {
			if report.Base == "" || report.Base == s.Topic {
				s.take(d, report, m, out)
			}
		}
	}
}

// maxMissed is how many partial documents may come without a sensor's value before it is said that its
// path is wrong.
const maxMissed = 20

// take adds what a report says about the sensor to out.
func (s *sensor) take(d *Decoder, report format.Report, m devices.Message, out *Decoded) {
	if report.Availability != "" {
		out.States = append(out.States, State{Device: s.Device, Availability: report.Availability})
	}
	if report.Refused != nil {
		d.count(s.Device, m, warning{}, report.Refused, out)
		return
	}
	if !report.HasValues {
		return
	}
	reading, warn, err := s.Mapping.read(report, m)
	if report.Absent != nil && errors.Is(err, errNoValue) {
		err = fmt.Errorf("%w: %w", err, report.Absent)
	} else if report.Partial && errors.Is(err, errNoValue) {
		if !s.miss() {
			return
		}
		err = fmt.Errorf("%w in any of the last %d messages", err, maxMissed)
	}
	d.count(s.Device, m, warn, err, out)
	if err != nil {
		return
	}
	s.mu.Lock()
	s.understood = true
	s.mu.Unlock()
	out.Readings = append(out.Readings, reading)
}

// miss says whether the sensor's value has been missing from so many messages that it is an error.
func (s *sensor) miss() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.understood {
		return false
	}
	s.missed = min(s.missed+1, maxMissed)
	return s.missed == maxMissed
}

// isAt says whether messages of the sensor come through a broker.
func (s *sensor) isAt(source string) bool {
	return s.Source == "" || source == "" || s.Source == source
}

// handleAvailability reads a message of one of the topics that say whether the device is connected.
func (s *sensor) handleAvailability(d *Decoder, m devices.Message, out *Decoded) {
	if !s.isAt(m.Source) || len(m.Payload) == 0 { // what was retained is deleted
		return
	}
	a, ok := format.ParseAvailability(m.Payload)
	if !ok {
		d.count(s.Device, m, warning{}, errors.New("it says neither online nor offline"), out)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.availability[m.Topic] = a == format.Online
	for _, connected := range s.availability {
		if !connected {
			a = format.Offline
		}
	}
	out.States = append(out.States, State{Device: s.Device, Availability: a})
}
