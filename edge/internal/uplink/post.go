package uplink

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	requestTimeout = 60 * time.Second // of a whole batch or piece, on a slow line too
	maxAnswer      = 1 << 20          // bytes
	maxRetryAfter  = 5 * time.Minute
)

// httpError is an answer that is no success.
type httpError struct {
	status     int
	detail     string        // of problem+json (RFC 9457), if any
	retryAfter time.Duration // RFC 9110, section 10.2.3; 0: the hub said nothing
}

func (e *httpError) Error() string {
	if e.detail == "" {
		return fmt.Sprintf("the hub answers %d %s", e.status, http.StatusText(e.status))
	}
	return fmt.Sprintf("the hub answers %d: %s", e.status, e.detail)
}

// do sends a request and returns its answer's header and body. Any status but 2xx is an *httpError.
func (u *Uplink) do(ctx context.Context, method, path string, header http.Header, body []byte) (http.Header, []byte, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, strings.TrimSuffix(u.o.URL, "/")+path, bytes.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	for k, v := range header {
		req.Header[k] = v
	}
	u.requests.Add(1)
	resp, err := u.client.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer func() { _ = resp.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if resp.StatusCode/100 != 2 {
		return resp.Header, nil, newHTTPError(resp, answer)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("reading the answer: %w", err)
	}
	return resp.Header, answer, nil
}

func newHTTPError(resp *http.Response, body []byte) *httpError {
	e := &httpError{status: resp.StatusCode}
	var problem struct {
		Title  string `json:"title"`
		Detail string `json:"detail"`
	}
	if json.Unmarshal(body, &problem) == nil {
		e.detail = problem.Detail
		if e.detail == "" {
			e.detail = problem.Title
		}
		if len(e.detail) > 300 {
			e.detail = e.detail[:300]
		}
	}
	if n, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && n > 0 {
		e.retryAfter = min(time.Duration(n)*time.Second, maxRetryAfter)
	}
	return e
}

func (u *Uplink) postJSON(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("coding a request: %w", err)
	}
	_, answer, err := u.do(ctx, http.MethodPost, path, http.Header{"Content-Type": {"application/json"}}, body)
	if err != nil || out == nil {
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("reading the hub's answer: %w", err)
	}
	return nil
}

// words says for a person why the hub cannot be used.
func words(hub string, err error) string {
	host := hub
	if u, e := url.Parse(hub); e == nil {
		host = u.Host
	}
	var refused *httpError
	var dns *net.DNSError
	var invalid x509.CertificateInvalidError
	var timeout net.Error
	switch {
	case errors.As(err, &refused) && (refused.status == http.StatusUnauthorized || refused.status == http.StatusForbidden):
		return fmt.Sprintf("the hub at %s refuses this edge: its certificate has been revoked or has ended, or is from another hub", host)
	case errors.As(err, &refused):
		return fmt.Sprintf("the hub at %s: %s", host, refused.Error())
	case errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Sprintf("nothing answers at the hub's address %s (connection refused)", host)
	case errors.As(err, &dns):
		return fmt.Sprintf("the hub's name %s is not known", host)
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return fmt.Sprintf("the certificate of the hub at %s has ended, or this edge's clock is wrong", host)
	case strings.Contains(err.Error(), "remote error: tls"):
		return fmt.Sprintf("the hub at %s does not accept this edge's certificate: %v", host, err)
	case errors.As(err, &timeout) && timeout.Timeout():
		return fmt.Sprintf("the hub at %s does not answer (timed out)", host)
	}
	var viaURL *url.Error
	if errors.As(err, &viaURL) {
		err = viaURL.Err
	}
	return fmt.Sprintf("the hub at %s cannot be reached: %v", host, err)
}
