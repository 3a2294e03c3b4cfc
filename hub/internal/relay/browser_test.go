package relay

import (
	"context"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gridpost/streams"
	"gridpost/streams/simcam"
)

// playerPage plays a WHEP stream and counts the frames that it shows.
const playerPage = `<!doctype html><video id="v" muted playsinline autoplay></video><script>
const v = document.getElementById('v');
window.result = {frames: 0, answerMs: 0, firstMs: 0, changed: 0};
const canvas = document.createElement('canvas'); canvas.width = 16; canvas.height = 9;
let last = '';
function shown(now) {
  if (result.frames++ === 0) result.firstMs = performance.now() - window.begun;
  const c = canvas.getContext('2d', {willReadFrequently: true});
  if (result.frames % 10 === 0) {
    c.drawImage(v, 0, 0, 16, 9);
    const pixels = c.getImageData(0, 0, 16, 9).data.join();
    if (pixels !== last) result.changed++;
    last = pixels;
  }
  v.requestVideoFrameCallback(shown);
}
async function play() {
  window.begun = performance.now();
  const pc = window.pc = new RTCPeerConnection();
  pc.ontrack = e => { if (e.track.kind === 'video') v.srcObject = e.streams[0]; };
  for (const kind of location.hash ? location.hash.slice(1).split('+') : ['video'])
    if (kind === 'data') pc.createDataChannel('x'); else pc.addTransceiver(kind, {direction: 'recvonly'});
  await pc.setLocalDescription();
  window.offer = pc.localDescription.sdp;
  const r = await fetch('/whep/gate-7/yard?incident=1', {method: 'POST', headers: {'Content-Type': 'application/sdp', 'Who': 'browser'}, body: pc.localDescription.sdp});
  if (r.status !== 201) { result.error = await r.text(); return; }
  window.resource = r.headers.get('Location');
  result.answerMs = performance.now() - begun;
  await pc.setRemoteDescription({type: 'answer', sdp: await r.text()});
}
async function stats() {
  for (const s of (await pc.getStats()).values())
    if (s.type === 'inbound-rtp' && s.kind === 'video') return {decoded: s.framesDecoded, dropped: s.framesDropped, lost: s.packetsLost, nacks: s.nackCount, plis: s.pliCount, keys: s.keyFramesDecoded, delay: s.jitterBufferDelay / s.jitterBufferEmittedCount, freezes: s.freezeCount};
}
v.requestVideoFrameCallback(shown);
play().catch(e => result.error = String(e));
</script>`

// pageResult is what playerPage measured; times in milliseconds.
type pageResult struct {
	Frames   int
	AnswerMs float64
	FirstMs  float64
	Changed  int
	Error    string
}

// encodeTestVideo encodes ten seconds of moving 1080p video as one GOP.
func encodeTestVideo(t *testing.T) []*streams.AccessUnit {
	t.Helper()
	path := filepath.Join(t.TempDir(), "film.ts")
	out, err := exec.CommandContext(t.Context(), "ffmpeg", "-nostdin", "-loglevel", "error",
		"-f", "lavfi", "-i", "testsrc2=size=1920x1080:rate=25", "-t", "10",
		"-c:v", "libx264", "-profile:v", "high", "-preset", "ultrafast", "-b:v", "4M", "-maxrate", "4M", "-bufsize", "2M",
		"-g", "250", "-bf", "0", "-pix_fmt", "yuv420p", "-f", "mpegts", path).CombinedOutput()
	if err != nil {
		t.Fatalf("encoding a video (Debian package ffmpeg; make test installs it): %v\n%s", err, out)
	}
	units, err := simcam.Load(path)
	if err != nil {
		t.Fatal(err)
	}
	return units
}

// publishLoop publishes units repeatedly in real time, except for the first ahead ones, which it
// publishes at once.
func publishLoop(ctx context.Context, s *streams.Stream, units []*streams.AccessUnit, ahead int) {
	tick := time.NewTicker(40 * time.Millisecond)
	defer tick.Stop()
	for n := 0; ; n++ {
		u := *units[n%len(units)]
		u.PTS, u.Arrived = time.Duration(n)*40*time.Millisecond, time.Now()
		s.Publish(&u)
		if n < ahead {
			continue
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return
		}
	}
}

// The viewers join after 150 frames of a GOP of 250: one that starts the upstream, then others that
// join it.
func TestBrowserShowsLiveVideo(t *testing.T) {
	if _, err := exec.LookPath("chromium"); err != nil {
		t.Fatal("looking for a browser (Debian package chromium; make test installs it):", err)
	}
	units := encodeTestVideo(t)
	f := newFixtureWith(t, Options{}, func(ctx context.Context, s *streams.Stream) { publishLoop(ctx, s, units, 150) })
	pages := f.server.Config.Handler
	f.server.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.URL.Path == "/" {
			w.Header().Set("Content-Type", "text/html")
			_, _ = fmt.Fprint(w, playerPage)
			return
		}
		pages.ServeHTTP(w, q)
	})
	browser := startBrowser(t)
	for _, viewer := range []struct{ who, media string }{{"first", "video"}, {"second", "video"}, {"audio-first", "audio+video"}, {"data-first", "data+audio+video"}} {
		who := viewer.who
		got := playInBrowser(t, browser, f.server, viewer.media, 60)
		t.Logf("%s viewer: answer after %.0f ms, first frame after %.0f ms, %d frames", who, got.AnswerMs, got.FirstMs, got.Frames)
		if got.Changed < 3 {
			t.Errorf("%s viewer: the frames do not change", who)
		}
	}
}

// startBrowser starts Chromium for the time of the test.
func startBrowser(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := chromedp.NewExecAllocator(context.Background(), append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.NoSandbox, chromedp.ExecPath("chromium"), chromedp.Flag("autoplay-policy", "no-user-gesture-required"))...)
	t.Cleanup(cancel)
	// The browser is newer than the library and has events that it does not know.
	browser, cancel := chromedp.NewContext(ctx, chromedp.WithErrorf(func(string, ...any) {}))
	t.Cleanup(cancel)
	if err := chromedp.Run(browser); err != nil {
		t.Fatal("starting the browser:", err)
	}
	return browser
}

func playInBrowser(t *testing.T, browser context.Context, server *httptest.Server, media string, frames int) pageResult {
	t.Helper()
	tab, cancel := chromedp.NewContext(browser)
	defer cancel()
	tab, cancel = context.WithTimeout(tab, 2*time.Minute)
	defer cancel()
	var got pageResult
	var stats map[string]any
	err := chromedp.Run(tab,
		chromedp.Navigate(server.URL+"/#"+media),
		chromedp.Poll(fmt.Sprintf("result.error || result.frames >= %d", frames), nil, chromedp.WithPollingInterval(50*time.Millisecond), chromedp.WithPollingTimeout(90*time.Second)),
	)
	if err != nil {
		t.Error("playing in the browser:", err)
	}
	var offer string
	read := chromedp.Run(tab,
		chromedp.Evaluate("result", &got),
		chromedp.Evaluate("window.offer || ''", &offer),
		chromedp.Evaluate("stats()", &stats, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
		chromedp.Evaluate("fetch(resource, {method: 'DELETE', headers: {'Who': 'browser'}}).then(r => r.status)", nil, func(p *runtime.EvaluateParams) *runtime.EvaluateParams { return p.WithAwaitPromise(true) }),
	)
	if read != nil || got.Error != "" || err != nil {
		t.Fatalf("%v %s\n%+v %v\n%s", read, got.Error, got, stats, offer)
	}
	t.Logf("inbound: %v", stats)
	return got
}
