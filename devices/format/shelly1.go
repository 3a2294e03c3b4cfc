package format

import (
	"strings"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// shellyGen1 is the format of the first generation of Shelly devices (shelly-api-docs.shelly.cloud/gen1):
// each value has a topic below shellies/ID, with a bare word or number, and shellies/ID/online is the
// will. The document has the levels of the topic as members: $.sensor.state, $.relay['0'].power, and
// $.relay['0'].state for the word on relay/0.
func shellyGen1() Format {
	const example = "shellies/shellydw2-483FDA825476"
	return Format{
		Name: "shelly-gen1",
		Base: func(topic string) (string, error) {
			all, err := levels(strings.TrimSuffix(topic, "/#"), 2, example)
			if err != nil {
				return "", err
			}
			return strings.Join(all, "/"), nil
		},
		Filters: func(base string) []string { return []string{base + "/#"} },
		Of: func(topic string) string {
			all := strings.SplitN(topic, "/", 3)
			if len(all) < 3 || all[0] != "shellies" || !shellyValue(all[2]) {
				return ""
			}
			return all[0] + "/" + all[1]
		},
		New:           func(base string) Reader { return shellyReader{base + "/"} },
		Announced:     []string{"shellies/announce"},
		NewDiscoverer: func() Discoverer { return shellyDevices{} },
	}
}

// shellyValue says whether a topic below that of the device has a value. Others are the will, and what
// is sent to the device.
func shellyValue(rest string) bool {
	return rest != "" && rest != "online" && rest != "announce" && rest != "command" && !strings.HasSuffix(rest, "/command") && !strings.HasSuffix(rest, "/set")
}

type shellyReader struct{ prefix string }

func (r shellyReader) Read(m devices.Message) ([]Report, error) {
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
	if rest == m.Topic || !shellyValue(rest) {
		return nil, nil
	}
	document, err := payload.Parse(m.Payload)
	if err != nil {
		return nil, err
	}
	names := strings.Split(rest, "/")
	if last := names[len(names)-1]; strings.Trim(last, "0123456789") == "" {
		names = append(names, "state") // of relay/0, which has values of its own below, such as relay/0/power
	}
	if len(names) > maxLevels {
		return nil, errDeep
	}
	for i := len(names) - 1; i >= 0; i-- {
		document = map[string]any{names[i]: document}
	}
	return []Report{{Document: document, HasValues: true, Partial: true}}, nil
}

// shellyDevices reads shellies/announce.
type shellyDevices struct{}

func (shellyDevices) Discover(m devices.Message) ([]Discovered, error) {
	o, err := object(m.Payload)
	if err != nil || text(o, "id") == "" {
		return nil, err
	}
	d := Discovered{Format: "shelly-gen1", ID: text(o, "mac"), Name: text(o, "id"), Model: text(o, "model")}
	if d.ID == "" {
		d.ID = d.Name
	}
	for _, v := range shellyValues(d.Model) {
		d.Sensors = append(d.Sensors, Suggestion{
			Name: v.name, Format: "shelly-gen1", Topic: "shellies/" + d.Name, Value: v.path, Unit: v.unit, Map: v.words,
		})
	}
	return []Discovered{d}, nil
}

type shellyKnown struct {
	name, path, unit string
	words            map[string]float64
}

// shellyValues returns the values of a model, as far as they matter to a site.
func shellyValues(model string) []shellyKnown {
	temperature := shellyKnown{"temperature", "$.sensor.temperature", "°C", nil}
	battery := shellyKnown{"battery", "$.sensor.battery", "%", nil}
	switch model {
	case "SHHT-1":
		return []shellyKnown{temperature, {"humidity", "$.sensor.humidity", "%", nil}, battery}
	case "SHDW-1", "SHDW-2":
		return []shellyKnown{{"open", "$.sensor.state", "", map[string]float64{"open": 1, "close": 0}}, {"illuminance", "$.sensor.lux", "lx", nil}, battery}
	case "SHWT-1":
		return []shellyKnown{{"flood", "$.sensor.flood", "", nil}, temperature, battery}
	case "SHSM-01":
		return []shellyKnown{{"smoke", "$.sensor.smoke", "", nil}, temperature, battery}
	case "SHGS-1":
		return []shellyKnown{{"gas", "$.sensor.concentration", "ppm", nil}}
	case "SHMOS-01", "SHMOS-02":
		return []shellyKnown{{"motion", "$.status.motion", "", nil}, {"illuminance", "$.status.lux", "lx", nil}, {"battery", "$.status.bat", "%", nil}}
	case "SHEM", "SHEM-3":
		return []shellyKnown{{"power", "$.emeter['0'].power", "W", nil}, {"voltage", "$.emeter['0'].voltage", "V", nil}}
	}
	return []shellyKnown{{"on", "$.relay['0'].state", "", nil}, {"power", "$.relay['0'].power", "W", nil}}
}
