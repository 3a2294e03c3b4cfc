package body

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

// A client that is still sending a body gets the refusal, not a connection that was reset: over real TCP, whose
// buffers decide.
func TestRefusalsArriveWhileTheBodyIsSent(t *testing.T) {
	server := httptest.NewServer(Handler(http.HandlerFunc(readNothing), func(*http.Request) Limits { return Default() }))
	defer server.Close()
	for _, size := range []int{1, 1 << 10, 300 << 10, 1 << 20, drainBytes} {
		for range 20 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL, bytes.NewReader(make([]byte, size)))
			if err != nil {
				t.Fatal(err)
			}
			res, err := server.Client().Do(req)
			if err != nil {
				t.Fatalf("%d bytes: %v", size, err)
			}
			if res.StatusCode != http.StatusUnauthorized {
				t.Errorf("%d bytes: %s", size, res.Status)
			}
			_ = res.Body.Close()
		}
	}
}
