package ingest

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/credential"
)

// received opens a stream of commands and returns what reads the next one.
func (p *port) received(t *testing.T, c *http.Client, query string) func() api.Command {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/edge/v1/commands"+query, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = res.Body.Close() }) // broken off on purpose
	lines := bufio.NewScanner(res.Body)
	return func() (command api.Command) {
		t.Helper()
		for lines.Scan() {
			if data, found := strings.CutPrefix(lines.Text(), "data: "); found {
				if err := json.Unmarshal([]byte(data), &command); err != nil {
					t.Fatal(err)
				}
				return command
			}
		}
		t.Fatalf("the stream ended: %v", lines.Err())
		return command
	}
}

// cameras adds cameras to an edge's inventory.
func (p *port) cameras(t *testing.T, c *http.Client, names ...string) {
	t.Helper()
	inventory := api.Inventory{Version: "1"}
	for _, n := range names {
		inventory.Devices = append(inventory.Devices, api.Device{Name: n, Kind: devices.Camera})
	}
	events := []api.Event{newEvent(t, api.LaneState, 1, api.KindInventory, inventory)}
	if res := p.call(t, c, "POST", "/edge/v1/events", api.Batch{Epoch: "a", Events: events}, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("the inventory: %s", res.Status)
	}
}

// TestCommandsToPublishNameURLAndCredential: commands are completed when they are sent, for the edge that receives them.
func TestCommandsToPublishNameURLAndCredential(t *testing.T) {
	const relay = "https://relay.example"
	for name, test := range map[string]struct {
		query, relay, main, sub string
	}{
		"the hub itself":                          {"?url=path", "", "/whip/gate-7/yard", "/whip/gate-7/yard?stream=sub"},
		"the hub itself, an earlier edge":         {"", "", "", ""},
		"a relay elsewhere":                       {"?url=path", relay, relay + "/whip/gate-7/yard", relay + "/whip/gate-7/yard?stream=sub"},
		"a relay elsewhere, an edge before paths": {"", relay, relay + "/whip/gate-7/yard", relay + "/whip/gate-7/yard?stream=sub"},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPort(t)
			p.relays = map[string]string{"gate-7": test.relay}
			c := p.enrol(t, "gate-7")
			queued := api.Command{ID: "queued", Kind: api.CommandPublish, Device: "yard", Issued: p.now}
			if err := p.edges.AddCommand(t.Context(), "gate-7", queued, p.now.Add(10*time.Second)); err != nil {
				t.Fatal(err)
			}
			next := p.received(t, c, test.query)
			check := func(got api.Command, url, stream string) {
				t.Helper()
				if got.URL != url {
					t.Errorf("%s: the URL is %q, want %q", got.ID, got.URL, url)
				}
				claims, err := p.credentials.Begin(got.Credential, credential.Publish)
				if err != nil || !claims.Of("gate-7", "yard") || claims.Stream != stream || claims.Principal != "edge:gate-7" || claims.Certificate == "" {
					t.Errorf("%s: the credential is for %+v, %v", got.ID, claims, err)
				}
			}
			check(next(), test.main, "")
			if n := p.count(t, `SELECT count(*) FROM commands WHERE body LIKE '%credential%'`); n != 0 {
				t.Errorf("%d credentials are in the database", n)
			}
			live := func(c api.Command) api.Command {
				t.Helper()
				go func() { _, _ = p.server.o.Commands.Send(t.Context(), "gate-7", c) }() // nobody answers
				return next()
			}
			check(live(api.Command{ID: "live", Kind: api.CommandPublishStream, Device: "yard", Stream: api.StreamSub}), test.sub, api.StreamSub)
			if got := live(api.Command{ID: "stop", Kind: api.CommandStop, Device: "yard"}); got.URL != "" || got.Credential != "" {
				t.Errorf("stop: %+v", got)
			}
		})
	}
}

// TestPublishingByCredential: where no certificate is shown, a credential admits its edge with its stream, while the
// certificate that it stands for is accepted.
func TestPublishingByCredential(t *testing.T) {
	p := newPort(t)
	c := p.enrol(t, "gate-7")
	p.cameras(t, c, "yard", "hall")
	var serial string
	if err := p.db.Read(t.Context()).One(`SELECT serial FROM edge_certificates WHERE edge = 'gate-7'`)(&serial); err != nil {
		t.Fatal(err)
	}
	claims := credential.Claims{Use: credential.Publish, Edge: "gate-7", Device: "yard", Principal: "edge:gate-7", Certificate: serial}
	issue := func(change func(*credential.Claims)) string {
		c := claims
		change(&c)
		text, _ := p.credentials.Issue(c)
		return text
	}
	main := issue(func(*credential.Claims) {})
	stranger := p.client(t, nil, "")
	check := func(what, credential, method, path string, want int) {
		t.Helper()
		if res := p.call(t, stranger, method, path, nil, nil, "Authorization", "Bearer "+credential); res.StatusCode != want {
			t.Errorf("%s: %s, want %d", what, res.Status, want)
		}
	}
	check("its camera", main, "POST", "/whip/gate-7/yard", http.StatusOK)
	check("its session", main, "DELETE", "/whip/gate-7/yard/1", http.StatusOK)
	check("another stream", main, "POST", "/whip/gate-7/yard?stream=sub", http.StatusForbidden)
	check("another camera", main, "POST", "/whip/gate-7/hall", http.StatusForbidden)
	check("a session of another camera", main, "DELETE", "/whip/gate-7/hall/1", http.StatusForbidden)
	check("another edge", main, "POST", "/whip/gate-8/yard", http.StatusForbidden)
	check("something else", main, "GET", "/edge/v1/commands", http.StatusUnauthorized)
	check("the stream", issue(func(c *credential.Claims) { c.Stream = api.StreamSub }), "POST", "/whip/gate-7/yard?stream=sub", http.StatusOK)
	check("another use", issue(func(c *credential.Claims) { c.Use = credential.View }), "POST", "/whip/gate-7/yard", http.StatusUnauthorized)
	check("another certificate", issue(func(c *credential.Claims) { c.Certificate = "1f" }), "POST", "/whip/gate-7/yard", http.StatusForbidden)
	check("a camera that does not exist", issue(func(c *credential.Claims) { c.Device = "moon" }), "POST", "/whip/gate-7/moon", http.StatusNotFound)
	check("changed", main+"A", "POST", "/whip/gate-7/yard", http.StatusUnauthorized)
	// With a certificate, the credential does not matter: it must not give an edge more than its own cameras.
	foreign := issue(func(c *credential.Claims) { c.Edge = "gate-8" })
	if res := p.call(t, c, "POST", "/whip/gate-8/yard", nil, nil, "Authorization", "Bearer "+foreign); res.StatusCode != http.StatusForbidden {
		t.Errorf("a certificate and a credential of another edge: %s", res.Status)
	}

	p.pass(credential.Life)
	check("expired", main, "POST", "/whip/gate-7/yard", http.StatusUnauthorized)
	check("the session of an expired one", main, "DELETE", "/whip/gate-7/yard/1", http.StatusOK)

	fresh := issue(func(*credential.Claims) {})
	check("a fresh one", fresh, "POST", "/whip/gate-7/yard", http.StatusOK)
	if err := p.edges.Revoke(t.Context(), "test", "gate-7"); err != nil {
		t.Fatal(err)
	}
	check("of a revoked edge", fresh, "POST", "/whip/gate-7/yard", http.StatusForbidden)
	check("a session of a revoked edge", fresh, "DELETE", "/whip/gate-7/yard/1", http.StatusForbidden)
}

// TestCredentialEndsWithTheCertificate: a replaced edge cannot publish with a credential that it was given before.
func TestCredentialEndsWithTheCertificate(t *testing.T) {
	p := newPort(t)
	old := p.enrol(t, "gate-7")
	p.cameras(t, old, "yard")
	if err := p.edges.AddCommand(t.Context(), "gate-7", api.Command{ID: "a", Kind: api.CommandPublish, Device: "yard"}, p.now.Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	got := p.received(t, old, "?url=path")()
	stranger := p.client(t, nil, "")
	publish := func() int {
		return p.call(t, stranger, "POST", "/whip/gate-7/yard", nil, nil, "Authorization", "Bearer "+got.Credential).StatusCode
	}
	if status := publish(); status != http.StatusOK {
		t.Fatalf("before: %d", status)
	}
	p.token(t, "gate-7", "another secret") // a new edge
	key := newKey(t)
	var enrolled api.EnrolResponse
	p.call(t, stranger, "POST", "/edge/v1/enrol", api.EnrolRequest{Token: "another secret", CSR: newCSR(t, key)}, &enrolled)
	fresh := p.client(t, key, enrolled.Certificate)
	if res := p.call(t, fresh, "POST", "/edge/v1/events", api.Batch{Epoch: "b", Hello: &api.Hello{}}, nil); res.StatusCode != http.StatusOK {
		t.Fatalf("the first contact: %s", res.Status)
	}
	if status := publish(); status != http.StatusForbidden {
		t.Errorf("after the edge was replaced: %d", status)
	}
}
