package relay

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/streamtest"
	"gridpost/streams/webrtc"
)

// leaseRecorder stores leases in memory.
type leaseRecorder struct {
	mu     sync.Mutex
	leases []Lease
	ends   map[string]devices.Cause
	ended  chan devices.Cause // the cause of each end
	fail   error
	during func(context.Context) // called by Begin with the context of the request; nil: nothing
}

func (r *leaseRecorder) Begin(ctx context.Context, l Lease) (string, context.Context, error) {
	if r.during != nil {
		r.during(ctx)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return "", nil, r.fail
	}
	r.leases = append(r.leases, l)
	return fmt.Sprint(len(r.leases)), nil, nil
}

func (r *leaseRecorder) End(id string, why devices.Cause) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.ends[id]; twice {
		why = devices.Cause{Text: "lease " + id + " ended twice"}
	}
	r.ends[id] = why
	r.ended <- why
}

func (r *leaseRecorder) begun() []Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Lease(nil), r.leases...)
}

// edge executes commands like a real edge: it publishes by WHIP.
type edge struct {
	t      *testing.T
	url    func() string
	stream *streams.Stream

	mu       sync.Mutex
	refuse   error
	silent   bool // accepts publish commands and does not publish
	commands []api.Command
	cancel   context.CancelFunc
	running  sync.WaitGroup
	stopped  chan struct{} // gets a value for each stop command
}

func (e *edge) Command(_ context.Context, name string, c api.Command) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.commands = append(e.commands, c)
	if c.Kind == api.CommandStop {
		if e.cancel != nil {
			e.cancel()
			e.cancel = nil
		}
		e.stopped <- struct{}{}
		return nil
	}
	if e.refuse != nil || e.silent || e.cancel != nil {
		return e.refuse
	}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	e.cancel = cancel
	e.running.Go(func() {
		err := engine.Publish(ctx, webrtc.PublishOptions{URL: e.url() + "/whip/" + name + "/" + c.Device, Stream: e.stream})
		if err != nil {
			e.t.Log("publisher ended:", err)
		}
	})
	return nil
}

func (e *edge) count(kind api.CommandKind) int {
	e.mu.Lock()
	defer e.mu.Unlock()
	n := 0
	for _, c := range e.commands {
		if c.Kind == kind {
			n++
		}
	}
	return n
}

// fixture is a relay with an edge, a recorder of leases and an HTTP server.
type fixture struct {
	t      *testing.T
	relay  *Relay
	edge   *edge
	leases *leaseRecorder
	server *httptest.Server
}

func newFixture(t *testing.T, o Options) *fixture {
	t.Helper()
	return newFixtureWith(t, o, streamtest.Publish)
}

// newFixtureWith is like newFixture, with frames that camera publishes.
func newFixtureWith(t *testing.T, o Options, camera func(context.Context, *streams.Stream)) *fixture {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	f := &fixture{
		t:      t,
		leases: &leaseRecorder{ends: make(map[string]devices.Cause), ended: make(chan devices.Cause, 100)},
		edge:   &edge{t: t, stream: streams.New(streams.Options{Name: "gate"}), stopped: make(chan struct{}, 100)},
	}
	f.edge.url = func() string { return f.server.URL }
	o.Engine, o.Leases, o.Commander = engine, f.leases, f.edge
	f.relay = New(o)
	f.server = httptest.NewServer(routes(f.relay))

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f.relay.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { camera(ctx, f.edge.stream) })
	f.eventually("the relay runs", func() bool { return f.relay.context() != nil })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		f.edge.mu.Lock()
		if f.edge.cancel != nil {
			f.edge.cancel()
		}
		f.edge.mu.Unlock()
		f.edge.running.Wait()
		f.server.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return f
}

func routes(r *Relay) http.Handler {
	who := func(q *http.Request) Viewer {
		return Viewer{User: q.Header.Get("Who"), Incident: q.URL.Query().Get("incident"), Reason: q.URL.Query().Get("reason")}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/whip/{edge}/{device}", func(w http.ResponseWriter, q *http.Request) {
		by := cmp.Or(q.Header.Get("Who"), "edge:"+q.PathValue("edge"))
		r.ServeWHIP(w, q, Publication{Edge: q.PathValue("edge"), Device: q.PathValue("device"), Stream: q.URL.Query().Get("stream"), By: by})
	})
	mux.HandleFunc("/whip/{edge}/{device}/{id}", func(w http.ResponseWriter, q *http.Request) {
		r.ServeWHIPSession(w, q, q.PathValue("edge"), q.PathValue("device"), q.PathValue("id"))
	})
	mux.HandleFunc("/whep/{edge}/{device}", func(w http.ResponseWriter, q *http.Request) {
		r.ServeWHEP(w, q, q.PathValue("edge"), q.PathValue("device"), who(q))
	})
	mux.HandleFunc("/whep/{edge}/{device}/{id}", func(w http.ResponseWriter, q *http.Request) {
		r.ServeWHEPSession(w, q, q.PathValue("edge"), q.PathValue("device"), q.PathValue("id"), who(q))
	})
	mux.HandleFunc("/live/{edge}/{device}", func(w http.ResponseWriter, q *http.Request) {
		edge, device := q.PathValue("edge"), q.PathValue("device")
		r.ServeFMP4(w, q, edge, device, "/whep/"+edge+"/"+device, who(q))
	})
	return mux
}

func (f *fixture) eventually(what string, ok func() bool) {
	f.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	f.t.Fatal("timed out waiting until", what)
}

// ended returns the cause of the next lease that ends.
func (f *fixture) ended() devices.Cause {
	f.t.Helper()
	select {
	case why := <-f.leases.ended:
		return why
	case <-time.After(30 * time.Second):
		f.t.Fatal("no lease ended within 30 s")
		return devices.Cause{}
	}
}

// player is a viewer that plays until it is stopped.
type player struct {
	cancel  context.CancelFunc
	playing chan struct{} // closed at the fifth frame
	done    chan error
}

func (f *fixture) play(who, query string) *player {
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{cancel: cancel, playing: make(chan struct{}), done: make(chan error, 1)}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		f.t.Fatal(err)
	}
	frames := 0
	go func() {
		_, err := engine.Play(ctx, webrtc.PlayOptions{
			URL: f.server.URL + "/whep/gate-7/yard" + query, Header: http.Header{"Who": {who}},
			OnFrame: func(webrtc.Frame) {
				if frames++; frames == 5 {
					close(p.playing)
				}
			},
		})
		p.done <- err
	}()
	f.t.Cleanup(func() { cancel() })
	return p
}

func (f *fixture) waitForFrames(p *player) {
	f.t.Helper()
	select {
	case <-p.playing:
	case err := <-p.done:
		f.t.Fatal("a viewer ended:", err)
	case <-time.After(20 * time.Second):
		f.t.Fatal("a viewer received less than five frames in 20 s")
	}
}

func (f *fixture) stop(p *player) {
	f.t.Helper()
	p.cancel()
	select {
	case err := <-p.done:
		if err != nil {
			f.t.Error("a viewer ended with", err)
		}
	case <-time.After(20 * time.Second):
		f.t.Fatal("a viewer did not end")
	}
}
