package notify

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"gridpost/hub/internal/problem"
)

// webhookOutput posts CloudEvents with Standard Webhooks signatures.
type webhookOutput struct{}

func (webhookOutput) check(t Target, allowPrivate bool) error {
	if err := CheckURL(t.URL, allowPrivate); err != nil {
		return err
	}
	for _, s := range t.Secrets {
		if err := CheckSecret(s); err != nil {
			return err
		}
	}
	return nil
}

func (webhookOutput) open(n *Notifier, t Target) (channel, error) {
	return webhookChannel{n: n, t: t}, nil
}

type webhookChannel struct {
	n *Notifier
	t Target
}

func (webhookChannel) close() {}

func (c webhookChannel) send(ctx context.Context, d Delivery, _ earlierFunc) (response, error) {
	payload, err := c.n.body(c.t, d)
	if err != nil {
		return response{}, err
	}
	return c.n.post(ctx, c.t, contentType, payload, func(h http.Header) error {
		if err := sign(h, d.ID, time.Now(), payload, c.t.Secrets); err != nil {
			return fmt.Errorf("signing with the target's secret: %w", err)
		}
		return nil
	})
}

// post makes one request. header completes the header of the request.
func (n *Notifier) post(ctx context.Context, t Target, contentType string, payload []byte, header func(http.Header) error) (response, error) {
	if err := CheckURL(t.URL, n.o.AllowPrivate); err != nil {
		return response{}, fmt.Errorf("checking the target's URL: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, t.URL, bytes.NewReader(payload))
	if err != nil {
		return response{}, problem.New("target_url_invalid") // err contains the URL
	}
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("User-Agent", n.o.UserAgent)
	if err := header(req.Header); err != nil {
		return response{}, err
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return response{}, err
	}
	defer resp.Body.Close() //nolint:errcheck // nothing was written
	// The status decides; a body that is cut short does not change it.
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, maxBody))
	r := response{status: resp.StatusCode, accepted: resp.StatusCode >= 200 && resp.StatusCode < 300}
	switch {
	case r.status == http.StatusTooManyRequests || r.status == http.StatusServiceUnavailable:
		r.retryAfter = parseRetryAfter(resp.Header.Get("Retry-After"), senderTime(resp.Header, time.Now()))
	case r.status >= 300 && r.status < 400:
		r.location = origin(req.URL, resp.Header.Get("Location"))
	}
	return r, nil
}
