package web

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gridpost/hub/api/public"
	"gridpost/hub/internal/auth"
)

// pages reads a list by pages and returns how many entries each has, as read finds them.
func (p *port) pages(t *testing.T, path string, read func(answer) (entries int, next *string)) (sizes []int) {
	t.Helper()
	for query := "?limit=3"; ; {
		got := p.call(t, auth.Administrator, "GET", path+query, nil)
		if got.status != http.StatusOK {
			t.Fatalf("%s%s: %d %s", path, query, got.status, got.body)
		}
		n, next := read(got)
		sizes = append(sizes, n)
		if next == nil {
			return sizes
		}
		query = "?limit=3&next=" + url.QueryEscape(*next)
	}
}

func TestPeopleByPages(t *testing.T) {
	p := newPort(t) // with three tokens, each with an entry of the audit log
	for i := range 7 {
		if _, err := p.auth.AddUser(t.Context(), "test", fmt.Sprint("user-", i), "long enough", auth.Monitor); err != nil {
			t.Fatal(err)
		}
	}
	var names []string
	sizes := p.pages(t, "/api/v1/users", func(a answer) (int, *string) {
		var out struct {
			Users []public.User
			Next  *string
		}
		a.decode(t, &out)
		for _, u := range out.Users {
			names = append(names, u.Name)
			if u.ID == "" {
				t.Errorf("no ID: %+v", u)
			}
		}
		return len(out.Users), out.Next
	})
	if got := strings.Join(names, " "); fmt.Sprint(sizes) != "[3 3 1]" || got != "user-0 user-1 user-2 user-3 user-4 user-5 user-6" {
		t.Errorf("users: %v %s", sizes, got)
	}
	sizes = p.pages(t, "/api/v1/tokens", func(a answer) (int, *string) {
		var out struct {
			Tokens []public.Token
			Next   *string
		}
		a.decode(t, &out)
		return len(out.Tokens), out.Next
	})
	if fmt.Sprint(sizes) != "[3 0]" {
		t.Errorf("tokens: %v", sizes)
	}
	var last int64
	sizes = p.pages(t, "/api/v1/audit", func(a answer) (int, *string) {
		var out struct {
			Audit []public.AuditEntry
			State public.AuditState
			Next  *string
		}
		a.decode(t, &out)
		for _, e := range out.Audit {
			if last != 0 && e.ID != last-1 {
				t.Errorf("entry %d comes after %d", e.ID, last)
			}
			last = e.ID
		}
		if out.State.Last != 10 {
			t.Errorf("%+v", out.State)
		}
		return len(out.Audit), out.Next
	})
	if fmt.Sprint(sizes) != "[3 3 3 1]" || last != 1 {
		t.Errorf("audit: %v", sizes)
	}
	for _, path := range []string{"/api/v1/users", "/api/v1/tokens", "/api/v1/audit", "/api/v1/views"} {
		if got := p.call(t, auth.Administrator, "GET", path+"?next=x", nil); got.status != http.StatusUnprocessableEntity {
			t.Errorf("%s from a cursor of nobody: %d", path, got.status)
		}
	}
}

func TestRenaming(t *testing.T) {
	p := newPort(t)
	li := p.logIn(t, "li", auth.Dispatcher)
	p.logIn(t, "wang", auth.Administrator)
	var before sessionBody
	p.send(t, "GET", "/api/v1/session", nil, li...).decode(t, &before)
	rename := func(name, next string) answer {
		return p.call(t, auth.Administrator, "PUT", "/api/v1/users/"+name+"/name", map[string]string{"name": next})
	}
	for want, pair := range map[int][2]string{http.StatusConflict: {"li", "wang"}, http.StatusNotFound: {"none", "x"}, http.StatusUnprocessableEntity: {"li", "token x"}} {
		if got := rename(pair[0], pair[1]); got.status != want {
			t.Errorf("%v: %d %s, want %d", pair, got.status, got.body, want)
		}
	}
	if got := rename("li", "hub"); !strings.Contains(string(got.body), `"code":"name_reserved"`) {
		t.Errorf("a name of the audit log: %s", got.body)
	}
	if got := rename("li", "li.wei"); got.status != http.StatusNoContent {
		t.Fatalf("%d %s", got.status, got.body)
	}
	var after sessionBody
	p.send(t, "GET", "/api/v1/session", nil, li...).decode(t, &after)
	if after.User != "li.wei" || after.ID != before.ID || before.ID == "" {
		t.Errorf("the session before %+v and after %+v", before, after)
	}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/users", map[string]string{"name": "li", "password": "long enough", "role": "monitor"}); !strings.Contains(string(got.body), `"code":"user_exists"`) {
		t.Errorf("the former name: %d %s", got.status, got.body)
	}
	var out struct{ Audit []public.AuditEntry }
	p.call(t, auth.Administrator, "GET", "/api/v1/audit", nil).decode(t, &out)
	if e := out.Audit[0]; e.Action != "user rename" || e.Object != "li" || e.Detail != "li.wei" || e.Who != "token administrator" || e.UserID != "" {
		t.Errorf("%+v", e)
	}
	p.send(t, "POST", "/api/v1/reports", map[string]string{"title": "x"}, li...)
	p.call(t, auth.Administrator, "GET", "/api/v1/audit", nil).decode(t, &out)
	if e := out.Audit[0]; e.Who != "li.wei" || e.UserID != before.ID {
		t.Errorf("%+v", e)
	}
}

// TestListingVerifiesNothing: a page of the audit log shows what is known of its integrity; to verify it is
// an operation of its own.
func TestListingVerifiesNothing(t *testing.T) {
	p := newPort(t)
	state := func() public.AuditState {
		t.Helper()
		var out struct {
			Broken int64
			State  public.AuditState
		}
		p.call(t, auth.Administrator, "GET", "/api/v1/audit", nil).decode(t, &out)
		if out.Broken != out.State.Broken {
			t.Errorf("%+v", out)
		}
		return out.State
	}
	if s := state(); s.Verified != 0 || s.VerifiedAt != nil || s.FullAt != nil || s.Running {
		t.Errorf("before anything was verified: %+v", s)
	}
	if got := p.call(t, auth.Administrator, "POST", "/api/v1/audit/verify", nil); got.status != http.StatusAccepted {
		t.Fatalf("%d %s", got.status, got.body)
	}
	if s := state(); !s.Running || s.FullAt != nil {
		t.Errorf("requested: %+v", s)
	}
	for more := true; more; {
		var err error
		if more, err = p.audit.Step(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if s := state(); s.Running || s.FullAt == nil || s.Verified != s.Last || s.Broken != 0 || s.VerifiedAt == nil {
		t.Errorf("verified: %+v", s)
	}
	bare(t, "a dispatcher", p.call(t, auth.Dispatcher, "POST", "/api/v1/audit/verify", nil), http.StatusForbidden)
}
