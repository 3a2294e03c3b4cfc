package format

import (
	"fmt"
	"strings"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// tasmota is the format of devices with the Tasmota firmware (tasmota.github.io/docs/MQTT): values come
// as tele/TOPIC/SENSOR and STATE at an interval, as stat/TOPIC/RESULT when a relay or switch changes, and as
// stat/TOPIC/STATUS8 and STATUS10 when asked for; the will is tele/TOPIC/LWT. The document is that of the message: $.AM2301.Temperature, $.Wifi.RSSI.
//
// The base topic is TOPIC alone, for the usual full topic %prefix%/%topic%/, or a full topic with
// %prefix% in it.
func tasmota() Format {
	return Format{
		Name: "tasmota",
		Base: tasmotaBase,
		Filters: func(base string) []string {
			tele := strings.Replace(base, tasmotaPrefix, "tele", 1)
			stat := strings.Replace(base, tasmotaPrefix, "stat", 1)
			return []string{tele + "/SENSOR", tele + "/STATE", tele + "/LWT", stat + "/RESULT", stat + "/STATUS8", stat + "/STATUS10"}
		},
		Of: func(topic string) string {
			for _, suffix := range []string{"/SENSOR", "/STATE"} {
				rest, ok := strings.CutSuffix(topic, suffix)
				if base := tasmotaWithPrefix(rest); ok && strings.Contains(base, tasmotaPrefix) {
					return base
				}
			}
			return ""
		},
		New:           func(string) Reader { return tasmotaReader{} },
		Announced:     []string{"tasmota/discovery/+/config", "tasmota/discovery/+/sensors"},
		NewDiscoverer: func() Discoverer { return &tasmotaDevices{found: newFound()} },
	}
}

const tasmotaPrefix = "%prefix%"

func tasmotaBase(topic string) (string, error) {
	const example = "river (for tele/river/SENSOR) or home/%prefix%/river"
	topic = strings.Trim(strings.Replace(topic, "%topic%", "+", 1), "/")
	if _, err := baseTopic(topic, example); err != nil {
		return "", err
	}
	for _, suffix := range []string{"/SENSOR", "/STATE", "/LWT"} {
		topic = strings.TrimSuffix(topic, suffix)
	}
	topic = tasmotaWithPrefix(topic)
	if !strings.Contains(topic, tasmotaPrefix) {
		topic = tasmotaPrefix + "/" + topic
	}
	if strings.Count(topic, tasmotaPrefix) != 1 {
		return "", expected(example)
	}
	return topic, nil
}

// tasmotaWithPrefix writes %prefix% for the level tele of a topic that lacks it.
func tasmotaWithPrefix(topic string) string {
	if strings.Contains(topic, tasmotaPrefix) {
		return topic
	}
	all := strings.Split(topic, "/")
	for i, level := range all {
		if level == "tele" {
			all[i] = tasmotaPrefix
			return strings.Join(all, "/")
		}
	}
	return topic
}

type tasmotaReader struct{}

func (tasmotaReader) Read(m devices.Message) ([]Report, error) {
	kind := m.Topic[strings.LastIndexByte(m.Topic, '/')+1:]
	if kind == "LWT" {
		if len(m.Payload) == 0 {
			return nil, nil // what was retained is deleted
		}
		a, ok := ParseAvailability(m.Payload)
		if !ok {
			return nil, errNotText
		}
		return available(a), nil
	}
	document, err := payload.Parse(m.Payload)
	if err != nil {
		return nil, err
	}
	object, ok := document.(map[string]any)
	if kind == "RESULT" {
		return tasmotaResult(object), nil
	}
	if !ok {
		return nil, fmt.Errorf("a message %s is not an object", kind)
	}
	// The answer to the command Status has the same values one level down.
	for _, key := range []string{"StatusSNS", "StatusSTS"} {
		if inner, ok := object[key].(map[string]any); ok {
			object = inner
		}
	}
	// STATE has none of the values of SENSOR, and a sensor that shows no value for once is left out.
	return []Report{{Document: object, HasValues: true, Partial: true}}, nil
}

// tasmotaResult reads what changed, or the answer to a command, which has no values. A switch that is not
// bound to a relay says {"Switch1":{"Action":"ON"}}, and other words when it is used as a push-button.
func tasmotaResult(object map[string]any) []Report {
	document := map[string]any{}
	for key, v := range object {
		if inner, ok := v.(map[string]any); ok && strings.HasPrefix(key, "Switch") {
			v = inner["Action"]
		}
		state, _ := v.(string)
		if on := strings.EqualFold(state, "ON"); on || strings.EqualFold(state, "OFF") {
			document[key] = state
		}
	}
	if len(document) == 0 {
		return nil
	}
	return []Report{{Document: document, HasValues: true, Partial: true}}
}

// tasmotaDevices joins what a device announces in two messages: its name and topic, and its values.
type tasmotaDevices struct{ found *found }

func (t *tasmotaDevices) Discover(m devices.Message) ([]Discovered, error) {
	all := strings.Split(m.Topic, "/")
	mac, kind := all[len(all)-2], all[len(all)-1]
	if len(m.Payload) == 0 { // retained before, and deleted
		return t.found.remove("tasmota", mac), nil
	}
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	d := t.found.get(mac)
	if d == nil {
		return nil, errFull
	}
	if kind == "sensors" {
		d.values = within(o, "sn")
		return t.announce(mac, d), nil
	}
	d.Discovered = Discovered{Format: "tasmota", ID: mac, Name: text(o, "dn"), Model: text(o, "md")}
	d.topic = strings.NewReplacer("%topic%", text(o, "t"), "%hostname%", text(o, "hn"), "%id%", mac[max(0, len(mac)-6):]).Replace(text(o, "ft"))
	d.topic = strings.Trim(d.topic, "/")
	d.topic = strings.TrimPrefix(d.topic, tasmotaPrefix+"/")
	return t.announce(mac, d), nil
}

// announce returns the device when both messages have come, or the first, which has its name.
func (t *tasmotaDevices) announce(mac string, d *foundDevice) []Discovered {
	if d.topic == "" {
		return nil
	}
	d.Sensors = nil
	for _, l := range flatten(d.values, maxSuggestions) {
		word, isText := l.value.(string)
		isText = isText && !strings.EqualFold(word, "ON") && !strings.EqualFold(word, "OFF")
		if isText || l.key == "Time" || strings.HasSuffix(l.key, "Unit") {
			continue
		}
		d.Sensors = append(d.Sensors, Suggestion{
			Name: strings.Join(l.names, " "), Format: "tasmota", Topic: d.topic, Value: "$" + l.path, Unit: d.unit(l.key),
		})
	}
	return []Discovered{d.Discovered}
}

// unit returns the unit that Tasmota gives for all values of a kind.
func (d *foundDevice) unit(name string) string {
	switch name {
	case "Temperature", "DewPoint":
		return unitSign(text(d.values, "TempUnit"))
	case "Pressure", "SeaPressure":
		return text(d.values, "PressureUnit")
	case "Humidity":
		return "%"
	case "Power":
		return "W"
	case "Voltage":
		return "V"
	case "Current":
		return "A"
	}
	return ""
}

func unitSign(unit string) string {
	if unit == "C" || unit == "F" {
		return "°" + unit
	}
	return unit
}
