package format

import (
	"strings"
	"time"

	"gridpost/devices"
	"gridpost/devices/payload"
)

// zigbee2mqtt is the format of devices behind Zigbee2MQTT (zigbee2mqtt.io, MQTT topics and messages). A
// device publishes a JSON object on zigbee2mqtt/FRIENDLY NAME, a name that may have spaces and
// slashes. Its availability is {"state":"online"}, or a bare word in old versions, and that of the
// bridge holds for all devices.
func zigbee2mqtt() Format {
	return Format{
		Name: "zigbee2mqtt",
		Base: func(topic string) (string, error) {
			return baseTopic(strings.TrimSuffix(topic, "/availability"), "zigbee2mqtt/hall/door")
		},
		Filters: func(base string) []string {
			// Both the bridge's topic and the name of a device may have several levels.
			all := []string{base, base + "/availability"}
			for i, r := range base {
				if r == '/' && len(all) < 5 {
					all = append(all, base[:i]+"/bridge/state")
				}
			}
			return all
		},
		Of: func(topic string) string {
			if strings.HasSuffix(topic, "/availability") || strings.Contains(topic, "/bridge/") {
				return ""
			}
			return topic
		},
		New:           func(base string) Reader { return &zigbeeReader{base: base, bridge: Online, device: Online} },
		Announced:     []string{"zigbee2mqtt/bridge/devices", "+/bridge/devices"}, // a bridge may have a topic of its own
		NewDiscoverer: func() Discoverer { return &zigbeeDevices{known: map[string]map[string]bool{}} },
	}
}

type zigbeeReader struct {
	base           string
	bridge, device Availability // as they were said last
}

func (r *zigbeeReader) Read(m devices.Message) ([]Report, error) {
	if len(m.Payload) == 0 {
		return nil, nil // the device has been renamed or removed: the bridge deletes what was retained
	}
	if m.Topic == r.base {
		o, err := object(m.Payload)
		if err != nil {
			return nil, err
		}
		// Devices send what has changed; the bridge adds the rest only if it caches states.
		at, err := payload.Times{}.Time(o["last_seen"], m.Received)
		if err != nil {
			at = time.Time{} // most bridges do not say it
		}
		return []Report{{Document: o, HasValues: true, Partial: true, Time: at}}, nil
	}
	a, ok := ParseAvailability(m.Payload)
	if !ok {
		return nil, errNotText
	}
	if m.Topic == r.base+"/availability" {
		r.device = a
	} else {
		r.bridge = a
	}
	if r.bridge == Offline {
		a = Offline
	} else {
		a = r.device
	}
	return available(a), nil
}

// zigbeeDevices reads the list of all devices, which the bridge publishes whole after each change.
type zigbeeDevices struct {
	known map[string]map[string]bool // by the topic of the bridge, and by IEEE address
}

// Bounds of what is remembered.
const (
	maxZigbee  = 1000 // devices of one bridge
	maxBridges = 16
)

func (z *zigbeeDevices) Discover(m devices.Message) ([]Discovered, error) {
	if len(m.Payload) == 0 {
		m.Payload = []byte("[]") // retained before, and deleted
	}
	all, err := array(m.Payload)
	if err != nil {
		return nil, err
	}
	root, _, _ := strings.Cut(m.Topic, "/")
	var out []Discovered
	now := map[string]bool{}
	for _, entry := range all {
		device, ok := entry.(map[string]any)
		if !ok || text(device, "type") == "Coordinator" || len(now) >= maxZigbee {
			continue
		}
		d := zigbeeDevice(root, device)
		if d.ID == "" || now[d.ID] {
			continue
		}
		now[d.ID] = true
		out = append(out, d)
	}
	for id := range z.known[m.Topic] {
		if !now[id] {
			out = append(out, Discovered{Format: "zigbee2mqtt", ID: id, Removed: true})
		}
	}
	if z.known[m.Topic] != nil || len(z.known) < maxBridges {
		z.known[m.Topic] = now
	}
	return out, nil
}

func zigbeeDevice(root string, device map[string]any) Discovered {
	definition := within(device, "definition")
	d := Discovered{
		Format: "zigbee2mqtt", ID: text(device, "ieee_address"), Name: text(device, "friendly_name"),
		Model: strings.TrimSpace(text(definition, "vendor") + " " + text(definition, "model")),
	}
	if d.Name == "" {
		d.Name = d.ID
	}
	for _, e := range list(definition, "exposes") {
		expose, _ := e.(map[string]any)
		d.Sensors = zigbeeExpose(d.Sensors, expose, root+"/"+d.Name, nil, 0)
	}
	return d
}

// zigbeeExpose adds the values of one entry of exposes that can be read. Entries such as switch or
// climate contain others in features.
func zigbeeExpose(sensors []Suggestion, expose map[string]any, topic string, within []string, depth int) []Suggestion {
	if depth > 4 || len(sensors) >= maxSuggestions {
		return sensors
	}
	property := text(expose, "property")
	if features := list(expose, "features"); features != nil {
		inner := within
		if text(expose, "type") == "composite" && property != "" {
			inner = append(within[:len(within):len(within)], property)
		}
		for _, f := range features {
			feature, _ := f.(map[string]any)
			sensors = zigbeeExpose(sensors, feature, topic, inner, depth+1)
		}
		return sensors
	}
	// The first bit of access says that the value is in the published state.
	if access, has := number(expose, "access"); property == "" || has && int(access)&1 == 0 {
		return sensors
	}
	s := Suggestion{
		Name: property, Format: "zigbee2mqtt", Topic: topic, Unit: text(expose, "unit"),
		Value: path(append(within[:len(within):len(within)], property)...),
	}
	switch text(expose, "type") {
	case "binary":
		on, isText := expose["value_on"].(string)
		off, isText2 := expose["value_off"].(string)
		if isText && isText2 && !strings.EqualFold(on, "on") {
			s.Map = map[string]float64{on: 1, off: 0}
		}
	case "numeric":
	case "enum":
		s.Needs = needsWords
	default:
		return sensors
	}
	return append(sensors, s)
}
