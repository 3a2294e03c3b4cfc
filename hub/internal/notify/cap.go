package notify

import (
	"cmp"
	"context"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/internal/problem"
)

// capOutput posts messages of the Common Alerting Protocol (OASIS CAP 1.2). The first message about an incident is an
// Alert, later ones are Updates of all messages that the target has accepted before, and the end of a false
// alarm is a Cancel. Messages are signed like webhooks.
// See https://docs.oasis-open.org/emergency/cap/v1.2/CAP-v1.2-os.html.
type capOutput struct{}

const (
	capNamespace   = "urn:oasis:names:tc:emergency:cap:1.2"
	capContentType = "application/cap+xml; charset=utf-8"

	// capTime is the form of times in UTC: the standard allows neither Z nor fractions of a second, and wants
	// -00:00 for UTC (section 3.3.2).
	capTime = "2006-01-02T15:04:05-00:00"

	// capRadius is that of the circle around the place of a device, in kilometres.
	capRadius = "0.1"

	// maxHeadline is the length of a headline in characters (section 3.2.2).
	maxHeadline = 160
)

func (capOutput) check(t Target, allowPrivate bool) error {
	// Of a sender and of an identifier (section 3.2.1).
	if len(t.Settings.Sender) > 200 || strings.ContainsAny(t.Settings.Sender, " \t\r\n,<&") {
		return problem.New("target_sender_invalid")
	}
	if !slices.Contains([]string{"", "Actual", "Exercise", "Test"}, t.Settings.Status) {
		return problem.New("target_status_invalid")
	}
	return webhookOutput{}.check(t, allowPrivate)
}

func (capOutput) open(n *Notifier, t Target) (channel, error) { return capChannel{n: n, t: t}, nil }

type capChannel struct {
	n *Notifier
	t Target
}

func (capChannel) close() {}

func (c capChannel) send(ctx context.Context, d Delivery, earlier earlierFunc) (response, error) {
	references, err := earlier(ctx)
	if err != nil {
		return response{}, fmt.Errorf("reading earlier messages about incident %s: %w", d.Alert.Incident, err)
	}
	payload, err := c.message(d, references)
	if err != nil {
		return response{}, err
	}
	return c.n.post(ctx, c.t, capContentType, payload, func(h http.Header) error {
		return sign(h, d.ID, time.Now(), payload, c.t.Secrets)
	})
}

// The elements of a message that are used, in the order of the schema.
type (
	capAlert struct {
		XMLName     xml.Name `xml:"urn:oasis:names:tc:emergency:cap:1.2 alert"`
		Identifier  string   `xml:"identifier"`
		Sender      string   `xml:"sender"`
		Sent        string   `xml:"sent"`
		Status      string   `xml:"status"`
		MsgType     string   `xml:"msgType"`
		Scope       string   `xml:"scope"`
		Restriction string   `xml:"restriction"`
		References  string   `xml:"references,omitempty"`
		Incidents   string   `xml:"incidents,omitempty"`
		Info        capInfo  `xml:"info"`
	}
	capInfo struct {
		Language     string        `xml:"language"`
		Category     string        `xml:"category"`
		Event        string        `xml:"event"`
		ResponseType string        `xml:"responseType,omitempty"`
		Urgency      string        `xml:"urgency"`
		Severity     string        `xml:"severity"`
		Certainty    string        `xml:"certainty"`
		Onset        string        `xml:"onset,omitempty"`
		SenderName   string        `xml:"senderName"`
		Headline     string        `xml:"headline"`
		Description  string        `xml:"description,omitempty"`
		Web          string        `xml:"web,omitempty"`
		Parameters   []capValue    `xml:"parameter"`
		Resources    []capResource `xml:"resource"`
		Area         *capArea      `xml:"area"`
	}
	capValue struct {
		Name  string `xml:"valueName"`
		Value string `xml:"value"`
	}
	capResource struct {
		Description string `xml:"resourceDesc"`
		MimeType    string `xml:"mimeType"`
		Size        int64  `xml:"size"`
		URI         string `xml:"uri"`
	}
	capArea struct {
		Description string `xml:"areaDesc"`
		Circle      string `xml:"circle,omitempty"`
	}
)

// capData is what a message takes from the data of an event.
type capData struct {
	Title      string     `json:"title"`
	Text       string     `json:"text"` // of a test
	Kind       string     `json:"kind"`
	Severity   string     `json:"severity"`
	Outcome    string     `json:"outcome"`
	Condition  string     `json:"condition"`
	State      string     `json:"state"`
	OccurredAt *time.Time `json:"occurred_at"`
	Value      *float64   `json:"value"`
	Limit      *float64   `json:"limit"`
	Unit       string     `json:"unit"`
	Where      string     `json:"where"`
	Link       string     `json:"link"`
	Version    int        `json:"version"`
	Place      *struct {
		Lat float64 `json:"lat"`
		Lon float64 `json:"lon"`
	} `json:"place"`
	Evidence []struct {
		Name        string `json:"name"`
		URL         string `json:"url"`
		ContentType string `json:"content_type"`
		Size        int64  `json:"size"`
		Complete    bool   `json:"complete"`
	} `json:"evidence"`
}

// message returns a delivery as a CAP message.
func (c capChannel) message(d Delivery, earlier []Reference) ([]byte, error) {
	e, err := c.n.event(c.t, d)
	if err != nil {
		return nil, err
	}
	var data capData
	if err := json.Unmarshal(e.Data, &data); err != nil {
		return nil, fmt.Errorf("reading the incident of alert %s: %w", d.Alert.ID, err)
	}
	sender := cmp.Or(c.t.Settings.Sender, e.Source)
	m := capAlert{
		Identifier: e.ID, Sender: sender, Sent: e.Time.UTC().Format(capTime), Status: cmp.Or(c.t.Settings.Status, "Actual"),
		MsgType: "Alert", Scope: "Restricted", Restriction: "For those who handle incidents", Incidents: d.Alert.Incident, Info: data.info(d.Alert.Kind),
	}
	switch {
	case d.Alert.Kind == test:
		m.Status = "Test"
	case len(earlier) == 0: // the target knows of nothing that this could update
	case d.Alert.Kind == Closed && data.Outcome == "false_alarm":
		m.MsgType = "Cancel"
	default:
		m.MsgType = "Update"
	}
	if m.MsgType != "Alert" {
		m.References = capReferences(sender, earlier)
	}
	body, err := xml.MarshalIndent(m, "", " ")
	if err != nil {
		return nil, fmt.Errorf("encoding alert %s as a CAP message: %w", d.Alert.ID, err)
	}
	return append([]byte(xml.Header), append(body, '\n')...), nil
}

// capReferences returns the extended identifiers of messages: sender,identifier,sent.
func capReferences(sender string, earlier []Reference) string {
	all := make([]string, len(earlier))
	for i, r := range earlier {
		all[i] = sender + "," + r.ID + "," + r.Time.UTC().Format(capTime)
	}
	return strings.Join(all, " ")
}

func (data capData) info(kind AlertKind) capInfo {
	title := cmp.Or(data.Title, data.Text, "Incident")
	info := capInfo{
		Language: "en-US", Category: capCategory(data.Kind), Event: title, Urgency: "Immediate", Severity: capSeverity(data.Severity), Certainty: "Observed",
		SenderName: "Gridpost", Headline: shorten(title, maxHeadline), Description: data.description(), Web: data.Link,
	}
	if kind == Cleared || kind == Closed || data.Condition == "closed" || data.State == "closed" {
		info.Urgency, info.ResponseType = "Past", "AllClear"
	}
	if data.OccurredAt != nil {
		info.Onset = data.OccurredAt.UTC().Format(capTime)
	}
	for _, p := range []capValue{{"alert", string(kind)}, {"kind", data.Kind}, {"state", data.State}, {"condition", data.Condition}, {"outcome", data.Outcome}} {
		if p.Value != "" {
			info.Parameters = append(info.Parameters, p)
		}
	}
	for _, f := range data.Evidence {
		if f.Complete {
			info.Resources = append(info.Resources, capResource{Description: cmp.Or(f.Name, "evidence"), MimeType: cmp.Or(f.ContentType, "application/octet-stream"), Size: f.Size, URI: f.URL})
		}
	}
	if data.Place != nil || data.Where != "" {
		info.Area = &capArea{Description: cmp.Or(data.Where, "place of the report")}
	}
	if data.Place != nil {
		info.Area.Circle = decimal(data.Place.Lat) + "," + decimal(data.Place.Lon) + " " + capRadius
	}
	return info
}

func (data capData) description() string {
	var parts []string
	if data.Where != "" {
		parts = append(parts, data.Where)
	}
	if data.Value != nil {
		parts = append(parts, strings.TrimSpace("value "+decimal(*data.Value)+" "+data.Unit))
	}
	if data.Limit != nil {
		parts = append(parts, strings.TrimSpace("limit "+decimal(*data.Limit)+" "+data.Unit))
	}
	return strings.Join(parts, "; ")
}

// capCategory returns the category of a rule's kind.
func capCategory(kind string) string {
	switch kind {
	case "zone", "line", "loitering", "absence", "left", "removed":
		return "Security"
	case "wrong-way", "stopped":
		return "Transport"
	case "above", "below", "crowd", "sighting":
		return "Safety"
	case "silence", "health":
		return "Infra"
	}
	return "Other"
}

func capSeverity(severity string) string {
	switch severity {
	case "extreme":
		return "Extreme"
	case "severe":
		return "Severe"
	case "moderate":
		return "Moderate"
	case "minor":
		return "Minor"
	}
	return "Unknown"
}

func decimal(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// shorten returns at most n characters of s.
func shorten(s string, n int) string {
	r := []rune(s)
	return string(r[:min(len(r), n)])
}
