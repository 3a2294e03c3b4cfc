package firmwareconfig

import (
	"fmt"
	"slices"
	"strings"

	"gridpost/devices"
	"gridpost/devices/format"
)

// maxAvailability bounds the topics that say whether one sensor is connected.
const maxAvailability = 8

// Filters returns the topic filters of the messages that a sensor is made of.
func (s Sensor) Filters() []string {
	f, ok := format.Standard().Find(s.Format)
	if !ok {
		f, _ = format.Standard().Find(format.Plain)
	}
	return append(f.Filters(s.Topic), s.Availability...)
}

// Filters returns the topic filters of all messages that are needed of a source, each once: the name of a
// broker, or EmbeddedBroker. A sensor that names no broker may be at any of them.
func (d *Document) Filters(source string) []string {
	var all []string
	for _, s := range d.Sensors {
		if s.at(source) {
			all = append(all, s.Filters()...)
		}
	}
	for _, t := range d.Templates {
		if t.at(source) {
			all = append(all, t.Filters()...)
		}
	}
	// Filters that others cover stay: the subscriber asks for them when the broker refuses the wide one.
	all = append(all, d.MQTT.announced()...)
	slices.Sort(all)
	return slices.Compact(all)
}

func (s Sensor) at(source string) bool { return s.Broker == "" || s.Broker == source }

// sensorFormat reads the name of a format.
func (v value) sensorFormat(dst *string) {
	s, ok := v.Text()
	if !ok {
		return
	}
	if !slices.Contains(format.Standard().Names(), s) {
		v.fail("expected one of %s, found %s", strings.Join(format.Standard().Names(), ", "), v.found())
		return
	}
	*dst = s
}

// availability reads a topic, or a list of topics, that say whether a sensor is connected.
func (v value) availability(dst *[]string) {
	one := func(v value) {
		var topic string
		v.topic(&topic)
		if strings.ContainsAny(topic, "+#") {
			v.fail("expected one topic without + and #, found %s", v.found())
			return
		}
		*dst = append(*dst, topic)
	}
	if v.node.Content == nil {
		one(v)
		return
	}
	v.items(maxAvailability, one)
}

// deviceTopic checks the topic of a sensor by its format, and replaces it by the base topic of the
// device. v is the value of the key topic.
func (s *Sensor) deviceTopic(v value) {
	f, ok := format.Standard().Find(s.Format)
	if s.Topic == "" || !ok {
		return // its problem has been reported
	}
	base, err := f.Base(s.Topic)
	if err != nil {
		v.fail("%s, found %s", err, v.found())
		return
	}
	if strings.ContainsAny(base, "+#") {
		topic, name := withPlaceholders(s.Topic, s.Name)
		v.fail("expected the topic of one sensor, found %s, which mixes the values of several devices into one; "+
			"write a placeholder for each level that tells them apart, such as %s, and the same in the sensor's name, such as %s",
			v.found(), quote(topic), quote(name))
		return
	}
	s.Topic = base
	if err := devices.CheckFilter(filterOf(base)); err != nil {
		v.fail("expected an MQTT topic, found %s: %s", v.found(), err)
	}
}

// withPlaceholders writes a placeholder for each wildcard of a topic, and at the end of a name, as an example.
func withPlaceholders(topic, name string) (exampleTopic, exampleName string) {
	all := strings.Split(topic, "/")
	n := 0
	for i, level := range all {
		if level != "+" && level != "#" {
			continue
		}
		n++
		all[i] = "{name}"
		if n > 1 {
			all[i] = fmt.Sprintf("{name%d}", n)
		}
		name += "-" + all[i]
	}
	return strings.Join(all, "/"), strings.TrimPrefix(name, "-")
}
