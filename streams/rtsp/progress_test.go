package rtsp

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

// realPatience is that of a source with default options.
func realPatience() patience {
	o := Options{}.withDefaults()
	return patience{packet: o.StartTimeout, frame: o.FrameTimeout, keyframe: o.KeyframeTimeout, notice: o.FrameTimeout * 3 / 10}
}

// TestHowLongASessionWaits: seconds since PLAY at which the last packet and the last frame came, and what follows.
func TestHowLongASessionWaits(t *testing.T) {
	const never = -1
	udp := realPatience()
	udp.byUDP, udp.packet = true, 3*time.Second
	for _, c := range []struct {
		name              string
		now               float64
		packet, lastFrame float64
		limit             patience
		end               error
		missing           string // in the cause
		after             float64
	}{
		{"nothing yet", 5, never, never, realPatience(), nil, "", 5},
		{"a camera that needs 12 s", 12, never, never, realPatience(), nil, "no frames for 10 s", 18},
		{"nothing at all", 30, never, never, realPatience(), errNoFrames, "", 0},
		{"nothing by UDP", 3, never, never, udp, errNoUDPPackets, "", 0},
		{"the first packets", 2, 2, never, realPatience(), nil, "", 1},
		{"amid a GOP", 3, 3, never, realPatience(), nil, "waiting for a keyframe (for 3 s)", 7},
		{"amid a GOP of 20 s", 19, 19, never, realPatience(), nil, "waiting for a keyframe (for 10 s)", 1},
		{"amid a GOP of 60 s", 60, 60, never, realPatience(), nil, "waiting for a keyframe (for 1m)", 10},
		{"no keyframe", 90, 90, never, realPatience(), errNoKeyframe, "", 0},
		{"playing", 1000, 1000, 1000, realPatience(), nil, "", 10},
		{"a slow camera", 1000, 994, 994, realPatience(), nil, "", 4},
		{"silence", 1000, 990, 990, realPatience(), errNoFrames, "", 0},
		{"silence while a keyframe is awaited", 1000, 990, 980, realPatience(), errNoFrames, "", 0},
		{"a loss in a long GOP", 1000, 1000, 985, realPatience(), nil, "waiting for a keyframe (for 10 s)", 5},
		{"no keyframe after a loss", 1000, 1000, 910, realPatience(), errNoKeyframe, "", 0},
	} {
		played := time.Unix(1e9, 0)
		at := func(seconds float64) time.Time {
			if seconds == never {
				return time.Time{}
			}
			return played.Add(time.Duration(seconds * float64(time.Second)))
		}
		got := progress{played: played, lastPacket: at(c.packet), lastFrame: at(c.lastFrame)}.judge(at(c.now), c.limit)
		if !errors.Is(got.end, c.end) || !strings.Contains(got.missing.Text, c.missing) || c.missing == "" && !got.missing.IsZero() ||
			!known(got.missing) || got.after != time.Duration(c.after*float64(time.Second)) {
			t.Errorf("%s: %+v", c.name, got)
		}
	}
}

// TestSessionsEndOnlyWhenTheyMust: random arrivals against what patience promises.
func TestSessionsEndOnlyWhenTheyMust(t *testing.T) {
	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0)) // no secret
	limit := realPatience()
	for range 2000 {
		played := time.Unix(1e9, 0)
		p, now := progress{played: played}, played
		for range 200 {
			next := p.judge(now, limit)
			quiet, frameless := now.Sub(p.lastPacket), now.Sub(played)
			if p.lastPacket.IsZero() {
				quiet = 0
			}
			if !p.lastFrame.IsZero() {
				frameless = now.Sub(p.lastFrame)
			}
			if next.end != nil {
				switch {
				case errors.Is(next.end, errNoKeyframe) && frameless >= limit.keyframe:
				case errors.Is(next.end, errNoFrames) && (quiet >= limit.frame || p.lastPacket.IsZero() && frameless >= limit.packet):
				default:
					t.Fatalf("seed %d: %v after %v without a packet and %v without a frame", seed, next.end, quiet, frameless)
				}
				break
			}
			if quiet >= limit.frame || frameless >= limit.keyframe {
				t.Fatalf("seed %d: it goes on after %v without a packet and %v without a frame", seed, quiet, frameless)
			}
			if offline := frameless >= limit.frame; offline && next.missing.IsZero() {
				t.Fatalf("seed %d: no cause after %v without a frame", seed, frameless)
			}
			if next.after <= 0 || next.after > limit.packet {
				t.Fatalf("seed %d: the next look is in %v", seed, next.after)
			}
			now = now.Add(time.Duration(random.Int64N(int64(next.after))) + 1)
			switch random.IntN(8) {
			case 0:
				p.lastPacket, p.lastFrame = now, now
			case 1, 2, 3, 4, 5:
				p.lastPacket = now
			}
		}
	}
}

// sendWithKeyframesEvery sends frames from n on of which every gop-th is a keyframe.
func sendWithKeyframesEvery(c *rtsptest.Conn, n, gop int, lose ...int) {
	frames := rtsptest.Frames()
	for ; ; n++ {
		frame := frames[1+n%(rtsptest.GOP-1)]
		if n%gop == 0 {
			frame = frames[0]
		}
		payloads := rtsptest.PacketizeH264(frame)
		for i, payload := range payloads {
			packet := c.Packet(0, payload, uint32(n)*3600, i == len(payloads)-1)
			if len(lose) > 0 && n == lose[0] {
				continue
			}
			if !c.SendPacket(0, packet) {
				return
			}
		}
		if !c.Pause(rtsptest.Interval) {
			return
		}
	}
}

// longFrame is the time without a packet after which the tests' sessions end. No pause of a busy machine is as long.
// longGOP is the number of frames of a GOP that lasts longer.
const (
	longFrame = 1500 * time.Millisecond
	longGOP   = int(2 * longFrame / rtsptest.Interval)
)

// TestCamerasThatNeedTime: each plays in its first session.
func TestCamerasThatNeedTime(t *testing.T) {
	for name, c := range map[string]struct {
		camera   rtsptest.Camera
		offline  string // a cause before it is online
		attempts uint64
	}{
		"to the first frame": {rtsptest.Camera{Play: func(c *rtsptest.Conn) {
			if c.Pause(2 * longFrame) {
				c.SendMedia()
			}
		}}, "connected, but no frames", 1},
		"to the first frame, by UDP only": {rtsptest.Camera{Answer: refuseTCP, Play: func(c *rtsptest.Conn) {
			if c.Pause(2 * longFrame) {
				c.SendMedia()
			}
		}}, "connected, but no frames", 2},
		"to the first keyframe": {rtsptest.Camera{Play: func(c *rtsptest.Conn) {
			sendWithKeyframesEvery(c, 1, longGOP)
		}}, "waiting for a keyframe", 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := rtsptest.StartOne(t, &c.camera)
			w := watch(t, Options{URL: parsed(t, address), FrameTimeout: longFrame, UDPTimeout: longFrame})
			w.expect(false, c.offline)
			w.expect(true, "")
			w.accessUnits(20)
			if st := w.source.Stats(); st.Attempts != c.attempts {
				t.Errorf("%d attempts, want %d; log:\n%s", st.Attempts, c.attempts, w.log)
			}
		})
	}
}

// TestLossInALongGOP: until the next keyframe the camera is offline, with that as its cause, and its session goes on.
func TestLossInALongGOP(t *testing.T) {
	_, address := rtsptest.StartOne(t, &rtsptest.Camera{Play: func(c *rtsptest.Conn) { sendWithKeyframesEvery(c, 0, longGOP, 30) }})
	w := watch(t, Options{URL: parsed(t, address), FrameTimeout: longFrame})
	w.expect(true, "")
	w.expect(false, "waiting for a keyframe")
	w.expect(true, "")
	aus := w.accessUnits(40)
	if last := aus[39]; last.Session != 1 || w.source.Stats().Attempts != 1 {
		t.Errorf("session %d after %d attempts", last.Session, w.source.Stats().Attempts)
	}
	if got := w.source.Loss(); got.Lost == 0 || got.Received < 100 || got.Percent() > 2 {
		t.Errorf("the last minute's loss: %+v", got)
	}
	if n := strings.Count(w.log.String(), "waiting for a keyframe"); n != 1 {
		t.Errorf("the wait is logged %d times", n)
	}
}

func TestLossOfTheLastMinute(t *testing.T) {
	var m lossMeter
	start := time.Now()
	at := func(seconds int) time.Time { return start.Add(time.Duration(seconds) * time.Second) }
	for s := range 300 {
		lost := uint64(0)
		if s >= 100 && s < 200 {
			lost = 5
		}
		m.add(at(s), 95, lost)
		got := m.lastMinute(at(s))
		if got.Received < uint64(95*min(s+1, 50)) || got.Received > 95*60 {
			t.Fatalf("after %d s: %+v", s, got)
		}
		if heavy := s >= 110 && s < 240; heavy && !got.Heavy() || (s < 100 || s >= 260) && got.Lost != 0 {
			t.Fatalf("after %d s: %+v", s, got)
		}
	}
	if got := m.lastMinute(at(10_000)); got != (Loss{}) || got.Percent() != 0 || got.Heavy() {
		t.Errorf("long after: %+v", got)
	}
}
