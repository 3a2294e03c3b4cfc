package headexport

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"gridpost/hub/internal/store/audit"
)

// maxAnswer bounds what is read of a receiver's answer, in bytes.
const maxAnswer = 64 << 10

// newWebhook returns the target that posts heads as JSON to a URL. The body is signed by itself. Redirects are not
// followed. A user and a password in the URL are sent (RFC 7617).
func newWebhook(text string) (func(context.Context, audit.Head) error, error) {
	u, err := url.Parse(text)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("expected a URL such as https://archive.example/heads") // not what it says: it may have a password
	}
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	return func(ctx context.Context, h audit.Head) error {
		body, err := json.Marshal(h)
		if err != nil {
			return fmt.Errorf("posting a head: %w", err)
		}
		r, err := http.NewRequestWithContext(ctx, http.MethodPost, text, bytes.NewReader(body))
		if err != nil {
			return fmt.Errorf("posting a head: %w", err)
		}
		r.Header.Set("Content-Type", "application/json")
		res, err := client.Do(r)
		if err != nil {
			return fmt.Errorf("posting a head: %w", err) // net/http leaves the password out
		}
		defer res.Body.Close()                                          //nolint:errcheck // it is only read
		_, _ = io.Copy(io.Discard, io.LimitReader(res.Body, maxAnswer)) // so that the connection can be used again
		if res.StatusCode < 200 || res.StatusCode > 299 {
			return fmt.Errorf("posting a head: the receiver answered %s", res.Status)
		}
		return nil
	}, nil
}
