package web

import (
	"bufio"
	"context"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/devices/retry"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
)

type line struct {
	id   int64
	kind string
	data string
}

// listen opens a live stream and gives its events until ctx ends or it does.
func (p *port) listen(ctx context.Context, t *testing.T, token, last string, each func(line) bool) error {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/stream", nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+token)
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer res.Body.Close() //nolint:errcheck // broken off on purpose
	if kind := res.Header.Get("Content-Type"); kind != "text/event-stream" {
		return errors.New("content type " + kind)
	}
	var l line
	lines := bufio.NewScanner(res.Body)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		text := lines.Text()
		switch {
		case strings.HasPrefix(text, "id: "):
			if l.id, err = strconv.ParseInt(text[4:], 10, 64); err != nil {
				return err
			}
		case strings.HasPrefix(text, "event: "):
			l.kind = text[7:]
		case strings.HasPrefix(text, "data: "):
			l.data = text[6:]
		case text == "" && l.kind == "hello":
			l = line{}
		case text == "" && l.kind != "":
			if !each(l) {
				return nil
			}
			l = line{}
		}
	}
	return errors.Join(lines.Err(), io.EOF)
}

// TestStreamCatchesUpExactly breaks streams off at random while reports come in, goes on with
// Last-Event-ID, and wants every number once and in order.
func TestStreamCatchesUpExactly(t *testing.T) {
	p := newPort(t)
	const reports = 120
	start, err := p.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for range reports / 3 {
				if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "x"}); got.status != http.StatusCreated {
					t.Errorf("%d %s", got.status, got.body)
				}
			}
		})
	}
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	for range 4 {
		wg.Go(func() {
			last := start
			for last < start+reports && ctx.Err() == nil {
				left := 1 + rand.IntN(15)
				err := p.listen(ctx, t, p.tokens[auth.Monitor], strconv.FormatInt(last, 10), func(l line) bool {
					if l.id != last+1 || l.kind != "incident" {
						t.Errorf("%s %d after %d", l.kind, l.id, last)
					}
					last = l.id
					left--
					return left > 0 && last < start+reports
				})
				if err != nil {
					t.Error(err)
					return
				}
			}
			if last != start+reports {
				t.Errorf("ended at %d of %d", last, start+reports)
			}
		})
	}
	wg.Wait()
}

func TestStreamBeginsNowAndSaysWhenItCannotGoOn(t *testing.T) {
	p := newPort(t)
	report := func() {
		p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "x"})
	}
	for range 20 {
		report()
	}
	now, err := p.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	// The hub's own streams have come that far.
	if err := p.listen(ctx, t, p.tokens[auth.Monitor], "1", func(l line) bool { return l.id < now }); err != nil {
		t.Fatal(err)
	}
	// The streams that begin now get what comes after them, and nothing before.
	got := make(chan line, 1)
	go func() {
		_ = p.listen(ctx, t, p.tokens[auth.Monitor], "", func(l line) bool {
			got <- l
			return false
		})
	}()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var first line
	for first.id == 0 && ctx.Err() == nil {
		select {
		case first = <-got:
		case <-tick.C:
			report()
		}
	}
	if first.id <= now {
		t.Errorf("a stream without Last-Event-ID began at %d, now is %d", first.id, now)
	}
	p.update(t, func(tx *db.Tx) error {
		return tx.Affected(`DELETE FROM changes WHERE id <= (SELECT last - 5 FROM feed)`)
	})
	for _, last := range []string{"1", "rubbish", "-5", "999999"} {
		if err := p.listen(ctx, t, p.tokens[auth.Monitor], last, func(l line) bool {
			if l.kind != "reset" {
				t.Errorf("after %s came %s %d", last, l.kind, l.id)
			}
			return false
		}); err != nil {
			t.Error(err)
		}
	}
}

func TestStreamEndsWithItsToken(t *testing.T) {
	p := newPort(t)
	text, token, err := p.auth.CreateToken(t.Context(), auth.NewToken{By: "test", Name: "short", Role: auth.Monitor})
	if err != nil {
		t.Fatal(err)
	}
	p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "before"})
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	heard := 0
	err = p.listen(ctx, t, text, "0", func(line) bool {
		heard++
		if heard > 1 {
			return true
		}
		if err := p.people.RevokeToken(ctx, "test", token.ID); err != nil {
			t.Error(err)
		}
		p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "after"})
		return true
	})
	if heard != 1 || !errors.Is(err, io.EOF) || ctx.Err() != nil {
		t.Errorf("heard %d changes, then %v", heard, err)
	}
}

// TestStreamsCostOneReadForEachChange compares what reports cost without consoles and with a hundred:
// neither the feed is read nor a session authenticated once more for each console.
func TestStreamsCostOneReadForEachChange(t *testing.T) {
	const consoles, reports = 100, 20
	p := newPortWithRing(t, 1000)
	report := func() {
		for range reports {
			if got := p.call(t, auth.Dispatcher, "POST", "/api/v1/reports", map[string]string{"title": "x"}); got.status != http.StatusCreated {
				t.Errorf("%d %s", got.status, got.body)
			}
		}
	}
	cost := func(do func()) uint64 {
		before := p.db.Queries()
		do()
		return p.db.Queries() - before
	}
	without := cost(report)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	var reading sync.WaitGroup
	for range consoles {
		reading.Go(func() {
			seen := 0
			if err := p.listen(ctx, t, p.tokens[auth.Monitor], "", func(line) bool {
				seen++
				return seen < reports
			}); err != nil {
				t.Error(err)
			}
		})
	}
	for p.feed.Stats().Readers < consoles {
		if !retry.Sleep(ctx, 5*time.Millisecond) {
			t.Fatalf("%d streams are open", p.feed.Stats().Readers)
		}
	}
	opening := p.db.Queries()
	for settled := uint64(0); settled != opening; { // each stream authenticates once more when it begins
		settled = opening
		retry.Sleep(ctx, 100*time.Millisecond)
		opening = p.db.Queries()
	}
	with := cost(func() { report(); reading.Wait() })
	if with > without+3*reports {
		t.Errorf("%d reports cost %d queries with %d consoles, %d without", reports, with, consoles, without)
	}
}

// TestStreamEndsWithItsRole ends the streams of a user whose role changes, and no other one.
func TestStreamEndsWithItsRole(t *testing.T) {
	p := newPort(t)
	for _, name := range []string{"li", "wang"} {
		if _, err := p.auth.AddUser(t.Context(), "test", name, "correct horse", auth.Dispatcher); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	ended := make(chan string, 2)
	var reading sync.WaitGroup
	for _, name := range []string{"li", "wang"} {
		got := p.call(t, "", "POST", "/api/v1/session", map[string]string{"user": name, "password": "correct horse"})
		cookie, _, _ := strings.Cut(got.header.Get("Set-Cookie"), ";")
		reading.Go(func() {
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, p.URL+"/api/v1/stream", nil)
			if err != nil {
				t.Error(err)
				return
			}
			req.Header.Set("Cookie", cookie)
			res, err := http.DefaultTransport.RoundTrip(req)
			if err != nil {
				t.Error(err)
				return
			}
			defer res.Body.Close() //nolint:errcheck // only read
			if _, err := io.Copy(io.Discard, res.Body); err == nil {
				ended <- name
			}
		})
	}
	for p.feed.Stats().Readers < 2 {
		if !retry.Sleep(ctx, 5*time.Millisecond) {
			t.Fatal("the streams do not begin")
		}
	}
	if err := p.auth.SetRole(ctx, "test", "li", auth.Monitor); err != nil {
		t.Fatal(err)
	}
	select {
	case name := <-ended:
		if name != "li" {
			t.Errorf("the stream of %s has ended", name)
		}
	case <-ctx.Done():
		t.Error("no stream has ended")
	}
	if n := p.feed.Stats().Readers; n != 1 {
		t.Errorf("%d streams are left", n)
	}
	cancel()
	reading.Wait()
}

// TestStreamGreetsWithItsHistory: clients that name no history go on as before; those that do are reset when the
// history does not hold their number.
func TestStreamGreetsWithItsHistory(t *testing.T) {
	p := newPort(t)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, p.URL+"/api/v1/stream", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.tokens[auth.Monitor])
	res, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close() //nolint:errcheck // broken off on purpose
	history, err := p.db.History(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	last, err := p.db.LastChange(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := ": welcome\nretry: 2000\nid: " + strconv.FormatInt(last, 10) + "\nevent: hello\ndata: {\"history\":\"" + history + "\",\"hub\":\"run\"}\n\n"
	got := make([]byte, len(want))
	if _, err := io.ReadFull(res.Body, got); err != nil || string(got) != want {
		t.Errorf("%q, %v; want %q", got, err, want)
	}
}

func TestViewsAreForAdministrators(t *testing.T) {
	p := newPort(t)
	p.fill(t)
	for role, want := range map[auth.Role]bool{auth.Monitor: false, auth.Dispatcher: false, auth.Administrator: true} {
		if got := visible("view", role); got != want {
			t.Errorf("%s sees views: %v", role, got)
		}
		if !visible("incident", role) {
			t.Errorf("%s sees no incidents", role)
		}
	}
}
