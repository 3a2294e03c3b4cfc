package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/status"
)

// TestReload: what a document does not change is not touched.
func TestReload(t *testing.T) {
	server := cameras(t, "one", "two", "three")
	doc := func(transport, level, more string) string {
		return withHub(`
edge: gate-7
mqtt: {listen: "127.0.0.1:0", users: [{name: u, password: p, topics: ["#"]}]}
cameras:
  - {name: one, url: "` + server.URL("one") + `"}
  - {name: two, url: "` + server.URL("two") + `", transport: ` + transport + `}
` + more + `
sensors:
  - {name: river, topic: river, rules: [{name: flood, kind: above, value: 3, severity: minor}]}
  - {name: lake, topic: lake, rules: [{name: flood, kind: above, value: ` + level + `, severity: minor}, {name: gone, kind: above, value: 1, severity: minor}]}
`)
	}
	three := `  - {name: three, url: "` + server.URL("three") + `"}`
	r := start(t, Options{Files: site(t, doc("auto", "3", three))})
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "x", Username: "u", Password: "p"})
	must(t, err)
	defer p.Close()
	publish := func(topic, payload string) {
		t.Helper()
		must(t, p.Publish(t.Context(), topic, []byte(payload), false))
	}
	publish("river", "5")
	publish("lake", "5")
	before := untilStatus(t, r, "all cameras online", func(s status.Status) bool { return online(s) == 3 })
	old := map[string]detection.Incident{}
	for _, inc := range look(t, r).incidents {
		old[inc.Device+"/"+inc.Rule] = inc
	}
	if len(old) != 3 {
		t.Fatalf("incidents: %+v", old)
	}

	// Refused: nothing changes, and the reason has file, line and key.
	var changes Changes
	err = status.Apply(t.Context(), r.dir, "new.yml", []byte(strings.Replace(doc("tcp", "3", ""), "kind: above", "kind: over", 1)), &changes)
	var refused *status.Refused
	if !errors.As(err, &refused) || !strings.HasPrefix(refused.Reason, "new.yml:9: sensors[0].rules[0].kind: ") {
		t.Errorf("a bad document: %v", err)
	}
	err = status.Apply(t.Context(), r.dir, "new.yml", []byte(strings.Replace(doc("tcp", "3", ""), "gate-7", "gate-8", 1)), &changes)
	if !errors.As(err, &refused) || refused.Reason != "new.yml:2: edge: a running edge cannot be renamed: expected gate-7, found gate-8" {
		t.Errorf("another name: %v", err)
	}
	if now := getStatus(t, r); now.Document.Applied || !sameSince(before, now, "one", "two", "three", "river", "lake") {
		t.Errorf("a refused document changed something: %+v", now)
	}

	// Accepted: two and lake are restarted, three is removed, the rest is not touched.
	must(t, status.Apply(t.Context(), r.dir, "new.yml", []byte(doc("tcp", "4", "")), &changes))
	want := "new.yml runs\ncamera two: restarted\ncamera three: removed\nsensor lake: restarted\n"
	if got := changes.String(); got != want {
		t.Errorf("changes %s, expected %s", got, want)
	}
	publish("lake", "3.5")
	publish("river", "5")
	after := untilStatus(t, r, "two online", func(s status.Status) bool { return online(s) == 2 })
	if !sameSince(before, after, "one", "river") || len(after.Devices) != 4 || !after.Document.Applied {
		t.Errorf("after: %+v", after)
	}
	if n := counter(after, "one", "edge_camera_sessions_total"); n != 1 {
		t.Errorf("the camera that did not change had %d sessions", n)
	}

	// Other rules alone: the camera's session goes on.
	more := strings.Replace(doc("tcp", "4", ""), server.URL("one")+`"`, server.URL("one")+`", rules: [{name: silent, kind: silence, for: 60s, severity: minor}]`, 1)
	changes = Changes{}
	must(t, status.Apply(t.Context(), r.dir, "new.yml", []byte(more), &changes))
	if got, want := changes.String(), "new.yml runs\ncamera one: updated\n"; got != want {
		t.Errorf("changes %s, expected %s", got, want)
	}
	if s := getStatus(t, r); !sameSince(after, s, "one", "two") || counter(s, "one", "edge_camera_sessions_total") != 1 {
		t.Errorf("a change of rules has restarted a camera: %+v", s)
	}
	if before.Counters["edge_units_total"] > after.Counters["edge_units_total"] {
		t.Errorf("counters go backwards: %d, then %d", before.Counters["edge_units_total"], after.Counters["edge_units_total"])
	}
	closed := map[string]string{}
	for _, inc := range look(t, r).incidents {
		if inc.ID != old[inc.Device+"/"+inc.Rule].ID {
			t.Errorf("a second incident: %+v", inc)
		}
		if inc.State == detection.Closed {
			closed[inc.Device+"/"+inc.Rule] = inc.ID
		}
	}
	if len(closed) != 1 || closed["lake/flood"] == "" { // 3.5 is below its new limit; the other two rules did not change
		t.Errorf("closed: %v", closed)
	}

	// It survives a restart, until the --config file changes.
	r.stop()
	files := site(t, "")
	files.Config = r.files.Config
	r = start(t, Options{Dir: r.dir, Files: files})
	<-r.broker
	if s := getStatus(t, r); !s.Document.Applied || s.Document.File != "new.yml" || len(s.Devices) != 4 {
		t.Errorf("after a restart: %+v", s)
	}
	must(t, os.WriteFile(files.Config, []byte(doc("auto", "3", three)+"# changed\n"), 0o600))
	r.reload <- os.Interrupt
	untilStatus(t, r, "the reload", func(s status.Status) bool { return !s.Document.Applied && len(s.Devices) == 5 })
	// The last value, 3.5, is beyond the limit that lake's rule has again.
	until(t, r, "an incident of the rule that changed", func(k kept) bool {
		return len(k.incidents) == 5 && k.incidents[4].Device == "lake" && k.incidents[4].State == detection.Open && *k.incidents[4].Value == 3.5
	})

	// A file that is refused is a problem until one is accepted.
	must(t, os.WriteFile(files.Config, []byte("edge: gate-7\nsensors: [{}]\n"), 0o600))
	r.reload <- os.Interrupt
	s := untilStatus(t, r, "the problem", func(s status.Status) bool { return problem(s, "reload_refused").Code != "" })
	if c := problem(s, "reload_refused"); !strings.Contains(c.Params["reason"], files.Config+":2: sensors[0].name: ") || len(s.Devices) != 5 {
		t.Errorf("problem %+v, %d devices", c, len(s.Devices))
	}
	must(t, os.WriteFile(files.Config, []byte(withHub("edge: gate-7\n")), 0o600))
	r.reload <- os.Interrupt
	untilStatus(t, r, "no problem and no device", func(s status.Status) bool { return problem(s, "reload_refused").Code == "" && len(s.Devices) == 0 })
	until(t, r, "the closing", func(k kept) bool { return len(k.incidents) == 8 })
	for _, inc := range look(t, r).incidents {
		if inc.State == detection.Closed {
			closed[inc.Device+"/"+inc.Rule] = inc.ID
		}
	}
	if len(closed) != 3 {
		t.Errorf("closed at the end: %v", closed)
	}
}

// A change of titles, or of what the values of a sensor mean, restarts nothing and leaves incidents open.
func TestReloadOfTitles(t *testing.T) {
	server := cameras(t, "one")
	doc := func(en, class string) string {
		return withHub(`
edge: gate-7
title: {en: ` + en + `}
mqtt: {listen: "127.0.0.1:0", users: [{name: u, password: p, topics: ["#"]}]}
cameras:
  - {name: one, title: {en: ` + en + `}, url: "` + server.URL("one") + `", rules: [{name: silent, title: {en: ` + en + `}, kind: silence, for: 1m, severity: minor}]}
sensors:
  - {name: door, title: {en: ` + en + `}, class: ` + class + `, topic: door, rules: [{name: open, title: {zh: 门}, kind: above, value: 0.5, severity: minor}]}
`)
	}
	r := start(t, Options{Files: site(t, doc("before", "power"))})
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "x", Username: "u", Password: "p"})
	must(t, err)
	defer p.Close()
	must(t, p.Publish(t.Context(), "door", []byte("open"), false))
	until(t, r, "an incident", func(k kept) bool { return len(k.incidents) == 1 })
	var changes Changes
	must(t, status.Apply(t.Context(), r.dir, "new.yml", []byte(doc("after", "opening")), &changes))
	if !changes.Cameras.IsZero() || !changes.Sensors.IsZero() {
		t.Errorf("changed: %+v", changes)
	}
	if all := look(t, r).incidents; len(all) != 1 || all[0].State != detection.Open {
		t.Errorf("incidents: %+v", all)
	}
}

func TestApplyWithoutAnEdge(t *testing.T) {
	for _, dir := range []string{t.TempDir(), "/nowhere"} {
		if err := status.Apply(t.Context(), dir, "x", nil, &Changes{}); !errors.Is(err, status.ErrNotRunning) {
			t.Errorf("%v", err)
		}
	}
	r := start(t, Options{Files: site(t, "edge: a\n")})
	getStatus(t, r)
	r.stop()
	if _, err := status.Get(t.Context(), r.dir); !errors.Is(err, status.ErrNotRunning) {
		t.Errorf("after a stop: %v", err)
	}
}

func getStatus(t *testing.T, r *testEdge) (s status.Status) {
	t.Helper()
	return untilStatus(t, r, "a status", func(status.Status) bool { return true })
}

// untilStatus asks the edge again and again; its socket may not be open yet.
func untilStatus(t *testing.T, r *testEdge, what string, f func(status.Status) bool) (s status.Status) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		data, err := status.Get(ctx, r.dir)
		if err == nil {
			s = status.Status{}
			must(t, json.Unmarshal(data, &s))
			if f(s) {
				return s
			}
		}
		if ctx.Err() != nil {
			t.Fatalf("waited in vain: %s; %v, there is %+v", what, err, s)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func online(s status.Status) (n int) {
	for _, d := range s.Devices {
		if d.Kind == devices.Camera && d.State == devices.Online {
			n++
		}
	}
	return n
}

func device(s status.Status, name string) (d status.Device) {
	for _, d := range s.Devices {
		if d.Name == name {
			return d
		}
	}
	return d
}

func counter(s status.Status, name, of string) uint64 { return device(s, name).Counters[of] }

func sameSince(a, b status.Status, names ...string) bool {
	for _, name := range names {
		if !device(a, name).Since.Equal(device(b, name).Since) {
			return false
		}
	}
	return true
}

func problem(s status.Status, code string) devices.Cause {
	for _, c := range s.Problems {
		if c.Code == code {
			return c
		}
	}
	return devices.Cause{}
}

// TestStatusPage: every metric has a help text, and counters have their device's label.
func TestStatusPage(t *testing.T) {
	listening := make(chan string, 1)
	r := start(t, Options{
		Status: "127.0.0.1:0", StatusListening: func(address string) { listening <- address },
		Files: site(t, "edge: a\ncameras: [{name: yard, url: \"rtsp://127.0.0.1:1/x\", rules: [{name: z, kind: zone, polygon: [[0,0],[1,0],[1,1]], severity: minor}]}]\nsensors: [{name: river, topic: r}]\n"),
	})
	address := <-listening
	untilStatus(t, r, "the devices", func(s status.Status) bool { return len(s.Devices) == 2 && device(s, "yard").Kind == devices.Camera })
	resp, err := http.Get("http://" + address + "/metrics")
	must(t, err)
	body, err := io.ReadAll(resp.Body)
	must(t, errors.Join(err, resp.Body.Close()))
	http.DefaultClient.CloseIdleConnections()
	text := string(body)
	for line := range strings.Lines(text) {
		if f := strings.Fields(line); f[1] == "HELP" && len(f) == 4 && f[2] == f[3] {
			t.Errorf("no help for %s", f[2])
		}
	}
	for _, want := range []string{"\nedge_units_total{camera=\"yard\"} 0\n", "\nedge_device_online{sensor=\"river\"} 0\n", "\nedge_outbox_alerts 0\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("the metrics have no %q:\n%s", want, text)
		}
	}
}

// TestHubOfAReload: a hub that is added, changed and removed.
func TestHubOfAReload(t *testing.T) {
	r := start(t, Options{Files: site(t, "edge: a\nhub: {url: \"https://127.0.0.1:1\"}\n")})
	getStatus(t, r)
	for _, url := range []string{"https://127.0.0.1:2", "", "https://127.0.0.1:3"} {
		text := "edge: a\n"
		if url != "" {
			text += "hub: {url: \"" + url + "\"}\n"
		}
		var changes Changes
		must(t, status.Apply(t.Context(), r.dir, "x.yml", []byte(text), &changes))
		if changes.String() != "x.yml runs\nhub: changed\n" {
			t.Errorf("changes: %s", changes)
		}
		untilStatus(t, r, url, func(s status.Status) bool {
			return s.Hub.URL == url && (problem(s, "not_enrolled").Code != "") == (url != "")
		})
		changes = Changes{}
		must(t, status.Apply(t.Context(), r.dir, "x.yml", []byte(text+"# the same\n"), &changes))
		if changes.String() != "x.yml runs\nno device changed\n" {
			t.Errorf("changes of the same document: %s", changes)
		}
	}
}
