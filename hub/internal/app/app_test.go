package app

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/commands"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/relay"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/people"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func config(t *testing.T) Config {
	t.Helper()
	return Config{Data: t.TempDir(), Listen: "127.0.0.1:0", EdgeListen: "127.0.0.1:0", MediaListen: "127.0.0.1:0"}
}

// start runs a hub until the test ends or stop is called.
func start(t *testing.T, c Config) (r Running, stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	done := make(chan error, 1)
	go func() { done <- Run(ctx, c, "test", slog.New(slog.DiscardHandler)) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("the hub ended with: %v", err)
		}
	})
	t.Cleanup(stop)
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) {
		if text, err := os.ReadFile(filepath.Join(c.Data, runFile)); err == nil {
			if err := json.Unmarshal(text, &r); err != nil {
				t.Fatal(err)
			}
			return r, stop
		}
		select {
		case err := <-done:
			done <- nil
			t.Fatalf("the hub ended at once: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("the hub has not said where it listens")
	return r, stop
}

func get(t *testing.T, url, token string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	c := &http.Client{Transport: &http.Transport{}}
	defer c.CloseIdleConnections()
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // read to its end below
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

func TestAHubRunsAndAnotherProcessMakesAToken(t *testing.T) {
	c := config(t)
	r, stop := start(t, c)
	base := "http://" + r.Listen
	for path, want := range map[string]int{"/healthz": 200, "/readyz": 200, "/": 200, "/metrics": 401, "/api/v1/incidents": 401} {
		if status, _ := get(t, base+path, ""); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if err := Run(t.Context(), c, "test", slog.New(slog.DiscardHandler)); err == nil || !strings.Contains(err.Error(), "another hub runs") {
		t.Errorf("a second hub on the same data: %v", err)
	}
	// What "hub token create" does, with a store of its own.
	other, err := db.Open(t.Context(), db.Options{Dir: c.Data, Schema: schema.Hub(), Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(t.Context(), other, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{People: people.New(other, people.Hooks{}), Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := users.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "x", Role: auth.Administrator})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
	status, body := get(t, base+"/metrics", token)
	for _, want := range []string{"gridpost_hub_events_applied_total 0", "gridpost_hub_viewers 0", "go_goroutines", `version="test"`} {
		if status != 200 || !strings.Contains(body, want) {
			t.Errorf("metrics: %d, without %s", status, want)
		}
	}
	// A live stream is open while the hub stops.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	stop()
	if took := time.Since(began); took >= stopLimit { // the stream was cut off
		t.Errorf("stopping took %s", took)
	}
	if _, err := io.Copy(io.Discard, res.Body); err != nil {
		t.Logf("the stream ended with %v", err)
	}
	_ = res.Body.Close()
	if _, err := os.Stat(filepath.Join(c.Data, runFile)); !os.IsNotExist(err) {
		t.Errorf("the run file after the end: %v", err)
	}
	if _, stop := start(t, c); stop != nil { // it comes back on the same data
		stop()
	}
}

func TestCommander(t *testing.T) {
	r := NewEdges(dbtest.Open(t, db.SQLite, db.Options{}))
	c := commander{live: commands.New(), edges: r, now: time.Now}
	ask := func(ctx context.Context) string {
		var refused relay.Refused
		var coded *problem.Error
		switch err := c.Command(ctx, "gate-7", api.Command{Kind: api.CommandPublish, Device: "yard"}); {
		case err == nil:
			return ""
		case errors.As(err, &refused):
			return refused.Cause.Text
		case errors.As(err, &coded):
			return coded.Error()
		default:
			t.Error(err)
			return err.Error()
		}
	}
	if got := ask(t.Context()); got != "there is no edge gate-7" {
		t.Error(got)
	}
	if err := r.Add(t.Context(), "test", "gate-7", []byte("x"), time.Now().Add(time.Hour)); err != nil {
		t.Fatal(err)
	}
	if got := ask(t.Context()); got != "the edge gate-7 is not connected" {
		t.Error(got)
	}
	if err := edges.NewPresence(r, slog.New(slog.DiscardHandler)).Seen(t.Context(), "gate-7"); err != nil {
		t.Fatal(err)
	}
	for _, result := range []api.Result{{OK: true}, {Cause: devices.Cause{Text: "the camera is offline"}}} {
		done := make(chan string, 1)
		go func() { done <- ask(t.Context()) }()
		var queued []edges.QueuedCommand
		var err error
		for len(queued) == 0 {
			wake := r.CommandAdded("gate-7")
			if queued, err = r.CommandsFor(t.Context(), "gate-7", 0); err != nil {
				t.Fatal(err)
			}
			if len(queued) == 0 {
				<-wake
			}
		}
		var command api.Command
		if err := json.Unmarshal(queued[0].Body, &command); err != nil {
			t.Fatal(err)
		}
		if err := r.FinishCommand(t.Context(), "gate-7", command.ID, result); err != nil {
			t.Fatal(err)
		}
		if got := <-done; got != result.Cause.Text {
			t.Errorf("%q, want %q", got, result.Cause)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if got := ask(ctx); got != "the edge does not answer" {
		t.Error(got)
	}
}

func TestConfiguration(t *testing.T) {
	dir := t.TempDir()
	for name, test := range map[string]struct{ text, want string }{
		"good":        {"data: /srv/hub\nlisten: 0.0.0.0:80\n", ""},
		"empty":       {"", ""},
		"unknown key": {"dta: /srv/hub\n", "field dta not found"},
		"bad address": {"listen: 8080\n", "listen: expected host:port"},
		"bad public":  {"public_addresses: [here]\n", "public_addresses: expected an IP address"},
	} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(test.text), 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		if err == nil {
			err = c.Check()
		}
		if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c, err := Load("")
	if err != nil || c.Listen != "127.0.0.1:8080" {
		t.Errorf("%+v, %v", c, err)
	}
}

// TestAnAlertReachesItsTarget goes the whole way: a webhook is added, a report comes in, and the
// target gets one CloudEvent.
func TestAnAlertReachesItsTarget(t *testing.T) {
	type delivery struct {
		kind string
		body string
	}
	got := make(chan delivery, 10)
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		got <- delivery{r.Header.Get("Content-Type"), string(body)}
		w.WriteHeader(http.StatusNoContent)
	}))
	defer target.Close()
	c := config(t)
	c.AllowPrivateWebhooks = true
	r, _ := start(t, c)
	other, err := db.Open(t.Context(), db.Options{Dir: c.Data, Schema: schema.Hub(), Name: "hub"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(t.Context(), other, audit.Options{}); err != nil {
		t.Fatal(err)
	}
	users, err := auth.New(auth.Options{People: people.New(other, people.Hooks{}), Params: auth.Params{Memory: 64, Time: 1, Threads: 1}})
	if err != nil {
		t.Fatal(err)
	}
	token, _, err := users.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "x", Role: auth.Administrator})
	if err := errors.Join(err, other.Close()); err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for _, step := range []struct{ path, body string }{
		{"/api/v1/webhooks", `{"url":"` + target.URL + `"}`},
		{"/api/v1/reports", `{"title":"a tree has fallen"}`},
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+r.Listen+step.path, strings.NewReader(step.body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Authorization", "Bearer "+token)
		req.Header.Set("Content-Type", "application/json")
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = res.Body.Close()
		if res.StatusCode != http.StatusCreated {
			t.Fatalf("%s: %s", step.path, res.Status)
		}
	}
	select {
	case d := <-got:
		for _, want := range []string{"a tree has fallen", `"specversion":"1.0"`, `"state":"open"`, "reported"} {
			if !strings.Contains(d.body, want) {
				t.Errorf("the event lacks %s: %s", want, d.body)
			}
		}
		if !strings.HasPrefix(d.kind, "application/cloudevents+json") {
			t.Errorf("content type %q", d.kind)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("nothing was delivered")
	}
}
