package rig

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/api/public"
)

// Client is a client of a hub's HTTP API that authenticates by a token.
type Client struct {
	URL   string // without a slash at the end
	Token string
	http  *http.Client
}

// NewClient returns a client of the hub at url.
func NewClient(url, token string) *Client {
	return &Client{URL: url, Token: token, http: &http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{MaxIdleConns: 4}}}
}

// Close closes idle connections.
func (c *Client) Close() { c.http.CloseIdleConnections() }

const maxAnswer = 32 << 20

// Do sends a request and returns the status and the body of the response, whatever the status is.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	r, err := c.request(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	return answer.StatusCode, text, nil
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("requesting from the hub: %w", err)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// Get sends a GET request and decodes the JSON response into v. A status other than 200 is an error.
func (c *Client) Get(ctx context.Context, path string, v any) error {
	status, body, err := c.Do(ctx, http.MethodGet, path, nil)
	if err != nil {
		return err
	}
	if status != http.StatusOK {
		return fmt.Errorf("the hub answered %d to %s: %s", status, path, body)
	}
	if err := json.Unmarshal(body, v); err != nil {
		return fmt.Errorf("reading the hub's answer to %s: %w", path, err)
	}
	return nil
}

// Post sends a POST request with in as JSON and decodes the JSON response into out. A status other than 2xx is an error.
func (c *Client) Post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return fmt.Errorf("encoding a request: %w", err)
	}
	status, answer, err := c.Do(ctx, http.MethodPost, path, body)
	if err != nil {
		return err
	}
	if status/100 != 2 {
		return fmt.Errorf("the hub answered %d to %s: %s", status, path, answer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("reading the hub's answer to %s: %w", path, err)
	}
	return nil
}

// Incidents returns all incidents of the hub, newest first.
func (c *Client) Incidents(ctx context.Context) ([]public.Incident, error) {
	var all []public.Incident
	for after := ""; ; {
		var page struct {
			Incidents []public.Incident `json:"incidents"`
			Next      *string           `json:"next"`
		}
		if err := c.Get(ctx, "/api/v1/incidents?limit=200"+after, &page); err != nil {
			return nil, err
		}
		all = append(all, page.Incidents...)
		if page.Next == nil {
			return all, nil
		}
		after = "&next=" + url.QueryEscape(*page.Next)
	}
}

// Incident returns one incident with its timeline.
func (c *Client) Incident(ctx context.Context, id string) (inc public.Incident, err error) {
	err = c.Get(ctx, "/api/v1/incidents/"+id, &inc)
	return inc, err
}

// Devices returns the hub's devices.
func (c *Client) Devices(ctx context.Context) ([]public.DeviceRecord, error) {
	var page struct {
		Devices []public.DeviceRecord `json:"devices"`
	}
	err := c.Get(ctx, "/api/v1/devices", &page)
	return page.Devices, err
}

// Near is a camera near an incident.
type Near struct {
	Edge     string  `json:"edge"`
	Device   string  `json:"device"`
	Sees     bool    `json:"sees"`
	Distance float64 `json:"distance"` // metres
	State    string  `json:"state"`
	Reason   string  `json:"reason"`
}

// Nearby returns the cameras near an incident, best first.
func (c *Client) Nearby(ctx context.Context, incident string) ([]Near, error) {
	var page struct {
		Nearby []Near `json:"nearby"`
	}
	err := c.Get(ctx, "/api/v1/nearby?incident="+url.QueryEscape(incident), &page)
	return page.Nearby, err
}

// Knows waits until the hub lists at least want devices of an edge.
func (c *Client) Knows(ctx context.Context, edge string, want int, limit time.Duration) error {
	return Until(ctx, limit, "the devices of "+edge, func(ctx context.Context) error {
		all, err := c.Devices(ctx)
		if err != nil {
			return errors.Join(ErrNotYet, err)
		}
		known := 0
		for _, d := range all {
			if d.Edge == edge {
				known++
			}
		}
		if known < want {
			return fmt.Errorf("%w: %d of %d", ErrNotYet, known, want)
		}
		return nil
	})
}

// AllOnline waits until the hub shows want devices, all of them online.
func (c *Client) AllOnline(ctx context.Context, want int, limit time.Duration) error {
	return Until(ctx, limit, fmt.Sprintf("%d devices online", want), func(ctx context.Context) error {
		all, err := c.Devices(ctx)
		if err != nil {
			return errors.Join(ErrNotYet, err)
		}
		if len(all) < want {
			return fmt.Errorf("%w: the hub knows %d devices", ErrNotYet, len(all))
		}
		for _, d := range all {
			if d.State != "online" {
				return fmt.Errorf("%w: %s/%s is %s: %s", ErrNotYet, d.Edge, d.Name, d.State, d.Cause)
			}
		}
		return nil
	})
}

// Metric returns the value of a metric of the hub that has no labels.
func (c *Client) Metric(ctx context.Context, name string) (float64, error) {
	sum, found, err := c.metric(ctx, name, func(labels string) bool { return labels == "" })
	if err == nil && found == 0 {
		err = fmt.Errorf("the hub has no metric %s", name)
	}
	return sum, err
}

// Sum returns the sum of a metric of the hub over the lines whose labels contain each of the texts; 0 when
// there is none yet.
func (c *Client) Sum(ctx context.Context, name string, containing ...string) (float64, error) {
	sum, _, err := c.metric(ctx, name, func(labels string) bool {
		return !slices.ContainsFunc(containing, func(text string) bool { return !strings.Contains(labels, text) })
	})
	return sum, err
}

// metric returns the sum over the lines of a metric whose labels are wanted, and the number of these lines.
func (c *Client) metric(ctx context.Context, name string, wanted func(labels string) bool) (sum float64, found int, err error) {
	status, body, err := c.Do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, 0, err
	}
	if status != http.StatusOK {
		return 0, 0, fmt.Errorf("the hub answered %d to /metrics", status)
	}
	for line := range strings.Lines(string(body)) {
		rest, ok := strings.CutPrefix(strings.TrimSpace(line), name)
		labels, value, complete := cutLast(rest, " ")
		if !ok || !complete || labels != "" && labels[0] != '{' || !wanted(labels) {
			continue
		}
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("reading the metric %s: %w", name, err)
		}
		sum, found = sum+n, found+1
	}
	return sum, found, nil
}
