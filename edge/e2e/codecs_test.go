package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"

	"gridpost/edge/e2e/rig"
	"gridpost/streams/rtsp/rtsptest"
)

// codecCase is a camera of the table of what plays.
type codecCase struct {
	device string // its name
	what   string // in words, for the table
	size   string
	rate   int // frames/s
	length int // s, one round of the recording
	video  []string
	audio  []string // nil: none

	heard   bool    // the browser must play the audio
	refused string  // what the page must say instead of showing video; "": it shows video
	maybe   bool    // it may be refused instead of shown: that depends on the browser
	least   float64 // part of the frames of the measured time that the browser must decode, however long that takes it
}

const (
	measured  = 4 // s of what a camera sends
	tolerated = 5 // requests for keyframes: frames that a browser cannot decode cause one after the other
)

// x264 returns arguments for H.264 without B-frames, with a keyframe every gop frames.
func x264(gop int) []string {
	return []string{"-c:v", "libx264", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-bf", "0", "-b:v", "600k", "-g", fmt.Sprint(gop), "-sc_threshold", "0"}
}

func sound(rate int, args ...string) []string {
	return append([]string{"-ar", fmt.Sprint(rate)}, args...)
}

// x265 returns the same for H.265.
func x265(gop int) []string {
	return []string{"-c:v", "libx265", "-preset", "ultrafast", "-pix_fmt", "yuv420p", "-x265-params", fmt.Sprintf("bframes=0:keyint=%d:log-level=none", gop)}
}

func codecCases() []codecCase {
	const small = "320x240"
	mjpeg := []string{"-c:v", "mjpeg", "-huffman", "default", "-q:v", "10", "-pix_fmt", "yuvj420p"}
	bframes := []string{"-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-bf", "2", "-b_strategy", "0", "-g", "50"}
	return []codecCase{
		{device: "aac", what: "H.264 with AAC", size: small, rate: 25, length: 4, video: x264(50), audio: sound(16000, "-c:a", "aac", "-ac", "1"), least: 0.5},
		{device: "pcma", what: "H.264 with G.711 A-law", size: small, rate: 25, length: 4, video: x264(50), audio: sound(8000, "-c:a", "pcm_alaw", "-ac", "1"), heard: true, least: 0.5},
		{device: "pcmu", what: "H.264 with G.711 mu-law", size: small, rate: 25, length: 4, video: x264(50), audio: sound(8000, "-c:a", "pcm_mulaw", "-ac", "1"), heard: true, least: 0.5},
		{device: "opus", what: "H.264 with Opus", size: small, rate: 25, length: 4, video: x264(50), audio: sound(48000, "-c:a", "libopus", "-ac", "2"), heard: true, least: 0.5},
		{device: "key10", what: "H.264, a keyframe every 10 s", size: small, rate: 10, length: 10, video: x264(100), least: 0.5},
		{device: "key20", what: "H.264, a keyframe every 20 s", size: small, rate: 10, length: 20, video: x264(200), least: 0.5},
		{device: "fps1", what: "H.264, 1 frame/s", size: small, rate: 1, length: 4, video: x264(2), least: 0.3},
		{device: "fps60", what: "H.264, 60 frames/s", size: "640x360", rate: 60, length: 4, video: x264(120), least: 0.3},
		{device: "uhd", what: "H.264, 3840x2160, 10 frames/s", size: "3840x2160", rate: 10, length: 2, video: x264(20), least: 0.1},
		{device: "h265", what: "H.265", size: small, rate: 25, length: 4, refused: "H.265", maybe: true, least: 0.5, video: x265(50)},
		{device: "mjpeg", what: "motion JPEG", size: small, rate: 10, length: 2, refused: "motion JPEG", video: mjpeg},
		{device: "bframes", what: "H.264 with B-frames", size: small, rate: 25, length: 4, refused: "B-frames", video: bframes},
	}
}

func (c codecCase) record(t *testing.T) *rtsptest.Recording {
	t.Helper()
	args := []string{"-f", "lavfi", "-i", fmt.Sprintf("testsrc2=size=%s:rate=%d:duration=%d", c.size, c.rate, c.length)}
	if c.audio != nil {
		args = append(args, "-f", "lavfi", "-i", fmt.Sprintf("sine=frequency=440:duration=%d", c.length), "-map", "0:v", "-map", "1:a")
	}
	return rtsptest.Record(t, time.Duration(c.length)*time.Second, append(append(args, c.video...), c.audio...)...)
}

// tileStats is what a tile of the wall shows and its connection counts.
type tileStats struct {
	State string `json:"state"`
	Text  string `json:"text"`
	Width int    `json:"width"` // of the video, pixels

	Decoded     int     `json:"decoded"`
	PLIs        int     `json:"plis"`
	AudioCodec  string  `json:"audioCodec"`
	AudioPkts   int     `json:"audioPackets"`
	AudioEnergy float64 `json:"audioEnergy"`
}

// rememberConnections makes the page's peer connections known to lookAtTiles.
const rememberConnections = `(() => { const Real = RTCPeerConnection; window.pcs = [];
  window.RTCPeerConnection = class extends Real { constructor(...a) { super(...a); pcs.push(this); } }; })()`

const lookAtTiles = `(async () => { const out = {};
  for (const f of document.querySelectorAll("figure[data-device]")) {
    const v = f.querySelector("video"), track = v.srcObject?.getVideoTracks()[0];
    const o = out[f.dataset.device] = {state: f.dataset.state, text: f.innerText, width: v.videoWidth, decoded: 0, plis: 0, audioPackets: 0, audioEnergy: 0, audioCodec: ""};
    const pc = pcs.find((p) => track && p.getReceivers().some((r) => r.track === track));
    if (!pc) continue;
    const stats = await pc.getStats();
    for (const s of stats.values()) {
      if (s.type !== "inbound-rtp") continue;
      if (s.kind === "video") { o.decoded = s.framesDecoded; o.plis = s.pliCount; continue; }
      o.audioPackets = s.packetsReceived; o.audioEnergy = s.totalAudioEnergy ?? 0; o.audioCodec = stats.get(s.codecId)?.mimeType ?? "";
    }
  }
  return out; })()`

// TestWhatPlaysInTheBrowser shows a dispatcher cameras of every kind on the wall. Each is seen, and heard where WebRTC
// can carry its audio, or the tile says in words why not. The log has the table of the README.
func TestWhatPlaysInTheBrowser(t *testing.T) {
	cases := codecCases()
	recordings := map[string]*rtsptest.Recording{}
	cameras := map[string]*rtsptest.Camera{}
	for _, c := range cases {
		recordings[c.device] = c.record(t)
		cameras["/"+c.device] = recordings[c.device].Camera()
	}
	server := rtsptest.Start(t, cameras)
	urls := map[string]string{}
	for _, c := range cases {
		urls[c.device] = server.URL("/" + c.device)
	}
	h := startHub(t)
	if err := h.AddUser(t.Context(), "li.wei", "correct horse battery", "dispatcher"); err != nil {
		t.Fatal(err)
	}
	startSite(t, h, rig.SiteOptions{Name: "gate-7", CameraURLs: urls})
	if err := h.AllOnline(t.Context(), len(cases), time.Minute); err != nil {
		t.Fatal(err)
	}
	b, err := rig.OpenBrowser(t.Context(), h.URL, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	defer b.Close()
	if err := b.LogIn("li.wei", "correct horse battery"); err != nil {
		t.Fatal(err)
	}
	remember := chromedp.ActionFunc(func(ctx context.Context) error {
		_, err := page.AddScriptToEvaluateOnNewDocument(rememberConnections).Do(ctx)
		return err
	})
	if err := b.Run(10*time.Second, "preparing the page", remember); err != nil {
		t.Fatal(err)
	}
	table := []string{"| camera | seen | heard | decoded of sent | PLIs |"}
	for len(cases) > 0 {
		n := min(6, len(cases))
		wall := &codecWall{t: t, b: b, url: h.URL, cases: cases[:n], recordings: recordings}
		table = append(table, wall.watch()...)
		cases = cases[n:]
	}
	t.Log("\n" + strings.Join(table, "\n"))
}

// codecWall is a wall with some of the cameras.
type codecWall struct {
	t          *testing.T
	b          *rig.Browser
	url        string
	cases      []codecCase
	recordings map[string]*rtsptest.Recording
}

// watch opens the wall, waits until every tile has what it must have, and returns a row of the table for each.
func (w *codecWall) watch() (rows []string) {
	w.t.Helper()
	var cams []string
	for _, c := range w.cases {
		cams = append(cams, "gate-7/"+c.device)
	}
	err := w.b.Run(20*time.Second, "opening the wall", chromedp.Navigate(w.url+"/wall?n=9&why=test&cams="+strings.Join(cams, ",")),
		chromedp.WaitVisible("figure[data-device]"))
	if err != nil {
		w.t.Fatal(err)
	}
	w.await("every tile to show video or to say why not", func(c codecCase, s tileStats) bool {
		if c.refused != "" && s.State == "refused" {
			return strings.Contains(s.Text, c.refused)
		}
		return (c.refused == "" || c.maybe) && s.State == "live" && s.Decoded > 0
	})
	err = w.b.Run(10*time.Second, "turning the sound on", chromedp.Evaluate(
		`document.querySelectorAll('[data-sound="off"]').forEach((b) => b.click())`, nil, asUser))
	if err != nil {
		w.t.Fatal(err)
	}
	sent := w.sent()
	w.await("each camera to send 2 s more: a viewer begins with the GOP up to now", func(c codecCase, _ tileStats) bool {
		return w.sent()[c.device]-sent[c.device] >= int64(2*c.rate)
	})
	before := w.look()
	sent = w.sent()
	w.await("each camera to send 4 s more, its frames to be decoded and its sound to be heard", func(c codecCase, s tileStats) bool {
		shown := s.State == "refused" || float64(s.Decoded-before[c.device].Decoded) >= c.least*float64(measured*c.rate)
		return shown && w.sent()[c.device]-sent[c.device] >= int64(measured*c.rate) && (!c.heard || s.AudioEnergy > 0)
	})
	after, end := w.look(), w.sent()
	for _, c := range w.cases {
		rows = append(rows, w.row(c, before[c.device], after[c.device], end[c.device]-sent[c.device]))
	}
	return rows
}

// sent returns how many frames each camera has sent.
func (w *codecWall) sent() map[string]int64 {
	n := map[string]int64{}
	for device, r := range w.recordings {
		n[device] = r.Sent.Load()
	}
	return n
}

// asUser evaluates a script as if a person had pressed something: browsers play sound only then.
func asUser(p *runtime.EvaluateParams) *runtime.EvaluateParams {
	return p.WithUserGesture(true).WithAwaitPromise(true)
}

func (w *codecWall) look() map[string]tileStats {
	w.t.Helper()
	var stats map[string]tileStats
	if err := w.b.Run(20*time.Second, "looking at the tiles", chromedp.Evaluate(lookAtTiles, &stats, asUser)); err != nil {
		w.t.Fatal(err)
	}
	return stats
}

// await waits until done holds for every camera.
func (w *codecWall) await(what string, done func(codecCase, tileStats) bool) {
	w.t.Helper()
	var last map[string]tileStats
	err := rig.Until(w.t.Context(), 40*time.Second, what, func(context.Context) error {
		last = w.look()
		for _, c := range w.cases {
			if !done(c, last[c.device]) {
				return fmt.Errorf("%w: %s", rig.ErrNotYet, c.device)
			}
		}
		return nil
	})
	if err != nil {
		text, _ := json.MarshalIndent(last, "", " ") // a map of plain values
		w.t.Fatalf("%v\n%s", err, text)
	}
}

// row checks what a camera has shown and returns its row of the table.
func (w *codecWall) row(c codecCase, before, after tileStats, sent int64) string {
	w.t.Helper()
	if after.State == "refused" {
		cause, _, _ := strings.Cut(strings.TrimSpace(strings.TrimPrefix(after.Text, "Refused")), "\n")
		return fmt.Sprintf("| %s | no: %s | | | |", c.what, cause)
	}
	decoded := after.Decoded - before.Decoded
	if after.PLIs > tolerated {
		w.t.Errorf("%s: the browser asked for a keyframe %d times; %d of %d frames were decoded", c.device, after.PLIs, decoded, sent)
	}
	if want, _, _ := strings.Cut(c.size, "x"); fmt.Sprint(after.Width) != want {
		w.t.Errorf("%s: the video is %d pixels wide", c.device, after.Width)
	}
	heard := "no audio"
	switch {
	case c.heard && (after.AudioPkts == 0 || after.AudioEnergy <= 0):
		w.t.Errorf("%s: %d packets of audio, energy %g", c.device, after.AudioPkts, after.AudioEnergy)
	case c.heard:
		heard = fmt.Sprintf("yes (%s, %d packets)", after.AudioCodec, after.AudioPkts)
	case after.AudioPkts > 0:
		w.t.Errorf("%s: %d packets of audio", c.device, after.AudioPkts)
	case c.audio != nil:
		heard = "no, left out"
	}
	return fmt.Sprintf("| %s | yes, %d pixels wide | %s | %d of %d | %d |", c.what, after.Width, heard, decoded, sent, after.PLIs)
}
