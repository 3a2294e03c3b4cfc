package demo

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The edge accepts the document, also when passwords and URLs contain special characters.
func TestDocumentIsValid(t *testing.T) {
	s := &demonstration{Options: Options{Data: t.TempDir(), Cameras: []string{"rtsp://u:p$x@10.0.0.1/a?k=${y}", "rtsp://10.0.0.2/", "rtsp://10.0.0.3/", "rtsp://10.0.0.4/", "rtsp://10.0.0.5/"}, Out: io.Discard}}
	own, err := s.cameras(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	var simulated []camera
	for i, at := range cameraPositions() {
		simulated = append(simulated, camera{Name: at.name, Title: &at.title, URL: "rtsp://127.0.0.1:1/" + at.name, Place: at.place(), Rules: cameraRules(i)})
	}
	for name, cameras := range map[string][]camera{"own cameras": own, "simulated cameras": simulated} {
		path, err := s.writeDocument(site{Hub: "https://127.0.0.1:1", Broker: "127.0.0.1:1883", Secret: "a${b}", Cameras: cameras, Sensors: sensors()})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := firmwareconfig.Load(path, func(string) (string, bool) { return "", false })
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		for i, c := range doc.Cameras {
			if c.Title.En == "" || c.Title.Zh == "" || doc.Title.Zh == "" || c.Rules[0].Title.Zh == "" {
				t.Errorf("%s: camera %d or its rule has no name in one of the languages: %+v", name, i, c)
			}
		}
		if len(doc.Cameras) != len(cameras) || len(doc.Sensors) != 3 || doc.MQTT.Users[0].Password != "a${b}" {
			t.Errorf("%s: read back as %+v", name, doc)
		}
		if name == "own cameras" && doc.Cameras[0].URL.URL().String() != s.Cameras[0] {
			t.Errorf("a camera's URL was read back as %s", doc.Cameras[0].URL)
		}
	}
}

// The river sensor opens an incident within the first minute and a few times an hour after that; smoke
// and door follow later. All values are plausible for such a sensor.
func TestSensorsCrossTheirLimitsRegularly(t *testing.T) {
	for _, c := range []struct {
		name          string
		measure       func(float64) float64
		limit, hold   float64 // of the rule: value and seconds
		least, most   float64
		first, within float64 // seconds from the start to the first incident
	}{
		{"river", river, 3.2, 4, 2.3, 3.5, 30, 55},
		{"smoke", smoke, 60, 4, 0, 160, 60, 150},
		{"door", door, 0.5, 20, 0, 1, 120, 200},
	} {
		t.Run(c.name, func(t *testing.T) {
			incidents, above, first := 0, 0.0, 0.0
			for at := 0.0; at < 3600; at += sensorEvery.Seconds() {
				v := c.measure(at)
				if v < c.least || v > c.most {
					t.Fatalf("%v after %v s", v, at)
				}
				if v <= c.limit {
					above = 0
					continue
				}
				above += sensorEvery.Seconds()
				if above > c.hold && above-sensorEvery.Seconds() <= c.hold {
					incidents++
					if first == 0 {
						first = at
					}
				}
			}
			if first < c.first || first > c.within {
				t.Errorf("the first incident comes after %v s", first)
			}
			if incidents < 4 || incidents > 8 {
				t.Errorf("%d incidents in an hour", incidents)
			}
		})
	}
}

func TestUsedPortIsExplained(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	err = checkPortFree(t.Context(), l.Addr().String())
	if err == nil || !strings.Contains(err.Error(), l.Addr().String()+" is in use") {
		t.Errorf("the error is %v", err)
	}
}

func TestDataFolderIsLocked(t *testing.T) {
	dir := t.TempDir()
	unlock, err := lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := lock(dir); err == nil || !strings.Contains(err.Error(), "another demonstration") {
		t.Errorf("locking the folder a second time: %v", err)
	}
	unlock()
	unlock, err = lock(dir)
	if err != nil {
		t.Fatal(err)
	}
	unlock()
}

func TestSecretsAreStored(t *testing.T) {
	dir := t.TempDir()
	first, err := loadSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	second, err := loadSecrets(dir)
	if err != nil {
		t.Fatal(err)
	}
	if first != second || first.Password == "" || first.Password == first.Sensors {
		t.Errorf("first %+v, second %+v", first, second)
	}
	info, err := os.Stat(filepath.Join(dir, secretsFile))
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("the secrets can be read by others: %v", info.Mode())
	}
}

func TestMediaListen(t *testing.T) {
	for listen, want := range map[string]string{
		"127.0.0.1:8080": "127.0.0.1:0", "localhost:80": "127.0.0.1:0", ":8080": ":0", "0.0.0.0:1": "0.0.0.0:0", "[::1]:80": "[::1]:0", "box.lan:80": ":0",
	} {
		if got := mediaListen(listen); got != want {
			t.Errorf("mediaListen(%q) = %q, want %q", listen, got, want)
		}
	}
}

// program writes a shell script in place of one of the programs.
func program(t *testing.T, script string) *demonstration {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "hub"), []byte("#!/bin/sh\n"+script), 0o700); err != nil {
		t.Fatal(err)
	}
	return &demonstration{Options: Options{Data: dir, Programs: dir, Out: io.Discard}}
}

func TestExitOfAChildIsReportedWithTheEndOfItsLog(t *testing.T) {
	s := program(t, `for i in $(seq 100); do echo line $i; done; exit 3`)
	ctx, fail := context.WithCancelCause(t.Context())
	c, err := s.start(fail, "hub", "run")
	if err != nil {
		t.Fatal(err)
	}
	<-ctx.Done()
	c.stop()
	message := fmt.Sprint(context.Cause(ctx))
	for _, want := range []string{"hub exited unexpectedly (exit status 3)", "line 100", "line 86"} {
		if !strings.Contains(message, want) {
			t.Errorf("%q is not in %q", want, message)
		}
	}
	if strings.Contains(message, "line 85\n") {
		t.Errorf("the message has more than the end of the log: %q", message)
	}
}

func TestChildIsStoppedBySIGTERM(t *testing.T) {
	s := program(t, `trap 'echo ended; kill $!; exit 0' TERM; echo started; sleep 60 & wait`)
	ctx, fail := context.WithCancelCause(t.Context())
	c, err := s.start(fail, "hub", "run")
	if err != nil {
		t.Fatal(err)
	}
	err = poll(t.Context(), 10*time.Second, func(context.Context) (bool, error) {
		text, err := os.ReadFile(c.log)
		if err != nil || !strings.Contains(string(text), "started") {
			return false, errors.Join(err, errors.New("the child has not started"))
		}
		return true, nil
	})
	if err != nil {
		t.Fatal(err)
	}
	c.stop()
	if ctx.Err() != nil {
		t.Errorf("stop was reported as a failure: %v", context.Cause(ctx))
	}
	text, err := os.ReadFile(c.log)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasSuffix(string(text), "ended\n") {
		t.Errorf("the child did not handle SIGTERM: %q", text)
	}
}
