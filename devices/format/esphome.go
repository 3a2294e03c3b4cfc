package format

import (
	"strings"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// esphome is the format of devices with ESPHome firmware (esphome.io/components/mqtt): each value has a
// topic PREFIX/COMPONENT/ID/state with the bare value, ON or OFF, or nan when there is none, and
// PREFIX/status is the birth and will.
func esphome() Format {
	const example = "weir/sensor/level (for weir/sensor/level/state)"
	return Format{
		Name: "esphome",
		Base: func(topic string) (string, error) {
			topic, err := baseTopic(strings.TrimSuffix(topic, "/state"), example)
			if err == nil && strings.Count(topic, "/") < 2 {
				_, err = levels(topic, 3, example)
			}
			return topic, err
		},
		Filters: func(base string) []string { return []string{base + "/state", esphomePrefix(base) + "/status"} },
		Of: func(topic string) string {
			base, ok := strings.CutSuffix(topic, "/state")
			if !ok || strings.Count(base, "/") < 2 {
				return ""
			}
			return base
		},
		New: func(base string) Reader { return esphomeReader{base + "/state"} },
	}
}

// esphomePrefix returns the topic of a device from that of one of its values.
func esphomePrefix(base string) string {
	for range 2 {
		base = base[:max(strings.LastIndexByte(base, '/'), 0)]
	}
	return base
}

type esphomeReader struct{ state string }

func (r esphomeReader) Read(m devices.Message) ([]Report, error) {
	if m.Topic != r.state {
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
	if noValue(document) {
		document = nil // the sensor works, and has no value
	}
	return values(document), nil
}

// noValue says whether a value is one of the words for having none.
func noValue(v any) bool {
	word, ok := v.(string)
	switch strings.ToLower(strings.TrimSpace(word)) {
	case "nan", "unavailable", "unknown", "none", "null":
		return ok
	}
	return false
}
