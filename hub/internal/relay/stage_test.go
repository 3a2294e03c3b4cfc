package relay

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"gridpost/hub/api"
	"gridpost/streams"
	"gridpost/streams/webrtc"
)

// record keeps leases in memory.
type record struct {
	mu     sync.Mutex
	leases []Lease
	ends   map[string]string
	ended  chan string // the reason of each end
	fail   error
}

func (r *record) Begin(_ context.Context, l Lease) (string, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.fail != nil {
		return "", r.fail
	}
	r.leases = append(r.leases, l)
	return fmt.Sprint(len(r.leases)), nil
}

func (r *record) End(_ context.Context, id, why string) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, twice := r.ends[id]; twice {
		return fmt.Errorf("lease %s ended twice", id)
	}
	r.ends[id] = why
	r.ended <- why
	return nil
}

func (r *record) begun() []Lease {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]Lease(nil), r.leases...)
}

// edge carries out commands as an edge does: with a publisher of its own.
type edge struct {
	t      *testing.T
	url    func() string
	stream *streams.Stream

	mu       sync.Mutex
	refuse   error
	silent   bool // says yes and does nothing
	commands []api.Command
	cancel   context.CancelFunc
	running  sync.WaitGroup
	stopped  chan struct{} // a stop command came
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

// bench is a relay with an edge, a record and an HTTP server.
type bench struct {
	t      *testing.T
	relay  *Relay
	edge   *edge
	record *record
	server *httptest.Server
}

func newBench(t *testing.T, o Options) *bench {
	t.Helper()
	return newBenchWith(t, o, shoot)
}

// newBenchWith takes its pictures from camera.
func newBenchWith(t *testing.T, o Options, camera func(context.Context, *streams.Stream)) *bench {
	t.Helper()
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{Listen: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{
		t:      t,
		record: &record{ends: make(map[string]string), ended: make(chan string, 100)},
		edge:   &edge{t: t, stream: streams.New(streams.Options{Name: "gate"}), stopped: make(chan struct{}, 100)},
	}
	b.edge.url = func() string { return b.server.URL }
	o.Engine, o.Leases, o.Commander = engine, b.record, b.edge
	b.relay = New(o)
	b.server = httptest.NewServer(routes(b.relay))

	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := b.relay.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	running.Go(func() { camera(ctx, b.edge.stream) })
	b.eventually("the relay runs", func() bool { return b.relay.context() != nil })
	t.Cleanup(func() {
		cancel()
		running.Wait()
		b.edge.mu.Lock()
		if b.edge.cancel != nil {
			b.edge.cancel()
		}
		b.edge.mu.Unlock()
		b.edge.running.Wait()
		b.server.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return b
}

func routes(r *Relay) http.Handler {
	who := func(q *http.Request) Viewer {
		return Viewer{Who: q.Header.Get("Who"), Incident: q.URL.Query().Get("incident"), Reason: q.URL.Query().Get("reason")}
	}
	mux := http.NewServeMux()
	mux.HandleFunc("/whip/{edge}/{device}", func(w http.ResponseWriter, q *http.Request) {
		r.ServeWHIP(w, q, q.PathValue("edge"), q.PathValue("device"))
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
	return mux
}

// shoot publishes made-up pictures, 25 a second, a key picture every 25.
func shoot(ctx context.Context, s *streams.Stream) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		u := &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: time.Duration(n) * 40 * time.Millisecond, Arrived: time.Now(), Keyframe: n%25 == 0}
		picture := make([]byte, 8000)
		picture[0] = 0x41
		if u.Keyframe {
			picture[0] = 0x65
			u.NALUs = [][]byte{{0x67, 0x64, 0x00, 0x28, 0xac}, {0x68, 0xee, 0x3c, 0x80}}
		}
		u.NALUs = append(u.NALUs, picture)
		s.Publish(u)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

func (b *bench) eventually(what string, ok func() bool) {
	b.t.Helper()
	for deadline := time.Now().Add(15 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if ok() {
			return
		}
	}
	b.t.Fatal("waited in vain until", what)
}

// ended returns the next recorded end.
func (b *bench) ended() string {
	b.t.Helper()
	select {
	case why := <-b.record.ended:
		return why
	case <-time.After(30 * time.Second):
		b.t.Fatal("no lease has ended")
		return ""
	}
}

// player is a viewer that plays until it is stopped.
type player struct {
	cancel context.CancelFunc
	moving chan struct{} // closed at the fifth picture
	done   chan error
}

func (b *bench) play(who, query string) *player {
	ctx, cancel := context.WithCancel(context.Background())
	p := &player{cancel: cancel, moving: make(chan struct{}), done: make(chan error, 1)}
	engine, err := webrtc.NewEngine(webrtc.EngineOptions{})
	if err != nil {
		b.t.Fatal(err)
	}
	frames := 0
	go func() {
		_, err := engine.Play(ctx, webrtc.PlayOptions{
			URL: b.server.URL + "/whep/gate-7/yard" + query, Header: http.Header{"Who": {who}},
			OnFrame: func(webrtc.Frame) {
				if frames++; frames == 5 {
					close(p.moving)
				}
			},
		})
		p.done <- err
	}()
	b.t.Cleanup(func() { cancel() })
	return p
}

func (b *bench) moves(p *player) {
	b.t.Helper()
	select {
	case <-p.moving:
	case err := <-p.done:
		b.t.Fatal("a viewer ended:", err)
	case <-time.After(20 * time.Second):
		b.t.Fatal("a viewer saw nothing for 20 s")
	}
}

func (b *bench) stop(p *player) {
	b.t.Helper()
	p.cancel()
	select {
	case err := <-p.done:
		if err != nil {
			b.t.Error("a viewer ended with", err)
		}
	case <-time.After(20 * time.Second):
		b.t.Fatal("a viewer did not end")
	}
}
