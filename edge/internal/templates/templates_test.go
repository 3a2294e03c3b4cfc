package templates

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const document = `
edge: a
cameras: [{name: level-yard, url: 'rtsp://10.0.0.1'}]
sensors:
  - {name: 'level-{name}', topic: 'sensors/{name}/level', unit: m, every: 10s}
  - {name: 'lora-{device}', format: chirpstack, topic: 'application/1/device/{device}', value: $.object.level}
`

func parse(t testing.TB, text string) *firmwareconfig.Document {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	if err != nil {
		t.Fatal(err)
	}
	return doc
}

func open(t testing.TB, dir, text string) *Devices {
	t.Helper()
	d := Open(dir, slog.New(slog.DiscardHandler))
	d.SetDocument(parse(t, text))
	return d
}

func heard(topic string) devices.Message { return devices.Message{Topic: topic, Payload: []byte("1")} }

func names(d *Devices) []string {
	var all []string
	for _, s := range d.Sensors() {
		all = append(all, s.Name+" "+s.Topic)
	}
	return all
}

// run runs d until the test calls the function that it returns.
func run(t testing.TB, d *Devices) (stop func()) {
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- d.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func TestDevicesAppearAndAreRemembered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		d := open(t, dir, document)
		stop := run(t, d)
		for _, c := range []struct {
			topic string
			added bool
		}{
			{"sensors/north/level", true},
			{"sensors/north/level", false},
			{"sensors/North/level", true}, // the same name in other letters
			{"sensors/yard/level", true},  // the name of a camera
			{"sensors/north/battery", false},
			{"sensors/deleted/level", false},
			{"application/1/device/a81758fffe0523e1/event/up", true},
			{"application/1/device/a81758fffe0523e1/event/join", false},
			{"application/2/device/a81758fffe0523e1/event/up", false},
		} {
			m := heard(c.topic)
			if strings.Contains(c.topic, "deleted") { // a retained message
				m.Payload = nil
			}
			if got := d.Notice(m); got != c.added {
				t.Errorf("%s: %v", c.topic, got)
			}
			d.Sensors()
		}
		stop()
		got := names(d)
		want := []string{
			"level-north sensors/north/level", "level-north-", "level-yard-",
			"lora-a81758fffe0523e1 application/1/device/a81758fffe0523e1",
		}
		for i, w := range want {
			if len(got) != len(want) || !strings.HasPrefix(got[i], w) {
				t.Fatalf("devices: %q", got)
			}
		}
		again := open(t, dir, document)
		slices.Sort(got)
		remembered := names(again)
		slices.Sort(remembered)
		if !slices.Equal(got, remembered) {
			t.Errorf("after a restart: %q", remembered)
		}
		if again.Notice(heard("sensors/North/level")) {
			t.Error("a device that is remembered was added again")
		}
		if s := again.Sensors()[0]; s.Unit != "m" && s.Format == "" {
			t.Errorf("a sensor lacks what its template says: %+v", s)
		}
	})
}

func TestDevicesOfARemovedTemplateAreForgotten(t *testing.T) {
	d := open(t, t.TempDir(), document)
	d.Notice(heard("sensors/north/level"))
	d.Notice(heard("application/1/device/a81758fffe0523e1/event/up"))
	d.Sensors()
	d.SetDocument(parse(t, "edge: a\nsensors: [{name: 'level-{name}', topic: 'sensors/{name}/level'}]\n"))
	if got := names(d); !slices.Equal(got, []string{"level-north sensors/north/level"}) {
		t.Errorf("devices: %q", got)
	}
	if !d.Forget("level-north") || d.Forget("level-north") || len(d.Sensors()) != 0 {
		t.Error("a device was not forgotten")
	}
	if !d.Notice(heard("sensors/north/level")) {
		t.Error("a device that was forgotten does not come back")
	}
}

func TestTheNumberOfDevicesIsBounded(t *testing.T) {
	d := open(t, t.TempDir(), document)
	for i := range MaxDevices + 5 {
		d.Notice(heard(fmt.Sprintf("sensors/n%d/level", i)))
	}
	d.Notice(heard("sensors/" + strings.Repeat("x", 5000) + "/level"))
	if n := len(d.Sensors()); n != MaxDevices {
		t.Errorf("%d devices", n)
	}
	problems := d.Problems()
	if len(problems) != 1 || problems[0].Code != "template_full" {
		t.Errorf("problems: %+v", problems)
	}
	if !d.Notice(heard("application/1/device/a81758fffe0523e1/event/up")) {
		t.Error("another template has no room either")
	}
}

func TestAFileThatCannotBeUsed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		dir := t.TempDir()
		for _, text := range []string{
			"", "{", `[{"template":"x","topic":"y","name":"z"}]`,
			`[{"template":"level-{name}  sensors/{name}/level","topic":"elsewhere","name":"level-z"},{"template":"level-{name}  sensors/{name}/level","topic":"sensors/z/level","name":"NOT A NAME"}]`,
		} {
			if err := os.WriteFile(filepath.Join(dir, fileName), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
			d := open(t, dir, document)
			if got := names(d); len(got) != 0 {
				t.Errorf("%s gives %q", text, got)
			}
		}
		// A folder that is gone is a problem until it is there again.
		d := open(t, filepath.Join(dir, "later"), document)
		stop := run(t, d)
		defer stop()
		d.Notice(heard("sensors/north/level"))
		time.Sleep(2 * time.Second)
		if p := d.Problems(); len(p) != 1 || p[0].Code != "template_not_saved" {
			t.Errorf("problems: %+v", p)
		}
		if err := os.Mkdir(filepath.Join(dir, "later"), 0o700); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		if p := d.Problems(); len(p) != 0 {
			t.Errorf("problems: %+v", p)
		}
		var saved []Device
		text, err := os.ReadFile(filepath.Join(dir, "later", fileName))
		if err == nil {
			err = json.Unmarshal(text, &saved)
		}
		if err != nil || len(saved) != 1 || saved[0].Name != "level-north" {
			t.Errorf("saved: %v, %+v", err, saved)
		}
	})
}
