package publish

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams"
)

// TestTargets: a command names the stream, the relay and the credential.
func TestTargets(t *testing.T) {
	posted := make(chan string, 100)
	note := func(name string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			posted <- name + " " + r.URL.String() + " " + r.Header.Get("Authorization")
			w.WriteHeader(http.StatusServiceUnavailable)
		})
	}
	hub, relay := httptest.NewServer(note("hub")), httptest.NewTLSServer(note("relay"))
	defer hub.Close()
	defer relay.Close()
	client := hub.Client()
	defer client.CloseIdleConnections()
	yard, sub := streams.New(streams.Options{}), streams.New(streams.Options{})
	site := &testSite{cameras: map[string]*testCamera{
		"yard":  {status: devices.Status{State: devices.Online}, stream: yard, sub: sub, stopped: make(chan struct{})},
		"river": {status: devices.Status{State: devices.Online}, stream: yard, stopped: make(chan struct{})},
	}}
	p, err := New(Options{Edge: "gate-7", Hub: testHub{hub.URL, client}, Cameras: site, Logger: slog.New(slog.DiscardHandler)})
	must(t, err)
	p.outside = relay.Client() // it trusts the relay's certificate
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	go feed(ctx, yard)
	go feed(ctx, sub)
	do := func(c api.Command) api.Result { return p.Command(ctx, c) }

	// next is the next request that is not a repetition of before.
	next := func(before string) string {
		for got := range posted {
			if got != before {
				return got
			}
		}
		return ""
	}
	expect := func(c api.Command, before, want string) string {
		t.Helper()
		if r := do(c); !r.OK {
			t.Fatalf("%+v: %+v", c, r)
		}
		got := next(before)
		if got != want {
			t.Errorf("the hub got %q, want %q", got, want)
		}
		return got
	}
	publishSub := api.Command{Kind: api.CommandPublishStream, Device: "yard", Stream: api.StreamSub}
	expect(publishSub, "", "hub /whip/gate-7/yard?stream=sub ")
	if r := do(api.Command{Kind: api.CommandStopStream, Device: "yard", Stream: api.StreamSub}); !r.OK {
		t.Errorf("stop: %+v", r)
	}
	main := api.Command{Kind: api.CommandPublish, Device: "yard", URL: hub.URL + "/whip/gate-7/yard", Credential: "one"}
	first := expect(main, "hub /whip/gate-7/yard?stream=sub ", "hub /whip/gate-7/yard Bearer one")
	main.Credential = "two" // for the next attempt, which does not wait
	second := expect(main, first, "hub /whip/gate-7/yard Bearer two")
	main.URL = relay.URL + "/elsewhere"
	expect(main, second, "relay /elsewhere Bearer two")

	main.URL = "/whip/gate-7/yard" // a path of the hub
	expect(main, "relay /elsewhere Bearer two", "hub /whip/gate-7/yard Bearer two")
	publishSub.URL = "/whip/gate-7/yard?stream=sub"
	publishSub.Credential = "three"
	expect(publishSub, "hub /whip/gate-7/yard Bearer two", "hub /whip/gate-7/yard?stream=sub Bearer three")

	for url, want := range map[string]string{
		"http://relay.example/whip":                 "has no HTTPS",
		"//relay.example/whip/gate-7/river":         "has no HTTPS",
		"https:///whip":                             "has no HTTPS",
		"https:whip":                                "has no HTTPS",
		"https://a\x00b":                            "reading the URL",
		"https://user:word@relay.example/whip":      "user or a fragment",
		"/whip/gate-7/river#a":                      "user or a fragment",
		"/edge/v1/renew":                            "not for publications",
		"/whip/../edge/v1/renew":                    "not for publications",
		hub.URL + "/edge/v1/renew":                  "not for publications",
		hub.URL + "/whip/../edge/v1/renew":          "not for publications",
		"https://relay.example/" + long(api.MaxURL): "more than",
	} {
		if r := do(api.Command{Kind: api.CommandPublish, Device: "river", URL: url}); r.OK || !strings.Contains(r.Cause.Text, want) {
			t.Errorf("%s: %+v", url, r)
		}
	}
	for credential, want := range map[string]string{"a\r\nb: c": "malformed", "two words": "malformed", long(api.MaxCredential + 1): "more than"} {
		if r := do(api.Command{Kind: api.CommandPublish, Device: "river", Credential: credential}); r.OK || !strings.Contains(r.Cause.Text, want) {
			t.Errorf("%.20q: %+v", credential, r)
		}
	}
	if r := do(api.Command{Kind: api.CommandPublishStream, Device: "river", Stream: api.StreamSub}); r.Cause.Code != "camera_without_sub_stream" {
		t.Errorf("without a sub-stream: %+v", r)
	}
	if r := do(api.Command{Kind: api.CommandPublishStream, Device: "yard", Stream: "third"}); r.Cause.Code != "command_unknown" {
		t.Errorf("an unknown stream: %+v", r)
	}
	cancel()
	must(t, <-done)
}

// long returns a text of n bytes.
func long(n int) string { return strings.Repeat("a", n) }
