package webrtc

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gridpost/streams"
	"gridpost/streams/h26x"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// camera publishes made-up frames to a stream at 25 a second.
type camera struct {
	stream *streams.Stream
	gop    int // frames from key to key
	size   int // bytes of a frame
	n      int
	sps    []byte        // SPS
	audio  streams.Codec // sent with the frames: two packets of 20 ms each
	spoken int           // packets of audio
}

func newCamera(gop, size int) *camera {
	return &camera{stream: streams.New(streams.Options{Name: "test"}), gop: gop, size: size, sps: []byte{0x67, 0x64, 0x00, 0x28, 0xac}}
}

const frameTime = 40 * time.Millisecond

// shoot publishes one frame; its number is in its bytes.
func (c *camera) publishFrame() {
	u := &streams.AccessUnit{Codec: streams.H264, Session: 1, PTS: time.Duration(c.n) * frameTime, Arrived: time.Now(), Keyframe: c.n%c.gop == 0}
	kind := byte(0x41)
	if u.Keyframe {
		kind = 0x65
		u.NALUs = [][]byte{c.sps, {0x68, 0xee, 0x3c, 0x80}}
	}
	frame := make([]byte, c.size)
	frame[0] = kind
	binary.BigEndian.PutUint64(frame[1:], uint64(c.n))
	for i := 9; i < len(frame); i++ {
		frame[i] = byte(rand.Uint32())
	}
	u.NALUs = append(u.NALUs, frame)
	c.stream.Publish(u)
	c.n++
	if c.audio != "" {
		c.publishAudio(u.PTS)
		c.publishAudio(u.PTS + frameTime/2)
	}
}

// publishAudio publishes a packet of audio; its number is in its bytes.
func (c *camera) publishAudio(pts time.Duration) {
	data := binary.BigEndian.AppendUint64(nil, uint64(c.spoken))
	c.spoken++
	c.stream.Publish(&streams.AccessUnit{Track: 1, Codec: c.audio, Session: 1, PTS: pts, DTS: pts, Arrived: time.Now(), Data: append(data, make([]byte, 152)...)})
}

// withAudio returns the camera with a track of audio.
func (c *camera) withAudio(t streams.Track) *camera {
	c.audio = t.Codec
	c.stream.Describe(streams.Description{Session: 1, Tracks: []streams.Track{{Codec: streams.H264, ClockRate: clockRate}, t}})
	return c
}

func (c *camera) run(ctx context.Context) {
	tick := time.NewTicker(frameTime)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			c.publishFrame()
		case <-ctx.Done():
			return
		}
	}
}

// hub is the least that takes a publisher in and viewers out.
type hub struct {
	t       *testing.T
	engine  *Engine
	feed    *Feed
	server  *httptest.Server
	ctx     context.Context
	running sync.WaitGroup
	edit    func(answer string) string // what publishers and viewers are answered; nil: it is not changed

	mu      sync.Mutex
	ingest  *Ingest
	viewers []*Viewer
	ended   chan error // of viewers and publishers
}

func newHub(t *testing.T) *hub {
	t.Helper()
	return newHubAt(t, "127.0.0.1:0")
}

func newHubAt(t *testing.T, listen string) *hub {
	t.Helper()
	engine, err := NewEngine(EngineOptions{Listen: listen})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	h := &hub{t: t, engine: engine, feed: NewFeed(), ctx: ctx, ended: make(chan error, 100)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /whip", h.whip)
	mux.HandleFunc("POST /whep", h.whep)
	mux.HandleFunc("DELETE /resource", func(http.ResponseWriter, *http.Request) {})
	h.server = httptest.NewServer(mux)
	t.Cleanup(func() {
		cancel()
		h.running.Wait()
		h.server.Close()
		http.DefaultClient.CloseIdleConnections()
		if err := engine.Close(); err != nil {
			t.Error(err)
		}
	})
	return h
}

func (h *hub) whip(w http.ResponseWriter, q *http.Request) {
	offer, err := io.ReadAll(q.Body)
	if err != nil {
		h.t.Error(err)
		return
	}
	in, err := h.engine.NewIngest(string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	h.mu.Lock()
	h.ingest = in
	h.mu.Unlock()
	h.feed.setCodec(in.codec)
	if in.audio != nil && h.feed.audio == nil {
		h.feed.audio = newAudioFeed(*in.audio)
	}
	h.running.Go(func() {
		defer in.Close()
		h.ended <- in.Run(h.ctx, func(context.Context) (*Feed, error) { return h.feed, nil })
	})
	h.answer(w, in.Answer())
}

func (h *hub) whep(w http.ResponseWriter, q *http.Request) {
	offer, err := io.ReadAll(q.Body)
	if err != nil {
		h.t.Error(err)
		return
	}
	v, err := h.engine.NewViewer(h.feed, string(offer))
	if err != nil {
		http.Error(w, err.Error(), http.StatusNotAcceptable)
		return
	}
	h.mu.Lock()
	h.viewers = append(h.viewers, v)
	h.mu.Unlock()
	h.running.Go(func() {
		defer v.Close()
		h.ended <- v.Run(h.ctx)
	})
	h.answer(w, v.Answer())
}

func (h *hub) answer(w http.ResponseWriter, sdp string) {
	if h.edit != nil {
		sdp = h.edit(sdp)
	}
	answer(w, sdp)
}

func answer(w http.ResponseWriter, sdp string) {
	w.Header().Set("Location", "/resource")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, sdp)
}

func (h *hub) viewer(i int) *Viewer {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.viewers[i]
}

// publish runs a publisher and returns its end.
func (h *hub) publish(ctx context.Context, s *streams.Stream) <-chan error {
	h.t.Helper()
	return h.publishWith(ctx, s, PublishOptions{})
}

// publishWith is publish with further options.
func (h *hub) publishWith(ctx context.Context, s *streams.Stream, o PublishOptions) <-chan error {
	h.t.Helper()
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	ready, done := make(chan struct{}), make(chan error, 1)
	o.URL, o.Stream, o.Ready = h.server.URL+"/whip", s, func() { close(ready) }
	go func() { done <- engine.Publish(ctx, o) }()
	select {
	case <-ready:
	case err := <-done:
		h.t.Fatal("publishing:", err)
	}
	return done
}

// play plays until each returns false, and returns what came.
func (h *hub) play(ctx context.Context, o PlayOptions, each func(Frame) bool) (PlayStats, error) {
	h.t.Helper()
	engine, err := NewEngine(EngineOptions{})
	if err != nil {
		h.t.Fatal(err)
	}
	if o.drop != nil { // what it drops has been seen by SRTP, which must take the second copy
		engine.settings.DisableSRTPReplayProtection(true)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, 20*time.Second, errors.New("the test waited 20 s"))
	defer cancel()
	o.URL = h.server.URL + "/whep"
	o.OnFrame = func(f Frame) {
		if !each(f) {
			cancel()
		}
	}
	return engine.Play(ctx, o)
}

// frames puts FU-A and single payloads together again and hands out each frame's number.
type frameCollector struct {
	payload bytes.Buffer
	numbers []uint64
	sizes   []int
}

func (p *frameCollector) add(x Packet) {
	switch h26x.TypeOf(streams.H264, x.Payload) {
	case h26x.RTPH264FUA:
		if x.Payload[1]&0x80 != 0 {
			p.payload.Reset()
		}
		p.payload.Write(x.Payload[2:])
	case h26x.RTPH264STAPA:
		return
	default:
		p.payload.Reset()
		p.payload.Write(x.Payload[1:])
	}
	if x.Marker {
		p.numbers = append(p.numbers, binary.BigEndian.Uint64(p.payload.Bytes()))
		p.sizes = append(p.sizes, p.payload.Len()+1)
	}
}

func TestPublishAndPlay(t *testing.T) {
	h := newHub(t)
	c := newCamera(50, 20_000)
	for range 80 { // one GOP, and thirty frames of the next
		c.publishFrame()
	}
	ctx, cancel := context.WithCancel(context.Background())
	shooting := make(chan struct{})
	go func() { defer close(shooting); c.run(ctx) }()
	published := h.publish(ctx, c.stream)

	var got frameCollector
	var frames []Frame
	begun := time.Now()
	stats, err := h.play(ctx, PlayOptions{OnPacket: got.add}, func(f Frame) bool {
		frames = append(frames, f)
		return len(frames) < 60
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("first frame after %s, %+v", frames[0].At.Sub(begun), stats)
	if !frames[0].Keyframe {
		t.Error("the first frame is not a keyframe")
	}
	if got.numbers[0] != 50 {
		t.Errorf("the first frame is number %d, want 50: the current GOP", got.numbers[0])
	}
	for i, n := range got.numbers {
		if want := got.numbers[0] + uint64(i); n != want || got.sizes[i] != 20_000 {
			t.Fatalf("frame %d is number %d of %d bytes, want %d of 20000", i, n, got.sizes[i], want)
		}
	}
	for i := 1; i < 29; i++ {
		if d := frames[i].Timestamp - frames[i-1].Timestamp; d != squeezeStep {
			t.Fatalf("cached frame %d is %d ticks after the one before, want %d", i, d, squeezeStep)
		}
	}
	for i := 40; i < 60; i++ {
		if d := frames[i].Timestamp - frames[i-1].Timestamp; d != 3600 {
			t.Fatalf("live frame %d is %d ticks after the one before, want 3600", i, d)
		}
	}
	t.Logf("the cached GOP took %s", frames[28].At.Sub(frames[0].At))
	cancel()
	<-shooting
	if err := <-published; err != nil {
		t.Error("publishing ended with", err)
	}
}

// TestH265ReachesViewersThatOfferIt: the hub passes it on, and a viewer without it is refused.
func TestH265ReachesViewersThatOfferIt(t *testing.T) {
	h := newHub(t)
	stream := streams.New(streams.Options{})
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	defer running.Wait()
	defer cancel()
	publish := func(n int) {
		u := &streams.AccessUnit{Codec: streams.H265, Session: 1, PTS: time.Duration(n) * frameTime, Arrived: time.Now(), Keyframe: n%25 == 0}
		frame := append([]byte{1 << 1, 1}, make([]byte, 2000)...)
		if u.Keyframe {
			frame[0] = 19 << 1
			u.NALUs = [][]byte{{32 << 1, 1, 9}, {33 << 1, 1, 9}, {34 << 1, 1, 9}}
		}
		u.NALUs = append(u.NALUs, frame)
		stream.Publish(u)
	}
	publish(0)
	running.Go(func() {
		tick := time.NewTicker(frameTime)
		defer tick.Stop()
		for n := 1; ; n++ {
			select {
			case <-tick.C:
				publish(n)
			case <-ctx.Done():
				return
			}
		}
	})
	published := h.publish(ctx, stream)
	v := newForeignViewer(t, "audio", "video")
	answer := post(t, h.server.URL+"/whep", v.offer)
	if !strings.Contains(answer, "H265/90000") || strings.Contains(answer, "H264/90000") {
		t.Errorf("the answer:\n%s", answer)
	}
	v.receive(t, answer, "video")
	if _, err := h.engine.NewViewer(h.feed, chromiumFormats); !errors.Is(err, ErrCodec) {
		t.Errorf("a viewer without H.265: %v", err)
	}
	cancel()
	if err := <-published; err != nil {
		t.Error(err)
	}
}
