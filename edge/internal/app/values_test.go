package app

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/devices/address"
	"gridpost/devices/mqtt"
)

// TestValuesFromBrokerToStore: a leak whose end is a field that is left out, a local time, a field that is
// no JSON, a text, and messages that are not understood, through the embedded broker.
func TestValuesFromBrokerToStore(t *testing.T) {
	r := start(t, Options{Files: site(t, `
edge: gate-7
mqtt: {listen: "127.0.0.1:0", users: [{name: u, password: p, topics: ["#"]}]}
sensors:
  - name: leak
    topic: lora/leak
    value: $.object.leak
    missing: 0
    rules: [{name: wet, kind: above, value: 0.5, severity: severe}]
  - {name: river, topic: river, value: "$.data[name=水位].value", unit: m, time: $.time, time_zone: Asia/Shanghai}
  - {name: pump, topic: pump, value: $.state, type: text}
`)})
	p, err := mqtt.NewPublisher(mqtt.Server{Address: address.Broker{Host: <-r.broker}, ClientID: "x", Username: "u", Password: "p"})
	must(t, err)
	defer p.Close()
	publish := func(topic, payload string) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		must(t, p.Publish(ctx, topic, []byte(payload), false))
	}
	measured := time.Now().Add(-time.Minute).Truncate(time.Second)
	publish("lora/leak", `{"object":{"leak":1,"battery":3.6}}`)
	publish("lora/leak", `{"object":{"battery":3.6}}`)
	publish("river", "\ufeff"+`{"time":"`+measured.UTC().Add(8*time.Hour).Format("2006-01-02 15:04:05")+`","flow":nan,"data":[{"name":"流量","value":Infinity},{"name":"水位","value":"1234 mm"}]}`+"\x00")
	publish("pump", `{"state":"running, 水泵"}`)
	publish("lora/leak", `{"error":"join","password":"hunter2"}`)
	k := look(t, r)
	if len(k.incidents) != 2 || k.incidents[1].State != detection.Closed || k.incidents[0].Rule != "wet" {
		t.Errorf("incidents: %+v", k.incidents)
	}
	river := slices.IndexFunc(k.readings, func(r devices.Reading) bool { return r.Device == "river" })
	if len(k.readings) != 4 || river < 0 || k.readings[river].Value != 1.234 || !k.readings[river].Time.Equal(measured) {
		t.Errorf("readings: %+v", k.readings)
	}
	if pump := k.readings[len(k.readings)-1]; pump.Text != "running, 水泵" || pump.Value != 0 {
		t.Errorf("text: %+v", pump)
	}
	if st := k.statuses["leak"]; st.State != devices.Online || st.Cause.Code != "reading_not_understood" || strings.Contains(st.Cause.Text, "hunter2") || !strings.Contains(st.Cause.Params["excerpt"], `"error":"join"`) {
		t.Errorf("status: %+v", st)
	}
	until(t, r, "the cause in the health", func(k kept) bool {
		return slices.ContainsFunc(k.health.Problems, func(c devices.Cause) bool {
			return c.Code == "reading_not_understood" && c.Params["device"] == "leak"
		})
	})
	publish("lora/leak", `{"object":{"leak":0}}`)
	if st := look(t, r).statuses["leak"]; st.State != devices.Online || !st.Cause.IsZero() {
		t.Errorf("status when understood again: %+v", st)
	}
}
