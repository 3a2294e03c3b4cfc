package app

import (
	"encoding/base32"
	"errors"
	"net/http"
	"testing"
	"time"

	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/totp"
)

// withdrawn are the ways in which access is withdrawn. Each opens what stands on the access, and returns it with what
// withdraws the access.
func withdrawn() map[string]func(h *hall, name string) (all []*held, withdraw func()) {
	ofUser := func(method, path string, body any) func(*hall, string) ([]*held, func()) {
		return func(h *hall, name string) ([]*held, func()) {
			all := h.everything(name, h.user(name))
			return all, func() { h.call(h.admin, method, h.by+"/api/v1/users/"+name+path, body, nil) }
		}
	}
	return map[string]func(*hall, string) ([]*held, func()){
		"disabled": ofUser(http.MethodPut, "/disabled", map[string]bool{"disabled": true}),
		"removed":  ofUser(http.MethodDelete, "", nil),
		"demoted":  ofUser(http.MethodPut, "/role", map[string]string{"role": "monitor"}),
		"reset":    ofUser(http.MethodPost, "/password", map[string]string{"password": "another heron was seen"}),
		"logged-out": func(h *hall, name string) ([]*held, func()) {
			who := h.user(name)
			return h.everything(name, who), func() { h.call(who, http.MethodDelete, h.by+"/api/v1/session", nil, nil) }
		},
		"second-factor": func(h *hall, name string) ([]*held, func()) {
			all := h.everything(name, h.user(name))
			another := h.logIn(h.by, name)
			return all, func() { // which ends all other sessions
				var made struct{ Secret string }
				h.call(another, http.MethodPost, h.by+"/api/v1/session/totp", map[string]string{"password": testPassword}, &made)
				secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(made.Secret)
				if err != nil {
					h.t.Fatal(err)
				}
				h.call(another, http.MethodPut, h.by+"/api/v1/session/totp", map[string]string{"code": totp.Code(secret, totp.Step(time.Now()))}, nil)
			}
		},
		"scope": func(h *hall, name string) ([]*held, func()) {
			all := h.everything(name, h.user(name))
			return all, func() {
				if err := h.people.SetScope(h.ctx, "test", name, scope.Sites("port")); err != nil {
					h.t.Error(err)
				}
			}
		},
		"revoked": func(h *hall, name string) ([]*held, func()) {
			who, id := h.token("robot", auth.Administrator, time.Time{})
			return h.everything(name, who), func() { h.call(h.admin, http.MethodDelete, h.by+"/api/v1/tokens/"+id, nil, nil) }
		},
		"expired": func(h *hall, name string) ([]*held, func()) { // of the same name as one that goes on
			who, id := h.token("robot", auth.Administrator, time.Time{})
			return h.everything(name, who), func() { // by a process beside the hub: nobody is notified
				err := h.db.Update(h.ctx, "test", func(tx *db.Tx) error {
					return tx.Affected(`UPDATE tokens SET expires_at = ? WHERE id = ?`, db.Millis(time.Now().Add(-time.Second)), id)
				})
				if err != nil {
					h.t.Error(err)
				}
			}
		},
		"maker": func(h *hall, name string) ([]*held, func()) {
			maker := h.user(name)
			var made struct {
				Token string `json:"token"`
			}
			h.call(maker, http.MethodPost, h.by+"/api/v1/tokens", map[string]string{"name": name, "role": "administrator"}, &made)
			all := h.everything(name, http.Header{"Authorization": {"Bearer " + made.Token}})
			return all, func() { h.call(h.admin, http.MethodDelete, h.by+"/api/v1/users/"+name, nil, nil) }
		},
		"edge": func(h *hall, name string) ([]*held, func()) {
			edge := "port-1"
			c := h.edge(edge, "quay", "pier")
			all := append(h.published(edge, c, http.Header{}, h.edgePort, edge+"/quay"), h.commands(edge, c))
			all = append(all, h.overHTTP(name, h.user(name), edge+"/quay", "reason=test"))
			return append(all, h.publication(edge, c, http.Header{}, h.edgePort, edge+"/pier")), func() {
				if err := h.edges.Revoke(h.ctx, "test", edge); err != nil {
					h.t.Error(err)
				}
			}
		},
		"lease": func(h *hall, name string) ([]*held, func()) {
			who := h.user(name)
			all := []*held{
				h.view(name, who, "gate-7/yard", "reason=test"), h.overHTTP(name, who, "gate-7/yard", "reason=test"),
				h.connecting(name, who, "gate-7/yard", "reason=test"),
			}
			return all, func() {
				var list struct {
					Views []struct{ ID, Who string } `json:"views"`
				}
				h.call(h.admin, http.MethodGet, h.by+"/api/v1/views", nil, &list)
				ended := 0
				for _, v := range list.Views {
					if v.Who == name {
						h.call(h.admin, http.MethodDelete, h.by+"/api/v1/views/"+v.ID, nil, nil)
						ended++
					}
				}
				if ended != len(all) {
					h.t.Errorf("%s has %d views: %+v", name, ended, list)
				}
			}
		},
		"incident": func(h *hall, name string) ([]*held, func()) {
			var made struct{ ID string }
			h.call(h.admin, http.MethodPost, h.by+"/api/v1/reports", map[string]string{"title": "a tree has fallen"}, &made)
			who := h.user(name)
			purpose := "incident=" + made.ID
			all := []*held{h.view(name, who, "gate-7/yard", purpose), h.overHTTP(name, who, "gate-7/yard", purpose)}
			all = append(all, h.connecting(name, who, "gate-7/yard", purpose))
			return all, func() {
				h.call(h.admin, http.MethodPost, h.by+"/api/v1/incidents/"+made.ID+"/close", map[string]string{}, nil)
			}
		},
	}
}

// withdrawEach withdraws every access once: what stood on it is closed, which its client is notified of and does not
// find out by a timeout, and nothing else ends. The times depend on the machine and are logged.
func (h *hall) withdrawEach() {
	cameras := []string{"yard", "bystander", "bystander-2"}
	for name := range withdrawn() {
		cameras = append(cameras, name, name+"-2")
	}
	gate := h.edge("gate-7", cameras...)
	others := []*held{h.commands("gate-7", gate), h.publication("gate-7", gate, http.Header{}, h.edgePort, "gate-7/yard")}
	others = append(others, h.everything("bystander", h.user("bystander"))...)
	robot, _ := h.token("robot", auth.Administrator, time.Time{})
	others = append(others, h.stream("robot", robot))
	for name, prepare := range withdrawn() {
		all, withdraw := prepare(h, name)
		began := time.Now()
		withdraw()
		for _, x := range all {
			select {
			case err := <-x.ended:
				h.t.Logf("%s: %s ended after %s: %v", name, x.name, time.Since(began).Round(time.Millisecond), err)
				if !errors.Is(err, x.closed) {
					h.t.Errorf("%s: %s was not closed by the hub: %v", name, x.name, err)
				}
			case <-time.After(limit):
				h.t.Errorf("%s: %s has not ended", name, x.name)
			}
		}
		for _, x := range others {
			select {
			case err := <-x.ended:
				h.t.Fatalf("%s: %s has ended: %v", name, x.name, err)
			default:
			}
		}
	}
}

func TestWithdrawnAccessEndsWhatItAllowed(t *testing.T) {
	c := config(t)
	r, _ := start(t, c)
	newHall(t, c.Data, db.Options{Dir: c.Data}, r, r).withdrawEach()
}

// TestWithdrawnAccessEndsAtTheOtherHub withdraws at one hub what is held at another one on the same database.
func TestWithdrawnAccessEndsAtTheOtherHub(t *testing.T) {
	url := dbtest.URL(t)
	var hubs [2]Running
	c := config(t)
	for i := range hubs {
		c.Data, c.Database = t.TempDir(), url
		hubs[i], _ = start(t, c)
	}
	newHall(t, c.Data, db.Options{URL: url}, hubs[1], hubs[0]).withdrawEach()
}
