package app

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/broker"
	"gridpost/devices/decode"
	"gridpost/edge/internal/camera"
	"gridpost/edge/internal/sensor"

	firmwareconfig "gridpost/firmware-config"
)

// construct makes everything of an accepted document that an edge runs, and lets run what ends at
// once when its context has ended.
func construct(t *testing.T, doc *firmwareconfig.Document) {
	t.Helper()
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	for _, c := range doc.Cameras {
		cam, err := camera.New(camera.Options{Config: c, Detection: doc.Detection, OnState: func(devices.State, devices.Cause) {}, Logger: slog.New(slog.DiscardHandler)})
		if err != nil {
			t.Errorf("camera %s: %v", c.Name, err)
			continue
		}
		if err := cam.Run(ended); err != nil {
			t.Errorf("camera %s ended with %v", c.Name, err)
		}
	}
	for _, s := range doc.Sensors {
		if _, err := sensor.New(sensor.Options{Config: s}); err != nil {
			t.Errorf("sensor %s: %v", s.Name, err)
		}
		d := decode.New(decode.Options{Mappings: []decode.Mapping{{Device: s.Name, Topic: s.Topic, ValueMapping: s.ValueMapping}}})
		d.Decode(devices.Message{Topic: s.Topic, Payload: []byte(`{"level":[1]}`), Received: time.Now()})
	}
	if doc.MQTT.Listen != "" {
		var users []broker.User
		for _, u := range doc.MQTT.Users {
			users = append(users, broker.User{Name: u.Name, Password: u.Password, Topics: u.Topics})
		}
		handle := func(context.Context, devices.Message, func(error)) {}
		// The document's own port may be in use, which is a state of the running edge.
		b, err := broker.New(broker.Options{Listen: "127.0.0.1:0", Users: users, Handle: handle})
		if err != nil {
			t.Errorf("broker: %v", err)
		} else if err := b.Close(); err != nil {
			t.Error(err)
		}
	}
	if doc.Hub.URL != "" {
		if _, err := http.NewRequest(http.MethodPost, doc.Hub.URL+"/edge/v1/batch", nil); err != nil {
			t.Errorf("hub: %v", err)
		}
	}
}

// pieces are values for the keys of a document: good ones, odd ones that may pass, and bad ones.
var pieces = map[string][]string{
	"hub": {
		"https://hub:8443", "https://[fe80::1%25eth0]:1/", "https://h?", "https://h#", "https://a b", "https://%E4%BD%A0", "https://]", "https://:1", "https://h:0",
	},
	"rtsp": {
		"rtsp://10.0.0.11/main", "rtsp://10.0.0.11/main#x", "rtsp://10.0.0.11/main#", "rtsp://u:p%23@h/a?b=c", "rtsps://[::1]:322", "rtsp://[fe80::1%25eth0]/x",
		"rtsp://u@/x", "rtsp://h:99999/x", "rtsp:x://y", "rtsp://h/%zz", "rtsp://h/a b", "rtsp://]/", "rtsp://h:/x", "RTSP://h/x", "rtsp://%E4%BD%A0/",
	},
	"broker": {
		"mqtt://10.0.0.5", "mqtts://b:8883/", "mqtt://]", "mqtt://[fe80::1%25eth0]", "mqtt://h/x", "mqtt://h#", "tcp://h", "mqtt://a b", "mqtt://h:", "mqtt://%00",
	},
	"topic":  {"t", "a/+/b", "#", "a/#/b", "a#", "+", "$SYS/#", "/", ""},
	"sensor": {"t", "a/b", "$SYS/broker", "t t/ü", "a", "a/b/c", "a/+/b", "#", "a/#/b", "a#", "a/{id}", ""},
	"path":   {"$.level", "$", "$.a[0]['b c']", "$..", "$.1a", "$[99999999]", "$['']", "level", "$.level[0"},
	"login":  {"probe", "", "传感器", strings.Repeat("x", 1025), strings.Repeat("y", 70000)},
	"listen": {":0", "1883", "127.0.0.1:0", "h:x", "::1:1"},
	"rule": {
		"kind: above, value: 1", "kind: below, value: 1, clear: 0", "kind: above, value: .nan", "kind: silence, for: 1s", "kind: silence, for: 0s",
		"kind: above, value: 1e400", "kind: below, value: -1, clear: 1e308",
	},
	"sight": {
		"kind: zone, polygon: [[0,0],[1,0],[1,1]]", "kind: zone, polygon: [[0,0],[1,1],[1,0],[0,1]]", "kind: line, line: [[0,0],[1e-320,0]]",
		"kind: line, line: [[0,0],[0,0]]", "kind: line, line: [[0,1],[1,0]], direction: up, clear: 168h", "kind: silence, for: 2m", "kind: line, line: [[0,0],[1e-170,1e-170]]",
	},
}

func randomDocument(rng *rand.Rand) string {
	pick := func(kind string) string {
		list := pieces[kind]
		if rng.IntN(3) > 0 {
			return list[0]
		}
		return list[rng.IntN(len(list))]
	}
	return fmt.Sprintf(`edge: a
hub: {url: %q}
mqtt: {listen: %q, users: [{name: %q, password: %q, topics: [%q]}], brokers: [{url: %q, username: %q}]}
cameras:
  - {name: yard, url: %q, detect: %q, rules: [{name: a, severity: minor, %s}]}
sensors:
  - {name: river, topic: %q, value: %q, time: %q, rules: [{name: a, severity: minor, %s}]}
`, pick("hub"), pick("listen"), pick("login"), pick("login"), pick("topic"), pick("broker"), pick("login"),
		pick("rtsp"), pick("rtsp"), pick("sight"), pick("sensor"), pick("path"), pick("path"), pick("rule"))
}

// TestAcceptedDocumentsRun: what a check accepts, nothing refuses when the edge runs.
func TestAcceptedDocumentsRun(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2)) // repeatable
	accepted, refused := 0, 0
	for range 1500 {
		text := randomDocument(rng)
		doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
		if err != nil {
			refused++
			continue
		}
		accepted++
		construct(t, doc)
		if t.Failed() {
			t.Fatalf("the document is\n%s", text)
		}
	}
	if accepted < 80 || refused < 100 {
		t.Errorf("%d documents were accepted and %d refused: the test shows little", accepted, refused)
	}
}

// FuzzAcceptedDocumentsRun is the same for any document.
func FuzzAcceptedDocumentsRun(f *testing.F) {
	paths, err := filepath.Glob("../../../firmware-config/testdata/*.yml")
	if err != nil || len(paths) == 0 {
		f.Fatal("no documents", err)
	}
	for _, path := range paths {
		data, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := firmwareconfig.Parse("site.yml", data, func(string) (string, bool) { return "p@ss\x00#/\xff", true })
		if err == nil {
			construct(t, doc)
		}
	})
}
