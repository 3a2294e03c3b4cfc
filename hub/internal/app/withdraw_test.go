package app

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/firmware-config/enrol"
	"gridpost/hub/api"
	"gridpost/hub/internal/auth"
	"gridpost/hub/internal/db"
	"gridpost/hub/internal/db/dbtest"
	"gridpost/hub/internal/db/schema"
	"gridpost/hub/internal/scope"
	"gridpost/hub/internal/store/audit"
	"gridpost/hub/internal/store/edges"
	"gridpost/hub/internal/store/people"
	"gridpost/streams"
	"gridpost/streams/streamtest"
	"gridpost/streams/webrtc"
)

// hall has a hub at which things are held, a hub at which access is withdrawn (the same one, or another one on the
// database), a handle on the database as commands have it, and clients with real peers.
type hall struct {
	t        *testing.T
	ctx      context.Context
	at, by   string // public addresses
	edgePort string // of the hub at
	db       *db.DB
	users    *auth.Service
	people   *people.Repository
	edges    *edges.Repository
	engine   *webrtc.Engine
	client   *http.Client
	camera   *streams.Stream
	admin    http.Header
	running  sync.WaitGroup
}

// held is something that an access allows, while it lasts.
type held struct {
	name  string
	ended chan error
}

const testPassword = "seven green herons wade"

func newHall(t *testing.T, dir string, o db.Options, at, by Running) *hall {
	t.Helper()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	h := &hall{
		t: t, ctx: ctx, at: "http://" + at.Listen, by: "http://" + by.Listen, edgePort: "https://" + at.EdgeListen,
		client: &http.Client{Transport: &http.Transport{}}, camera: streams.New(streams.Options{Name: "yard"}),
	}
	var err error
	o.Name, o.Schema = "hub", schema.Hub()
	if h.db, err = db.Open(ctx, o); err != nil {
		t.Fatal(err)
	}
	if _, err := audit.Open(ctx, h.db, audit.Options{Dir: dir}); err != nil {
		t.Fatal(err)
	}
	h.people, h.edges = people.New(h.db, people.Hooks{}), NewEdges(h.db)
	if h.users, err = auth.New(auth.Options{People: h.people, Params: auth.Params{Memory: 64, Time: 1, Threads: 1}}); err != nil {
		t.Fatal(err)
	}
	if h.engine, err = webrtc.NewEngine(webrtc.EngineOptions{}); err != nil {
		t.Fatal(err)
	}
	h.running.Go(func() { streamtest.Publish(ctx, h.camera) })
	t.Cleanup(func() {
		stop()
		h.running.Wait()
		h.client.CloseIdleConnections()
		if err := errors.Join(h.engine.Close(), h.db.Close()); err != nil {
			t.Error(err)
		}
	})
	h.admin, _ = h.token("admin", auth.Administrator, time.Time{})
	return h
}

// call sends a request and decodes the answer, unless into is nil.
func (h *hall) call(who http.Header, method, url string, body, into any) http.Header {
	h.t.Helper()
	text, err := json.Marshal(body)
	if err != nil {
		h.t.Fatal(err)
	}
	req, err := http.NewRequestWithContext(h.ctx, method, url, bytes.NewReader(text))
	if err != nil {
		h.t.Fatal(err)
	}
	req.Header = who.Clone()
	if req.Header == nil {
		req.Header = http.Header{}
	}
	req.Header.Set("Content-Type", "application/json")
	res, err := h.client.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	answer, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil || res.StatusCode/100 != 2 {
		h.t.Fatalf("%s %s: %s, %s, %v", method, url, res.Status, answer, err)
	}
	if into != nil {
		if err := json.Unmarshal(answer, into); err != nil {
			h.t.Fatalf("%s: %v", answer, err)
		}
	}
	return res.Header
}

func (h *hall) token(name string, role auth.Role, expires time.Time) (http.Header, string) {
	h.t.Helper()
	text, token, err := h.users.CreateToken(h.ctx, auth.NewToken{By: "test", Name: name, Role: role, Expires: expires})
	if err != nil {
		h.t.Fatal(err)
	}
	return http.Header{"Authorization": {"Bearer " + text}}, token.ID
}

// user adds an administrator and logs in.
func (h *hall) user(name string) http.Header {
	h.t.Helper()
	if _, err := h.users.AddUser(h.ctx, "test", name, testPassword, auth.Administrator); err != nil {
		h.t.Fatal(err)
	}
	got := h.call(nil, http.MethodPost, h.at+"/api/v1/session", map[string]string{"user": name, "password": testPassword}, nil)
	cookie, _, _ := strings.Cut(got.Get("Set-Cookie"), ";")
	return http.Header{"Cookie": {cookie}}
}

// edge adds an edge with cameras and enrols it.
func (h *hall) edge(name string, cameras ...string) *http.Client {
	h.t.Helper()
	var added struct {
		Token string `json:"token"`
	}
	h.call(h.admin, http.MethodPost, h.by+"/api/v1/edges", map[string]string{"name": name}, &added)
	token, err := enrol.ParseToken(added.Token)
	if err != nil {
		h.t.Fatal(err)
	}
	id, err := enrol.Enrol(h.ctx, h.t.TempDir(), h.edgePort, token)
	if err != nil {
		h.t.Fatal(err)
	}
	inventory := api.Inventory{Version: "1"}
	for _, camera := range cameras {
		inventory.Devices = append(inventory.Devices, api.Device{Name: camera, Kind: devices.Camera})
	}
	err = h.db.Update(h.ctx, "test", func(tx *db.Tx) error {
		w := h.edges.WriteDevices(tx, name, name)
		_, err := w.Inventory(inventory)
		return errors.Join(err, w.Flush())
	})
	if err != nil {
		h.t.Fatal(err)
	}
	c := id.Client()
	h.t.Cleanup(c.CloseIdleConnections)
	return c
}

// limit bounds each wait for a state. It decides nothing: the times are measured in virtual time by the tests of
// package access.
const limit = time.Minute

// open runs something until it ends by itself, and waits until it has begun.
func (h *hall) open(name string, run func(begun func()) error) *held {
	h.t.Helper()
	x := &held{name: name, ended: make(chan error, 1)}
	begun := make(chan struct{})
	h.running.Go(func() { x.ended <- run(sync.OnceFunc(func() { close(begun) })) })
	select {
	case <-begun:
	case err := <-x.ended:
		h.t.Fatalf("%s has not begun: %v", name, err)
	case <-time.After(limit):
		h.t.Fatalf("%s has not begun", name)
	}
	return x
}

// events opens a stream of server-sent events.
func (h *hall) events(name string, c *http.Client, who http.Header, url string) *held {
	h.t.Helper()
	return h.open(name, func(begun func()) error {
		req, err := http.NewRequestWithContext(h.ctx, http.MethodGet, url, nil)
		if err != nil {
			return err
		}
		req.Header = who.Clone()
		res, err := c.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read to its end
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: %s", errRefused, res.Status)
		}
		lines := bufio.NewScanner(res.Body)
		for lines.Scan() {
			begun()
		}
		return errors.Join(lines.Err(), io.EOF)
	})
}

var errRefused = errors.New("refused")

func (h *hall) stream(name string, who http.Header) *held {
	return h.events(name+"'s live stream", h.client, who, h.at+"/api/v1/stream")
}

func (h *hall) commands(edge string, c *http.Client) *held {
	_, path, _ := strings.Cut(api.PathCommands, " ")
	return h.events(edge+"'s command stream", c, http.Header{}, h.edgePort+path)
}

func (h *hall) view(name string, who http.Header, camera, purpose string) *held {
	h.t.Helper()
	return h.open(name+"'s view", func(begun func()) error {
		_, err := h.engine.Play(h.ctx, webrtc.PlayOptions{
			Client: h.client, Header: who, URL: h.at + "/whep/" + camera + "?" + purpose, OnFrame: func(webrtc.Frame) { begun() },
		})
		return err
	})
}

func (h *hall) publication(name string, c *http.Client, who http.Header, base, camera string) *held {
	h.t.Helper()
	return h.open(name+"'s publication", func(begun func()) error {
		return h.engine.Publish(h.ctx, webrtc.PublishOptions{Client: c, Header: who, URL: base + "/whip/" + camera, Stream: h.camera, Ready: begun})
	})
}

// everything opens what a principal may hold.
func (h *hall) everything(name string, who http.Header) []*held {
	h.t.Helper()
	return []*held{
		h.stream(name, who), h.view(name, who, "gate-7/yard", "reason=test"), h.publication(name, h.client, who, h.at, "gate-7/"+name),
	}
}

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
			all := []*held{h.stream(name, http.Header{"Authorization": {"Bearer " + made.Token}})}
			return all, func() { h.call(h.admin, http.MethodDelete, h.by+"/api/v1/users/"+name, nil, nil) }
		},
		"edge": func(h *hall, name string) ([]*held, func()) {
			edge := "port-1"
			c := h.edge(edge, "quay")
			all := []*held{h.commands(edge, c), h.publication(edge, c, http.Header{}, h.edgePort, edge+"/quay")}
			all = append(all, h.view(name, h.user(name), edge+"/quay", "reason=test"))
			return all, func() {
				if err := h.edges.Revoke(h.ctx, "test", edge); err != nil {
					h.t.Error(err)
				}
			}
		},
		"lease": func(h *hall, name string) ([]*held, func()) {
			all := []*held{h.view(name, h.user(name), "gate-7/yard", "reason=test")}
			return all, func() {
				var list struct {
					Views []struct{ ID, Who string } `json:"views"`
				}
				h.call(h.admin, http.MethodGet, h.by+"/api/v1/views", nil, &list)
				for _, v := range list.Views {
					if v.Who == name {
						h.call(h.admin, http.MethodDelete, h.by+"/api/v1/views/"+v.ID, nil, nil)
						return
					}
				}
				h.t.Errorf("%s has no view: %+v", name, list)
			}
		},
		"incident": func(h *hall, name string) ([]*held, func()) {
			var made struct{ ID string }
			h.call(h.admin, http.MethodPost, h.by+"/api/v1/reports", map[string]string{"title": "a tree has fallen"}, &made)
			all := []*held{h.view(name, h.user(name), "gate-7/yard", "incident="+made.ID)}
			return all, func() {
				h.call(h.admin, http.MethodPost, h.by+"/api/v1/incidents/"+made.ID+"/close", map[string]string{}, nil)
			}
		},
	}
}

// withdrawEach withdraws every access once: what stood on it ends, and nothing else does.
func (h *hall) withdrawEach() {
	cameras := []string{"yard", "bystander"}
	for name := range withdrawn() {
		cameras = append(cameras, name)
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
