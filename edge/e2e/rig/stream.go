package rig

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"gridpost/hub/api/public"
)

// Event is one event of the hub's live stream.
type Event struct {
	ID, Name string
	Data     json.RawMessage
	Arrived  time.Time
}

// ErrStreamEnded is returned when the hub has ended the live stream.
var ErrStreamEnded = errors.New("the live stream ended")

const maxLine = 4 << 20

// Stream reads the hub's live stream from now on and calls each for every event, until each
// or opened returns an error, which Stream returns, or ctx ends. opened is called when the hub has
// answered; it may be nil.
func (c *Client) Stream(ctx context.Context, opened func() error, each func(Event) error) error {
	r, err := c.request(ctx, http.MethodGet, "/api/v1/stream", nil)
	if err != nil {
		return err
	}
	answer, err := (&http.Client{Transport: c.http.Transport}).Do(r) // no timeout: a stream lasts
	if err != nil {
		return fmt.Errorf("opening the live stream: %w", err)
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.StatusCode != http.StatusOK {
		return fmt.Errorf("opening the live stream: the hub answered %d", answer.StatusCode)
	}
	if opened != nil {
		if err := opened(); err != nil {
			return err
		}
	}
	lines := bufio.NewScanner(answer.Body)
	lines.Buffer(nil, maxLine)
	var e Event
	for lines.Scan() {
		field, value, _ := strings.Cut(lines.Text(), ":")
		value = strings.TrimPrefix(value, " ")
		switch field {
		case "id":
			e.ID = value
		case "event":
			e.Name = value
		case "data":
			e.Data = append(e.Data, value...)
		case "":
			if lines.Text() != "" || e.Data == nil { // a comment, or an event without data
				continue
			}
			e.Arrived = time.Now()
			if err := each(e); err != nil {
				return err
			}
			e = Event{}
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("reading the live stream: %w", err)
	}
	return ErrStreamEnded
}

// errFound ends the stream when the incident has been found.
var errFound = errors.New("found")

// FirstIncident waits for the first event about an incident that fits, from now on, and
// returns it and when it came. opened, if not nil, is called once no event can be missed any more.
func (c *Client) FirstIncident(ctx context.Context, fits func(public.Incident) bool, opened func() error) (found public.Incident, at time.Time, err error) {
	err = c.Stream(ctx, opened, func(e Event) error {
		if e.Name != public.ChangeIncident {
			return nil
		}
		var inc public.Incident
		if err := json.Unmarshal(e.Data, &inc); err != nil {
			return fmt.Errorf("reading an incident's event: %w", err)
		}
		if !fits(inc) {
			return nil
		}
		found, at = inc, e.Arrived
		return errFound
	})
	if errors.Is(err, errFound) {
		return found, at, nil
	}
	return found, at, fmt.Errorf("waiting for an incident: %w", err)
}
