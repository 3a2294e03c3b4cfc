package format_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"unicode/utf8"

	"gridpost/devices"
	"gridpost/devices/decode"
	"gridpost/devices/format"
)

// fuzzed returns a fuzz test of one format: whatever a message holds, its reader and its discoverer neither panic nor
// return what breaks the rules of a Report or of a Discovered. The corpus is the seed.
func fuzzed(f *testing.F, name string) {
	f.Helper()
	kind, ok := format.Standard().Find(name)
	if !ok {
		f.Fatal("there is no such format")
	}
	files, err := filepath.Glob("testdata/" + name + "/*.case")
	if err != nil || len(files) == 0 {
		f.Fatal("no cases", err)
	}
	topics := map[string]bool{}
	for _, file := range files {
		for _, m := range readCorpus(f, file).messages {
			f.Add(m.Topic, m.Payload, m.Retained)
			topics[m.Topic] = true
		}
	}
	f.Fuzz(func(t *testing.T, topic string, payload []byte, retained bool) {
		m := devices.Message{Topic: topic, Payload: payload, Retained: retained, Received: received()}
		if kind.New != nil {
			checkReader(t, kind, m)
		}
		for _, filter := range kind.Announced {
			if devices.TopicMatches(filter, topic) {
				checkDiscoverer(t, kind.NewDiscoverer(), m)
			}
		}
	})
}

func FuzzPlain(f *testing.F)         { fuzzed(f, "plain") }
func FuzzTasmota(f *testing.F)       { fuzzed(f, "tasmota") }
func FuzzZigbee2MQTT(f *testing.F)   { fuzzed(f, "zigbee2mqtt") }
func FuzzESPHome(f *testing.F)       { fuzzed(f, "esphome") }
func FuzzShellyGen1(f *testing.F)    { fuzzed(f, "shelly-gen1") }
func FuzzShellyGen2(f *testing.F)    { fuzzed(f, "shelly-gen2") }
func FuzzChirpStack(f *testing.F)    { fuzzed(f, "chirpstack") }
func FuzzThingsStack(f *testing.F)   { fuzzed(f, "things-stack") }
func FuzzSparkplug(f *testing.F)     { fuzzed(f, "sparkplug") }
func FuzzHomeAssistant(f *testing.F) { fuzzed(f, "homeassistant") }

// checkReader gives a message to the reader of the device that its topic names, and to that of another one.
func checkReader(t *testing.T, kind format.Format, m devices.Message) {
	t.Helper()
	bases := []string{"a/b/c/d"}
	if base := kind.Of(m.Topic); base != "" {
		bases = append(bases, base)
		if again, err := kind.Base(base); err == nil && again != base && !strings.ContainsAny(base, "+#") {
			t.Fatalf("the base topic %q of %q is written %q", base, m.Topic, again)
		}
		covered := false
		for _, filter := range kind.Filters(base) {
			covered = covered || devices.TopicMatches(filter, m.Topic)
		}
		if !covered && !strings.HasPrefix(m.Topic, "$") && !strings.ContainsAny(m.Topic, "+#") {
			t.Fatalf("no filter of %q (%q) is that of its message %q", base, kind.Filters(base), m.Topic)
		}
	}
	for _, base := range bases {
		r := kind.New(base)
		for range 2 { // a message may come twice
			reports, err := r.Read(m)
			if err != nil && len(reports) > 0 {
				t.Fatalf("reports %+v beside the error %v", reports, err)
			}
			for _, report := range reports {
				checkReport(t, report)
			}
		}
	}
}

func checkReport(t *testing.T, r format.Report) {
	t.Helper()
	if r.Refused != nil && (r.HasValues || r.Availability != "") {
		t.Fatalf("a refused report says something: %+v", r)
	}
	if !r.HasValues && (r.Document != nil || r.Historical || r.Bad) {
		t.Fatalf("a report without values has some: %+v", r)
	}
	if r.Availability != "" && r.Availability != format.Online && r.Availability != format.Offline {
		t.Fatalf("availability %q", r.Availability)
	}
	checkTree(t, r.Document, 0)
}

func checkTree(t *testing.T, v any, depth int) {
	t.Helper()
	if depth > 100 {
		t.Fatal("a document is too deep")
	}
	switch c := v.(type) {
	case map[string]any:
		for _, inner := range c {
			checkTree(t, inner, depth+1)
		}
	case []any:
		for _, inner := range c {
			checkTree(t, inner, depth+1)
		}
	case json.Number:
		if _, err := json.Marshal(c); err != nil {
			t.Fatal(err)
		}
	case nil, bool, string:
	default:
		t.Fatalf("a document has a %T", v)
	}
}

func checkDiscoverer(t *testing.T, d format.Discoverer, m devices.Message) {
	t.Helper()
	for range 2 {
		found, err := d.Discover(m)
		if err != nil && len(found) > 0 {
			t.Fatalf("devices %+v beside the error %v", found, err)
		}
		for _, device := range found {
			if len(device.Sensors) > 64 {
				t.Fatalf("%d sensors of one device", len(device.Sensors))
			}
			for _, s := range device.Sensors {
				if s.Topic == "" || !utf8.ValidString(s.Value) {
					t.Fatalf("a sensor without a topic, or with an odd path: %+v", s)
				}
			}
		}
	}
}

// TestRandomMessages: readers of all formats get messages of all formats, whole, cut and changed, in any order.
// Nothing panics, each value is finite, and what is remembered stays small.
func TestRandomMessages(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7)) // repeatable
	var mappings []decode.Mapping
	var messages []devices.Message
	discoverers := map[string]format.Discoverer{}
	files, err := filepath.Glob("testdata/*/*.case")
	if err != nil || len(files) == 0 {
		t.Fatal(err)
	}
	for i, file := range files {
		c := readCorpus(t, file)
		for _, m := range c.mappings {
			m.Device = fmt.Sprint(m.Device, i)
			mappings = append(mappings, m)
		}
		messages = append(messages, c.messages...)
	}
	for _, f := range format.Standard() {
		if f.NewDiscoverer != nil {
			discoverers[f.Name] = f.NewDiscoverer()
		}
	}
	d := decode.New(decode.Options{Mappings: mappings})
	before := heap()
	for range 10_000 {
		m := mutated(rng, messages)
		for _, r := range d.Decode(m).Readings {
			if r.Value != r.Value || r.Value-r.Value != 0 {
				t.Fatalf("%s of %q is %v", r.Device, m.Payload, r.Value)
			}
		}
		for _, f := range format.Standard() {
			for _, filter := range f.Announced {
				if devices.TopicMatches(filter, m.Topic) {
					_, _ = discoverers[f.Name].Discover(m) // whatever it says of nonsense
				}
			}
		}
		if rng.IntN(1000) == 0 { // a change of the document
			d = decode.New(decode.Options{Mappings: mappings, Last: d})
		}
	}
	if grown := heap() - before; grown > 8<<20 {
		t.Errorf("%d bytes more are in use", grown)
	}
	runtime.KeepAlive(d)
	runtime.KeepAlive(discoverers)
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// mutated returns a message, perhaps cut, with another payload, or on a topic with another level.
func mutated(rng *rand.Rand, all []devices.Message) devices.Message {
	m := all[rng.IntN(len(all))]
	m.Payload = append([]byte(nil), m.Payload...)
	if len(m.Payload) > 0 {
		switch rng.IntN(6) {
		case 0:
			m.Payload = m.Payload[:rng.IntN(len(m.Payload))]
		case 1:
			m.Payload[rng.IntN(len(m.Payload))] = byte(rng.UintN(256))
		case 2:
			m.Payload = all[rng.IntN(len(all))].Payload
		case 3:
			at := rng.IntN(len(m.Payload))
			m.Payload = append(m.Payload[:at:at], append(m.Payload[at:], m.Payload[at:]...)...)
		}
	}
	if rng.IntN(3) == 0 {
		levels := strings.Split(m.Topic, "/")
		levels[rng.IntN(len(levels))] = fmt.Sprint("x", rng.IntN(100_000))
		m.Topic = strings.Join(levels, "/")
	}
	m.Retained = rng.IntN(5) == 0
	return m
}
