package access_test

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"gridpost/devices"
	"gridpost/hub/internal/access"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/problem"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/edges"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// world is what the database says, for the Registry.
type world struct {
	mu         sync.Mutex
	principals map[string]auth.Principal
	sessions   map[string]bool
	accepted   edges.Accepted
	closed     []string
	ended      map[string]devices.Cause
	err        error
	wake       chan struct{}
}

func newWorld() *world {
	return &world{
		principals: map[string]auth.Principal{
			"user:li":  {ID: "li", Name: "li", Role: auth.Administrator, Scope: scope.All()},
			"token:t1": {Token: "t1", Name: "token x", Role: auth.Dispatcher, Scope: scope.Sites("gate")},
		},
		sessions: map[string]bool{"s1": true},
		accepted: edges.Accepted{Sites: map[string]string{"gate-7": "gate"}, Serials: map[string]string{"01": "gate-7"}},
		ended:    map[string]devices.Cause{}, wake: make(chan struct{}),
	}
}

// change changes the world; with a wake, hubs are notified.
func (w *world) change(wake bool, change func()) {
	w.mu.Lock()
	defer w.mu.Unlock()
	change()
	if wake {
		close(w.wake)
		w.wake = make(chan struct{})
	}
}

func (w *world) Current(context.Context, auth.Query) (auth.Current, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := auth.Current{Principals: map[string]auth.Principal{}, Sessions: map[string]bool{}}
	for k, p := range w.principals {
		c.Principals[k] = p
	}
	for k := range w.sessions {
		c.Sessions[k] = true
	}
	return c, w.err
}

func (w *world) Accepted(context.Context, []string, []string) (edges.Accepted, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := edges.Accepted{Sites: map[string]string{}, Serials: map[string]string{}}
	for k, v := range w.accepted.Sites {
		out.Sites[k] = v
	}
	for k, v := range w.accepted.Serials {
		out.Serials[k] = v
	}
	return out, w.err
}

func (w *world) Closed(context.Context, []string) ([]string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.closed), w.err
}

func (w *world) Ended(context.Context, []string) (map[string]devices.Cause, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := map[string]devices.Cause{}
	for k, v := range w.ended {
		out[k] = v
	}
	return out, w.err
}

// run runs a Registry on a world until the test ends. It is called within a synctest bubble.
func run(t *testing.T, w *world, limits access.Limits) (r *access.Registry, stop func()) {
	t.Helper()
	r = access.New(access.Options{
		Principals: w, Edges: w, Incidents: w, Leases: w, Limits: limits, Logger: slog.New(slog.DiscardHandler),
		Wake: func() <-chan struct{} { w.mu.Lock(); defer w.mu.Unlock(); return w.wake },
	})
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	return r, func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}

func hold(t *testing.T, r *access.Registry, g access.Grant) (held context.Context, release func()) {
	t.Helper()
	held, release, err := r.Hold(t.Context(), g)
	if err != nil {
		t.Fatal(err)
	}
	return held, release
}

func code(err error) string {
	var coded *problem.Error
	if errors.As(err, &coded) {
		return coded.Reason.Code
	}
	return ""
}

// withdrawals are all ways in which an access ends, with the grant that each ends.
func withdrawals(w *world) map[string]struct {
	grant access.Grant
	do    func()
	code  string
} {
	li, token := w.principals["user:li"], w.principals["token:t1"]
	ofLi := access.Of(li, access.View, auth.Dispatcher)
	ofLi.Session = "s1"
	edge, incident, lease := ofLi, ofLi, ofLi
	edge.Edge, incident.Incident, lease.Lease = "gate-7", "i1", "l1"
	scoped := access.Of(token, access.View, auth.Dispatcher)
	scoped.Edge = "gate-7"
	site := access.Of(token, access.View, auth.Dispatcher)
	site.Site = "gate"
	change := func(key string, change func(*auth.Principal)) func() {
		return func() { p := w.principals[key]; change(&p); w.principals[key] = p }
	}
	return map[string]struct {
		grant access.Grant
		do    func()
		code  string
	}{
		"user disabled or removed": {ofLi, func() { delete(w.principals, "user:li"); delete(w.sessions, "s1") }, "access_account_ended"},
		"user demoted":             {ofLi, change("user:li", func(p *auth.Principal) { p.Role = auth.Monitor }), "access_role_ended"},
		"logged out":               {ofLi, func() { delete(w.sessions, "s1") }, "access_session_ended"},
		"renamed":                  {ofLi.Unchanged(li), change("user:li", func(p *auth.Principal) { p.Name = "lee" }), "access_changed"},
		"role of a stream":         {ofLi.Unchanged(li), change("user:li", func(p *auth.Principal) { p.Role = auth.Dispatcher }), "access_changed"},
		"scope of a stream":        {ofLi.Unchanged(li), change("user:li", func(p *auth.Principal) { p.Scope = scope.Sites("gate") }), "access_changed"},
		"token revoked or expired": {access.Of(token, access.View, auth.Dispatcher), func() { delete(w.principals, "token:t1") }, "access_token_ended"},
		"site of the edge taken":   {scoped, change("token:t1", func(p *auth.Principal) { p.Scope = scope.Sites("port") }), "access_site_ended"},
		"edge moved to a site":     {scoped, func() { w.accepted.Sites["gate-7"] = "port" }, "access_site_ended"},
		"site taken":               {site, change("token:t1", func(p *auth.Principal) { p.Scope = scope.Sites() }), "access_site_ended"},
		"edge revoked, of a view":  {edge, func() { delete(w.accepted.Sites, "gate-7"); delete(w.accepted.Serials, "01") }, "access_edge_revoked"},
		"edge revoked":             {access.OfEdge("gate-7", "01", access.Commands), func() { delete(w.accepted.Sites, "gate-7") }, "access_edge_revoked"},
		"certificate replaced":     {access.OfEdge("gate-7", "01", access.Publication), func() { delete(w.accepted.Serials, "01") }, "access_certificate_ended"},
		"incident closed":          {incident, func() { w.closed = []string{"i1"} }, "incident_closed"},
		"lease ended":              {lease, func() { w.ended["l1"] = problem.NewCause("video_ended_by", "who", "wang") }, "video_ended_by"},
	}
}

// TestWithdrawalsEndGrants: each withdrawal ends what stands on it within 5 s, with and without a notification, and
// nothing else; afterwards it is refused.
func TestWithdrawalsEndGrants(t *testing.T) {
	for name := range withdrawals(newWorld()) {
		for _, wake := range []bool{true, false} {
			synctest.Test(t, func(t *testing.T) {
				w := newWorld()
				row := withdrawals(w)[name]
				r, stop := run(t, w, access.Limits{})
				defer stop()
				held, release := hold(t, r, row.grant)
				defer release()
				other, releaseOther := hold(t, r, access.Grant{Principal: "edge:port-1", Use: access.Publication})
				defer releaseOther()
				time.Sleep(10 * time.Second)
				if held.Err() != nil {
					t.Fatalf("%s: it ended before: %v", name, context.Cause(held))
				}
				w.change(wake, row.do)
				within := 5 * time.Second
				if wake {
					within = time.Second
				}
				time.Sleep(within)
				if got := code(context.Cause(held)); got != row.code {
					t.Errorf("%s, notified %v: it ended with %q (%v), want %s", name, wake, got, context.Cause(held), row.code)
				}
				if other.Err() != nil {
					t.Errorf("%s: another grant ended: %v", name, context.Cause(other))
				}
				if _, _, err := r.Hold(t.Context(), row.grant); code(err) != row.code {
					t.Errorf("%s: afterwards it is held: %v", name, err)
				}
				if s := r.Stats(); s.Held != 2 || s.Ended != 1 {
					t.Errorf("%s: %+v", name, s)
				}
			})
		}
	}
}

// TestTheDatabaseFails: nothing ends while the database cannot be read, but what ends by itself; the withdrawal
// that was missed ends it afterwards.
func TestTheDatabaseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		r, stop := run(t, w, access.Limits{})
		defer stop()
		g := access.Of(w.principals["user:li"], access.Stream, auth.Monitor)
		held, release := hold(t, r, g)
		defer release()
		g.Until = time.Now().Add(time.Minute)
		limited, releaseLimited := hold(t, r, g)
		defer releaseLimited()
		w.change(true, func() { w.err = errors.New("no database"); delete(w.principals, "user:li") })
		time.Sleep(2 * time.Minute)
		if held.Err() != nil || code(context.Cause(limited)) != "access_session_ended" || r.Stats().Failed == 0 {
			t.Errorf("%v, %v, %+v", context.Cause(held), context.Cause(limited), r.Stats())
		}
		w.change(false, func() { w.err = nil })
		time.Sleep(5 * time.Second)
		if code(context.Cause(held)) != "access_account_ended" {
			t.Errorf("%v", context.Cause(held))
		}
	})
}

// TestLimits: each use of each principal has its limit; what was released counts no more. A further command stream of an
// edge replaces the oldest.
func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld()
		w.principals["token:t2"] = auth.Principal{Token: "t2", Name: "token x", Role: auth.Dispatcher, Scope: scope.All()}
		r, stop := run(t, w, access.Limits{UserStreams: 2, UserViews: 3, TokenStreams: 4, TokenViews: 5})
		defer stop()
		for _, c := range []struct {
			principal string
			use       access.Use
			limit     int
			code      string
		}{
			{"user:li", access.Stream, 2, "access_streams_full"},
			{"user:li", access.View, 3, "access_views_full"},
			{"token:t1", access.Stream, 4, "access_streams_full"},
			{"token:t1", access.View, 5, "access_views_full"},
			{"token:t2", access.View, 5, "access_views_full"}, // of the same name
		} {
			g := access.Grant{Principal: c.principal, Use: c.use}
			var last func()
			for range c.limit {
				held, release := hold(t, r, g)
				last = release
				defer release()
				defer func() {
					if !errors.Is(context.Cause(held), context.Canceled) && held.Err() != nil {
						t.Errorf("%v", context.Cause(held))
					}
				}()
			}
			if _, _, err := r.Hold(t.Context(), g); code(err) != c.code {
				t.Errorf("%+v: one more: %v", c, err)
			}
			last()
			last() // twice is once
			_, release := hold(t, r, g)
			defer release()
		}
		if s := r.Stats(); s.Refused != 5 {
			t.Errorf("%+v", s)
		}
		var streams []context.Context
		for range 6 {
			held, release := hold(t, r, access.OfEdge("gate-7", "01", access.Commands))
			defer release()
			streams = append(streams, held)
		}
		for i, held := range streams {
			want := ""
			if i < 2 {
				want = "access_replaced"
			}
			if got := code(context.Cause(held)); got != want {
				t.Errorf("stream %d: %q, want %q", i, got, want)
			}
		}
	})
}
