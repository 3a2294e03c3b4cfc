package firmwareconfig

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection/rules"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/decode"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// environment is what the fixtures may refer to. Its values must never be seen in a message.
var environment = map[string]string{
	"MQTT_PASSWORD":  "mq-s3cret-value",
	"YARD_PASSWORD":  "ya-s3cret-value",
	"PROBE_PASSWORD": "pr-s3cret-value",
	"ODD_PASSWORD":   "p@ss/wo:rd? s3cret #1%",
	"CAMERA_HOST":    "camera.lan",
}

func getenv(name string) (string, bool) {
	v, ok := environment[name]
	return v, ok
}

func parseFile(t *testing.T, path string) (*Document, error) {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return Parse(filepath.Base(path), data, getenv)
}

func fixtures(t *testing.T, pattern string) []string {
	t.Helper()
	paths, err := filepath.Glob(pattern)
	if err != nil || len(paths) == 0 {
		t.Fatalf("no fixtures match %s (%v)", pattern, err)
	}
	return paths
}

func TestGood(t *testing.T) {
	for _, path := range fixtures(t, "testdata/*.good.yml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			if _, err := parseFile(t, path); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// TestBad compares the whole error with the comments at the head of the file, so that a problem
// that is not found, a second one that should not be there and a changed word all show.
func TestBad(t *testing.T) {
	for _, path := range fixtures(t, "testdata/*.bad.yml") {
		t.Run(filepath.Base(path), func(t *testing.T) {
			data, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			var want []string
			for line := range strings.Lines(string(data)) {
				text, is := strings.CutPrefix(line, "# expect: ")
				if !is {
					break
				}
				want = append(want, filepath.Base(path)+":"+strings.TrimSpace(text))
			}
			doc, err := parseFile(t, path)
			if doc != nil || err == nil {
				t.Fatal("accepted")
			}
			var problems Problems
			if !errors.As(err, &problems) {
				t.Fatalf("error is a %T", err)
			}
			if got := err.Error(); got != strings.Join(want, "\n") {
				t.Errorf("found\n%s\nexpected\n%s", got, strings.Join(want, "\n"))
			}
			checkNoSecret(t, err.Error())
		})
	}
}

func checkNoSecret(t *testing.T, message string) {
	t.Helper()
	if strings.Contains(message, "s3cret") {
		t.Errorf("the message tells a secret: %s", message)
	}
}

// parsed parses s with the function that the document uses.
func parsed[T any](t *testing.T, parse func(string) (T, error), s string) T {
	t.Helper()
	v, err := parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSite holds what the document of the issue means, value by value.
func TestSite(t *testing.T) {
	got, err := parseFile(t, "testdata/site.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	wantRules := []string{
		"yard zone moderate {tracked:{classes:[person] minSize:0.01 minTall:{near:{y:0 height:0} far:{y:0 height:0}} clear:3000000000} area:[{X:0.1 Y:0.4} {X:0.9 Y:0.4} {X:0.9 Y:1} {X:0.1 Y:1}] hold:1000000000}",
		"gate line minor {tracked:{classes:[] minSize:0 minTall:{near:{y:0 height:0} far:{y:0 height:0}} clear:3000000000} at:{A:{X:0.2 Y:0.5} B:{X:0.8 Y:0.5}} direction:down}",
		"flood above severe value 3.2 {detection:false direction: classes:[] for:10s}",
		"silent silence minor {hold:300000000000}",
	}
	specs := append(slices.Clone(got.Cameras[0].Rules), got.Sensors[0].Rules...)
	for i, s := range specs {
		if text := ruleText(s); text != wantRules[i] {
			t.Errorf("rule %d is\n%s, expected\n%s", i, text, wantRules[i])
		}
	}
	notes := Notes(got)
	got.Cameras[0].Rules, got.Sensors[0].Rules = nil, nil // compared above
	want := &Document{
		Edge: "gate-7",
		Hub:  Hub{URL: "https://hub.example:8443", Upload: 4.5},
		MQTT: MQTT{
			Listen:  "0.0.0.0:1883",
			Brokers: []Broker{{URL: parsed(t, address.ParseBroker, "mqtts://10.0.0.5:8883"), ClientID: "gridpost-gate-7", Username: "edge", Password: "mq-s3cret-value"}},
		},
		Detection: Detection{Rate: 10, Memory: 1024},
		Clips:     Clips{Before: 10 * time.Second, After: 20 * time.Second, Longest: time.Minute, Keep: 168 * time.Hour, Size: 2},
		Cameras: []Camera{{
			Record: RecordClips, Clips: Clips{Before: 10 * time.Second, After: 20 * time.Second, Longest: time.Minute, Keep: 168 * time.Hour, Size: 2},
			Name: "yard", URL: parsed(t, address.ParseStream, "rtsp://viewer:ya-s3cret-value@10.0.0.11/main"), Detect: parsed(t, address.ParseStream, "rtsp://viewer:ya-s3cret-value@10.0.0.11/sub"), Transport: "auto",
			Place: &devices.Place{Lat: 30.9201, Lon: 120.9302, Heading: 135, FOV: 90, Range: 60, Height: 4},
		}},
		Sensors: []Sensor{{
			Name: "river", Topic: "sensors/river", ValueMapping: decode.ValueMapping{Value: parsed(t, decode.ParsePath, "$.level"), Unit: "m", Scale: 1}, Every: 30 * time.Second,
			Place: &devices.Place{Lat: 30.9210, Lon: 120.9311},
		}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("found\n%+v\nexpected\n%+v", got, want)
	}
	wantNotes := []string{
		"mqtt.users: the embedded broker has no users, so nobody can publish to it",
		"cameras[0].rules[0].classes (yard/yard): without a model everything that moves counts, whatever its class",
	}
	if !reflect.DeepEqual(notes, wantNotes) {
		t.Errorf("notes %q, expected %q", notes, wantNotes)
	}
}

// ruleText writes a rule out, terms and all.
func ruleText(s rules.Spec) string {
	head := fmt.Sprintf("%s %s %s ", s.Name, s.Kind, s.Severity)
	if d := s.Terms.Describe(); d.Value != nil {
		return head + fmt.Sprintf("value %g {detection:%v direction:%s classes:%v for:%v}", *d.Value, d.Detection, d.Direction, d.Classes, d.For)
	}
	return head + strings.TrimPrefix(fmt.Sprintf("%+v", s.Terms), "&")
}

func TestDefaultsAndEnvironment(t *testing.T) {
	doc, err := parseFile(t, "testdata/everything.good.yml")
	if err != nil {
		t.Fatal(err)
	}
	if got, want := doc.Cameras[0].URL.URL().String(), "rtsps://user:p%40ss%2Fwo%3Ard%3F%20s3cret%20%231%25@camera.lan:322/live?channel=1"; got != want {
		t.Errorf("URL %s, expected %s", got, want)
	}
	if got := doc.MQTT.Users[1].Password; got != "costs ${5}" {
		t.Errorf("password %q: $${ must become ${", got)
	}
	if got := doc.Cameras[1].Transport; got != "auto" {
		t.Errorf("transport %q", got)
	}
	for text, s := range map[string]rules.Spec{
		"a zone extreme {tracked:{classes:[] minSize:0 minTall:{near:{y:0 height:0} far:{y:0 height:0}} clear:3000000000} area:[{X:0 Y:0} {X:1 Y:0} {X:1 Y:1} {X:0.5 Y:0.5} {X:0 Y:1}] hold:0}": doc.Cameras[0].Rules[0],
		"b line minor {tracked:{classes:[person car] minSize:0 minTall:{near:{y:0 height:0} far:{y:0 height:0}} clear:60000000000} at:{A:{X:0 Y:0} B:{X:1 Y:1}} direction:left}":                doc.Cameras[0].Rules[1],
		"frost below minor value -2 {detection:false direction: classes:[] for:0s}":                                                                                                             doc.Sensors[1].Rules[0],
	} {
		if got := ruleText(s); got != text {
			t.Errorf("rule is\n%s, expected\n%s", got, text)
		}
	}
	if got := doc.Cameras[0].Rules[1].CoolDown; got != 5*time.Minute || doc.Cameras[0].Rules[0].CoolDown != 0 {
		t.Errorf("cool-downs %s and %s, expected 5m and none", got, doc.Cameras[0].Rules[0].CoolDown)
	}
	if doc.Sensors[1].Scale != 0.1 || doc.Sensors[0].Unit != "1" {
		t.Errorf("sensors %+v", doc.Sensors)
	}
}

// A rule about the classes of a model can do nothing without one.
func TestNotesOfRulesThatNeedAModel(t *testing.T) {
	text := "edge: a\ncameras: [{name: c, url: \"rtsp://h/x\", rules: [{name: burns, kind: sighting, classes: [fire], severity: minor}]}]\n"
	for more, want := range map[string]bool{"": true, "detection: {model: /m.onnx}\n": false} {
		doc, err := Parse("a.yml", []byte(text+more), getenv)
		if err != nil {
			t.Fatal(err)
		}
		note := "cameras[0].rules[0].kind (c/burns): without a model a rule of the kind sighting never opens an incident"
		if got := slices.Contains(Notes(doc), note); got != want {
			t.Errorf("with %q: %q", more, Notes(doc))
		}
	}
}

func TestLoadNamesTheFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "gate.yml")
	if _, err := Load(path, getenv); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("error %v, expected that there is no such file", err)
	}
	if err := os.WriteFile(path, []byte("edge: Gate 7\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := Load(path, getenv)
	want := path + `:1: edge: expected 1 to 40 of the characters a-z, 0-9 and -, found "Gate 7"`
	if err == nil || err.Error() != want {
		t.Errorf("error %v, expected %s", err, want)
	}
	if err := os.WriteFile(path, []byte(strings.Repeat("#\n", MaxSize)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(path, getenv); err == nil || !strings.Contains(err.Error(), "expected at most 1048576 bytes") {
		t.Errorf("error %v for a file without end", err)
	}
}

// TestSecretsStaySecret plants a secret wherever a hand may slip and looks for it in the message.
func TestSecretsStaySecret(t *testing.T) {
	for _, text := range []string{
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password:s3cret}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://u:s3cret@h'}]}",
		"edge: x\nmqtt: {brokers: [{url: 'u:s3cret@h'}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: *s3cret}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: [s3cret]}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: 's3cret}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: \"s3\\cret\"}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: %s3cret}]}",
		"edge: x\nmqtt: {brokers: [{url: 'mqtt://h', username: u, password: @s3cret}]}",
		"edge: x\nmqtt: {users: [s3cret]}",
		"edge: x\nmqtt: s3cret",
		"edge: x\ncameras: [{name: a, url: 'rtsp://u:s3cret/x@h/y'}]",
		"edge: x\ncameras: [{name: a, url: 'rtsp://u:s3cret'}]",
		"edge: x\ncameras: [{name: a, url: 'http://u:s3cret@h'}]",
		"edge: x\ncameras: [{name: a, url: 'rtsp://u:${YARD_PASSWORD}@h:99999'}]",
		"edge: x\ncameras: [{name: a, url: '${YARD_PASSWORD}'}]",
		"edge: x\ncameras: [{name: '${YARD_PASSWORD}!', url: 'rtsp://h'}]",
		"edge: x\ncameras: [{name: a, url: 'rtsp://u:${s3cret@h'}]",
		"edge: x\nsensors: [{name: a, topic: b, every: '${YARD_PASSWORD}', scale: '${YARD_PASSWORD}'}]",
	} {
		_, err := Parse("x.yml", []byte(text), getenv)
		if err == nil {
			t.Errorf("accepted: %s", text)
			continue
		}
		checkNoSecret(t, err.Error())
	}
}

func FuzzParse(f *testing.F) {
	for _, pattern := range []string{"testdata/*.good.yml", "testdata/*.bad.yml"} {
		paths, err := filepath.Glob(pattern)
		if err != nil {
			f.Fatal(err)
		}
		for _, path := range paths {
			data, err := os.ReadFile(path)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(data)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := Parse("fuzz.yml", data, getenv)
		if (doc == nil) != (err != nil) {
			t.Fatalf("document %v and error %v", doc, err)
		}
		if err == nil {
			Notes(doc)
			return
		}
		for _, p := range err.(Problems) { //nolint:errorlint // nothing else is allowed to come
			if p.Line < 1 || p.Text == "" {
				t.Errorf("problem %+v", p)
			}
		}
		for name, secret := range environment {
			if strings.Contains(err.Error(), secret) && !strings.Contains(string(data), secret) {
				t.Errorf("the error tells the value of %s", name)
			}
		}
	})
}
