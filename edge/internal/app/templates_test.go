package app

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/status"
)

// publisher publishes to the embedded broker of an edge.
func publisher(t *testing.T, r *testEdge) func(topic, payload string) {
	t.Helper()
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "x", Username: "u", Password: "p"})
	must(t, err)
	t.Cleanup(p.Close)
	return func(topic, payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		must(t, p.Publish(ctx, topic, []byte(payload), false))
	}
}

const withUser = `
edge: gate-7
mqtt: {listen: "127.0.0.1:0", users: [{name: u, password: p, topics: ["#"]}], discover: true}
`

// TestTemplate: each device on the topics of a template is a device of its own with the template's rules, from its
// first message on. It is missed after a restart, and forgotten when an operator says so.
func TestTemplate(t *testing.T) {
	doc := withUser + `
sensors:
  - name: level-{name}
    topic: sensors/{name}/level
    unit: m
    every: 300ms
    rules: [{name: flood, kind: above, value: 3, severity: minor}]
  - {name: 'lora-{device}', format: chirpstack, topic: 'application/1/device/{device}', value: $.object.level}
`
	r := start(t, Options{Files: site(t, doc)})
	publish := publisher(t, r)
	publish("sensors/North 1/level", "5")
	publish("sensors/south/level", "2")
	publish("sensors/North 1/battery", "2")
	publish("application/1/device/a81758fffe0523e1/event/up", `{"deviceInfo":{"devEui":"a81758fffe0523e1"},"fCnt":1,"object":{"level":7}}`)
	k := look(t, r) // acknowledged means kept
	if len(k.incidents) != 1 || k.incidents[0].Device != "level-north-1" || k.incidents[0].State != detection.Open {
		t.Errorf("incidents: %+v", k.incidents)
	}
	got := map[string]float64{}
	for _, reading := range k.readings {
		got[reading.Device] = reading.Value
	}
	if len(got) != 3 || got["level-north-1"] != 5 || got["level-south"] != 2 || got["lora-a81758fffe0523e1"] != 7 {
		t.Errorf("readings: %v", got)
	}
	var known []string
	for _, d := range k.inventory.Devices {
		known = append(known, d.Name+" "+d.Unit)
	}
	slices.Sort(known)
	if want := []string{"level-north-1 m", "level-south m", "lora-a81758fffe0523e1 "}; !slices.Equal(known, want) {
		t.Errorf("devices: %q", known)
	}
	r.stop()

	r = start(t, Options{Dir: r.dir, Files: site(t, doc)})
	publish = publisher(t, r)
	s := untilStatus(t, r, "silence of devices that were heard before the restart", func(s status.Status) bool {
		return device(s, "level-south").State == devices.Offline
	})
	if c := device(s, "level-south").Cause.Code; c != "sensor_never_read" {
		t.Errorf("cause: %q", c)
	}
	var changes Changes
	must(t, status.Forget(t.Context(), r.dir, "level-south", &changes))
	if err := status.Forget(t.Context(), r.dir, "level-south", &changes); err == nil {
		t.Error("a device was forgotten twice")
	}
	publish("sensors/North 1/level", "2")
	k = look(t, r)
	if len(k.inventory.Devices) != 2 || k.incidents[len(k.incidents)-1].State != detection.Closed {
		t.Errorf("after the restart: %+v", k)
	}
}

// TestManyDevicesOfATemplate: a burst of devices that are heard of for the first time loses none of their messages.
func TestManyDevicesOfATemplate(t *testing.T) {
	r := start(t, Options{Files: site(t, withUser+"sensors: [{name: 'level-{name}', topic: 'sensors/{name}/level'}]\n")})
	publish := publisher(t, r)
	const many = 60
	for i := range many {
		publish(fmt.Sprintf("sensors/n%d/level", i), "1")
	}
	k := look(t, r)
	if len(k.readings) != many || len(k.inventory.Devices) != many {
		t.Errorf("%d readings of %d devices", len(k.readings), len(k.inventory.Devices))
	}
}

// TestDiscoveredDevices: what announces itself waits in the status until it is adopted.
func TestDiscoveredDevices(t *testing.T) {
	text := withUser + "# the river\nsensors:\n  - {name: river, topic: river} # at the bridge\n"
	r := start(t, Options{Files: site(t, text)})
	publish := publisher(t, r)
	long := strings.Repeat(`{"type":"numeric","property":"x","access":2},`, 2500) // longer than other messages may be
	publish("zigbee2mqtt/bridge/devices", `[{"ieee_address":"0x00158d0001dc126a","type":"EndDevice","friendly_name":"hall/Front door","definition":{"vendor":"Aqara","model":"MCCGQ11LM","exposes":[`+long+
		`{"type":"binary","property":"contact","access":1,"value_on":false,"value_off":true},{"type":"enum","property":"action","access":1,"values":["a"]}]}}]`)
	publish("shellies/announce", `{"id":"shellyflood-764F1A","model":"SHWT-1","mac":"98CDAC764F1A"}`)
	s := untilStatus(t, r, "two devices", func(s status.Status) bool { return len(s.Discovered) == 2 })
	if d := s.Discovered[0]; d.Name != "hall/Front door" || d.ID != "0x00158d0001dc126a" || len(d.Entries) != 2 || d.Entries[0].Name != "hall-front-door-contact" || d.Entries[1].Needs == "" {
		t.Errorf("discovered: %+v", d)
	}
	var changes Changes
	if err := status.Adopt(t.Context(), r.dir, "nobody", &changes); err == nil {
		t.Error("a device that is not there was adopted")
	}
	must(t, status.Adopt(t.Context(), r.dir, "hall/Front door", &changes))
	if !slices.Equal(changes.Sensors.Added, []string{"hall-front-door-contact"}) {
		t.Errorf("changes: %+v", changes)
	}
	publish("zigbee2mqtt/hall/Front door", `{"contact":false,"battery":100}`)
	if k := look(t, r); len(k.readings) != 1 || k.readings[0].Device != "hall-front-door-contact" {
		t.Errorf("readings: %+v", k.readings)
	}
	s = getStatus(t, r)
	if len(s.Discovered) != 1 || !s.Document.Applied || device(s, "river").Name == "" {
		t.Errorf("after the adoption: %+v", s)
	}
	r.stop()
	_, applied, err := r.files.Text()
	must(t, err)
	for _, part := range []string{"# the river", "# at the bridge", "name: hall-front-door-contact"} {
		if !strings.Contains(string(applied), part) {
			t.Errorf("the document lacks %q:\n%s", part, applied)
		}
	}
	if _, err := os.Stat(filepath.Join(r.dir, "applied.json")); err != nil {
		t.Error(err)
	}
}

// TestWillIsAvailability: a sensor whose connection to the embedded broker breaks is offline by its will, at once.
func TestWillIsAvailability(t *testing.T) {
	r := start(t, Options{Files: site(t, withUser+"sensors: [{name: weir, format: esphome, topic: weir/sensor/level}]\n")})
	conn, err := net.Dial("tcp", <-r.broker)
	must(t, err)
	field := func(s string) string { return string([]byte{byte(len(s) >> 8), byte(len(s))}) + s }
	packet := func(kind byte, body string) {
		t.Helper()
		_, err := conn.Write(append([]byte{kind, byte(len(body))}, body...))
		must(t, err)
	}
	// CONNECT with user, password, a will of QoS 1 and a clean session (MQTT 3.1.1, section 3.1), then the birth and a value.
	packet(0x10, field("MQTT")+"\x04\xce\x00\x3c"+field("weir")+field("weir/status")+field("offline")+field("u")+field("p"))
	packet(0x30, field("weir/status")+"online")
	packet(0x30, field("weir/sensor/level/state")+"1.5")
	untilStatus(t, r, "the sensor online", func(s status.Status) bool { return device(s, "weir").Reading != nil })
	must(t, conn.Close())
	s := untilStatus(t, r, "the sensor offline", func(s status.Status) bool { return device(s, "weir").State == devices.Offline })
	if c := device(s, "weir").Cause.Code; c != "sensor_reported_offline" {
		t.Errorf("cause: %q", c)
	}
}
