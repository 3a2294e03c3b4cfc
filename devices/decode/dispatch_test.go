package decode

import (
	"testing"

	"gridpost/devices"
	"gridpost/devices/format"
)

func from(source, topic, payload string) devices.Message {
	m := message(topic, payload)
	m.Source = source
	return m
}

// TestASensorHearsItsOwnBroker: what another broker brings on the same topic neither is a reading of a sensor nor changes
// what is known of its device.
func TestASensorHearsItsOwnBroker(t *testing.T) {
	d := decoder(t, nil,
		Mapping{Device: "here", Source: "a", Topic: "level", Availability: []string{"status"}},
		Mapping{Device: "anywhere", Topic: "level"},
		Mapping{Device: "door", Format: "zigbee2mqtt", Topic: "z/door", ValueMapping: ValueMapping{Value: path(t, "$.contact")}})
	if got := d.Decode(from("b", "level", "1")); len(got.Readings) != 1 || got.Readings[0].Device != "anywhere" {
		t.Errorf("from another broker: %+v", got)
	}
	if got := d.Decode(from("a", "level", "1")); len(got.Readings) != 2 {
		t.Errorf("from its own: %+v", got)
	}
	if got := d.Decode(from("b", "status", "offline")); len(got.States) != 0 {
		t.Errorf("availability from another broker: %+v", got)
	}
	if got := d.Decode(from("a", "status", "online")); len(got.States) != 1 || got.States[0].Availability != format.Online {
		t.Errorf("availability: %+v", got)
	}
	// A bridge of the same name at another broker is another bridge.
	d.Decode(from("b", "z/bridge/state", "offline"))
	if got := d.Decode(from("a", "z/door/availability", "online")); len(got.States) != 1 || got.States[0].Availability != format.Online {
		t.Errorf("two bridges: %+v", got)
	}
}

// TestPartialDocuments: a value that is not in one of many documents has not changed. One that is in none of them has a
// wrong path, which is said.
func TestPartialDocuments(t *testing.T) {
	mapping := func(device, at string) Mapping {
		return Mapping{Device: device, Format: "shelly-gen1", Topic: "shellies/x", ValueMapping: ValueMapping{Value: path(t, at)}}
	}
	d := decoder(t, nil, mapping("state", "$.sensor.state"), mapping("never", "$.sensor.level"))
	d.Decode(message("shellies/x/sensor/state", "open"))
	for i := range 3 * maxMissed {
		got := d.Decode(message("shellies/x/sensor/lux", "5"))
		want := 0
		if i+2 >= maxMissed { // the first message had no level either
			want = 1
		}
		if len(got.Problems) != want || want == 1 && got.Problems[0].Device != "never" {
			t.Fatalf("message %d: %+v", i, got.Problems)
		}
		if i%10 == 0 { // a change of the document forgets nothing
			d = New(Options{Mappings: []Mapping{mapping("state", "$.sensor.state"), mapping("never", "$.sensor.level")}, Last: d})
		}
	}
}

// TestRoutes: each message reaches exactly the filters that fit it.
func TestRoutes(t *testing.T) {
	filters := []string{"a", "a/b", "a/+", "a/#", "+/b", "#", "a/+/c", "+", "$SYS/#", "a/b/c/#", "/+", "a//+"}
	var r routes
	hits := map[string]int{}
	for _, f := range filters {
		r.add(f, func(*Decoder, devices.Message, *Decoded) { hits[f]++ })
	}
	for _, topic := range []string{"a", "a/b", "a/b/c", "a/x/c", "b", "$SYS/x", "/", "/b", "a//c", "", "a/b/c/d", "ab/b"} {
		clear(hits)
		r.each(topic, func(to route) { to(nil, devices.Message{}, nil) })
		for _, f := range filters {
			want := 0
			if devices.TopicMatches(f, topic) {
				want = 1
			}
			if hits[f] != want {
				t.Errorf("%q of %q was called %d times", f, topic, hits[f])
			}
		}
	}
}
