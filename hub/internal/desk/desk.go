// Package desk is where people deal with incidents: they acknowledge, assign, note and close
// them, and report what no edge has seen.
//
// What always holds: doing a thing twice is the same as doing it once, except for a note; and
// every deed is in the incident's timeline and in the audit with who did it. It must not
// import the web package: who may do what is decided before a call gets here.
package desk

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"gridpost/detection"
	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/store"
)

// Bounds of what people write, in characters.
const (
	MaxText  = 4000
	MaxTitle = 200
	MaxName  = 80
)

// ErrInput says that what a person asked for cannot be done as it stands, with the reason.
var ErrInput = errors.New("cannot be done")

// ErrClosed says that an incident is closed and takes nothing but notes.
var ErrClosed = errors.New("the incident is closed")

// Store keeps incidents. Work and Report are one transaction each.
type Store interface {
	Work(ctx context.Context, who, id string, work store.Work) (api.Incident, error)
	Report(ctx context.Context, who string, inc api.Incident, text string) (api.Incident, error)
	Incident(ctx context.Context, id string) (api.Incident, error) // with its timeline
}

// Desk does what people ask for. Its methods may be called from any goroutine.
type Desk struct{ store Store }

// New returns a desk over a store.
func New(s Store) *Desk { return &Desk{store: s} }

// Acknowledge says that somebody has seen the incident. The first one's name stays.
func (d *Desk) Acknowledge(ctx context.Context, who, id string) (api.Incident, error) {
	return d.store.Work(ctx, who, id, func(inc *api.Incident) (*api.TimelineEntry, error) {
		if inc.State != api.StateOpen {
			return nil, nil
		}
		inc.State = api.StateAcknowledged
		return &api.TimelineEntry{Kind: "acknowledged"}, nil
	})
}

// Assign gives the incident to somebody; an empty assignee takes it back. It acknowledges too.
func (d *Desk) Assign(ctx context.Context, who, id, assignee string) (api.Incident, error) {
	assignee, err := line("assignee", assignee, MaxName)
	if err != nil {
		return api.Incident{}, err
	}
	return d.store.Work(ctx, who, id, func(inc *api.Incident) (*api.TimelineEntry, error) {
		if inc.State == api.StateClosed {
			return nil, ErrClosed
		}
		if inc.Assignee == assignee {
			return nil, nil
		}
		inc.Assignee = assignee
		if assignee != "" {
			inc.State = api.StateAcknowledged
		}
		return &api.TimelineEntry{Kind: "assigned", Text: assignee}, nil
	})
}

// Note adds words to the incident's timeline, also after it was closed.
func (d *Desk) Note(ctx context.Context, who, id, text string) (api.Incident, error) {
	text, err := prose("text", text)
	if err != nil {
		return api.Incident{}, err
	}
	if text == "" {
		return api.Incident{}, fmt.Errorf("%w: text is empty", ErrInput)
	}
	return d.store.Work(ctx, who, id, func(*api.Incident) (*api.TimelineEntry, error) {
		return &api.TimelineEntry{Kind: "noted", Text: text}, nil
	})
}

// Close says that nothing is left to be done. The condition itself may still hold; what its
// edge says of it goes on to be noted.
func (d *Desk) Close(ctx context.Context, who, id, text string) (api.Incident, error) {
	text, err := prose("text", text)
	if err != nil {
		return api.Incident{}, err
	}
	return d.store.Work(ctx, who, id, func(inc *api.Incident) (*api.TimelineEntry, error) {
		if inc.State == api.StateClosed {
			return nil, nil
		}
		inc.State = api.StateClosed
		if inc.ClosedAt == nil {
			now := time.Now()
			inc.ClosedAt = &now
		}
		if inc.Source == api.SourceReport {
			inc.Condition = detection.Closed
		}
		return &api.TimelineEntry{Kind: "closed", Text: text}, nil
	})
}

// Report is what reached the hub by another way: a call, a patrol, another system.
type Report struct {
	Title    string
	Text     string
	Kind     string // what sort of thing it is; "report" unless set
	Severity detection.Severity
	Place    *devices.Place // only Lat and Lon are kept
	At       time.Time      // when it happened; zero: now
	Key      string         // reports of one person under one key are one report; empty: each is its own
}

// Report opens an incident for what a person told.
func (d *Desk) Report(ctx context.Context, who string, r Report) (api.Incident, error) {
	title, err := line("title", r.Title, MaxTitle)
	if err == nil && title == "" {
		err = fmt.Errorf("%w: title is empty", ErrInput)
	}
	if err != nil {
		return api.Incident{}, err
	}
	text, err := prose("text", r.Text)
	if err != nil {
		return api.Incident{}, err
	}
	if r.Kind == "" {
		r.Kind = "report"
	}
	if r.Severity == "" {
		r.Severity = detection.Moderate
	}
	id, err := reportID(who, r.Key)
	if err != nil {
		return api.Incident{}, fmt.Errorf("minting an incident's ID: %w", err)
	}
	inc := api.Incident{ID: id.String(), Kind: r.Kind, Title: title, Severity: r.Severity, OpenedAt: r.At, Count: 1}
	if r.Place != nil {
		inc.Place = &devices.Place{Lat: r.Place.Lat, Lon: r.Place.Lon}
	}
	told, err := d.store.Report(ctx, who, inc, text)
	if r.Key != "" && errors.Is(err, store.ErrConflict) {
		return d.store.Incident(ctx, inc.ID) // sent again: the first one stands
	}
	return told, err
}

// reportID makes the same ID whenever the same person uses the same key.
func reportID(who, key string) (uuid.UUID, error) {
	if key == "" {
		return uuid.NewV7()
	}
	return uuid.NewSHA1(uuid.NameSpaceOID, []byte("gridpost report\x00"+who+"\x00"+key)), nil
}

// line checks a text of one line.
func line(name, text string, limit int) (string, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsAny(text, "\r\n\x00") || !utf8.ValidString(text) || utf8.RuneCountInString(text) > limit {
		return "", fmt.Errorf("%w: %s must be one line of at most %d characters", ErrInput, name, limit)
	}
	return text, nil
}

func prose(name, text string) (string, error) {
	text = strings.TrimSpace(text)
	if strings.ContainsRune(text, 0) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > MaxText {
		return "", fmt.Errorf("%w: %s must have at most %d characters", ErrInput, name, MaxText)
	}
	return text, nil
}
