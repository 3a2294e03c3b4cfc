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
	"strconv"
	"strings"
	"time"

	"gridpost/hub/api"
)

// Client speaks to a hub's HTTP interface with a token.
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

// Do asks and returns status and body of the answer, whatever the status is.
func (c *Client) Do(ctx context.Context, method, path string, body []byte) (int, []byte, error) {
	r, err := c.request(ctx, method, path, body)
	if err != nil {
		return 0, nil, err
	}
	answer, err := c.http.Do(r)
	if err != nil {
		return 0, nil, fmt.Errorf("asking the hub: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(answer.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("asking the hub: %w", err)
	}
	return answer.StatusCode, text, nil
}

func (c *Client) request(ctx context.Context, method, path string, body []byte) (*http.Request, error) {
	r, err := http.NewRequestWithContext(ctx, method, c.URL+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("asking the hub: %w", err)
	}
	if c.Token != "" {
		r.Header.Set("Authorization", "Bearer "+c.Token)
	}
	if len(body) > 0 {
		r.Header.Set("Content-Type", "application/json")
	}
	return r, nil
}

// Get asks for path and reads the answer into v. Anything but 200 is an error.
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

// Incidents returns all incidents of the hub, newest first.
func (c *Client) Incidents(ctx context.Context) ([]api.Incident, error) {
	var all []api.Incident
	for after := ""; ; {
		var page struct {
			Incidents []api.Incident `json:"incidents"`
			Next      *string        `json:"next"`
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
func (c *Client) Incident(ctx context.Context, id string) (inc api.Incident, err error) {
	err = c.Get(ctx, "/api/v1/incidents/"+id, &inc)
	return inc, err
}

// Devices returns the hub's devices.
func (c *Client) Devices(ctx context.Context) ([]api.DeviceRecord, error) {
	var page struct {
		Devices []api.DeviceRecord `json:"devices"`
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

// Knows waits until an edge has told the hub of so many devices.
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

// Metric returns a figure of the hub's, of those without labels.
func (c *Client) Metric(ctx context.Context, name string) (float64, error) {
	status, body, err := c.Do(ctx, http.MethodGet, "/metrics", nil)
	if err != nil {
		return 0, err
	}
	if status != http.StatusOK {
		return 0, fmt.Errorf("the hub answered %d to /metrics", status)
	}
	for line := range strings.Lines(string(body)) {
		if value, ok := strings.CutPrefix(line, name+" "); ok {
			n, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
			if err != nil {
				return 0, fmt.Errorf("reading the figure %s: %w", name, err)
			}
			return n, nil
		}
	}
	return 0, fmt.Errorf("the hub has no figure %s", name)
}
