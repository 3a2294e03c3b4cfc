package rtsp

import (
	"encoding/binary"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"gridpost/streams/rtsp/rtsptest"
)

// sendFrame sends frame n of the H.264 track, each packet changed by change.
func sendFrame(c *rtsptest.Conn, n int, change func(packet []byte) []byte) bool {
	frames := rtsptest.Frames()
	payloads := rtsptest.PacketizeH264(frames[n%len(frames)])
	for i, payload := range payloads {
		if !c.SendPacket(0, change(c.Packet(0, payload, uint32(n)*3600, i == len(payloads)-1))) {
			return false
		}
	}
	return c.Pause(rtsptest.Interval)
}

func same(packet []byte) []byte { return packet }

// TestPacketsThatTheLibraryWouldDrop: each camera plays in one session and loses no frame but at most those up to the
// next keyframe.
func TestPacketsThatTheLibraryWouldDrop(t *testing.T) {
	const frames = 60
	for name, c := range map[string]struct {
		play   func(c *rtsptest.Conn)
		answer func(*rtsptest.Conn, *rtsptest.Request, *rtsptest.Answer)
		lost   int // frames, at most
		jump   bool
	}{
		"another SSRC from a keyframe on": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, func(p []byte) []byte {
				if n >= 20 {
					binary.BigEndian.PutUint32(p[8:], 99)
				}
				return p
			}); n++ {
			}
		}},
		"another SSRC, sequence and clock amid a GOP": {jump: true, lost: rtsptest.GOP, play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, func(p []byte) []byte {
				if n >= 22 {
					binary.BigEndian.PutUint32(p[8:], 99)
					binary.BigEndian.PutUint16(p[2:], binary.BigEndian.Uint16(p[2:])+30000)
					binary.BigEndian.PutUint32(p[4:], binary.BigEndian.Uint32(p[4:])+1e9)
				}
				return p
			}); n++ {
			}
		}},
		"a stray payload type among the packets": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, same); n++ {
				stray := c.Packet(0, []byte("metadata"), uint32(n)*3600, true)
				stray[1] = 0x80 | 107
				if !c.SendPacket(0, stray) {
					return
				}
			}
		}},
		"padding that is longer than its packet": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, func(p []byte) []byte {
				p[0] |= 0x20
				return append(p, 0)
			}); n++ {
			}
		}},
		"an extension that is longer than its packet": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, same); n++ {
				odd := c.Packet(0, []byte{0xbe, 0xde, 255, 255}, uint32(n)*3600, false)
				odd[0] |= 0x10
				odd = odd[:len(odd)-4] // nothing remains of it
				if !c.SendPacket(0, odd) {
					return
				}
			}
		}},
		"another SSRC on channels that the camera has chosen": {answer: set("SETUP", "Transport", "RTP/AVP/TCP;unicast;interleaved=9-10"), play: func(c *rtsptest.Conn) {
			frames := rtsptest.Frames()
			for n := 0; c.Pause(rtsptest.Interval); n++ {
				payloads := rtsptest.PacketizeH264(frames[n%len(frames)])
				for i, payload := range payloads {
					p := c.Packet(0, payload, uint32(n)*3600, i == len(payloads)-1)
					if n >= 20 {
						binary.BigEndian.PutUint32(p[8:], 99)
					}
					c.Write(rtsptest.Interleaved(9, p))
				}
			}
		}},
		"another payload type than described": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, func(p []byte) []byte {
				p[1] = p[1]&0x80 | 98
				return p
			}); n++ {
			}
		}},
		"RTCP on the channel of RTP": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, same); n++ {
				report := append([]byte{0x80, 200, 0, 6, 0, 0, 0, 1, 0xe8, 0, 0, byte(n)}, make([]byte, 16)...)
				if !c.SendPacket(0, report) {
					return
				}
			}
		}},
		"audio of another SSRC on the channel, before the video": {play: func(c *rtsptest.Conn) {
			for n := 0; ; n++ {
				for range 3 {
					sound := c.Packet(0, []byte("sound"), uint32(n)*160, true)
					sound[1] = 8
					binary.BigEndian.PutUint32(sound[8:], 77)
					binary.BigEndian.PutUint16(sound[2:], uint16(n))
					if !c.SendPacket(0, sound) {
						return
					}
					c.SkipPackets(0, -1)
				}
				if !sendFrame(c, n, same) {
					return
				}
			}
		}},
		"each packet twice": {play: func(c *rtsptest.Conn) {
			for n := 0; sendFrame(c, n, func(p []byte) []byte {
				c.SendPacket(0, p)
				return p
			}); n++ {
			}
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := rtsptest.StartOne(t, &rtsptest.Camera{Play: c.play, Answer: c.answer})
			w := watch(t, Options{URL: parsed(t, address)})
			aus := w.accessUnits(frames)
			last := aus[frames-1]
			if last.Session != 1 {
				t.Errorf("the session did not survive; log:\n%s", w.log)
			}
			if got := int(last.PTS * 25 / 1e9); !c.jump && (got < frames-1 || got > frames-1+c.lost) {
				t.Errorf("%d frames end with frame %d, want %d; stats %+v", frames, got, frames-1, w.source.Stats())
			}
			if st := w.source.Stats(); st.Dropped > uint64(c.lost) || st.DecodeErrors != 0 {
				t.Errorf("stats %+v", st)
			}
		})
	}
}

// refuseTCP is an Answer of a camera that serves UDP only.
func refuseTCP(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
	if r.Method == "SETUP" && strings.Contains(r.Header.Get("Transport"), "TCP") {
		a.Status = "RTSP/1.0 461 Unsupported Transport"
	}
}

func TestCausesOfTransports(t *testing.T) {
	silent := func(c *rtsptest.Conn) {
		for c.Pause(time.Second) {
		}
	}
	for name, c := range map[string]struct{ transport, cause string }{
		"any of them": {Auto, "the camera serves UDP only, and nothing comes by UDP"},
		"UDP first":   {UDP, "the camera serves UDP only, and nothing comes by UDP"},
		"TCP only":    {TCP, "the camera does not serve TCP (461): set transport: auto"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := rtsptest.StartOne(t, &rtsptest.Camera{Answer: refuseTCP, Play: silent})
			w := watch(t, Options{URL: parsed(t, address), Transport: c.transport, UDPTimeout: 100 * time.Millisecond, StartTimeout: 300 * time.Millisecond})
			w.expect(false, c.cause)
			w.stop()
			for len(w.states) > 0 {
				if s := <-w.states; s.online || !strings.Contains(s.cause, c.cause) {
					t.Errorf("then %+v", s)
				}
			}
		})
	}
}

// TestAnotherSourceByUDP: the library cannot be told that the SSRC has changed, so the session is renewed at once.
func TestAnotherSourceByUDP(t *testing.T) {
	var sessions atomic.Int32
	_, address := rtsptest.StartOne(t, &rtsptest.Camera{Answer: refuseTCP, Play: func(c *rtsptest.Conn) {
		first := sessions.Add(1) == 1
		for n := 0; sendFrame(c, n, func(p []byte) []byte {
			if first && n > 40 {
				binary.BigEndian.PutUint32(p[8:], 99)
			}
			return p
		}); n++ {
		}
	}})
	w := watch(t, Options{URL: parsed(t, address), RetryMin: time.Hour, RetryMax: time.Hour})
	w.expect(true, "")
	for u := w.accessUnits(1)[0]; u.Session != 2; u = w.accessUnits(1)[0] {
	}
	if n := w.source.Stats().Attempts; n != 3 {
		t.Errorf("%d attempts, want 3: TCP, UDP, and UDP again", n)
	}
}

// TestBFramesAreAWarning: the camera is online, and its state says what live video cannot show.
func TestBFramesAreAWarning(t *testing.T) {
	_, address := rtsptest.StartOne(t, &rtsptest.Camera{Play: func(c *rtsptest.Conn) {
		key := rtsptest.PacketizeH264(rtsptest.Frames()[0])
		for gop := uint32(0); ; gop++ {
			for i, payload := range key {
				if !c.SendPacket(0, c.Packet(0, payload, gop*4*3600, i == len(key)-1)) {
					return
				}
			}
			for _, f := range []struct {
				kind byte
				time uint32
			}{{'P', 3}, {'B', 1}, {'B', 2}} {
				if !c.SendPacket(0, c.Packet(0, slice(f.kind), (gop*4+f.time)*3600, true)) || !c.Pause(rtsptest.Interval) {
					return
				}
			}
		}
	}})
	w := watch(t, Options{URL: parsed(t, address)})
	w.expect(true, "B-frames")
	w.accessUnits(20)
	if n := strings.Count(w.log.String(), "camera is online"); n != 1 {
		t.Errorf("that it is online is logged %d times", n)
	}
}

// TestPortsOfUDP: what a camera says about its ports does not matter.
func TestPortsOfUDP(t *testing.T) {
	for name, change := range map[string]func(ports string) string{
		"as sent":       func(ports string) string { return ports },
		"other ones":    func(string) string { return ";server_port=9-10" },
		"none":          func(string) string { return "" },
		"ports of zero": func(string) string { return ";server_port=0-0" },
		"only one":      func(string) string { return ";server_port=9" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, address := rtsptest.StartOne(t, &rtsptest.Camera{Answer: func(_ *rtsptest.Conn, r *rtsptest.Request, a *rtsptest.Answer) {
				for _, line := range a.Header {
					if transport, ok := strings.CutPrefix(line, "Transport: "); ok && r.Method == "SETUP" {
						before, ports, _ := strings.Cut(transport, ";server_port")
						a.Set("Transport", before+change(";server_port"+ports))
						break
					}
				}
			}})
			w := watch(t, Options{URL: parsed(t, address), Transport: UDP})
			w.expect(true, "")
			w.accessUnits(10)
			if got := w.source.Info().Transport; got != UDP {
				t.Errorf("it plays by %s", got)
			}
		})
	}
}
