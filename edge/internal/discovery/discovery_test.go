package discovery

import (
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/format"

	firmwareconfig "gridpost/firmware-config"
)

func announce(l *List, source, topic, payload string) {
	l.Notice(devices.Message{Source: source, Topic: topic, Payload: []byte(payload), Received: time.Now()})
}

func parse(t *testing.T, text string) *firmwareconfig.Document {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func TestDevicesWaitUntilTheyAreInTheDocument(t *testing.T) {
	l := New()
	none := parse(t, "edge: a\n")
	announce(l, "x", "shellies/announce", `{"id":"shellyflood-1","model":"SHWT-1","mac":"A"}`)
	if got := l.Waiting(none); len(got) != 0 {
		t.Errorf("without discovery: %+v", got)
	}
	l.SetFormats(format.Standard().Announcing())
	announce(l, "x", "shellies/announce", `{"id":"shellyflood-1","model":"SHWT-1","mac":"A"}`)
	announce(l, "y", "shellies/announce", `{"id":"shellyflood-1","model":"SHWT-1","mac":"A"}`)
	announce(l, "x", "shellies/announce", `{"id":"shellyht-2","model":"SHHT-1","mac":"B"}`)
	announce(l, "x", "shellies/announce", `nonsense`)
	announce(l, "x", "elsewhere", `{"id":"shellyht-3","mac":"C"}`)
	got := l.Waiting(none)
	if len(got) != 3 || got[0].Name != "shellyflood-1" || got[0].Broker != "x" || got[2].ID != "B" || l.Stats().Refused != 1 {
		t.Errorf("waiting: %+v, %+v", got, l.Stats())
	}
	for _, doc := range []string{
		"edge: a\nsensors: [{name: f, format: shelly-gen1, topic: shellies/shellyflood-1, value: $.sensor.flood}]\n",
		"edge: a\nsensors: [{name: 'f-{x}', format: shelly-gen1, topic: 'shellies/{x}', value: $.sensor.flood}]\n",
	} {
		for _, d := range l.Waiting(parse(t, doc)) {
			if d.Name == "shellyflood-1" {
				t.Errorf("%s: it still waits", doc)
			}
		}
	}
	// A renamed device is the same one.
	announce(l, "x", "shellies/announce", `{"id":"renamed","model":"SHHT-1","mac":"B"}`)
	if got := l.Waiting(none); len(got) != 3 || got[0].Name != "renamed" {
		t.Errorf("renamed: %+v", got)
	}
	l.SetFormats([]string{"homeassistant"})
	if got := l.Waiting(none); len(got) != 0 {
		t.Errorf("after the format was left out: %+v", got)
	}
	announce(l, "x", "homeassistant/sensor/a/config", `{"name":"a","stat_t":"a/state"}`)
	announce(l, "x", "homeassistant/sensor/a/config", ``)
	if got := l.Waiting(none); len(got) != 0 {
		t.Errorf("after it was withdrawn: %+v", got)
	}
}

// TestTheListIsBounded: whoever may publish can neither fill the memory nor write to a terminal.
func TestTheListIsBounded(t *testing.T) {
	l := New()
	l.SetFormats(format.Standard().Announcing())
	for i := range MaxDevices + 10 {
		announce(l, "x", "shellies/announce", fmt.Sprintf(`{"id":"%s\u001b[2J\u0000-%d","model":"%s","mac":"m%d"}`, strings.Repeat("é", 300), i, strings.Repeat("m", 5000), i))
	}
	got := l.Waiting(parse(t, "edge: a\n"))
	if len(got) != MaxDevices || l.Stats().Dropped != 10 {
		t.Errorf("%d devices, %+v", len(got), l.Stats())
	}
	for _, d := range got {
		if len([]rune(d.Name)) > maxText || len([]rune(d.Model)) > maxText || strings.ContainsAny(d.Name, "\x00\x1b") {
			t.Fatalf("%+v", d)
		}
	}
}
