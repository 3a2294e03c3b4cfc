package problem

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"
	"time"
	"unicode/utf8"
)

// answer returns what a real server's answer is read as.
func answer(t *testing.T, status int, header map[string]string, body string) *Error {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		for k, v := range header {
			w.Header().Set(k, v)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}))
	defer server.Close()
	resp, err := server.Client().Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := resp.Body.Close(); err != nil {
			t.Error(err)
		}
	}()
	return FromResponse(resp)
}

func TestFromResponse(t *testing.T) {
	document := map[string]string{"Content-Type": "application/problem+json; charset=utf-8"}
	for _, test := range []struct {
		name   string
		status int
		header map[string]string
		body   string
		want   Error
		text   string
	}{
		{
			"whole document", 507, document,
			`{"type":"about:blank","title":"Insufficient Storage","status":507,"detail":"the disk is full","code":"disk_full","extra":[1]}`,
			Error{Status: 507, Title: "Insufficient Storage", Detail: "the disk is full", Code: "disk_full"},
			"the server answers 507: the disk is full",
		},
		{"title alone", 404, document, `{"title":"no such camera"}`, Error{Status: 404, Title: "no such camera"}, "the server answers 404: no such camera"},
		{"the status line decides", 503, document, `{"status":200}`, Error{Status: 503}, "the server answers 503 Service Unavailable"},
		{"a member of a wrong type", 400, document, `{"title":7,"detail":"bad"}`, Error{Status: 400, Detail: "bad"}, "the server answers 400: bad"},
		{"plain JSON", 400, map[string]string{"Content-Type": "application/json"}, `{"detail":"bad"}`, Error{Status: 400, Detail: "bad"}, "the server answers 400: bad"},
		{"HTML", 502, map[string]string{"Content-Type": "text/html"}, `{"detail":"no"}`, Error{Status: 502}, "the server answers 502 Bad Gateway"},
		{"broken JSON", 502, document, `{"detail":"x`, Error{Status: 502}, "the server answers 502 Bad Gateway"},
		{"an array", 502, document, `[1]`, Error{Status: 502}, "the server answers 502 Bad Gateway"},
		{"an unknown status", 599, nil, "", Error{Status: 599}, "the server answers 599"},
		{"control characters", 400, document, `{"detail":"a\n\u001b[31mb"}`, Error{Status: 400, Detail: "a  [31mb"}, "the server answers 400: a  [31mb"},
		{"too long", 400, document, `{"detail":"bad","pad":"` + strings.Repeat("x", maxBody) + `"}`, Error{Status: 400}, "the server answers 400 Bad Request"},
	} {
		got := answer(t, test.status, test.header, test.body)
		if *got != test.want {
			t.Errorf("%s: got %+v, want %+v", test.name, *got, test.want)
		}
		if got.Error() != test.text {
			t.Errorf("%s: text %q, want %q", test.name, got.Error(), test.text)
		}
	}
}

func TestReason(t *testing.T) {
	for want, e := range map[string]Error{
		"detail":    {Status: 404, Title: "title", Detail: "detail"},
		"title":     {Status: 404, Title: "title"},
		"Not Found": {Status: 404},
	} {
		if got := e.Reason(); got != want {
			t.Errorf("%+v: %q, want %q", e, got, want)
		}
	}
}

func TestTextIsBounded(t *testing.T) {
	got := answer(t, 400, map[string]string{"Content-Type": "application/problem+json"}, `{"detail":"`+strings.Repeat("错", 1000)+`"}`)
	if len(got.Detail) > maxText || len(got.Detail) < maxText-3 || !utf8.ValidString(got.Detail) {
		t.Errorf("detail of %d bytes, valid %t", len(got.Detail), utf8.ValidString(got.Detail))
	}
}

func TestBodyThatBreaksOff(t *testing.T) {
	resp := &http.Response{
		StatusCode: http.StatusServiceUnavailable,
		Header:     http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {"7"}},
		Body:       io.NopCloser(io.MultiReader(strings.NewReader(`{"detail":`), iotest.ErrReader(errors.New("reset")))),
	}
	if got, want := *FromResponse(resp), (Error{Status: 503, RetryAfter: 7 * time.Second}); got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestRetryAfter(t *testing.T) {
	const date = "Fri, 31 Dec 1999 23:59:59 GMT"
	for _, test := range []struct {
		value, date string
		want        time.Duration
	}{
		{"", "", 0},
		{"0", "", 0},
		{"120", "", 2 * time.Minute},
		{" 5 ", "", 5 * time.Second},
		{"-5", "", 0},
		{"soon", "", 0},
		{"86400", "", MaxRetryAfter},
		{strings.Repeat("9", 40), "", MaxRetryAfter},
		{date, "Fri, 31 Dec 1999 23:59:29 GMT", 30 * time.Second}, // by the server's clock
		{date, "Fri, 31 Dec 1999 23:59:59 GMT", 0},
		{date, "Sat, 01 Jan 2000 00:10:00 GMT", 0}, // has passed
		{date, "", 0}, // long ago by this machine's clock
		{"Friday, 31-Dec-99 23:59:59 GMT", "Fri, 31 Dec 1999 23:59:00 GMT", 59 * time.Second}, // RFC 850
		{"Fri Dec 31 23:59:59 1999", "Fri, 31 Dec 1999 23:59:00 GMT", 59 * time.Second},       // asctime
	} {
		h := http.Header{"Retry-After": {test.value}}
		if test.date != "" {
			h.Set("Date", test.date)
		}
		if got := retryAfter(h); got != test.want {
			t.Errorf("%q at %q: %v, want %v", test.value, test.date, got, test.want)
		}
	}
}

func FuzzFromResponse(f *testing.F) {
	f.Add(`{"title":"t","detail":"d","code":"c"}`, "3")
	f.Add(`{"title":null,"detail":{}}`, "Fri, 31 Dec 1999 23:59:59 GMT")
	f.Fuzz(func(t *testing.T, body, after string) {
		e := FromResponse(&http.Response{
			StatusCode: http.StatusBadRequest,
			Header:     http.Header{"Content-Type": {"application/problem+json"}, "Retry-After": {after}},
			Body:       io.NopCloser(strings.NewReader(body)),
		})
		for _, s := range []string{e.Title, e.Detail, e.Code} {
			if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsAny(s, "\n\x1b") {
				t.Errorf("text %q", s)
			}
		}
		if e.RetryAfter < 0 || e.RetryAfter > MaxRetryAfter {
			t.Errorf("retry after %v", e.RetryAfter)
		}
		if fmt.Sprint(e) == "" {
			t.Error("no text")
		}
	})
}
