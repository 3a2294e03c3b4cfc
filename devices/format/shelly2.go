package format

import (
	"errors"
	"strconv"
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// shellyGen2 is the format of Shelly devices of the second and later generations
// (shelly-api-docs.shelly.cloud/gen2): PREFIX/events/rpc has what changed of some components, or of all
// after a start, PREFIX/status/COMPONENT one component, and PREFIX/online is the will. The document has
// the components as members: $['temperature:0'].tC.
func shellyGen2() Format {
	return Format{
		Name: "shelly-gen2",
		Base: func(topic string) (string, error) {
			return baseTopic(strings.TrimSuffix(topic, "/events/rpc"), "shellyplusht-b8d61a8b17cc")
		},
		Filters: func(base string) []string {
			return []string{base + "/events/rpc", base + "/status/+", base + "/online"}
		},
		Of: func(topic string) string {
			if base, ok := strings.CutSuffix(topic, "/events/rpc"); ok {
				return base
			}
			if i := strings.LastIndex(topic, "/status/"); i > 0 && !strings.Contains(topic[i+len("/status/"):], "/") {
				return topic[:i]
			}
			return ""
		},
		New:           func(base string) Reader { return shelly2Reader{base + "/"} },
		Announced:     []string{"+/events/rpc"},
		NewDiscoverer: func() Discoverer { return shelly2Devices{} },
	}
}

type shelly2Reader struct{ prefix string }

func (r shelly2Reader) Read(m devices.Message) ([]Report, error) {
	rest := strings.TrimPrefix(m.Topic, r.prefix)
	if rest == "online" {
		if len(m.Payload) == 0 {
			return nil, nil // what was retained is deleted
		}
		a, ok := ParseAvailability(m.Payload)
		if !ok {
			return nil, errNotText
		}
		return available(a), nil
	}
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	if component, ok := strings.CutPrefix(rest, "status/"); ok {
		return []Report{{Document: map[string]any{component: o}, HasValues: true, Partial: true}}, nil
	}
	params, at, err := shellyStatus(o, m.Received)
	if err != nil || params == nil {
		return nil, err
	}
	return []Report{{Document: params, HasValues: true, Partial: true, Time: at}}, nil
}

// shellyStatus returns the components in a notification, or nil when it is of another kind.
func shellyStatus(o map[string]any, received time.Time) (params map[string]any, at time.Time, err error) {
	if method := text(o, "method"); method != "NotifyStatus" && method != "NotifyFullStatus" {
		return nil, at, nil // an event, such as that a button was pressed
	}
	params = within(o, "params")
	if params == nil {
		return nil, at, errors.New("a notification has no params")
	}
	// A device on a battery sends before it knows the time, which is null or small then.
	if at, err = (payload.Times{}).Time(params["ts"], received); err != nil {
		at = time.Time{}
	}
	return params, at, nil
}

// shelly2Devices notices devices by the whole status that they send after a start.
type shelly2Devices struct{}

func (shelly2Devices) Discover(m devices.Message) ([]Discovered, error) {
	o, err := object(m.Payload)
	if err != nil || text(o, "method") != "NotifyFullStatus" {
		return nil, err
	}
	prefix := strings.TrimSuffix(m.Topic, "/events/rpc")
	d := Discovered{Format: "shelly-gen2", ID: text(o, "src"), Name: prefix}
	if d.ID == "" {
		d.ID = prefix
	}
	params := within(o, "params")
	d.Model, _, _ = strings.Cut(d.ID, "-")
	for _, component := range sortedKeys(params) {
		kind, number, _ := strings.Cut(component, ":")
		for _, v := range shelly2Values(kind) {
			if len(d.Sensors) >= maxSuggestions {
				break
			}
			name := v.name
			if n, err := strconv.Atoi(number); err == nil && n > 0 {
				name += " " + number
			}
			d.Sensors = append(d.Sensors, Suggestion{
				Name: name, Format: "shelly-gen2", Topic: prefix, Value: path(component) + v.path, Unit: v.unit,
			})
		}
	}
	return []Discovered{d}, nil
}

// shelly2Values returns the values of a kind of component, as far as they matter to a site.
func shelly2Values(kind string) []shellyKnown {
	switch kind {
	case "temperature":
		return []shellyKnown{{name: "temperature", path: ".tC", unit: "°C"}}
	case "humidity":
		return []shellyKnown{{name: "humidity", path: ".rh", unit: "%"}}
	case "illuminance":
		return []shellyKnown{{name: "illuminance", path: ".lux", unit: "lx"}}
	case "devicepower":
		return []shellyKnown{{name: "battery", path: ".battery.percent", unit: "%"}}
	case "flood", "smoke", "presence":
		return []shellyKnown{{name: kind, path: ".alarm"}}
	case "input":
		return []shellyKnown{{name: "input", path: ".state"}}
	case "voltmeter":
		return []shellyKnown{{name: "voltage", path: ".voltage", unit: "V"}}
	case "switch":
		return []shellyKnown{{name: "on", path: ".output"}, {name: "power", path: ".apower", unit: "W"}}
	case "pm1":
		return []shellyKnown{{name: "power", path: ".apower", unit: "W"}}
	case "em":
		return []shellyKnown{{name: "power", path: ".total_act_power", unit: "W"}}
	case "em1":
		return []shellyKnown{{name: "power", path: ".act_power", unit: "W"}}
	case "bthomesensor":
		return []shellyKnown{{name: "value", path: ".value"}}
	}
	return nil
}
