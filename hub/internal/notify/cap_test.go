package notify

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"gridpost/detection/rules"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// capElement is one element of the schema of CAP 1.2, transcribed from the standard's sections 3.2 and 3.4: no package
// of the build has the OASIS file.
type capElement struct {
	name     string
	min, max int // max 0: any number
	values   []string
	form     *regexp.Regexp
	children []capElement
}

func capSchema() capElement {
	dateTime := regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[-+]\d\d:\d\d$`)
	name := regexp.MustCompile(`^[^\s,<&]+$`)
	some := regexp.MustCompile(`(?s)\S`)
	uri := regexp.MustCompile(`^[a-z]+:\S+$`)
	one := func(name string, form *regexp.Regexp) capElement {
		return capElement{name: name, min: 1, max: 1, form: form}
	}
	opt := func(name string, form *regexp.Regexp) capElement { return capElement{name: name, max: 1, form: form} }
	enum := func(name string, least int, values string) capElement {
		return capElement{name: name, min: least, max: 1, values: strings.Fields(values)}
	}
	value := []capElement{one("valueName", some), {name: "value", min: 1, max: 1}}
	return capElement{name: "alert", min: 1, max: 1, children: []capElement{
		one("identifier", name), one("sender", name), one("sent", dateTime), enum("status", 1, "Actual Exercise System Test Draft"),
		enum("msgType", 1, "Alert Update Cancel Ack Error"), opt("source", some), enum("scope", 1, "Public Restricted Private"),
		opt("restriction", some), opt("addresses", some),
		{name: "code"},
		opt("note", some),
		opt("references", regexp.MustCompile(`^[^\s,<&]+,[^\s,<&]+,[^\s,]+( [^\s,<&]+,[^\s,<&]+,[^\s,]+)*$`)), opt("incidents", some),
		{name: "info", children: []capElement{
			opt("language", regexp.MustCompile(`^[a-zA-Z]{1,8}(-[a-zA-Z0-9]{1,8})*$`)),
			{name: "category", min: 1, values: strings.Fields("Geo Met Safety Security Rescue Fire Health Env Transport Infra CBRNE Other")},
			one("event", some),
			{name: "responseType", values: strings.Fields("Shelter Evacuate Prepare Execute Avoid Monitor Assess AllClear None")},
			enum("urgency", 1, "Immediate Expected Future Past Unknown"), enum("severity", 1, "Extreme Severe Moderate Minor Unknown"),
			enum("certainty", 1, "Observed Likely Possible Unlikely Unknown"), opt("audience", some),
			{name: "eventCode", children: value},
			opt("effective", dateTime), opt("onset", dateTime), opt("expires", dateTime), opt("senderName", some), opt("headline", some),
			opt("description", some), opt("instruction", some), opt("web", uri), opt("contact", some),
			{name: "parameter", children: value},
			{name: "resource", children: []capElement{one("resourceDesc", some), one("mimeType", some), opt("size", regexp.MustCompile(`^\d+$`)), opt("uri", uri), opt("derefUri", some), opt("digest", some)}},
			{name: "area", children: []capElement{
				one("areaDesc", some),
				{name: "polygon"},
				{name: "circle", form: regexp.MustCompile(`^-?\d+(\.\d+)?,-?\d+(\.\d+)? \d+(\.\d+)?$`)},
				{name: "geocode", children: value},
				opt("altitude", some), opt("ceiling", some),
			}},
		}},
	}}
}

// node is an element of a document.
type node struct {
	name     xml.Name
	text     string
	children []*node
}

func parse(text []byte) (*node, error) {
	d := xml.NewDecoder(strings.NewReader(string(text)))
	root := &node{}
	stack := []*node{root}
	for {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			if len(root.children) != 1 {
				return nil, fmt.Errorf("%d roots", len(root.children))
			}
			return root.children[0], nil
		}
		if err != nil {
			return nil, err
		}
		top := stack[len(stack)-1]
		switch token := token.(type) {
		case xml.StartElement:
			n := &node{name: token.Name}
			top.children = append(top.children, n)
			stack = append(stack, n)
		case xml.EndElement:
			stack = stack[:len(stack)-1]
		case xml.CharData:
			top.text += string(token)
		}
	}
}

// check returns what is wrong with n by the schema.
func (s capElement) check(n *node) (wrong []string) {
	if n.name.Space != "urn:oasis:names:tc:emergency:cap:1.2" || n.name.Local != s.name {
		return []string{fmt.Sprintf("element %v, want %s", n.name, s.name)}
	}
	if len(s.children) == 0 {
		if len(n.children) > 0 || len(s.values) > 0 && !slices.Contains(s.values, n.text) || s.form != nil && !s.form.MatchString(n.text) {
			wrong = append(wrong, fmt.Sprintf("%s: %q", s.name, n.text))
		}
		return wrong
	}
	rest := n.children
	for _, c := range s.children {
		count := 0
		for len(rest) > 0 && rest[0].name.Local == c.name {
			wrong = append(wrong, c.check(rest[0])...)
			rest, count = rest[1:], count+1
		}
		if count < c.min || c.max > 0 && count > c.max {
			wrong = append(wrong, fmt.Sprintf("%d of %s in %s", count, c.name, s.name))
		}
	}
	if len(rest) > 0 {
		wrong = append(wrong, fmt.Sprintf("%s is out of order in %s", rest[0].name.Local, s.name))
	}
	return wrong
}

// find returns the texts of the elements at a path below n.
func (n *node) find(path ...string) (all []string) {
	if len(path) == 0 {
		return []string{n.text}
	}
	for _, c := range n.children {
		if c.name.Local == path[0] {
			all = append(all, c.find(path[1:]...)...)
		}
	}
	return all
}

// capAlertOf returns an alert with everything that a message can have.
func capAlertOf(seq int64, kind AlertKind, extra string) Alert {
	a := alert(seq, "inc-1", kind)
	a.Data = []byte(`{"id":"inc-1","title":"somebody in the yard <&> 有人\u0007","kind":"zone","severity":"severe","state":"open","condition":"open",
		"occurred_at":"2026-11-30T10:00:00.123+08:00","value":3.25,"limit":3,"unit":"m","where":"yard, gate-7, north","link":"https://desk.example/incidents/inc-1",
		"place":{"lat":30.92,"lon":120.93},"evidence":[{"name":"a.jpg","url":"https://desk.example/api/v1/evidence/inc-1/a.jpg","content_type":"image/jpeg","size":7,"complete":true},
		{"name":"b.jpg","url":"https://desk.example/b","content_type":"image/jpeg","size":7,"complete":false}]` + extra + `}`)
	return a
}

// TestCAP follows an incident that turns out to be a false alarm, and checks each message by the standard.
func TestCAP(t *testing.T) {
	tg := target("a", "a.example")
	tg.Kind = KindCAP
	under(t, []Target{tg}, func(t *testing.T, b *bench) {
		r := &receiver{answer: status(204, 503, 204)} // an update is repeated
		b.net.Serve(t, "a.example", r)
		b.start(t)
		began := time.Now()
		b.queue.add(capAlertOf(1, Opened, ""))
		after(time.Minute)
		b.queue.add(capAlertOf(2, Changed, ""))
		after(time.Minute)
		b.queue.add(capAlertOf(3, Cleared, ""))
		after(time.Minute)
		b.queue.add(capAlertOf(4, Closed, `,"outcome":"false_alarm"`))
		after(time.Minute)
		other := capAlertOf(5, Changed, "")
		other.Incident, other.Data = "inc-2", []byte(`{"title":"","place":null}`) // the target was added after it had opened
		b.queue.add(other)
		after(time.Minute)
		if _, err := b.n.Test(t.Context(), tg, "wang"); err != nil {
			t.Fatal(err)
		}
		got := r.requests()
		if len(got) != 7 {
			t.Fatalf("%d requests", len(got))
		}
		if string(got[1].body) != string(got[2].body) {
			t.Error("the second attempt has another body")
		}
		at := func(minutes int) string {
			return began.Add(time.Duration(minutes) * time.Minute).UTC().Format("2006-01-02T15:04:05-00:00")
		}
		refs := []string{"urn:test:hub,event-1," + at(0), "urn:test:hub,event-2," + at(1), "urn:test:hub,event-3," + at(2)}
		for i, want := range []struct{ msgType, status, urgency, references string }{
			{"Alert", "Actual", "Immediate", ""},
			{"Update", "Actual", "Immediate", refs[0]},
			{"Update", "Actual", "Immediate", refs[0]},
			{"Update", "Actual", "Past", strings.Join(refs[:2], " ")},
			{"Cancel", "Actual", "Past", strings.Join(refs, " ")},
			{"Alert", "Actual", "Immediate", ""},
			{"Alert", "Test", "Immediate", ""},
		} {
			g := got[i]
			if ct := g.header.Get("Content-Type"); ct != "application/cap+xml; charset=utf-8" {
				t.Errorf("content type %s", ct)
			}
			hook, err := standardwebhooks.NewWebhook(tg.Secrets[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := hook.VerifyIgnoringTimestamp(g.body, g.header); err != nil {
				t.Error(err)
			}
			doc, err := parse(g.body)
			if err != nil {
				t.Fatalf("%v in %s", err, g.body)
			}
			if wrong := capSchema().check(doc); len(wrong) > 0 {
				t.Errorf("%v in %s", wrong, g.body)
			}
			text := strings.Join(doc.find("msgType"), "") + "|" + strings.Join(doc.find("status"), "") + "|" + strings.Join(doc.find("info", "urgency"), "") + "|" + strings.Join(doc.find("references"), "")
			if text != want.msgType+"|"+want.status+"|"+want.urgency+"|"+want.references {
				t.Errorf("message %d: %s, want %+v", i, text, want)
			}
		}
		doc, err := parse(got[0].body)
		if err != nil {
			t.Fatal(err)
		}
		for path, want := range map[string]string{
			"identifier": "event-1", "sender": "urn:test:hub", "incidents": "inc-1", "info/severity": "Severe", "info/category": "Security",
			"info/onset": "2026-11-30T02:00:00-00:00", "info/headline": "somebody in the yard <&> 有人\uFFFD", "info/web": "https://desk.example/incidents/inc-1",
			"info/area/circle": "30.92,120.93 0.1", "info/area/areaDesc": "yard, gate-7, north", "info/resource/uri": "https://desk.example/api/v1/evidence/inc-1/a.jpg",
		} {
			if all := doc.find(strings.Split(path, "/")...); len(all) != 1 || all[0] != want {
				t.Errorf("%s: %q, want %q", path, all, want)
			}
		}
	})
}

// TestCAPSchemaRefuses: a check that accepts everything is none.
func TestCAPSchemaRefuses(t *testing.T) {
	c := capChannel{n: New(Options{Source: "urn:test:hub"}), t: Target{Kind: KindCAP, Format: Format}}
	good, err := c.message(Delivery{Alert: capAlertOf(1, Opened, "")}, nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range [][2]string{
		{"<scope>Restricted</scope>", ""},
		{"<msgType>Alert", "<msgType>Hello"},
		{"-00:00</sent>", "Z</sent>"},
		{"<sender>urn", "<sender>u rn"},
		{"<event>", "<web>https://x</web><event>"},
		{"<areaDesc>yard, gate-7, north</areaDesc>", ""},
		{"cap:1.2", "cap:1.1"},
	} {
		doc, err := parse([]byte(strings.Replace(string(good), change[0], change[1], 1)))
		if err != nil {
			t.Fatal(err)
		}
		if wrong := capSchema().check(doc); len(wrong) == 0 {
			t.Errorf("%q instead of %q is accepted", change[1], change[0])
		}
	}
}

// Every kind of rule that edges have belongs to a category of the protocol.
func TestEveryKindOfRuleHasACategory(t *testing.T) {
	for _, kind := range rules.Standard().Names() {
		if got := capCategory(string(kind)); got == "Other" {
			t.Errorf("%s is %s", kind, got)
		}
	}
}
