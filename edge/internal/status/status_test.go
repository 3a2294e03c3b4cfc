package status

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"math"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/devices/format"
	"gridpost/edge/internal/discovery"
	"gridpost/hub/api"

	firmwareconfig "gridpost/firmware-config"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func sampleStatus() Status {
	return Status{
		Edge: "gate-7", Version: `v"1\`, Started: time.UnixMilli(1_700_000_000_500),
		Document: Document{File: "<site>.yml", Applied: true},
		Hub:      Hub{URL: "https://hub:8443", Cause: devices.NewCause("hub_not_reached")},
		Outbox:   map[api.Lane]uint64{api.LaneAlerts: 3},
		Problems: []devices.Cause{{Code: "x", Text: "<script>alert(1)</script>"}},
		Devices: []Device{
			{Name: "yard", Kind: devices.Camera, State: devices.Online, Counters: map[string]uint64{"edge_units_total": 7}},
			{
				Name: "river", Kind: devices.Sensor, State: devices.Offline, Cause: devices.Cause{Text: "silent"},
				Reading: &devices.Reading{Time: time.UnixMilli(1500), Value: math.Inf(1), Unit: "m\n\"x\"\\"}, Counters: map[string]uint64{"edge_sensor_readings_total": 2},
			},
		},
		Counters: map[string]uint64{"edge_units_total": 9, "edge_readings_total": 2, "edge_outbox_alerts": 3},
		Discovered: []Discovered{{
			Device:  discovery.Device{Discovered: format.Discovered{Format: "tasmota", ID: "AA", Name: "<b>pump</b>"}},
			Entries: []firmwareconfig.SensorEntry{{Name: "pump-power"}, {Name: "pump-voltage"}},
		}},
	}
}

func TestMetrics(t *testing.T) {
	var out strings.Builder
	if err := sampleStatus().WriteMetrics(&out); err != nil {
		t.Fatal(err)
	}
	want := `# HELP edge_build_info Version of the edge's program; always 1.
# TYPE edge_build_info gauge
edge_build_info{version="v\"1\\"} 1
# HELP edge_device_online Whether a camera or sensor is online: 1 or 0.
# TYPE edge_device_online gauge
edge_device_online{camera="yard"} 1
edge_device_online{sensor="river"} 0
# HELP edge_hub_online Whether the hub is reached: 1 or 0.
# TYPE edge_hub_online gauge
edge_hub_online 0
# HELP edge_outbox_alerts Alerts that wait for the hub.
# TYPE edge_outbox_alerts gauge
edge_outbox_alerts 3
# HELP edge_problems What an operator must know of: number of problems.
# TYPE edge_problems gauge
edge_problems 1
# HELP edge_readings_total Readings of all sensors.
# TYPE edge_readings_total counter
edge_readings_total 2
# HELP edge_sensor_last_reading_seconds Time of a sensor's last reading, in seconds since 1970.
# TYPE edge_sensor_last_reading_seconds gauge
edge_sensor_last_reading_seconds{sensor="river"} 1.5
# HELP edge_sensor_readings_total Readings of a sensor since it was started.
# TYPE edge_sensor_readings_total counter
edge_sensor_readings_total{sensor="river"} 2
# HELP edge_sensor_value Last value of a sensor, in its unit.
# TYPE edge_sensor_value gauge
edge_sensor_value{sensor="river",unit="m\n\"x\"\\"} +Inf
# HELP edge_start_time_seconds When the edge started, in seconds since 1970.
# TYPE edge_start_time_seconds gauge
edge_start_time_seconds 1.7000000005e+09
# HELP edge_units_total Access units of a camera's main stream since it was started.
# TYPE edge_units_total counter
edge_units_total{camera="yard"} 7
`
	if out.String() != want {
		t.Errorf("metrics are\n%s\nexpected\n%s", out.String(), want)
	}
}

// startPage serves a page and returns its address.
func startPage(t *testing.T, address string) (bound string, causes chan devices.Cause) {
	t.Helper()
	listening := make(chan string, 1)
	causes = make(chan devices.Cause, 100)
	p := Page{
		Address: address, Status: sampleStatus, Logger: slog.New(slog.DiscardHandler),
		OnState:   func(c devices.Cause) { causes <- c },
		Listening: func(address string) { listening <- address },
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	if strings.HasSuffix(address, ":0") {
		return <-listening, causes
	}
	return "", causes
}

func TestPage(t *testing.T) {
	address, _ := startPage(t, "127.0.0.1:0")
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	for _, c := range []struct {
		method, path, host string
		status             int
		holds              string
	}{
		{"GET", "/", "", 200, "&lt;script&gt;alert(1)&lt;/script&gt;"},
		{"GET", "/", "localhost:" + port, 200, "document &lt;site&gt;.yml (applied)"},
		{"GET", "/", "[::1]:" + port, 200, "silent"},
		{"GET", "/", "", 200, "&lt;b&gt;pump&lt;/b&gt;"},
		{"GET", "/", "", 200, "pump-power, pump-voltage"},
		{"GET", "/page.css", "", 200, "table"},
		{"GET", "/metrics", "localhost", 200, "edge_problems 1"},
		{"GET", "/status.json", "", 200, `"edge": "gate-7"`},
		{"GET", "/status.json", "attacker.example", 421, "localhost only"},
		{"GET", "/metrics", "127.0.0.1.attacker.example:" + port, 421, "localhost only"},
		{"GET", "/", "10.0.0.1", 421, "localhost only"},
		{"POST", "/", "", 405, ""},
		{"POST", "/apply", "", 404, ""},
		{"GET", "/other", "", 404, ""},
	} {
		req, err := http.NewRequestWithContext(t.Context(), c.method, "http://"+address+c.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = c.host
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		if err := errors.Join(err, resp.Body.Close()); err != nil {
			t.Fatal(err)
		}
		// An infinite value has no JSON: that is said, too.
		if c.path == "/status.json" && c.status == 200 {
			c.status, c.holds = 500, "cannot be encoded"
		}
		if resp.StatusCode != c.status || !strings.Contains(string(body), c.holds) {
			t.Errorf("%s %s at %q: %d %s", c.method, c.path, c.host, resp.StatusCode, body)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.HasPrefix(csp, "default-src 'none'; style-src 'self'") {
			t.Errorf("%s: policy %q", c.path, csp)
		}
		if strings.Contains(string(body), "<script") {
			t.Errorf("%s: the page has a script", c.path)
		}
	}
}

func TestAPortInUseIsAProblem(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	_, causes := startPage(t, l.Addr().String())
	if c := <-causes; c.Code != "status_unavailable" || !strings.Contains(c.Text, "address already in use") {
		t.Errorf("cause %+v", c)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	for c := range causes { // retried until the port is free
		if c.IsZero() {
			return
		}
	}
}

func TestCheckAddress(t *testing.T) {
	for _, good := range []string{"127.0.0.1:9101", "localhost:0", "[::1]:80", "127.8.8.8:1"} {
		if err := CheckAddress(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ":9101", "0.0.0.0:9101", "10.0.0.1:1", "9101", "example.com:80", "[::]:1"} {
		if CheckAddress(bad) == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
}

// TestControlSocket: in a directory whose path is too long for a socket's address, and over a socket
// that an earlier run has left.
func TestControlSocket(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("long", 40))
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		l, err := Listen(dir)
		if err != nil {
			t.Fatal(err)
		}
		info, err := os.Stat(filepath.Join(dir, socketName))
		if err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("mode %v, %v", info.Mode(), err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		c := Control{
			Status: func() Status { return Status{Edge: "gate-7"} },
			Apply: func(_ context.Context, name string, data []byte) (any, error) {
				switch name {
				case "bad name & more.yml":
					return nil, &Refused{"line 1\nline 2"}
				case "broken":
					return nil, errors.New("broken")
				}
				return map[string]string{"name": name, "data": string(data)}, nil
			},
		}
		go func() { done <- c.Serve(ctx, l) }()
		text, err := Get(ctx, dir)
		var s Status
		if err := errors.Join(err, json.Unmarshal(text, &s)); err != nil || s.Edge != "gate-7" {
			t.Errorf("status %s, %v", text, err)
		}
		var got map[string]string
		if err := Apply(ctx, dir, "x.yml", []byte("edge: a"), &got); err != nil || got["name"] != "x.yml" || got["data"] != "edge: a" {
			t.Errorf("applied %v, %v", got, err)
		}
		var refused *Refused
		if err := Apply(ctx, dir, "bad name & more.yml", nil, &got); !errors.As(err, &refused) || refused.Reason != "line 1\nline 2" {
			t.Errorf("refused: %v", err)
		}
		if err := Apply(ctx, dir, "broken", nil, &got); err == nil || errors.As(err, &refused) || !strings.Contains(err.Error(), "broken") {
			t.Errorf("failed: %v", err)
		}
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if _, err := Get(t.Context(), dir); !errors.Is(err, ErrNotRunning) {
		t.Errorf("after the end: %v", err)
	}
}
