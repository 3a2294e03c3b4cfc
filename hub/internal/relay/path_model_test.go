package relay

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"gridpost/devices"
	"gridpost/hub/api"
	"gridpost/hub/internal/problem"
	"gridpost/streams/webrtc"
)

// fakeSource is the video of a publisher in a codec.
type fakeSource struct {
	codec string
	world *pathWorld
}

func (s fakeSource) NewFeed() *webrtc.Feed {
	f := webrtc.NewFeed()
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	s.world.codecs[f] = s.codec
	return f
}

func (s fakeSource) CanContinue(f *webrtc.Feed) bool {
	s.world.mu.Lock()
	defer s.world.mu.Unlock()
	return s.world.codecs[f] == s.codec
}

// pathWorld is a relay with one camera, its edge and its viewers, all of which behave at random. It checks
// what must always hold.
type pathWorld struct {
	t       *testing.T
	relay   *Relay
	stopHub context.CancelFunc
	running sync.WaitGroup

	mu       sync.Mutex
	random   *rand.Rand
	codecs   map[*webrtc.Feed]string
	writer   map[*webrtc.Feed]*publisher // who writes to a feed
	inFlight bool                        // a command is being sent
	loses    bool                        // the edge may lose commands, and its line
	asked    bool                        // the edge publishes: the last command that reached it was to publish
	session  context.CancelFunc          // of the edge's publication; nil: there is none
	end      *time.Timer                 // ends the edge's publication
	history  []string
}

func (w *pathWorld) n(limit int) int {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.random.IntN(limit)
}

func (w *pathWorld) chance(percent int) bool { return w.n(100) < percent }

// sleep sleeps for a random time, or until ctx ends.
func (w *pathWorld) sleep(ctx context.Context, longest time.Duration) error {
	timer := time.NewTimer(time.Duration(w.n(int(longest/time.Millisecond)+1)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

func (w *pathWorld) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.history = append(w.history, fmt.Sprintf("%6d ms: ", time.Now().UnixMilli()%1e6)+fmt.Sprintf(format, args...))
}

func (w *pathWorld) fail(format string, args ...any) {
	w.t.Errorf(format, args...)
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, line := range w.history[max(0, len(w.history)-40):] {
		w.t.Log(line)
	}
}

// Begin and End implement Leases.
func (w *pathWorld) Begin(context.Context, Lease) (string, context.Context, error) {
	return "1", nil, nil
}
func (w *pathWorld) End(string, devices.Cause) {}

// Command implements Commander. Commands are slow, lost and refused at random.
func (w *pathWorld) Command(ctx context.Context, _ string, c api.Command) error {
	w.mu.Lock()
	if w.inFlight {
		defer w.mu.Unlock()
		w.t.Error("two commands at the same time")
		return nil
	}
	w.inFlight = true
	loses := w.loses
	w.mu.Unlock()
	w.note("command %s", c.Kind)
	defer func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.inFlight = false
	}()
	longest := 200 * time.Millisecond
	if loses && w.chance(20) {
		longest = 30 * time.Second
	}
	err := w.sleep(ctx, longest)
	if err != nil && loses && w.chance(50) { // it takes a while to end
		_ = w.sleep(context.Background(), time.Second)
	}
	if errors.Is(err, context.Canceled) {
		return problem.New("video_request_ended") // no viewer must get this: the path itself has cancelled the command
	}
	if err != nil {
		return err
	}
	if c.Kind == api.CommandStop || c.Kind == api.CommandStopStream {
		if !loses || w.chance(90) {
			w.publish(false, 0)
		}
		if loses && w.chance(10) {
			return errors.New("the answer was lost")
		}
		return nil
	}
	switch {
	case loses && w.chance(10):
		return errors.New("the command was lost")
	case loses && w.chance(10):
		w.publish(false, 0) // an edge that cannot publish does not
		return Refused{Cause: devices.NewCause("camera_not_online")}
	}
	w.publish(true, c.Until.Sub(c.Issued))
	if loses && w.chance(10) {
		return errors.New("the answer was lost")
	}
	return nil
}

// publish starts or stops the edge's publication. It ends after the time given, if that is not renewed.
func (w *pathWorld) publish(on bool, until time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = on
	if w.end != nil {
		w.end.Stop()
	}
	if on {
		w.end = time.AfterFunc(until, func() { w.publish(false, 0) })
	}
	switch {
	case !on && w.session != nil:
		w.session()
		w.session = nil
	case on && w.session == nil:
		ctx, cancel := context.WithCancel(context.Background())
		w.session = cancel
		w.running.Go(func() { w.edge(ctx) })
	}
}

// edge publishes until ctx ends. A session that ends is followed by another one.
func (w *pathWorld) edge(ctx context.Context) {
	codec := "h264"
	for ctx.Err() == nil {
		if w.sleep(ctx, 300*time.Millisecond) != nil {
			return
		}
		lasts := 24 * time.Hour
		w.mu.Lock()
		loses := w.loses
		w.mu.Unlock()
		if loses && w.chance(30) {
			lasts = 5 * time.Second
		}
		if loses && w.chance(10) {
			codec = "h265"
		}
		w.whip(ctx, lasts, codec, true)
		if w.sleep(ctx, time.Second) != nil {
			return
		}
	}
}

// whip is a session of a publisher; it does what Relay.publish does.
func (w *pathWorld) whip(ctx context.Context, lasts time.Duration, codec string, own bool) {
	running := w.relay.context()
	if running == nil {
		return
	}
	session, cancel := context.WithCancelCause(running)
	defer context.AfterFunc(ctx, func() { cancel(errors.New("the publisher ended it")) })()
	p := &publisher{key: pathKey{"gate-7", "yard", ""}, own: own, source: fakeSource{codec, w}, cancel: cancel, done: make(chan struct{})}
	defer close(p.done)
	if own {
		if _, err := w.relay.attach(p, true); err != nil {
			return
		}
	}
	w.note("publisher %p (own: %v) offers", p, own)
	if err := w.sleep(session, 100*time.Millisecond); err == nil {
		feed, err := w.relay.connected(p)
		if err == nil {
			w.write(feed, p)
			timer := time.NewTimer(lasts)
			select {
			case <-session.Done():
			case <-timer.C:
			}
			timer.Stop()
			w.unwrite(feed, p)
		}
	}
	p.detach(errors.New("the publisher has ended"))
	cancel(nil)
	w.note("publisher %p ended: %v", p, context.Cause(session))
}

func (w *pathWorld) write(f *webrtc.Feed, p *publisher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writer[f] != nil {
		w.t.Error("two publishers write to one feed")
	}
	w.writer[f] = p
}

func (w *pathWorld) unwrite(f *webrtc.Feed, p *publisher) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writer[f] == p {
		delete(w.writer, f)
	}
}

// viewer watches for a random time.
func (w *pathWorld) viewer() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if w.chance(30) { // it goes before there is any video
		w.running.Go(func() {
			_ = w.sleep(ctx, 3*time.Second)
			cancel()
		})
	}
	from := time.Now()
	up, release, err := w.relay.acquire(ctx, pathKey{"gate-7", "yard", ""})
	if took := time.Since(from); took > w.relay.o.StartTimeout+stopTimeout {
		w.fail("a viewer waited %s", took)
	}
	if err != nil {
		w.note("a viewer is refused: %v", err)
		if errors.Is(err, problem.New("video_request_ended")) {
			w.fail("a viewer got the error of a command that was cancelled")
		}
		return
	}
	w.note("a viewer watches")
	timer := time.NewTimer(time.Duration(w.n(20000)) * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-up.ctx.Done():
		if errors.Is(context.Cause(up.ctx), errNoViewers()) {
			w.fail("the upstream of a viewer ended because it has no viewers")
		}
	}
	release()
	if w.chance(10) {
		release()
	}
}

func newPathWorld(t *testing.T, seed uint64) *pathWorld {
	w := &pathWorld{
		t: t, random: rand.New(rand.NewPCG(seed, 1)), codecs: make(map[*webrtc.Feed]string), writer: make(map[*webrtc.Feed]*publisher), loses: true,
	}
	w.relay = New(Options{Leases: w, Commander: w, Linger: time.Duration(100+w.n(10000)) * time.Millisecond})
	ctx, stop := context.WithCancel(context.Background())
	w.stopHub = stop
	w.running.Go(func() { _ = w.relay.Run(ctx) })
	synctest.Wait()
	return w
}

// paths returns the number of paths.
func (w *pathWorld) paths() int {
	w.relay.mu.Lock()
	defer w.relay.mu.Unlock()
	return len(w.relay.paths)
}

// publishes reports whether the edge publishes.
func (w *pathWorld) publishes() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.asked
}

// TestPathModel runs viewers, publishers and commands in random interleavings, and then lets everything come to
// rest: in an undisturbed world the edge does not publish without viewers, publishes when one comes, and
// nothing is left.
func TestPathModel(t *testing.T) {
	for seed := range uint64(300) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				w := newPathWorld(t, seed)
				w.disturb()
				if w.chance(30) { // the hub stops in the middle
					w.stopHub()
					w.settle(time.Minute)
				} else {
					w.checkRest()
					w.stopHub()
				}
				w.settle(time.Minute)
				w.publish(false, 0)
				w.running.Wait()
				if n := w.paths(); n != 0 {
					w.fail("%d paths are left", n)
				}
			})
		})
	}
}

// disturb lets random things happen for a while.
func (w *pathWorld) disturb() {
	for range 20 + w.n(40) {
		switch n := w.n(100); {
		case n < 60:
			w.running.Go(w.viewer)
		case n < 70: // somebody else publishes
			w.running.Go(func() { w.whip(context.Background(), time.Duration(w.n(20))*time.Second, "h264", false) })
		case n < 75: // the edge publishes without a command
			w.publish(true, publishDuration)
		}
		w.settle(time.Duration(w.n(3000)) * time.Millisecond)
	}
}

// settle lets time pass.
func (w *pathWorld) settle(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// checkRest ends all disturbances and checks where the path comes to rest.
func (w *pathWorld) checkRest() {
	w.mu.Lock()
	w.loses = false
	w.mu.Unlock()
	w.settle(time.Minute) // all viewers have gone by then
	// An edge that has missed the command to stop publishes until it is noticed.
	w.settle(2*w.relay.o.Unattended + time.Minute)
	if w.publishes() {
		w.fail("the edge publishes without viewers")
	}
	if n := w.paths(); n != 0 {
		w.fail("%d paths are left without users and publishers", n)
	}
	if s := w.relay.Stats(); s.Upstreams != 0 {
		w.fail("%d upstreams are left", s.Upstreams)
	}
	up, release, err := w.relay.acquire(context.Background(), pathKey{"gate-7", "yard", ""})
	if err != nil {
		w.fail("a viewer was refused in an undisturbed world: %v", err)
		return
	}
	w.settle(2 * time.Hour) // the publication is renewed
	if up.ctx.Err() != nil || !w.publishes() {
		w.fail("the upstream of a viewer ended: %v", context.Cause(up.ctx))
	}
	release()
	w.settle(w.relay.o.Linger + time.Second)
	if w.publishes() || w.paths() != 0 {
		w.fail("after the last viewer: publishes %v, %d paths", w.publishes(), w.paths())
	}
}

// TestHubStopCommandsTheEdgeToStop: the edge must not go on publishing to a hub that has stopped.
func TestHubStopCommandsTheEdgeToStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newPathWorld(t, 1)
		w.loses = false
		up, _, err := w.relay.acquire(t.Context(), pathKey{"gate-7", "yard", ""})
		if err != nil {
			t.Fatal(err)
		}
		w.stopHub()
		w.running.Wait()
		if w.publishes() {
			t.Error("the edge still publishes")
		}
		if cause := context.Cause(up.ctx); !errors.Is(cause, problem.New("hub_stopping")) {
			t.Errorf("the upstream ended with %v", cause)
		}
	})
}
