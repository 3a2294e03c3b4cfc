package format_test

import (
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/devices/decode"
	"gridpost/devices/format"
)

var update = flag.Bool("update", false, "write the golden files")

// corpus is a case of testdata/FORMAT/NAME.case: lines
//
//	sensor NAME TOPIC [PATH]    a sensor of the format
//	availability TOPIC          of the sensor before
//	discover                    the messages are those by which devices announce themselves
//	> TOPIC<tab>PAYLOAD         a message; hex:... is a binary payload
//	>r TOPIC<tab>PAYLOAD        a message that a broker had retained
//
// # begins a comment. The golden file has what each message says.
type corpus struct {
	format   format.Format
	mappings []decode.Mapping
	discover bool
	messages []devices.Message
}

func readCorpus(t testing.TB, file string) corpus {
	t.Helper()
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var c corpus
	f, ok := format.Standard().Find(filepath.Base(filepath.Dir(file)))
	if !ok {
		t.Fatalf("%s: there is no such format", file)
	}
	c.format = f
	for line := range strings.Lines(string(data)) {
		line = strings.TrimSuffix(line, "\n")
		switch word, rest, _ := strings.Cut(line, " "); word {
		case "sensor":
			c.mappings = append(c.mappings, c.sensor(t, strings.Fields(rest)))
		case "availability":
			m := &c.mappings[len(c.mappings)-1]
			m.Availability = append(m.Availability, rest)
		case "discover":
			c.discover = true
		case ">", ">r":
			c.messages = append(c.messages, message(t, rest, word == ">r", len(c.messages)))
		default:
			if line != "" && !strings.HasPrefix(line, "#") {
				t.Fatalf("%s: %q is not understood", file, line)
			}
		}
	}
	return c
}

func (c *corpus) sensor(t testing.TB, words []string) decode.Mapping {
	t.Helper()
	base, err := c.format.Base(strings.ReplaceAll(words[1], "~", " "))
	if err != nil {
		t.Fatal(err)
	}
	m := decode.Mapping{Device: words[0], Format: c.format.Name, Topic: base}
	if len(words) > 2 {
		if m.Value, err = decode.ParsePath(strings.ReplaceAll(words[2], "~", " ")); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func message(t testing.TB, text string, retained bool, n int) devices.Message {
	t.Helper()
	topic, payload, _ := strings.Cut(text, "\t")
	m := devices.Message{Topic: topic, Payload: []byte(payload), Retained: retained, Received: received().Add(time.Duration(n) * time.Second)}
	if digits, ok := strings.CutPrefix(payload, "hex:"); ok {
		var err error
		if m.Payload, err = hex.DecodeString(digits); err != nil {
			t.Fatal(err)
		}
	}
	return m
}

func received() time.Time { return time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC) }

func (c *corpus) run(t testing.TB) string {
	t.Helper()
	var out strings.Builder
	if c.discover {
		discoverer := c.format.NewDiscoverer()
		for i, m := range c.messages {
			found, err := discoverer.Discover(m)
			if err != nil {
				fmt.Fprintf(&out, "%d: refused: %v\n", i+1, err)
			}
			for _, d := range found {
				if d.Removed {
					fmt.Fprintf(&out, "%d: %s %s withdrawn\n", i+1, d.Format, d.ID)
					continue
				}
				fmt.Fprintf(&out, "%d: %s %s %q %q\n", i+1, d.Format, d.ID, d.Name, d.Model)
				for _, s := range d.Sensors {
					text, err := json.Marshal(s)
					if err != nil {
						t.Fatal(err)
					}
					fmt.Fprintf(&out, "   %s\n", text)
				}
			}
		}
		return out.String()
	}
	d := decode.New(decode.Options{Mappings: c.mappings})
	for i, m := range c.messages {
		before := d.Stats()
		decoded := d.Decode(m)
		for _, s := range decoded.States {
			fmt.Fprintf(&out, "%d: %s is %s\n", i+1, s.Device, s.Availability)
		}
		for _, r := range decoded.Readings {
			fmt.Fprintf(&out, "%d: %s %v %s", i+1, r.Device, r.Value, r.Quality)
			if !r.Time.Equal(m.Received) {
				fmt.Fprintf(&out, " %s", r.Time.Format(time.RFC3339Nano))
			}
			if r.Historical {
				out.WriteString(" historical")
			}
			if r.Retained {
				out.WriteString(" retained")
			}
			out.WriteString("\n")
		}
		for _, p := range decoded.Problems {
			fmt.Fprintf(&out, "%d: %s: %s\n", i+1, p.Device, p.Cause.Text)
		}
		if d.Stats().Unmatched > before.Unmatched {
			fmt.Fprintf(&out, "%d: unmatched\n", i+1)
		}
	}
	return out.String()
}

// TestCorpus: payloads as devices publish them, and what is made of them. After a change: go test
// ./devices/format -run TestCorpus -update, and read the difference.
func TestCorpus(t *testing.T) {
	files, err := filepath.Glob("testdata/*/*.case")
	if err != nil || len(files) < len(format.Standard()) {
		t.Fatal("cases are missing", err, len(files))
	}
	covered := map[string]bool{}
	for _, file := range files {
		t.Run(strings.TrimPrefix(strings.TrimSuffix(file, ".case"), "testdata/"), func(t *testing.T) {
			c := readCorpus(t, file)
			covered[c.format.Name] = true
			got := c.run(t)
			golden := strings.TrimSuffix(file, ".case") + ".golden"
			if *update {
				if err := os.WriteFile(golden, []byte(got), 0o644); err != nil { //nolint:gosec // a file of the repository
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("got\n%swant\n%s", got, want)
			}
		})
	}
	for _, f := range format.Standard() {
		if !covered[f.Name] {
			t.Errorf("there is no case of %s", f.Name)
		}
	}
}
