package firmwareconfig

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"gridpost/devices"
	"gridpost/devices/decode"
	"gridpost/devices/format"

	"go.yaml.in/yaml/v3"
)

// discover reads of which formats devices are discovered: true for all, or a list of names.
func (v value) discover(dst *[]string) {
	all := format.Standard().Announcing()
	if v.node.Kind == yaml.ScalarNode {
		s, ok := v.Text()
		switch on, err := strconv.ParseBool(s); {
		case !ok:
		case err != nil:
			v.fail("expected true, false, or a list of %s, found %s", strings.Join(all, ", "), v.found())
		case on:
			*dst = all
		}
		return
	}
	v.items(len(all), func(v value) {
		s, ok := v.Text()
		switch {
		case !ok:
		case !slices.Contains(all, s):
			v.fail("expected one of %s, found %s", strings.Join(all, ", "), v.found())
		case !slices.Contains(*dst, s):
			*dst = append(*dst, s)
		}
	})
}

// announced returns the topic filters of the messages by which devices announce themselves.
func (m MQTT) announced() []string {
	var all []string
	for _, name := range m.Discover {
		if f, ok := format.Standard().Find(name); ok {
			all = append(all, f.Announced...)
		}
	}
	return all
}

// LongTopics returns the topic filters of messages that may be long, up to devices.MaxLongMessage: those that
// describe many devices, or all that a device has.
func (d *Document) LongTopics() []string {
	all := d.MQTT.announced()
	births := func(s Sensor) {
		if s.Format == "sparkplug" {
			all = append(all, "spBv1.0/+/NBIRTH/+", "spBv1.0/+/DBIRTH/+/+")
		}
	}
	for _, s := range d.Sensors {
		births(s)
	}
	for _, t := range d.Templates {
		births(t.Sensor)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// HasSensorOf says whether a sensor, or a template, of the document reads the values of a device.
func (d *Document) HasSensorOf(device format.Discovered) bool {
	for _, s := range device.Sensors {
		f, ok := format.Standard().Find(s.Format)
		if !ok || f.New == nil {
			continue
		}
		base, err := f.Base(s.Topic)
		if err != nil {
			continue
		}
		topic := f.Filters(base)[0] // that of the values
		if strings.ContainsAny(topic, "+#") {
			topic = strings.NewReplacer("/+", "/x", "/#", "/x").Replace(topic)
		}
		for _, filter := range d.sensorFilters() {
			if devices.TopicMatches(filter, topic) {
				return true
			}
		}
	}
	return false
}

// sensorFilters returns the first filter, that of the values, of each sensor and template.
func (d *Document) sensorFilters() []string {
	var all []string
	for _, s := range d.Sensors {
		all = append(all, s.Filters()[0])
	}
	for _, t := range d.Templates {
		all = append(all, t.Filters()[0])
	}
	return all
}

// SensorEntry is an entry of the sensors for a value of a discovered device, as YAML in one line, and what a
// person must complete.
type SensorEntry struct {
	Name  string `json:"name"`            // of the sensor
	YAML  string `json:"yaml"`            // such as: {name: hall-door, format: zigbee2mqtt, topic: zigbee2mqtt/hall/door, value: $.contact}
	Needs string `json:"needs,omitempty"` // empty: nothing
}

// SensorEntries returns the entries for all values of a discovered device. Their names are not taken by
// any device of the document.
func (d *Document) SensorEntries(device format.Discovered, broker string) []SensorEntry {
	taken := map[string]bool{}
	for _, c := range d.Cameras {
		taken[c.Name] = true
	}
	for _, s := range d.Sensors {
		taken[s.Name] = true
	}
	if len(d.MQTT.Brokers) == 0 || len(d.MQTT.Brokers) == 1 && !d.MQTT.Embedded() {
		broker = "" // there is only one
	}
	var all []SensorEntry
	for i, s := range device.Sensors {
		if s.Value != "" {
			if _, err := decode.ParsePath(s.Value); err != nil {
				s.Value, s.Needs = "", "the path of the value "+s.Name
			}
		}
		name := SafeName(device.Name + "-" + s.Name)
		if len(device.Sensors) == 1 {
			name = SafeName(device.Name)
		}
		for n := 2; name == "" || taken[name]; n++ {
			name = cut(SafeName(device.Name), 30) + "-" + strconv.Itoa(i+n)
			name = strings.TrimLeft(name, "-")
		}
		taken[name] = true
		all = append(all, SensorEntry{Name: name, YAML: entryYAML(name, s, broker), Needs: s.Needs})
	}
	return all
}

// entryYAML writes an entry of the sensors.
func entryYAML(name string, s format.Suggestion, broker string) string {
	entry := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
	add := func(key string, v *yaml.Node) {
		entry.Content = append(entry.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: key}, v)
	}
	text := func(key, v string) {
		if v != "" {
			add(key, textNode(v))
		}
	}
	text("name", name)
	text("format", s.Format)
	text("broker", broker)
	text("topic", s.Topic)
	text("value", s.Value)
	text("unit", cutUnit(s.Unit))
	if len(s.Map) > 0 {
		words := &yaml.Node{Kind: yaml.MappingNode, Style: yaml.FlowStyle}
		for _, word := range slices.Sorted(maps.Keys(s.Map)) {
			words.Content = append(words.Content, textNode(word), &yaml.Node{Kind: yaml.ScalarNode, Value: strconv.FormatFloat(s.Map[word], 'g', -1, 64)})
		}
		add("map", words)
	}
	if len(s.Availability) > 0 {
		topics := &yaml.Node{Kind: yaml.SequenceNode, Style: yaml.FlowStyle}
		for _, topic := range s.Availability {
			topics.Content = append(topics.Content, textNode(topic))
		}
		add("availability", topics)
	}
	out, err := yaml.Marshal(entry)
	if err != nil { // it is made of texts
		return ""
	}
	return strings.TrimSpace(string(out))
}

// textNode returns a text, quoted where it would be read as something else. The document's ${ is written
// as it has to be.
func textNode(s string) *yaml.Node {
	n := &yaml.Node{}
	n.SetString(strings.ReplaceAll(s, "${", "$${"))
	return n
}

// cutUnit leaves out what is no unit of measurement.
func cutUnit(unit string) string {
	if len([]rune(unit)) > 20 {
		return ""
	}
	return unit
}

// AddSensors adds entries to the sensors of a document that is accepted. What else is in its text stays, comments
// included; the indentation may change.
func AddSensors(document []byte, entries []SensorEntry) ([]byte, error) {
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil || len(root.Content) != 1 || root.Content[0].Kind != yaml.MappingNode {
		return nil, errors.New("the document cannot be changed: it is no mapping")
	}
	sensors := sensorsOf(root.Content[0])
	if sensors == nil {
		return nil, errors.New("the document cannot be changed: its sensors are no list")
	}
	for _, e := range entries {
		var entry yaml.Node
		if err := yaml.Unmarshal([]byte(e.YAML), &entry); err != nil || len(entry.Content) != 1 {
			return nil, fmt.Errorf("the entry of %s cannot be read", e.Name)
		}
		sensors.Content = append(sensors.Content, entry.Content[0])
	}
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := errors.Join(enc.Encode(&root), enc.Close()); err != nil {
		return nil, fmt.Errorf("writing the document: %w", err)
	}
	return out.Bytes(), nil
}

// sensorsOf returns the list of sensors of a document, made if there is none, or nil if it is no list.
func sensorsOf(document *yaml.Node) *yaml.Node {
	for i := 0; i+1 < len(document.Content); i += 2 {
		if document.Content[i].Value != "sensors" {
			continue
		}
		switch v := document.Content[i+1]; {
		case v.Kind == yaml.SequenceNode:
			return v
		case v.Kind == yaml.ScalarNode && v.Tag == "!!null":
			*v = yaml.Node{Kind: yaml.SequenceNode}
			return v
		default:
			return nil
		}
	}
	list := &yaml.Node{Kind: yaml.SequenceNode}
	document.Content = append(document.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: "sensors"}, list)
	return list
}
