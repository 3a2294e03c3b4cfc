package format

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"gridpost/devices"
)

// homeAssistant announces devices by the discovery of Home Assistant (home-assistant.io/integrations/mqtt,
// MQTT discovery): homeassistant/COMPONENT/[NODE/]OBJECT/config for one value, and
// homeassistant/device/[NODE/]OBJECT/config for a device with all its values. Their sensors are plain.
func homeAssistant() Format {
	return Format{
		Name:          "homeassistant",
		Announced:     []string{"homeassistant/+/+/config", "homeassistant/+/+/+/config"},
		NewDiscoverer: func() Discoverer { return &haDevices{found: newFound(), of: map[string]string{}} },
	}
}

// haDevices joins the values of a device that are announced one by one.
type haDevices struct {
	found *found
	of    map[string]string // ID of the device by the topic that announced a value of it
}

// maxAnnouncements bounds the topics that are remembered.
const maxAnnouncements = 10_000

func (h *haDevices) Discover(m devices.Message) ([]Discovered, error) {
	all := strings.Split(m.Topic, "/")
	component := all[1]
	if component != "device" && component != "sensor" && component != "binary_sensor" {
		return nil, nil // lamps, covers and so on
	}
	if len(m.Payload) == 0 {
		return h.withdraw(m.Topic), nil
	}
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	o = haExpand(o)
	if o["migrate_discovery"] == true {
		return nil, nil // the same value is announced by a bundle next
	}
	id, d := haDevice(o, m.Topic)
	var sensors []Suggestion
	if component == "device" {
		for _, key := range sortedKeys(within(o, "components")) {
			entry := haExpand(within(o, "components", key))
			sensors = haSensor(sensors, text(entry, "platform"), entry, o, key)
		}
	} else {
		sensors = haSensor(sensors, component, o, o, all[len(all)-2])
	}
	if len(h.of) >= maxAnnouncements && h.of[m.Topic] == "" {
		return nil, errFull
	}
	out := []Discovered(nil)
	if before := h.of[m.Topic]; before != "" && before != id {
		out = h.withdraw(m.Topic)
	}
	f := h.found.get(id)
	if f == nil {
		return nil, errFull
	}
	h.of[m.Topic] = id
	if d.Model == "" { // only one of a device's announcements needs to describe it
		d.Model = f.Model
	}
	f.Discovered = d
	f.parts[m.Topic] = sensors
	return append(out, f.join()), nil
}

// withdraw removes the values that a topic announced, and the device with its last one.
func (h *haDevices) withdraw(topic string) []Discovered {
	id := h.of[topic]
	delete(h.of, topic)
	f := h.found.byID[id]
	if f == nil {
		return nil
	}
	delete(f.parts, topic)
	if len(f.parts) == 0 {
		return h.found.remove("homeassistant", id)
	}
	return []Discovered{f.join()}
}

// join returns the device with the values of all its parts.
func (d *foundDevice) join() Discovered {
	out := d.Discovered
	out.Sensors = nil
	for _, topic := range sortedParts(d.parts) {
		out.Sensors = append(out.Sensors, d.parts[topic]...)
	}
	out.Sensors = out.Sensors[:min(len(out.Sensors), maxSuggestions)]
	return out
}

// haDevice returns the device that an announcement is about.
func haDevice(o map[string]any, topic string) (id string, d Discovered) {
	device := haExpand(within(o, "device"))
	d = Discovered{Format: "homeassistant", Name: text(device, "name"), Model: strings.TrimSpace(text(device, "manufacturer") + " " + text(device, "model"))}
	ids := list(device, "identifiers")
	if ids == nil {
		ids = []any{text(device, "identifiers")}
	}
	if len(ids) > 0 {
		id = text(map[string]any{"": ids[0]}, "")
	}
	for _, c := range list(device, "connections") {
		if pair, ok := c.([]any); ok && id == "" && len(pair) == 2 {
			id = text(map[string]any{"": pair[1]}, "")
		}
	}
	if id == "" {
		id = text(o, "unique_id")
	}
	if id == "" {
		id = strings.TrimSuffix(strings.TrimPrefix(topic, "homeassistant/"), "/config")
	}
	if d.Name == "" {
		d.Name = text(o, "name")
	}
	if d.Name == "" {
		d.Name = id
	}
	d.ID = id
	return id, d
}

// haSensor adds a value. Keys that a device bundle gives for all values are in shared.
func haSensor(sensors []Suggestion, component string, o, shared map[string]any, key string) []Suggestion {
	if component != "sensor" && component != "binary_sensor" || len(sensors) >= maxSuggestions {
		return sensors
	}
	topic := haTopic(text(o, "state_topic"), o, shared)
	if topic == "" {
		topic = haTopic(text(shared, "state_topic"), o, shared)
	}
	if topic == "" {
		return sensors
	}
	s := Suggestion{Name: text(o, "name"), Topic: topic, Unit: text(o, "unit_of_measurement"), Availability: haAvailability(o, shared)}
	if s.Name == "" {
		s.Name = text(o, "device_class")
	}
	if s.Name == "" {
		s.Name = key
	}
	template := text(o, "value_template")
	at, ok := haPath(template)
	s.Value = at
	if !ok {
		s.Needs = "the path of the value, for the template " + template[:min(len(template), 120)]
	}
	if component == "binary_sensor" {
		s.Map = haWords(o)
	}
	return append(sensors, s)
}

// haWords returns the words of a binary sensor if they are not understood by themselves.
func haWords(o map[string]any) map[string]float64 {
	on, off := haWord(o, "payload_on", "ON"), haWord(o, "payload_off", "OFF")
	usual := strings.ToLower(on) + " " + strings.ToLower(off)
	if usual == "on off" || usual == "true false" || strings.EqualFold(on, off) {
		return nil
	}
	return map[string]float64{on: 1, off: 0}
}

// haWord returns a word that a value can be, which may be a Boolean: a door's contact is false when it is open.
func haWord(o map[string]any, key, usual string) string {
	if b, ok := o[key].(bool); ok {
		return strconv.FormatBool(b)
	}
	return cmp.Or(text(o, key), usual)
}

// haAvailability returns the topics that say whether the device is connected. Those that use other
// words than the usual ones, or are made into words by a template, are left out; so are all when one of
// several is enough to be connected.
func haAvailability(o, shared map[string]any) []string {
	var topics []string
	add := func(entry map[string]any, topic, template string) {
		for key, means := range map[string]Availability{"payload_available": Online, "payload_not_available": Offline} {
			if a, known := availabilityWord(haWord(entry, key, string(means))); !known || a != means {
				return
			}
		}
		if haOnline.MatchString(template) {
			template = ""
		}
		switch at, ok := haPath(template); {
		case !ok:
			return
		case at != "" && !slices.Contains(availabilityKeys(), strings.TrimSuffix(strings.TrimLeft(at, "$.['\""), "']")):
			return
		}
		if topic = haTopic(topic, o, shared); topic != "" && len(topics) < 8 {
			topics = append(topics, topic)
		}
	}
	for _, from := range []map[string]any{o, shared} {
		entries := list(from, "availability")
		if one := within(from, "availability"); one != nil {
			entries = []any{one}
		}
		for _, entry := range entries {
			e, _ := entry.(map[string]any)
			e = haExpand(e)
			add(e, text(e, "topic"), text(e, "value_template"))
		}
		add(from, text(from, "availability_topic"), text(from, "availability_template"))
		if len(topics) > 1 && text(from, "availability_mode") == "any" {
			return nil
		}
		if len(topics) > 0 {
			break
		}
	}
	return topics
}

// Templates that change nothing: {{ 'online' if value == 'online' else 'offline' }}.
var haOnline = regexp.MustCompile(`^\s*\{\{-?\s*['"]online['"]\s+if\s+value\s*==\s*['"]online['"]\s+else\s+['"]offline['"]\s*-?\}\}\s*$`)

// haTopic replaces ~ at either end of a topic.
func haTopic(topic string, o, shared map[string]any) string {
	base := text(o, "~")
	if base == "" {
		base = text(shared, "~")
	}
	if base != "" && strings.HasPrefix(topic, "~") {
		topic = base + topic[1:]
	} else if base != "" && strings.HasSuffix(topic, "~") {
		topic = topic[:len(topic)-1] + base
	}
	if devices.CheckFilter(topic) != nil || strings.ContainsAny(topic, "+#") {
		return ""
	}
	return topic
}

// haExpand writes the long names for the abbreviations that matter here.
func haExpand(o map[string]any) map[string]any {
	out := make(map[string]any, len(o))
	for key, v := range o {
		if long := haAbbreviation(key); long != "" {
			key = long
		}
		out[key] = v
	}
	return out
}

func haAbbreviation(key string) string {
	switch key {
	case "avty":
		return "availability"
	case "avty_mode":
		return "availability_mode"
	case "avty_tpl":
		return "availability_template"
	case "avty_t":
		return "availability_topic"
	case "cmps":
		return "components"
	case "cns":
		return "connections"
	case "dev":
		return "device"
	case "dev_cla":
		return "device_class"
	case "ids":
		return "identifiers"
	case "migr_discvry":
		return "migrate_discovery"
	case "mdl":
		return "model"
	case "mf":
		return "manufacturer"
	case "p":
		return "platform"
	case "pl_avail":
		return "payload_available"
	case "pl_not_avail":
		return "payload_not_available"
	case "pl_off":
		return "payload_off"
	case "pl_on":
		return "payload_on"
	case "stat_t":
		return "state_topic"
	case "t":
		return "topic"
	case "uniq_id":
		return "unique_id"
	case "unit_of_meas":
		return "unit_of_measurement"
	case "val_tpl":
		return "value_template"
	}
	return ""
}

// Templates that name one value, perhaps made a number or a word in another case:
// {{ value_json.a['b'][0] | float | round(1) }}.
var haTemplate = regexp.MustCompile(`^\{\{-?\s*(value|value_json((?:\.[A-Za-z_]\w*|\['[^'\\\]]+'\]|\["[^"\\\]]+"\]|\[\d{1,5}\])*))\s*((?:\|\s*(?:float|int|round|default|is_defined|bool|string|trim|upper|lower|title|capitalize)\s*(?:\([^(){}]*\))?\s*)*)-?\}\}$`)

// Other ways to write the same: {{ value_json.a if value_json.a is defined else 0 }},
// {{ (value_json.a | float) | round(1) }}, value_json.get('a').
var (
	haIfDefined = regexp.MustCompile(`^\{\{-?\s*(value_json[^\s{}]+)\s+if\s+(value_json[^\s{}]+)\s+is\s+defined(?:\s+else\s+[^{}]*)?\}\}$`)
	haBracketed = regexp.MustCompile(`^\{\{\s*\(([^(){}]*)\)\s*(\|[^{}]*)?\}\}$`)
	haGet       = regexp.MustCompile(`\.get\(\s*['"]([^'"\\\]]+)['"]\s*\)`)
)

// haPath returns the JSON path of a template, empty for the payload itself, and whether it is one that
// names a value.
func haPath(template string) (at string, ok bool) {
	template = strings.TrimSpace(template)
	if template == "" {
		return "", true
	}
	if len(template) > 1024 {
		return "", false
	}
	if twice := haIfDefined.FindStringSubmatch(template); twice != nil && twice[1] == twice[2] {
		template = "{{" + twice[1] + "}}"
	}
	if whole := haBracketed.FindStringSubmatch(template); whole != nil {
		template = "{{" + whole[1] + whole[2] + "}}"
	}
	template = haGet.ReplaceAllString(template, "['$1']")
	m := haTemplate.FindStringSubmatch(template)
	switch {
	case m == nil:
		return "", false
	case m[1] == "value":
		return "", true
	}
	return "$" + m[2], true
}
