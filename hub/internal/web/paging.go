package web

import (
	"encoding/base64"
	"strconv"
	"strings"
	"time"

	"gridpost/hub/internal/problem"
)

// Page selects a part of a list.
type Page struct {
	Limit int    `query:"limit" default:"100" minimum:"1" maximum:"500" doc:"entries at most"`
	Next  string `query:"next" maxLength:"300" doc:"the last answer's next, for the page after it"`
}

func (p *Page) page() Page { return *p }

// next gives what Page.Next brings back for the page after this one. It is nil when this one is
// not full, as nothing comes after it.
func next[T any](p Page, all []T, cursor func(last T) string) *string {
	if len(all) < p.Limit {
		return nil
	}
	text := cursor(all[len(all)-1])
	return &text
}

func cursor(parts ...string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strings.Join(parts, "\x00")))
}

func atNumber(n int64) string { return cursor(strconv.FormatInt(n, 10)) }

func atMoment(t time.Time, id string) string {
	return cursor(strconv.FormatInt(t.UnixMilli(), 10), id)
}

// parts reads a cursor of n parts; empty ones for the first page.
func (p Page) parts(n int) ([]string, error) {
	if p.Next == "" {
		return make([]string, n), nil
	}
	text, err := base64.RawURLEncoding.DecodeString(p.Next)
	out := strings.Split(string(text), "\x00")
	if err != nil || len(out) != n {
		return nil, notOurs()
	}
	return out, nil
}

// number reads a cursor of atNumber; 0 for the first page.
func (p Page) number() (int64, error) {
	parts, err := p.parts(1)
	if err != nil || parts[0] == "" {
		return 0, err
	}
	n, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return 0, notOurs()
	}
	return n, nil
}

// moment reads a cursor of atMoment; the zero time for the first page.
func (p Page) moment() (time.Time, string, error) {
	parts, err := p.parts(2)
	if err != nil || parts[0] == "" {
		return time.Time{}, "", err
	}
	ms, err := strconv.ParseInt(parts[0], 10, 64)
	if err != nil {
		return time.Time{}, "", notOurs()
	}
	return time.UnixMilli(ms), parts[1], nil
}

func notOurs() error {
	return problem.New("cursor_invalid")
}
