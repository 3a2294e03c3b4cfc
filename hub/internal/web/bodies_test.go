package web

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/body"
)

// TestEveryBodyIsBounded announces a body to every route of the public port, with and without credentials, and
// sends none. The hub must answer and close the connection.
func TestEveryBodyIsBounded(t *testing.T) {
	p := newPort(t)
	p.server.o.Bodies = body.Limits{Pause: 20 * time.Millisecond, Total: time.Second}
	srv := httptest.NewServer(p.server.Handler())
	t.Cleanup(srv.Close)

	var description struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	if err := json.Unmarshal(p.server.openapi, &description); err != nil {
		t.Fatal(err)
	}
	description.Paths["/"] = map[string]json.RawMessage{"post": nil}
	description.Paths["/nothing/here"] = map[string]json.RawMessage{"post": nil}
	parameter := regexp.MustCompile(`\{[^}]+\}`)
	var wg sync.WaitGroup
	defer wg.Wait()
	for path, methods := range description.Paths {
		for method := range methods {
			for _, token := range []string{"", p.tokens[auth.Administrator]} {
				if path == "/api/v1/stream" && token != "" {
					continue // its response lasts, whatever becomes of the body
				}
				request := fmt.Sprintf("%s %s HTTP/1.1\r\nHost: hub\r\nContent-Type: application/json\r\nContent-Length: 10\r\n",
					strings.ToUpper(method), parameter.ReplaceAllString(path, "none"))
				if token != "" {
					request += "Authorization: Bearer " + token + "\r\n"
				}
				wg.Go(func() { expectClose(t, srv.Listener.Addr().String(), request) })
			}
		}
	}
}

// expectClose sends the header of a request and fails unless a response comes, and the end of the connection.
func expectClose(t *testing.T, address, request string) {
	c, err := (&net.Dialer{}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer c.Close() //nolint:errcheck // it is over
	if err := c.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Error(err)
		return
	}
	if _, err := io.WriteString(c, request+"\r\n"); err != nil {
		t.Error(err)
		return
	}
	in := bufio.NewReader(c)
	res, err := http.ReadResponse(in, &http.Request{Method: strings.Fields(request)[0]})
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		err = errors.Join(err, res.Body.Close())
	}
	if err != nil {
		t.Errorf("%s: no response: %v", request, err)
		return
	}
	if _, err := in.ReadByte(); err != io.EOF || !res.Close {
		t.Errorf("%s: %s, the connection stays open: %v", request, res.Status, err)
	}
}
