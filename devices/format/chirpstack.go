package format

import (
	"errors"
	"strings"

	"gridpost/devices"
)

// chirpstack is the format of LoRaWAN devices behind ChirpStack version 4 (chirpstack.io/docs/chirpstack/
// integrations/events.html): application/APPLICATION/device/DEV EUI/event/up. The document is the
// event: $.object.level is a value that the device profile's codec has decoded, $.rxInfo[0].rssi one
// of the radio. Fields that are zero or false are left out.
func chirpstack() Format {
	const example = "application/9b558903-28f0-4d52-98ba-eb1bb8c23e2b/device/a81758fffe0523e1"
	return Format{
		Name: "chirpstack",
		Base: func(topic string) (string, error) {
			for _, suffix := range []string{"/event/up", "/event/+", "/event/#", "/#"} {
				topic = strings.TrimSuffix(topic, suffix)
			}
			all, err := levels(topic, 4, example)
			if err == nil && (all[0] != "application" || all[2] != "device") {
				err = expected(example)
			}
			return topic, err
		},
		Filters:       func(base string) []string { return []string{base + "/event/up"} },
		Of:            func(topic string) string { return baseOf(topic, "/event/up", 4) },
		New:           func(string) Reader { return &chirpstackReader{} },
		Announced:     []string{"application/+/device/+/event/up"},
		NewDiscoverer: func() Discoverer { return chirpstackDevices{} },
	}
}

// baseOf returns a topic without a suffix if want levels remain, or "".
func baseOf(topic, suffix string, want int) string {
	base, ok := strings.CutSuffix(topic, suffix)
	if !ok || strings.Count(base, "/") != want-1 {
		return ""
	}
	return base
}

// chirpstackReader remembers the frame counter: an uplink that several gateways delayed differently, or
// that was queued, comes after a newer one.
type chirpstackReader struct {
	frames  counter
	address string // DevAddr; a new one begins a new session with a new counter
}

func (r *chirpstackReader) Read(m devices.Message) ([]Report, error) {
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	if within(o, "deviceInfo") == nil {
		if _, v3 := o["devEUI"]; v3 {
			return nil, errors.New("it is an event of ChirpStack version 3; version 4 is understood")
		}
		return nil, errors.New("it is no uplink event of ChirpStack")
	}
	if address := text(o, "devAddr"); address != r.address {
		r.address, r.frames = address, counter{}
	}
	report := Report{Document: o, HasValues: true, Time: rfc3339(o, "time")}
	n, _ := count(o, "fCnt") // 0 is left out
	report.Historical = r.frames.late(n, report.Time)
	switch {
	case within(o, "object") != nil:
	case text(o, "data") == "":
		report.Partial = true // the device only answered the network
	default:
		report.Absent = errors.New("ChirpStack has not decoded the payload (the device profile needs a codec)")
	}
	return []Report{report}, nil
}

// chirpstackDevices notices devices by their uplinks.
type chirpstackDevices struct{}

func (chirpstackDevices) Discover(m devices.Message) ([]Discovered, error) {
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	info := within(o, "deviceInfo")
	d := Discovered{Format: "chirpstack", ID: text(info, "devEui"), Name: text(info, "deviceName"), Model: text(info, "deviceProfileName")}
	if d.ID == "" {
		return nil, errors.New("it is no uplink event of ChirpStack")
	}
	if within(o, "object") == nil && text(o, "data") == "" {
		return nil, nil // it only answered the network
	}
	d.Sensors = loraSensors("chirpstack", strings.TrimSuffix(m.Topic, "/event/up"), within(o, "object"), "object")
	return []Discovered{d}, nil
}

// loraSensors suggests a sensor for each value that a codec has decoded.
func loraSensors(format, topic string, decoded map[string]any, at ...string) []Suggestion {
	if decoded == nil {
		return []Suggestion{{
			Name: "value", Format: format, Topic: topic,
			Needs: "the payload is not decoded: add a codec (payload formatter) for the device at the network server",
		}}
	}
	var all []Suggestion
	for _, l := range flatten(decoded, maxSuggestions) {
		s := Suggestion{Name: strings.Join(l.names, " "), Format: format, Topic: topic, Value: path(at...) + l.path}
		if _, isText := l.value.(string); isText {
			s.Needs = needsWords
		}
		all = append(all, s)
	}
	return all
}
