package firmwareconfig

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"gridpost/devices/format"
)

func parseSensors(t *testing.T, entries string) (*Document, error) {
	t.Helper()
	return Parse("site.yml", []byte("edge: a\nsensors:\n"+entries), os.LookupEnv)
}

func TestSensorFormats(t *testing.T) {
	for _, c := range []struct {
		entry   string
		topic   string // base topic; empty: the entry is refused with the text
		filters []string
		problem string
	}{
		{entry: "  - {name: a, topic: x/y}", topic: "x/y", filters: []string{"x/y"}},
		{entry: "  - {name: a, topic: x/y, availability: x/status}", topic: "x/y", filters: []string{"x/y", "x/status"}},
		{
			entry: "  - {name: a, topic: plug, format: tasmota}", topic: "%prefix%/plug",
			filters: []string{"tele/plug/SENSOR", "tele/plug/STATE", "tele/plug/LWT", "stat/plug/RESULT", "stat/plug/STATUS8", "stat/plug/STATUS10"},
		},
		{
			entry: "  - {name: a, topic: home/tele/plug/SENSOR, format: tasmota}", topic: "home/%prefix%/plug",
			filters: []string{"home/tele/plug/SENSOR", "home/tele/plug/STATE", "home/tele/plug/LWT", "home/stat/plug/RESULT", "home/stat/plug/STATUS8", "home/stat/plug/STATUS10"},
		},
		{entry: "  - {name: a, topic: sensors/+/level}", problem: `such as "sensors/{name}/level", and the same in the sensor's name, such as "a-{name}"`},
		{entry: "  - {name: a, topic: +/x/+}", problem: `such as "{name}/x/{name2}", and the same in the sensor's name, such as "a-{name}-{name2}"`},
		{entry: "  - {name: a, topic: 'sensors/#'}", problem: `such as "sensors/{name}"`},
		{entry: "  - {name: a, topic: +, format: tasmota}", problem: "mixes the values of several devices"},
		{entry: "  - {name: a, topic: x, format: tasmotta}", problem: "expected one of plain, tasmota"},
		{entry: "  - {name: a, topic: x, availability: 'x/#'}", problem: "expected one topic without + and #"},
		{entry: "  - {name: a, topic: x/{id}}", problem: "expected a name with a placeholder of the topic, such as a-{id}"},
		{entry: "  - {name: 'a-{x}', topic: x/{id}}", problem: "expected placeholders that the topic has, found {x}"},
		{entry: "  - {name: 'a-{id}', topic: x/n{id}}", problem: "whole levels"},
		{entry: "  - {name: 'A-{id}', topic: x/{id}}", problem: "placeholders such as {name}"},
	} {
		c.entry = strings.NewReplacer("topic: x/{id}", "topic: 'x/{id}'", "topic: x/n{id}", "topic: 'x/n{id}'").Replace(c.entry)
		doc, err := parseSensors(t, c.entry)
		switch {
		case c.problem != "":
			if err == nil || !strings.Contains(err.Error(), c.problem) {
				t.Errorf("%s: %v", c.entry, err)
			}
		case err != nil || len(doc.Sensors) != 1:
			t.Errorf("%s: %v, %+v", c.entry, err, doc)
		case doc.Sensors[0].Topic != c.topic || !slices.Equal(doc.Sensors[0].Filters(), c.filters):
			t.Errorf("%s: %s with %q", c.entry, doc.Sensors[0].Topic, doc.Sensors[0].Filters())
		}
	}
}

func TestTemplates(t *testing.T) {
	doc, err := parseSensors(t, `
  - {name: 'level-{name}', topic: 'sensors/{name}/level', availability: 'sensors/{name}/status', unit: m}
  - {name: 'plug-{id}', topic: '{id}', format: tasmota, value: $.ENERGY.Power}
`)
	if err != nil || len(doc.Sensors) != 0 || len(doc.Templates) != 2 {
		t.Fatalf("%v, %+v", err, doc)
	}
	if got := doc.Filters(EmbeddedBroker); !slices.Equal(got, []string{
		"sensors/+/level", "sensors/+/status", "stat/+/RESULT", "stat/+/STATUS10", "stat/+/STATUS8", "tele/+/LWT", "tele/+/SENSOR", "tele/+/STATE",
	}) {
		t.Errorf("filters: %q", got)
	}
	nobody := func(string) bool { return false }
	for _, c := range []struct {
		template            int
		topic, base, device string
	}{
		{0, "sensors/North 2/level", "sensors/North 2/level", "level-north-2"},
		{0, "sensors/水位/level", "sensors/水位/level", "level"},
		{0, "sensors/" + strings.Repeat("x", 60) + "/level", "sensors/" + strings.Repeat("x", 60) + "/level", "level-" + strings.Repeat("x", 34)},
		{0, "sensors//level", "", ""},
		{0, "sensors/a/b/level", "", ""},
		{0, "sensors/a/status", "", ""},
		{1, "tele/DVES_1/SENSOR", "%prefix%/DVES_1", "plug-dves-1"},
		{1, "tele/DVES_1/LWT", "", ""},
	} {
		base, ok := doc.Templates[c.template].Match(c.topic)
		if ok != (c.base != "") || ok && base != c.base {
			t.Errorf("%s: %q, %v", c.topic, base, ok)
			continue
		}
		if !ok {
			continue
		}
		s, ok := doc.Templates[c.template].Instance(base, nobody)
		if !ok || s.Name != c.device || s.Topic != base || !nameForm.MatchString(s.Name) {
			t.Errorf("%s: %+v", c.topic, s)
		}
		if c.template == 0 && (s.Unit != "m" || !slices.Equal(s.Availability, []string{strings.TrimSuffix(c.topic, "level") + "status"})) {
			t.Errorf("%s: %+v", c.topic, s)
		}
		second, _ := doc.Templates[c.template].Instance(base, func(name string) bool { return name == c.device })
		if second.Name == c.device || !nameForm.MatchString(second.Name) {
			t.Errorf("%s: the second is %s", c.topic, second.Name)
		}
	}
}

func TestDiscover(t *testing.T) {
	for text, want := range map[string]int{
		"true": 8, "false": 0, "[homeassistant, zigbee2mqtt, homeassistant]": 2, "[]": 0,
	} {
		doc, err := Parse("site.yml", []byte("edge: a\nmqtt: {discover: "+text+"}\n"), os.LookupEnv)
		if err != nil || len(doc.MQTT.Discover) != want {
			t.Errorf("%s: %v, %+v", text, err, doc)
		}
	}
	for _, text := range []string{"maybe", "[plain]", "{a: b}", "[true]"} {
		if _, err := Parse("site.yml", []byte("edge: a\nmqtt: {discover: "+text+"}\n"), os.LookupEnv); err == nil {
			t.Errorf("%s is accepted", text)
		}
	}
	doc, err := Parse("site.yml", []byte("edge: a\nmqtt: {discover: [zigbee2mqtt]}\nsensors: [{name: a, topic: t}, {name: b, format: sparkplug, topic: spBv1.0/g/n/d}]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	if got := doc.Filters("any"); !slices.Contains(got, "zigbee2mqtt/bridge/devices") || !slices.Contains(got, "t") {
		t.Errorf("filters: %q", got)
	}
	if got := doc.LongTopics(); !slices.Equal(got, []string{"+/bridge/devices", "spBv1.0/+/DBIRTH/+/+", "spBv1.0/+/NBIRTH/+", "zigbee2mqtt/bridge/devices"}) {
		t.Errorf("long: %q", got)
	}
}

// TestEntriesOfDiscoveredDevices: what is suggested for a device is accepted as it is, whatever the device says of
// itself, and the device is then no longer waiting.
func TestEntriesOfDiscoveredDevices(t *testing.T) {
	doc, err := Parse("site.yml", []byte("edge: a\nsensors: [{name: front-door-contact, topic: t}]\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []format.Discovered{
		{Name: "Front door", Sensors: []format.Suggestion{
			{Name: "contact", Format: "zigbee2mqtt", Topic: "zigbee2mqtt/hall/Front door", Value: "$.contact", Map: map[string]float64{"OPEN": 1, "off": 0}},
			{Name: "contact", Format: "zigbee2mqtt", Topic: "zigbee2mqtt/hall/Front door", Value: "$.contact2", Unit: "°C"},
		}},
		{Name: "水位", Sensors: []format.Suggestion{{Name: "水位", Topic: "a: ${HOME}, x", Value: "$['水 位']", Unit: "米", Availability: []string{"true", "a  b"}}}},
		{Name: "yes", Sensors: []format.Suggestion{{Name: "x'y", Format: "sparkplug", Topic: "spBv1.0/g/n/d", Value: "$['bad", Unit: strings.Repeat("x", 40)}}},
	} {
		if doc.HasSensorOf(d) {
			t.Errorf("%s is in the document already", d.Name)
		}
		text := "edge: a\nsensors:\n  - {name: front-door-contact, topic: t}\n"
		for _, e := range doc.SensorEntries(d, "broker") {
			text += "  - " + e.YAML + "\n"
		}
		with, err := Parse("site.yml", []byte(text), os.LookupEnv)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		if len(with.Sensors) != 1+len(d.Sensors) || !with.HasSensorOf(d) || with.Sensors[1].Topic != d.Sensors[0].Topic {
			t.Errorf("%s gives %+v", text, with.Sensors)
		}
	}
}

// TestReadme: the entries in the README's table of formats are accepted, and there is one for each format.
func TestReadme(t *testing.T) {
	text, err := os.ReadFile("../README.md")
	if err != nil {
		t.Fatal(err)
	}
	formats := map[string]bool{}
	for _, m := range regexp.MustCompile("(?m)^(?:\\|.*\\| `|  - )(\\{name: .*?\\})(?:`: |$)").FindAllSubmatch(text, -1) {
		doc, err := parseSensors(t, "  - "+string(m[1]))
		switch {
		case err != nil:
			t.Error(err)
		case len(doc.Sensors) == 1:
			formats[doc.Sensors[0].Format] = true
		case len(doc.Templates) != 1:
			t.Errorf("%s is neither a sensor nor a template", m[1])
		}
	}
	for _, name := range format.Standard().Names() {
		if name != format.Plain && !formats[name] {
			t.Errorf("the table has no entry for %s", name)
		}
	}
}
