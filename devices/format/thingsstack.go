package format

import (
	"errors"
	"strings"

	"gridpost/devices"
)

// thingsStack is the format of LoRaWAN devices behind The Things Stack version 3
// (thethingsindustries.com/docs/integrations/other-integrations/mqtt): v3/APPLICATION@TENANT/devices/ID/up. The
// document is the message: $.uplink_message.decoded_payload.level is a value that the payload formatter has
// decoded. Fields that are zero or false are left out.
func thingsStack() Format {
	const example = "v3/water@town/devices/eui-a81758fffe0523e1"
	return Format{
		Name: "things-stack",
		Base: func(topic string) (string, error) {
			for _, suffix := range []string{"/up", "/#", "/+"} {
				topic = strings.TrimSuffix(topic, suffix)
			}
			all, err := levels(topic, 4, example)
			if err == nil && (all[0] != "v3" || all[2] != "devices") {
				err = expected(example)
			}
			return topic, err
		},
		Filters:       func(base string) []string { return []string{base + "/up"} },
		Of:            func(topic string) string { return baseOf(topic, "/up", 4) },
		New:           func(string) Reader { return &thingsReader{} },
		Announced:     []string{"v3/+/devices/+/up"},
		NewDiscoverer: func() Discoverer { return thingsDevices{} },
	}
}

// thingsReader remembers the frame counter, as chirpstackReader does.
type thingsReader struct {
	frames  counter
	session string // session_key_id; a new one begins with a new counter
}

func (r *thingsReader) Read(m devices.Message) ([]Report, error) {
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	uplink := within(o, "uplink_message")
	if uplink == nil {
		return nil, errors.New("it is no uplink of The Things Stack")
	}
	if session := text(uplink, "session_key_id"); session != r.session {
		r.session, r.frames = session, counter{}
	}
	report := Report{Document: o, HasValues: true, Time: rfc3339(uplink, "received_at")}
	if report.Time.IsZero() {
		report.Time = rfc3339(o, "received_at")
	}
	n, _ := count(uplink, "f_cnt") // 0 is left out
	report.Historical = r.frames.late(n, report.Time)
	switch {
	case within(uplink, "decoded_payload") != nil:
	case text(uplink, "frm_payload") == "":
		report.Partial = true // the device only answered the network
	default:
		report.Absent = errors.New("The Things Stack has not decoded the payload (the device needs a payload formatter)") //nolint:staticcheck // a name
	}
	return []Report{report}, nil
}

// thingsDevices notices devices by their uplinks.
type thingsDevices struct{}

func (thingsDevices) Discover(m devices.Message) ([]Discovered, error) {
	o, err := object(m.Payload)
	if err != nil {
		return nil, err
	}
	ids := within(o, "end_device_ids")
	d := Discovered{Format: "things-stack", ID: text(ids, "dev_eui"), Name: text(ids, "device_id")}
	version := within(o, "uplink_message", "version_ids")
	d.Model = strings.TrimSpace(text(version, "brand_id") + " " + text(version, "model_id"))
	if d.ID == "" {
		d.ID = d.Name
	}
	if d.ID == "" {
		return nil, errors.New("it is no uplink of The Things Stack")
	}
	if uplink := within(o, "uplink_message"); within(uplink, "decoded_payload") == nil && text(uplink, "frm_payload") == "" {
		return nil, nil // it only answered the network
	}
	d.Sensors = loraSensors("things-stack", strings.TrimSuffix(m.Topic, "/up"),
		within(o, "uplink_message", "decoded_payload"), "uplink_message", "decoded_payload")
	return []Discovered{d}, nil
}
