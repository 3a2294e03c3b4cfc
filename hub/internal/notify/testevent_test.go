package notify

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
)

func TestTestOfATarget(t *testing.T) {
	rec := &receiver{answer: func(n int, w http.ResponseWriter) {
		if n == 2 {
			w.WriteHeader(http.StatusInternalServerError)
		}
	}}
	srv := httptest.NewServer(rec)
	n := New(Options{Logger: slog.New(slog.DiscardHandler), AllowPrivate: true})
	defer n.client.CloseIdleConnections()
	target := Target{ID: "t", URL: srv.URL + "/secret", Secrets: []string{NewSecret()}}
	got, err := n.Test(t.Context(), target, "wang")
	if err != nil || !got.Delivered || got.Status != http.StatusOK || !got.Cause.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	one := rec.requests()[0]
	if err := verify(target.Secrets[0], one.header, one.body, time.Now()); err != nil {
		t.Error(err)
	}
	if text := string(one.body); !strings.Contains(text, `"type":"gridpost.test"`) || strings.Contains(text, "incidentid") || !strings.Contains(text, "wang") {
		t.Errorf("%s", text)
	}
	if got, err := n.Test(t.Context(), target, "wang"); err != nil || got.Delivered || got.Status != http.StatusInternalServerError || got.Cause.IsZero() {
		t.Errorf("%+v, %v", got, err)
	}
	srv.Close()
	if got, err := n.Test(t.Context(), target, "wang"); err != nil || got.Delivered || got.Status != 0 || got.Cause.IsZero() || strings.Contains(got.Cause.Text, "secret") {
		t.Errorf("%+v, %v", got, err)
	}
	guarded := New(Options{Logger: slog.New(slog.DiscardHandler)})
	target.URL = "https://127.0.0.1:1/secret"
	if got, err := guarded.Test(t.Context(), target, "wang"); err != nil || got.Delivered || !strings.Contains(got.Cause.Text, "inside the network") {
		t.Errorf("a test must not reach into the network: %+v, %v", got, err)
	}
}
