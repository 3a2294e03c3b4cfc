package notify

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"testing"
	"time"

	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// TestOthersUnderstand: the receivers' own libraries accept what is sent: CloudEvents' SDK for Go, and that of
// Standard Webhooks, with each secret of a rotation, at the first attempt and at a later one.
func TestOthersUnderstand(t *testing.T) {
	tg := target("a", "a.example")
	tg.Secrets, tg.Format = []string{NewSecret(), NewSecret()}, Format
	under(t, []Target{tg}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(500, 204)}
		b.present = func(data json.RawMessage) (json.RawMessage, string, error) {
			return data, "https://desk.example/schema.json", nil
		}
		b.net.Serve(t, "a.example", r)
		b.start(t)
		kinds := []AlertKind{Opened, Changed, Cleared, Closed}
		for i, kind := range kinds {
			b.queue.add(alert(int64(i+1), "inc-1", kind))
		}
		after(time.Minute)
		if _, err := b.n.Test(t.Context(), tg, "wang"); err != nil {
			t.Fatal(err)
		}
		got := r.requests()
		if len(got) != len(kinds)+2 { // the first came twice; the last is the test
			t.Fatalf("%d requests", len(got))
		}
		for i, g := range got {
			e, err := cehttp.NewEventFromHTTPRequest(&http.Request{Header: g.header, Body: nopCloser{bytes.NewReader(g.body)}})
			if err != nil {
				t.Fatal(err)
			}
			if err := e.Validate(); err != nil {
				t.Errorf("%s: %v", g.body, err)
			}
			if i == len(got)-1 {
				if e.Type() != "gridpost.test" {
					t.Errorf("the test is %s", e)
				}
				continue
			}
			n := max(i, 1)
			if e.Type() != "gridpost.incident."+string(kinds[n-1]) || e.ID() != fmt.Sprintf("event-%d", n) || e.Source() != "urn:test:hub" ||
				e.DataSchema() != "https://desk.example/schema.json" || e.Extensions()["sequence"] != fmt.Sprintf("%020d", n) || e.Extensions()["incidentid"] != "inc-1" {
				t.Errorf("%s", e)
			}
			for _, secret := range tg.Secrets {
				hook, err := standardwebhooks.NewWebhook(secret)
				if err != nil {
					t.Fatal(err)
				}
				// The clock of its timestamps is that of the moment of the request.
				if err := hook.VerifyIgnoringTimestamp(g.body, g.header); err != nil {
					t.Error(err)
				}
			}
		}
		hook, err := standardwebhooks.NewWebhook(tg.Secrets[0])
		if err != nil {
			t.Fatal(err)
		}
		last := got[len(got)-1]
		if err := hook.Verify(last.body, last.header); err != nil {
			t.Error(err)
		}
		last.body[len(last.body)-2] ^= 1
		if hook.Verify(last.body, last.header) == nil {
			t.Error("a changed body is accepted")
		}
	})
}

type nopCloser struct{ *bytes.Reader }

func (nopCloser) Close() error { return nil }

// TestFormat1 is what targets of the version before format 2 receive.
func TestFormat1(t *testing.T) {
	tg := target("a", "a.example")
	tg.Format = 1
	under(t, []Target{tg}, func(t *testing.T, b *bench) {
		r := &receiver{}
		b.present = func(json.RawMessage) (json.RawMessage, string, error) { return nil, "", fmt.Errorf("not for format 1") }
		b.net.Serve(t, "a.example", r)
		b.start(t)
		a := alert(1, "inc-1", Cleared)
		a.Kind1 = Closed
		b.queue.add(a)
		old := alert(2, "inc-1", Changed) // of the version before
		old.ID = ""
		b.queue.add(old)
		after(time.Minute)
		var got []cloudEvent
		for _, g := range r.requests() {
			var e cloudEvent
			if err := json.Unmarshal(g.body, &e); err != nil {
				t.Fatal(err)
			}
			got = append(got, e)
		}
		if len(got) != 2 {
			t.Fatalf("%+v", got)
		}
		if e := got[0]; e.Type != "gridpost.incident.closed" || e.Source != "urn:test:hub" || string(e.Data) != string(a.Data) || e.DataSchema != "" {
			t.Errorf("%+v", e)
		}
		if e := got[1]; e.Type != "gridpost.incident.changed" || e.ID != "2" || e.Source != "urn:gridpost:hub" {
			t.Errorf("%+v", e)
		}
	})
}
