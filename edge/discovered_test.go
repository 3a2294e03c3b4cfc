package main

import (
	"os"
	"strings"
	"testing"

	"gridpost/devices/format"
	"gridpost/edge/internal/discovery"
	"gridpost/edge/internal/status"

	firmwareconfig "gridpost/firmware-config"
)

// TestDiscoveredLines: what is printed is the sensors of a document as it stands.
func TestDiscoveredLines(t *testing.T) {
	doc, err := firmwareconfig.Parse("site.yml", []byte("edge: a\n"), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	entries := func(d format.Discovered) status.Discovered {
		return status.Discovered{Device: discovery.Device{Discovered: d}, Entries: doc.SensorEntries(d, "")}
	}
	lines := discoveredLines([]status.Discovered{
		entries(format.Discovered{Format: "zigbee2mqtt", ID: "0x1", Name: "hall/Front door", Model: "Aqara", Sensors: []format.Suggestion{
			{Name: "contact", Format: "zigbee2mqtt", Topic: "zigbee2mqtt/hall/Front door", Value: "$.contact"},
			{Name: "action", Format: "zigbee2mqtt", Topic: "zigbee2mqtt/hall/Front door", Value: "$.action", Needs: "words: with # and : in them"},
		}}),
		entries(format.Discovered{Format: "tasmota", ID: "AA", Name: "river"}),
	})
	with, err := firmwareconfig.Parse("site.yml", []byte("edge: a\n"+lines), os.LookupEnv)
	if err != nil || len(with.Sensors) != 2 || with.Sensors[0].Name != "hall-front-door-contact" {
		t.Errorf("%v\n%s", err, lines)
	}
	for _, part := range []string{"# hall/Front door: Aqara zigbee2mqtt 0x1", "# needs: words: with # and : in them", "# river: tasmota AA", "not known yet"} {
		if !strings.Contains(lines, part) {
			t.Errorf("%q is missing in\n%s", part, lines)
		}
	}
	if none := discoveredLines(nil); !strings.HasPrefix(none, "# no device") {
		t.Errorf("without devices: %s", none)
	}
}
