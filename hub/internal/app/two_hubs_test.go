package app

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"gridpost/firmware-config/enrol"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/people"
)

// caller calls the API of hubs with a token.
type caller struct {
	t      *testing.T
	token  string
	client *http.Client
}

func (c caller) do(ctx context.Context, method, url, body string) *http.Response {
	c.t.Helper()
	req, err := http.NewRequestWithContext(ctx, method, url, strings.NewReader(body))
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+c.token)
	req.Header.Set("Content-Type", "application/json")
	res, err := c.client.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	return res
}

// post posts and returns the answer's field.
func (c caller) post(url, body, field string) string {
	c.t.Helper()
	res := c.do(c.t.Context(), http.MethodPost, url, body)
	text, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		c.t.Fatal(err)
	}
	var answer map[string]any
	if err := json.Unmarshal(text, &answer); err != nil || res.StatusCode != http.StatusCreated {
		c.t.Fatalf("%s: %s, %s", url, res.Status, text)
	}
	value, _ := answer[field].(string)
	return value
}

// TestTwoHubsOnOneDatabase runs two hubs on one PostgreSQL. A console on one must see what happens at the
// other, and go on when the other is gone; an edge may enrol at either.
func TestTwoHubsOnOneDatabase(t *testing.T) {
	url := dbtest.URL(t)
	var hubs [2]Running
	var stops [2]func()
	for i := range hubs {
		c := config(t)
		c.Database = url
		hubs[i], stops[i] = start(t, c)
	}
	d, err := db.Open(t.Context(), db.Options{URL: url, Name: "hub", Schema: schema.Hub()})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(t.Context(), d, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{People: people.New(d, people.Hooks{}), Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := users.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "x", Role: auth.Administrator})
	if err := errors.Join(err, d.Close()); err != nil {
		t.Fatal(err)
	}
	c := caller{t: t, token: token, client: &http.Client{Transport: &http.Transport{}}}
	defer c.client.CloseIdleConnections()
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stream := c.do(ctx, http.MethodGet, "http://"+hubs[1].Listen+"/api/v1/stream", "")
	defer stream.Body.Close() //nolint:errcheck // it never ends by itself
	lines := bufio.NewScanner(stream.Body)
	seen := func(text string) {
		t.Helper()
		for lines.Scan() {
			if strings.Contains(lines.Text(), text) {
				return
			}
		}
		t.Fatalf("the live stream ended before %q: %v", text, lines.Err())
	}
	seen("event: hello")
	incident := c.post("http://"+hubs[0].Listen+"/api/v1/reports", `{"title":"a tree has fallen"}`, "id")
	seen("a tree has fallen")
	if status, body := get(t, "http://"+hubs[1].Listen+"/api/v1/incidents/"+incident, token); status != http.StatusOK {
		t.Errorf("the incident at the other hub: %d, %s", status, body)
	}
	var authorities []string
	for i, name := range []string{"gate-1", "gate-2"} {
		secret := c.post("http://"+hubs[i].Listen+"/api/v1/edges", `{"name":"`+name+`"}`, "token")
		seen(name)
		token, err := enrol.ParseToken(secret)
		if err != nil {
			t.Fatal(err)
		}
		authorities = append(authorities, token.SHA256)
	}
	if authorities[0] != authorities[1] {
		t.Errorf("the hubs have the authorities %q", authorities)
	}
	stops[0]()
	c.post("http://"+hubs[1].Listen+"/api/v1/reports", `{"title":"water on the road"}`, "id")
	seen("water on the road")
}
