package app

import (
	"bufio"
	"bytes"
	"cmp"
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
	"gridpost/hub/internal/db/schema"
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
	name   string
	closed error // with which it ends when the hub closes it; any other error is a timeout or a fault
	ended  chan error
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
	return h.logIn(h.at, name)
}

// logIn logs a user in at a hub.
func (h *hall) logIn(hub, name string) http.Header {
	h.t.Helper()
	got := h.call(nil, http.MethodPost, hub+"/api/v1/session", map[string]string{"user": name, "password": testPassword}, nil)
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
func (h *hall) open(name string, closed error, run func(begun func()) error) *held {
	h.t.Helper()
	x := &held{name: name, closed: closed, ended: make(chan error, 1)}
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
	return h.open(name, io.EOF, func(begun func()) error {
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
		return cmp.Or(lines.Err(), io.EOF)
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

// view opens a view, which has begun with its first frame.
func (h *hall) view(name string, who http.Header, camera, purpose string) *held {
	h.t.Helper()
	return h.open(name+"'s view", webrtc.ErrClosedByPeer, func(begun func()) error {
		_, err := h.engine.Play(h.ctx, webrtc.PlayOptions{
			Client: h.client, Header: who, URL: h.at + "/whep/" + camera + "?" + purpose, OnFrame: func(webrtc.Frame) { begun() },
		})
		return err
	})
}

// connecting opens a view that has begun before it is connected.
func (h *hall) connecting(name string, who http.Header, camera, purpose string) *held {
	h.t.Helper()
	return h.open(name+"'s connecting view", webrtc.ErrClosedByPeer, func(begun func()) error {
		_, err := h.engine.Play(h.ctx, webrtc.PlayOptions{
			Client: h.client, Header: who, URL: h.at + "/whep/" + camera + "?" + purpose, OnReady: begun,
		})
		return err
	})
}

// overHTTP opens a view as fragmented MP4.
func (h *hall) overHTTP(name string, who http.Header, camera, purpose string) *held {
	h.t.Helper()
	return h.open(name+"'s view over HTTP", io.EOF, func(begun func()) error {
		req, err := http.NewRequestWithContext(h.ctx, http.MethodGet, h.at+"/api/v1/live/"+camera+"?"+purpose, nil)
		if err != nil {
			return err
		}
		req.Header = who.Clone()
		res, err := h.client.Do(req)
		if err != nil {
			return err
		}
		defer res.Body.Close() //nolint:errcheck // read to its end
		if res.StatusCode != http.StatusOK {
			return fmt.Errorf("%w: %s", errRefused, res.Status)
		}
		for buffer := make([]byte, 64<<10); ; begun() {
			if _, err := res.Body.Read(buffer); err != nil {
				return err
			}
		}
	})
}

// publication opens a publication, which has begun when the hub has accepted it: it is still connecting.
func (h *hall) publication(name string, c *http.Client, who http.Header, base, camera string) *held {
	h.t.Helper()
	return h.open(name+"'s publication of "+camera, webrtc.ErrClosedByPeer, func(begun func()) error {
		return h.engine.Publish(h.ctx, webrtc.PublishOptions{Client: c, Header: who, URL: base + "/whip/" + camera, Stream: h.camera, Ready: begun})
	})
}

// published opens a publication that somebody watches.
func (h *hall) published(name string, c *http.Client, who http.Header, base, camera string) []*held {
	h.t.Helper()
	p := h.publication(name, c, who, base, camera)
	return []*held{p, h.view("its viewer", h.admin, camera, "reason=test")} // has a frame, so p is connected
}

// everything opens what a principal may hold.
func (h *hall) everything(name string, who http.Header) []*held {
	h.t.Helper()
	const yard, reason = "gate-7/yard", "reason=test"
	all := []*held{h.stream(name, who), h.view(name, who, yard, reason), h.overHTTP(name, who, yard, reason)}
	all = append(all, h.published(name, h.client, who, h.at, "gate-7/"+name)...)
	return append(all, h.connecting(name, who, yard, reason), h.publication(name, h.client, who, h.at, "gate-7/"+name+"-2"))
}
