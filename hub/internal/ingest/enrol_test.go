package ingest

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/hub/api"
)

// TestTokenBeforeTheRequest: nothing is done with a certificate request of somebody without a token, and a
// token is not spent on one that cannot be signed.
func TestTokenBeforeTheRequest(t *testing.T) {
	p := newPort(t)
	p.token(t, "gate-7", "secret")
	anonymous, key := p.client(t, nil, ""), newKey(t)
	enrol := func(token, csr string) int {
		return p.call(t, anonymous, "POST", "/edge/v1/enrol", api.EnrolRequest{Token: token, CSR: csr}, nil).StatusCode
	}
	if status := enrol("another", "no request"); status != http.StatusForbidden {
		t.Errorf("a request without a token: %d", status)
	}
	if status := enrol("secret", "no request"); status != http.StatusBadRequest {
		t.Errorf("no request: %d", status)
	}
	if status := enrol("secret", newCSR(t, key)); status != http.StatusOK {
		t.Errorf("the token was spent: %d", status)
	}
	if status := enrol("secret", strings.Repeat("x", maxEnrol)); status != http.StatusRequestEntityTooLarge {
		t.Errorf("a long request: %d", status)
	}
}

// TestFewRequestsAreSignedAtOnce: requests beyond those that wait are refused at once.
func TestFewRequestsAreSignedAtOnce(t *testing.T) {
	g := newSigning()
	enter := func() (bool, *httptest.ResponseRecorder) {
		w := httptest.NewRecorder()
		return g.enter(w, httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/", nil)), w
	}
	for range maxSigning {
		if ok, _ := enter(); !ok {
			t.Fatal("a free place is refused")
		}
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	for range maxWaitingSigning {
		wg.Go(func() {
			if ok, _ := enter(); !ok {
				t.Error("a request that may wait is refused")
				return
			}
			g.leave()
		})
	}
	for g.waiting.Load() < maxWaitingSigning {
		time.Sleep(time.Millisecond)
	}
	if ok, w := enter(); ok || w.Code != http.StatusServiceUnavailable || w.Header().Get("Retry-After") == "" {
		t.Errorf("one too many: %t, %d", ok, w.Code)
	}
	for range maxSigning {
		g.leave()
	}
}

// TestReplacementEndsTheOldEdge: the first request of a replacement edge ends the stream of commands of the old one,
// whose certificate is refused from then on.
func TestReplacementEndsTheOldEdge(t *testing.T) {
	p := newPort(t)
	old := p.enrol(t, "gate-7")
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/edge/v1/commands", nil)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := old.Do(req)
	if err != nil || stream.StatusCode != http.StatusOK {
		t.Fatalf("%v, %v", stream, err)
	}
	defer stream.Body.Close() //nolint:errcheck // read to its end

	p.token(t, "gate-7", "secret of the replacement")
	key := newKey(t)
	var out api.EnrolResponse
	p.call(t, p.client(t, nil, ""), "POST", "/edge/v1/enrol", api.EnrolRequest{Token: "secret of the replacement", CSR: newCSR(t, key)}, &out)
	if res := p.call(t, old, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil); res.StatusCode != http.StatusOK {
		t.Errorf("the old edge before the new one connects: %s", res.Status)
	}
	if res := p.call(t, p.client(t, key, out.Certificate), "POST", "/edge/v1/events", api.Batch{Epoch: "b"}, nil); res.StatusCode != http.StatusOK {
		t.Errorf("the new edge: %s", res.Status)
	}
	if _, err := io.Copy(io.Discard, stream.Body); err != nil {
		t.Errorf("the stream of the old edge: %v", err)
	}
	res := p.call(t, old, "POST", "/edge/v1/events", api.Batch{Epoch: "a"}, nil)
	if res.StatusCode != http.StatusForbidden || !res.Close {
		t.Errorf("the old edge: %s, close: %t", res.Status, res.Close)
	}
}
