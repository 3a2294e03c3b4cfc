package app

import (
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
	"gridpost/edge/internal/store"
)

// TestPendingSurvivesARestart: a door says "open" once, and the edge restarts before the rule's time is
// over.
func TestPendingSurvivesARestart(t *testing.T) {
	const doc = `
edge: gate-7
mqtt: {listen: "127.0.0.1:0", users: [{name: u, password: p, topics: ["#"]}]}
sensors:
  - {name: door, topic: door, rules: [{name: open, kind: above, value: 0.5, for: 15s, severity: minor}]}
  - {name: gone, topic: gone, rules: [{name: open, kind: above, value: 0.5, for: 15s, severity: minor}]}
`
	r := start(t, Options{Files: site(t, doc)})
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "x", Username: "u", Password: "p"})
	must(t, err)
	began := time.Now()
	must(t, p.Publish(t.Context(), "door", []byte("open"), false))
	must(t, p.Publish(t.Context(), "gone", []byte("open"), false))
	p.Close()
	r.stop()

	files := site(t, doc[:len(doc)-len("  - {name: gone, topic: gone, rules: [{name: open, kind: above, value: 0.5, for: 15s, severity: minor}]}\n")])
	files.Dir = r.files.Dir
	r = start(t, Options{Dir: r.dir, Files: files})
	k := until(t, r, "the incident", func(k kept) bool { return len(k.incidents) > 0 })
	if inc := k.incidents[0]; inc.Device != "door" || inc.State != detection.Open || time.Since(began) < 15*time.Second {
		t.Errorf("after %v: %+v", time.Since(began), inc)
	}
	r.stop()
	s, err := store.Open(t.Context(), store.Options{Dir: r.dir})
	must(t, err)
	defer func() { must(t, s.Close()) }()
	if all, err := s.Pending(t.Context()); err != nil || len(all) != 0 {
		t.Errorf("pending at the end: %+v, %v", all, err)
	}
}
