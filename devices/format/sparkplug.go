package format

import (
	"errors"
	"slices"
	"strings"
	"time"

	"gridpost/devices"
)

// sparkplug is the format of edge nodes and devices that speak Sparkplug B (Eclipse Sparkplug 3.0). The
// base topic is spBv1.0/GROUP/NODE for the metrics of an edge node, and spBv1.0/GROUP/NODE/DEVICE for those
// of a device. The document has the metrics by their names: $.level, $['Inputs/level'].
//
// All messages of a node are numbered together, and its death is that of all its devices; so one reader
// reads them all.
func sparkplug() Format {
	const example = "spBv1.0/GROUP/NODE/DEVICE"
	return Format{
		Name: "sparkplug",
		Base: func(topic string) (string, error) {
			want := 3 + min(max(strings.Count(topic, "/")-2, 0), 1)
			all, err := levels(topic, want, example)
			if err == nil && all[0] != "spBv1.0" {
				err = expected(example)
			}
			return topic, err
		},
		Owner: spNode,
		Filters: func(base string) []string {
			all := strings.Split(base, "/")
			of := func(kind string, rest ...string) string {
				return strings.Join(append([]string{all[0], all[1], kind, all[2]}, rest...), "/")
			}
			return []string{of("NBIRTH"), of("NDATA"), of("NDEATH"), of("DBIRTH", "+"), of("DDATA", "+"), of("DDEATH", "+")}
		},
		Of: func(topic string) string {
			base, kind := spTopic(topic)
			if kind == "NBIRTH" || kind == "NDATA" || kind == "DBIRTH" || kind == "DDATA" {
				return base
			}
			return ""
		},
		New:           func(base string) Reader { return &spReader{node: spNode(base), known: map[string]spMetrics{}} },
		Announced:     []string{"spBv1.0/+/NBIRTH/+", "spBv1.0/+/DBIRTH/+/+"},
		NewDiscoverer: func() Discoverer { return spDevices{} },
	}
}

// spNode returns the base topic of a device's edge node.
func spNode(base string) string {
	all := strings.SplitN(base, "/", 4)
	return strings.Join(all[:min(len(all), 3)], "/")
}

// spTopic returns the base topic of the node or device of a message, and what kind of message it is.
func spTopic(topic string) (base, kind string) {
	all := strings.Split(topic, "/")
	if len(all) < 4 || all[0] != "spBv1.0" || slices.Contains(all, "") {
		return "", ""
	}
	kind = all[2]
	if device := strings.HasPrefix(kind, "D"); device && len(all) != 5 || !device && len(all) != 4 {
		return "", ""
	}
	return strings.Join(append(all[:2:2], all[3:]...), "/"), kind
}

// spReader is the state of one edge node.
type spReader struct {
	node  string
	born  bool                 // its NBIRTH has been read, and no death of it
	birth uint64               // bdSeq of its NBIRTH
	last  uint64               // bdSeq of the NBIRTH before
	known map[string]spMetrics // by base topic: the metrics of a birth

	seq    uint64 // of the last message
	hasSeq bool
	lost   bool // messages are missing since the last NBIRTH
}

// spMetrics are the metrics of a node or device by their aliases and names.
type spMetrics struct {
	names map[uint64]string // by alias
	types map[string]uint64 // by name
}

// maxSpDevices bounds the devices of one node whose metrics are remembered.
const maxSpDevices = 1000

var errNoBirth = errors.New("it names metrics by aliases, and the birth that explains them has not been heard; ask the node for a rebirth")

func (r *spReader) Read(m devices.Message) ([]Report, error) {
	base, kind := spTopic(m.Topic)
	if spNode(base) != r.node || len(m.Payload) == 0 { // what was retained is deleted
		return nil, nil
	}
	p, err := parseSparkplug(m.Payload)
	if err != nil {
		return refused(base, err), nil
	}
	if m.Retained { // against the standard; it explains aliases, and says nothing of the present
		if strings.HasSuffix(kind, "BIRTH") && !r.born {
			r.learn(base, p)
		}
		return nil, nil
	}
	if kind == "NDEATH" {
		return r.death(p), nil
	}
	switch kind {
	case "NBIRTH":
		clear(r.known)
		if seq := p.deathSeq(); seq != r.birth {
			r.last, r.birth = r.birth, seq
		}
		r.born, r.lost = true, false
		r.seq, r.hasSeq = p.seq, true
	case "DBIRTH", "DDATA", "NDATA", "DDEATH":
		r.follow(p.seq)
	default:
		return nil, nil
	}
	switch kind {
	case "DDEATH":
		return []Report{{Base: base, Availability: Offline}}, nil
	case "NBIRTH", "DBIRTH":
		r.learn(base, p)
	}
	reports := r.reports(base, p)
	if kind == "NBIRTH" || kind == "DBIRTH" {
		reports = append([]Report{{Base: base, Availability: Online}}, reports...)
	}
	return reports, nil
}

// refused says of one device of the node that a message of it is not understood.
func refused(base string, err error) []Report {
	return []Report{{Base: base, Refused: err}}
}

// death handles the death of the node, which is that of all its devices. One that belongs to an earlier
// birth comes late, after the node has connected again (section 6.4.5). One of a later birth is believed,
// because that birth may be lost. bdSeq wraps after 255.
func (r *spReader) death(p spPayload) []Report {
	if seq := p.deathSeq(); r.born && seq != r.birth && (seq == r.last || (seq-r.birth)&255 > 127) {
		return nil
	}
	r.born, r.hasSeq = false, false
	return available(Offline)
}

// spBehind is how far behind the last one a sequence number may be for a message that comes again.
const spBehind = 64

// follow notes a sequence number, which wraps after 255. A message may come again.
func (r *spReader) follow(seq uint64) {
	switch ahead := (seq - r.seq) & 255; {
	case !r.hasSeq:
		r.hasSeq = true
	case ahead == 0 || ahead > 256-spBehind:
		return
	case ahead > 1:
		r.lost = true
	}
	r.seq = seq & 255
}

// learn remembers the metrics of a birth.
func (r *spReader) learn(base string, p spPayload) {
	if _, known := r.known[base]; !known && len(r.known) >= maxSpDevices {
		return
	}
	metrics := spMetrics{names: map[uint64]string{}, types: map[string]uint64{}}
	for _, m := range p.metrics {
		if m.hasAlias {
			metrics.names[m.alias] = m.name
		}
		metrics.types[m.name] = m.datatype
	}
	r.known[base] = metrics
}

// reports returns the metrics of a payload. Those of one time, age and quality are one document.
func (r *spReader) reports(base string, p spPayload) []Report {
	type group struct {
		at              time.Time
		historical, bad bool
	}
	var reports []Report
	index := map[group]int{}
	var err error
	for _, m := range p.metrics {
		name, datatype, ok := r.lookUp(base, m)
		if !ok {
			err = errNoBirth
			continue
		}
		value, ok := m.value(datatype)
		if !ok || name == "" {
			continue
		}
		g := group{m.time, m.historical, m.bad}
		if g.at.IsZero() {
			g.at = p.time
		}
		i, known := index[g]
		if !known {
			i = len(reports)
			index[g] = i
			reports = append(reports, Report{
				Base: base, Document: map[string]any{}, HasValues: true, Partial: true,
				Time: g.at, Historical: g.historical, Bad: g.bad, Cause: r.cause(),
			})
		}
		reports[i].Document.(map[string]any)[name] = value
	}
	if err != nil && len(reports) == 0 {
		return refused(base, err)
	}
	return reports // the metrics that are understood count
}

// lookUp returns the name and data type of a metric.
func (r *spReader) lookUp(base string, m spMetric) (name string, datatype uint64, ok bool) {
	known := r.known[base]
	name, datatype = m.name, m.datatype
	if name == "" {
		if !m.hasAlias {
			return "", 0, false
		}
		if name, ok = known.names[m.alias]; !ok {
			return "", 0, false
		}
	}
	if datatype == 0 {
		datatype = known.types[name]
	}
	return name, datatype, true
}

func (r *spReader) cause() devices.Cause {
	if !r.lost {
		return devices.Cause{}
	}
	return devices.NewCause("sensor_messages_lost", "node", r.node)
}

// deathSeq returns the metric bdSeq, by which a death belongs to a birth.
func (p spPayload) deathSeq() uint64 {
	for _, m := range p.metrics {
		if m.name == "bdSeq" {
			return m.bits
		}
	}
	return 0
}

// spDevices notices nodes and devices by their births.
type spDevices struct{}

func (spDevices) Discover(m devices.Message) ([]Discovered, error) {
	p, err := parseSparkplug(m.Payload)
	if err != nil {
		return nil, err
	}
	base, _ := spTopic(m.Topic)
	if base == "" {
		return nil, expected("spBv1.0/GROUP/DBIRTH/NODE/DEVICE")
	}
	d := Discovered{Format: "sparkplug", ID: base, Name: base[strings.LastIndexByte(base, '/')+1:]}
	for _, metric := range p.metrics {
		_, ok := metric.value(metric.datatype)
		if !ok || metric.name == "" || metric.name == "bdSeq" || spControl(metric.name) || len(d.Sensors) >= maxSuggestions {
			continue
		}
		s := Suggestion{Name: metric.name, Format: "sparkplug", Topic: base, Value: path(metric.name), Unit: metric.unit}
		if metric.kind == 15 {
			s.Needs = needsWords
		}
		d.Sensors = append(d.Sensors, s)
	}
	if len(d.Sensors) == 0 {
		return nil, nil // a node without values of its own
	}
	return []Discovered{d}, nil
}

// spControl says whether a metric is there for commands and descriptions.
func spControl(name string) bool {
	for _, prefix := range []string{"Node Control/", "Device Control/", "Node Info/", "Properties/"} {
		if strings.HasPrefix(name, prefix) {
			return true
		}
	}
	return false
}
