package relay

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gridpost/streams"
	"gridpost/streams/simcam"
)

// encodeNoise encodes ten seconds of 4 Mbit/s in GOPs of 2 s, small enough that a busy machine can decode several.
func encodeNoise(t *testing.T) []*streams.AccessUnit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "noise.ts")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error",
		"-f", "lavfi", "-i", "testsrc2=size=640x360:rate=25,noise=alls=40:allf=t", "-t", "10",
		"-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M",
		"-g", "50", "-keyint_min", "50", "-sc_threshold", "0", "-bf", "0", "-pix_fmt", "yuv420p", "-f", "mpegts", path).CombinedOutput()
	if err != nil {
		t.Fatalf("encoding a video (Debian package ffmpeg; make test installs it): %v\n%s", err, out)
	}
	units, err := simcam.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

// inbound is what Chromium's statistics say about the video; times in seconds.
type inbound struct {
	Frames  int     `json:"frames"`
	Freezes int     `json:"freezes"`
	Frozen  float64 `json:"frozen"`
	Delay   float64 `json:"delay"` // in the jitter buffer, of all frames
	Count   int     `json:"count"` // of those frames
	Packets int     `json:"packets"`
	NACKs   int     `json:"nacks"`
	PLIs    int     `json:"plis"`
}

const inboundScript = `(async () => {
  for (const s of (await pc.getStats()).values())
    if (s.type === 'inbound-rtp' && s.kind === 'video') return {frames: s.framesDecoded, freezes: s.freezeCount, frozen: s.totalFreezesDuration,
      delay: s.jitterBufferDelay, count: s.jitterBufferEmittedCount, packets: s.packetsReceived, nacks: s.nackCount, plis: s.pliCount};
})()`

// TestRelayLines measures what viewers behind bad lines see, in lines of JSON: Chromium behind 3 % loss and several delays,
// beside a line that loses nothing, which says what the machine itself does to the video, and two viewers of one
// camera, of which one is behind a thin line. Set GRIDPOST_RELAY_LINES to the seconds for which each is measured.
const linesSeconds = "GRIDPOST_RELAY_LINES"

func TestRelayLines(t *testing.T) {
	seconds := costNumber(t, linesSeconds, 0)
	if seconds == 0 {
		t.Skipf("set %s to the seconds to measure", linesSeconds)
	}
	two := watchTogether(t, 25*seconds)
	text, err := json.Marshal(map[string]any{"line": "2 Mbit/s beside a free one", "viewers": two, "load": load(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%s", text)
	two.check(t)

	units := encodeNoise(t)
	bytes := 0
	for _, u := range units {
		for _, n := range u.NALUs {
			bytes += len(n)
		}
	}
	names := []string{"free", "25 ms", "50 ms", "100 ms"}
	lines := map[string]*line{"free": {}}
	for i, delay := range []time.Duration{25 * time.Millisecond, 50 * time.Millisecond, 100 * time.Millisecond} {
		lines[names[i+1]] = &line{delay: delay, loss: 0.03}
	}
	f := newFixtureWith(t, Options{}, func(ctx context.Context, s *streams.Stream) { publishLoop(ctx, s, units, 0) })
	relay := behindLines(t, f.server.Config.Handler, f.relay.o.Engine.Addr(), lines)
	f.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if name := q.URL.Query().Get("on"); name != "" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, strings.Replace(playerPage, "'Who': 'browser'", "'Who': 'browser', 'Line': '"+name+"'", 1))
			return
		}
		relay.ServeHTTP(w, q)
	})
	browser := startBrowser(t)
	for _, name := range names {
		watchOverLine(t, browser, f.server.URL+"/?on="+url.QueryEscape(name), func(from, to inbound, before, after lineCount) {
			text, err := json.Marshal(map[string]any{
				"line": name, "loss_percent": 100 * lines[name].loss, "round_trip_ms": 2 * lines[name].delay.Milliseconds(), "kbit": bytes * 8 / len(units) * 25 / 1000,
				"seconds": seconds, "frames": to.Frames - from.Frames, "freezes": to.Freezes - from.Freezes, "frozen_ms": int(1000 * (to.Frozen - from.Frozen)),
				"buffer_ms": int(1000 * (to.Delay - from.Delay) / float64(max(1, to.Count-from.Count))), "nacks": to.NACKs - from.NACKs, "plis": to.PLIs - from.PLIs,
				"packets": after.packets - before.packets, "lost": after.lost - before.lost, "load": load(t),
			})
			if err != nil {
				t.Fatal(err)
			}
			t.Logf("%s", text)
		}, lines[name], time.Duration(seconds)*time.Second)
	}
}

// watchOverLine plays page, whose viewer is behind l, and calls report with what Chromium and the line have counted once it
// plays, and d later.
func watchOverLine(t *testing.T, browser context.Context, page string, report func(from, to inbound, before, after lineCount), l *line, d time.Duration) {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	defer cancel()
	read := func() (s inbound, c lineCount) {
		err := chromedp.Run(tab, chromedp.Evaluate(inboundScript, &s, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }))
		if err != nil {
			t.Fatal("reading the browser's statistics:", err)
		}
		return s, l.counted()
	}
	err := chromedp.Run(tab, chromedp.Navigate(page),
		chromedp.Poll("result.error || result.frames >= 25", nil, chromedp.WithPollingTimeout(patience)))
	if err != nil {
		t.Fatal("playing in the browser:", err)
	}
	from, before := read()
	time.Sleep(d) // the measurement itself
	to, after := read()
	report(from, to, before, after)
}

// load returns the machine's load of the last minute.
func load(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		t.Skip("no /proc:", err)
	}
	return strings.Fields(string(text))[0]
}
