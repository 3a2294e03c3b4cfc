package ingest

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/hub/internal/body"
)

// TestEveryBodyIsBounded announces a body to every route of the edge port, with and without a certificate, and
// sends none. The hub must answer and close the connection.
func TestEveryBodyIsBounded(t *testing.T) {
	p := newPort(t)
	edge := p.enrol(t, "gate-7").Transport.(*http.Transport).TLSClientConfig.Clone()
	p.server.o.Bodies = body.Limits{Pause: 20 * time.Millisecond, Total: time.Second}
	anonymous := edge.Clone()
	anonymous.Certificates = nil
	var wg sync.WaitGroup
	defer wg.Wait()
	for _, route := range []string{
		"POST /edge/v1/enrol", "POST /edge/v1/renew", "POST /edge/v1/events", "POST /edge/v1/check", "POST /edge/v1/results/none",
		"HEAD /edge/v1/evidence/none/none", "PATCH /edge/v1/evidence/none/none", "PUT /edge/v1/events", "POST /nothing", "POST //double",
		"POST /whip/gate-7/yard", "PATCH /whip/gate-7/yard/none", "DELETE /whip/gate-7/yard/none", "POST /whip/gate-8/yard",
	} {
		for _, config := range []*tls.Config{anonymous, edge} {
			wg.Go(func() { expectClose(t, p.Listener.Addr().String(), config, route) })
		}
	}
}

// expectClose sends the header of a request and fails unless a response comes, and the end of the connection.
func expectClose(t *testing.T, address string, config *tls.Config, route string) {
	conn, err := (&tls.Dialer{Config: config}).DialContext(t.Context(), "tcp", address)
	if err != nil {
		t.Error(err)
		return
	}
	defer conn.Close() //nolint:errcheck // it is over
	if err := conn.SetDeadline(time.Now().Add(2 * time.Minute)); err != nil {
		t.Error(err)
		return
	}
	if _, err := fmt.Fprintf(conn, "%s HTTP/1.1\r\nHost: hub\r\nContent-Length: 10\r\n\r\n", route); err != nil {
		t.Error(err)
		return
	}
	in := bufio.NewReader(conn)
	method, _, _ := strings.Cut(route, " ")
	res, err := http.ReadResponse(in, &http.Request{Method: method})
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		err = errors.Join(err, res.Body.Close())
	}
	if err != nil {
		t.Errorf("%s: no response: %v", route, err)
		return
	}
	if _, err := in.ReadByte(); err != io.EOF || !res.Close {
		t.Errorf("%s: %s, the connection stays open: %v", route, res.Status, err)
	}
}
