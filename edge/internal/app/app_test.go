package app

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image/jpeg"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/incidents"
	"gridpost/edge/internal/sitefile"
	"gridpost/edge/internal/store"
	"gridpost/edge/internal/uplink"
	"gridpost/hub/api"
	"gridpost/streams/simcam"
	"gridpost/streams/simcam/footage"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func document(t *testing.T, text string) *firmwareconfig.Document {
	t.Helper()
	doc, err := firmwareconfig.Parse("site.yml", []byte(text), os.LookupEnv)
	must(t, err)
	return doc
}

// site writes a document with a hub: without one nothing would enter the outbox, where the tests look.
func site(t *testing.T, text string) *sitefile.Files {
	t.Helper()
	path := filepath.Join(t.TempDir(), "site.yml")
	must(t, os.WriteFile(path, []byte(withHub(text)), 0o600))
	return &sitefile.Files{Config: path, Dir: t.TempDir(), Getenv: os.LookupEnv}
}

func withHub(text string) string {
	if strings.Contains(text, "hub:") {
		return text
	}
	return text + "\nhub: {url: \"https://127.0.0.1:1\"}\n"
}

// testEdge is an edge that runs in this process.
type testEdge struct {
	t      *testing.T
	dir    string
	states *uplink.States
	broker chan string // its address, once it is bound
	files  *sitefile.Files
	reload chan os.Signal
	stop   func()
}

func start(t *testing.T, o Options) *testEdge {
	t.Helper()
	r := &testEdge{t: t, dir: o.Dir, states: uplink.NewStates(), broker: make(chan string, 1), files: o.Files, reload: make(chan os.Signal)}
	if r.dir == "" {
		r.dir = t.TempDir()
	}
	o.Dir, o.Version, o.states = r.dir, "test", r.states
	o.Files.Dir, o.Reload = r.dir, r.reload
	o.Listening = func(address string) { r.broker <- address }
	// The line that says that the edge runs also says that its store can be looked into.
	log := &logWatch{line: "the edge runs", seen: make(chan struct{})}
	o.Logger = slog.New(slog.NewTextHandler(log, nil))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- Run(ctx, o) }()
	stopped := false
	r.stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(20 * time.Second):
			t.Error("the edge does not stop")
		}
	}
	t.Cleanup(r.stop)
	select {
	case <-log.seen:
	case <-time.After(20 * time.Second):
		t.Fatal("the edge does not start")
	}
	return r
}

// logWatch is a log that closes seen at the first line with the text.
type logWatch struct {
	line string
	once sync.Once
	seen chan struct{}
}

func (l *logWatch) Write(b []byte) (int, error) {
	if testing.Verbose() {
		_, _ = os.Stderr.Write(b)
	}
	if bytes.Contains(b, []byte(l.line)) {
		l.once.Do(func() { close(l.seen) })
	}
	return len(b), nil
}

// kept is what an edge has put into its outbox.
type kept struct {
	incidents []detection.Incident
	evidence  []api.Evidence
	inventory api.Inventory
	statuses  map[string]devices.Status
	readings  []devices.Reading
	health    api.Health
}

// look reads the states, and the store; a second process may do so while the edge runs.
func look(t *testing.T, r *testEdge) (k kept) {
	t.Helper()
	s, err := store.Open(t.Context(), store.Options{Dir: r.dir})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	k.inventory, k.statuses, k.health = r.states.Snapshot()
	k.health.Problems = slices.DeleteFunc(slices.Clone(k.health.Problems), func(c devices.Cause) bool { return c.Code == "not_enrolled" })
	for _, fetch := range []func(context.Context, int, int) ([]api.Event, error){s.Alerts, s.Telemetry} {
		events, err := fetch(t.Context(), 10000, 64<<20)
		must(t, err)
		for _, e := range events {
			switch e.Kind {
			case api.KindIncident:
				k.incidents = append(k.incidents, into[detection.Incident](t, e))
			case api.KindEvidence:
				k.evidence = append(k.evidence, into[api.Evidence](t, e))
			case api.KindReadings:
				k.readings = append(k.readings, into[[]devices.Reading](t, e)...)
			}
		}
	}
	return k
}

func into[T any](t *testing.T, e api.Event) (v T) {
	t.Helper()
	must(t, json.Unmarshal(e.Data, &v))
	return v
}

// until looks into the store again and again.
func until(t *testing.T, r *testEdge, what string, f func(kept) bool) kept {
	t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		k := look(t, r)
		if f(k) {
			return k
		}
		if time.Now().After(deadline) {
			t.Fatalf("waited 60 s in vain: %s; there is %+v", what, k)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// cameras serves pedestrians on the paths given, on the path "sub" in a smaller format.
func cameras(t *testing.T, paths ...string) *simcam.Server {
	t.Helper()
	if _, err := os.Stat(footage.Pedestrians); err != nil {
		t.Fatal("vtest.avi is missing: it is in Debian's package opencv-doc, which `make test` installs")
	}
	dir := t.TempDir()
	var all []simcam.Camera
	for _, p := range paths {
		format := footage.Format{Width: 384, Height: 288, Seconds: 20}
		if p == "sub" {
			format.Width, format.Height = 288, 216
		}
		file := filepath.Join(dir, fmt.Sprintf("pedestrians-%d.ts", format.Width))
		if _, err := os.Stat(file); err != nil {
			must(t, footage.Create(t.Context(), footage.Pedestrians, file, format))
		}
		all = append(all, simcam.Camera{Path: p, File: file})
	}
	s, err := simcam.NewServer(simcam.Options{Cameras: all})
	must(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		must(t, <-done)
	})
	return s
}

// worker builds the worker's program.
func worker(t *testing.T) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "worker")
	out, err := exec.Command("go", "build", "-o", path, "gridpost/detection/worker").CombinedOutput()
	if err != nil {
		t.Fatalf("building the worker, which needs Debian's libopencv-dev and FFmpeg's packages that `make test` installs: %v\n%s", err, out)
	}
	return path
}

func TestFromPicturesToIncidentAndSnapshot(t *testing.T) {
	server := cameras(t, "main", "sub")
	r := start(t, Options{Worker: worker(t), Files: site(t, `
edge: gate-7
cameras:
  - name: yard
    url: `+server.URL("main")+`
    detect: `+server.URL("sub")+`
    place: {lat: 30.9201, lon: 120.9302, heading: 135, fov: 90, range: 60}
    rules:
      - {name: walkway, kind: zone, polygon: [[0,0],[1,0],[1,1],[0,1]], for: 300ms, severity: moderate}
      - {name: silent, kind: silence, for: 20s, severity: minor}
`)})
	k := until(t, r, "an incident with its snapshot, and health", func(k kept) bool {
		return len(k.evidence) > 0 && k.health.Counters["edge_snapshots_total"] > 0
	})
	inc := k.incidents[0]
	if inc.Device != "yard" || inc.Rule != "walkway" || inc.Version != 1 || inc.State != detection.Open || inc.Box == nil || inc.Class != detection.Motion {
		t.Errorf("incident: %+v", inc)
	}
	if age := time.Since(inc.Opened); age < 0 || age > time.Minute {
		t.Errorf("opened %v ago", age)
	}
	ev := k.evidence[0]
	content, err := os.ReadFile(filepath.Join(r.dir, "evidence", ev.Incident, ev.Name))
	must(t, err)
	sum := sha256.Sum256(content)
	if ev.Incident != inc.ID || ev.Name != "snapshot.jpg" || ev.ContentType != "image/jpeg" || ev.SHA256 != hex.EncodeToString(sum[:]) ||
		ev.Size != int64(len(content)) || !bytes.HasPrefix(content, []byte{0xff, 0xd8, 0xff}) {
		t.Errorf("evidence %+v of %d bytes", ev, len(content))
	}
	if size, err := jpeg.DecodeConfig(bytes.NewReader(content)); err != nil || size.Width != 384 || size.Height != 288 {
		t.Errorf("the snapshot is %dx%d (%v), want the main stream's size", size.Width, size.Height, err)
	}
	if off := ev.Time.Sub(inc.Opened).Abs(); off > 10*time.Second || k.health.Counters["edge_snapshots_small_total"] != 0 {
		t.Errorf("the snapshot is of %v, the incident of %v; counters %v", ev.Time, inc.Opened, k.health.Counters)
	}
	if st := k.statuses["yard"]; st.State != devices.Online || st.Cause.Text != "" {
		t.Errorf("status: %+v", st)
	}
	if len(k.inventory.Devices) != 1 || k.inventory.Version != "test" || k.inventory.Devices[0].Place == nil || len(k.inventory.Devices[0].Rules) != 2 {
		t.Errorf("inventory: %+v", k.inventory)
	}
	if len(k.health.Problems) != 0 || k.health.Counters["edge_frames_analysed_total"] == 0 || k.health.Counters["edge_units_total"] == 0 {
		t.Errorf("health: %+v", k.health)
	}

	// The sub-stream dies: the camera is still there for people, and what is missing is said.
	server.SetPlaying("sub", false)
	k = until(t, r, "the sub-stream's loss", func(k kept) bool { return len(k.health.Problems) == 1 })
	if k.health.Problems[0].Code != "detection_no_frames" || k.health.Problems[0].Params["device"] != "yard" || k.statuses["yard"].State != devices.Online {
		t.Errorf("problems %q, status %+v", k.health.Problems, k.statuses["yard"])
	}
	server.SetPlaying("main", false)
	k = until(t, r, "the camera's loss", func(k kept) bool { return k.statuses["yard"].State == devices.Offline })
	if k.statuses["yard"].Cause.Text == "" {
		t.Error("offline without a cause")
	}
}

func TestWorkerThatIsMissingIsSaid(t *testing.T) {
	server := cameras(t, "main")
	r := start(t, Options{Files: site(t, `
edge: gate-7
cameras:
  - {name: yard, url: "`+server.URL("main")+`", rules: [{name: gate, kind: line, line: [[0,0.5],[1,0.5]], severity: minor}]}
  - {name: dark, url: "rtsp://127.0.0.1:1/x"}
`)})
	k := until(t, r, "states and health", func(k kept) bool {
		return k.statuses["yard"].State == devices.Online && k.statuses["dark"].State == devices.Offline && len(k.health.Problems) > 0
	})
	if k.health.Problems[0].Code != "worker_missing" {
		t.Errorf("problems: %q", k.health.Problems)
	}
	if cause := k.statuses["dark"].Cause; !strings.Contains(cause.Text, "nothing answers at 127.0.0.1:1") {
		t.Errorf("cause: %q", cause)
	}
}

func TestFromReadingToIncident(t *testing.T) {
	doc := `
edge: gate-7
mqtt:
  listen: 127.0.0.1:0
  users: [{name: river, password: s3cret, topics: ["sensors/#"]}]
sensors:
  - name: river
    topic: sensors/river
    value: $.level
    unit: m
    every: 500ms
    rules:
      - {name: flood, kind: above, value: 3.2, clear: 3.0, severity: severe}
      - {name: silent, kind: silence, for: 1s, severity: minor}
  - {name: door, topic: sensors/door, every: 300ms}
`
	r := start(t, Options{Files: site(t, doc)})
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "river", Username: "river", Password: "s3cret"})
	must(t, err)
	defer p.Close()
	say := func(payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		must(t, p.Publish(ctx, "sensors/river", []byte(payload), false))
	}
	say(`{"level": 2.5}`)
	say(`garbage`)
	say(`{"level": 3.5}`)
	// Acknowledged means kept: no waiting here.
	k := look(t, r)
	if len(k.readings) != 2 || k.readings[0].Value != 2.5 || k.readings[1].Unit != "m" || k.readings[1].Quality != devices.Good {
		t.Errorf("readings: %+v", k.readings)
	}
	if len(k.incidents) != 1 || k.incidents[0].Rule != "flood" || k.incidents[0].Value == nil || *k.incidents[0].Value != 3.5 || *k.incidents[0].Limit != 3.2 {
		t.Fatalf("incidents: %+v", k.incidents)
	}
	flood := k.incidents[0].ID
	k = until(t, r, "silence, states and health", func(k kept) bool {
		return len(k.incidents) == 2 && k.statuses["river"].State == devices.Offline && k.statuses["door"].State == devices.Offline && k.health.Counters != nil
	})
	if k.incidents[1].Rule != "silent" {
		t.Errorf("incidents: %+v", k.incidents)
	}
	if cause := k.statuses["river"].Cause; cause.Code != "sensor_silent" || cause.Text != "no reading for more than 1.5 s, expected every 500 ms" {
		t.Errorf("cause: %q", cause)
	}
	if cause := k.statuses["door"].Cause; cause.Code != "sensor_never_read" || cause.Text != "no reading since the edge started, expected every 300 ms" {
		t.Errorf("cause: %q", cause)
	}

	// Restarted: the flood is the same incident still, and its end ends it. The rule of the
	// silence is gone, so that one is closed.
	r.stop()
	without := strings.Replace(doc, "      - {name: silent, kind: silence, for: 1s, severity: minor}\n", "", 1)
	r = start(t, Options{Dir: r.dir, Files: site(t, without)})
	p2, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "river", Username: "river", Password: "s3cret"})
	must(t, err)
	defer p2.Close()
	p = p2
	say(`{"level": 3.4}`)
	say(`{"level": 2.9}`)
	k = look(t, r)
	closed := map[string]string{}
	for _, inc := range k.incidents {
		if inc.State == detection.Closed {
			closed[inc.Rule] = inc.ID
		}
	}
	if closed["flood"] != flood || closed["silent"] == "" {
		t.Errorf("closed: %v, flood is %s", closed, flood)
	}
	k = until(t, r, "health", func(k kept) bool { return k.health.Counters["edge_readings_total"] == 2 })
	if _, ok := k.health.Counters["edge_outbox_alerts"]; !ok {
		t.Errorf("counters: %v", k.health.Counters)
	}
}

func TestIncidentsOfDevicesThatAreGoneAreClosed(t *testing.T) {
	dir := t.TempDir()
	s, err := store.Open(t.Context(), store.Options{Dir: dir})
	must(t, err)
	ahead := time.Now().UTC().Add(time.Hour) // the clock was set back since
	must(t, s.SaveIncidents(t.Context(), []detection.Incident{{
		ID: incidents.NewID(), Device: "old", Rule: "gate", Kind: detection.Line, Severity: detection.Minor, State: detection.Open, Opened: ahead, Updated: ahead, Version: 1, Count: 1,
	}}))
	must(t, s.Close())
	r := start(t, Options{Dir: dir, Files: site(t, "edge: gate-7\n")})
	k := until(t, r, "the closing", func(k kept) bool { return len(k.incidents) == 2 })
	if k.incidents[1].State != detection.Closed || k.incidents[1].Version != 2 || k.incidents[1].Closed.Before(ahead) {
		t.Errorf("closing: %+v", k.incidents[1])
	}
	r.stop()
}

func TestPortThatIsTakenIsSaid(t *testing.T) {
	first := start(t, Options{Files: site(t, "edge: a\nmqtt: {listen: \"127.0.0.1:0\"}\n")})
	address := <-first.broker
	second := start(t, Options{Files: site(t, "edge: b\nmqtt: {listen: \""+address+"\"}\n")})
	k := until(t, second, "health", func(k kept) bool { return len(k.health.Problems) > 0 })
	if k.health.Problems[0].Code != "listener_address_in_use" || k.health.Problems[0].Params["address"] != address {
		t.Errorf("problems: %q", k.health.Problems)
	}
}

func TestOneEdgeOnADirectory(t *testing.T) {
	files := site(t, "edge: a\nmqtt: {listen: \"127.0.0.1:0\"}\n")
	r := start(t, Options{Files: files})
	<-r.broker
	if err := Run(t.Context(), Options{Files: files, Dir: r.dir}); err == nil || !strings.Contains(err.Error(), "another edge runs") {
		t.Errorf("a second edge on the directory: %v", err)
	}
}

func TestNotEnrolledIsSaid(t *testing.T) {
	r := start(t, Options{Files: site(t, "edge: a\nhub: {url: \"https://127.0.0.1:1\"}\n")})
	until(t, r, "health", func(k kept) bool { return !k.health.Time.IsZero() })
	if _, _, health := r.states.Snapshot(); len(health.Problems) != 1 || health.Problems[0].Code != "not_enrolled" {
		t.Errorf("problems: %q", health.Problems)
	}
}

func TestCheck(t *testing.T) {
	must(t, Check(document(t, "edge: a\nsensors: [{name: river, topic: r, value: $.level, rules: [{name: flood, kind: above, value: 1, severity: minor}]}]\n")))
	doc := document(t, "edge: a\nmqtt: {brokers: [{url: \"mqtts://10.0.0.5\", ca: /nowhere}]}\nsensors: [{name: river, topic: r}]\n")
	if err := Check(doc); err == nil || !strings.Contains(err.Error(), "mqtt.brokers[0]") {
		t.Errorf("a broker's authority that is not there: %v", err)
	}
}
